"""From a shop's input to a raw table: which input it is, read in one pass (one_pass.py), put into order.

How texts are to be read (decimal comma, day first) and which keys repeat is a matter of the whole input: it is taken from
the first batch, held against all others while they pass, and only where the rest of the input says otherwise is the input
read a second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import ContractError, InputNotReadyError
from lifecycle_assets.inputs import mapping, one_pass, parsing, quarantine
from lifecycle_assets.inputs.contracts import InputReads, OrderLines, Quarantine
from lifecycle_assets.inputs.feed import DerivedFeed, Feed, Source
from lifecycle_assets.inputs.formats import format_of
from lifecycle_assets.inputs.mapping import Plan
from lifecycle_assets.inputs.quarantine import ROW
from lifecycle_assets.inputs.tombstones import Tombstones
from lifecycle_assets.night import Night
from lifecycle_assets.settings import TableMapping

ATTEMPTS = 3
NOBODY = Tombstones()


@dataclass(frozen=True)
class Ingested:
    """What came of one input: two staged files, the table's and the quarantine's, and the row about the reading.

    `rows_cautious` counts the rows kept whose opt-out could not be read in full and was taken in the cautious way.
    """

    table: Path
    quarantine: Path
    read: pl.DataFrame
    source: str | None
    rows_cautious: int = 0

    def number(self, column: str) -> int:
        return int(self.read[column][0])


def ingest(contract: Contract, source: Source, night: Night, folder: Path, erased: Tombstones = NOBODY) -> Ingested:
    """Read the input of one raw table into files below `folder`; an input that the shop does not have gives empty ones.
    People in `erased` stay out of them.

    Raises InputNotReadyError for an input that changes each time it is read, InputError for one that cannot be read, and
    ContractError when it lacks a required column or more rows than `inputs.quarantine_limit` break the contract.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            feed = find(contract, source, night)
            if feed is None:
                return _absent(contract, source, night, folder)
            return _ingest(contract, feed, night, folder, erased)
        except InputNotReadyError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def tables(contracts: Sequence[Contract]) -> list[Contract]:
    """The raw tables that are read from inputs, out of all contracts."""
    made = {InputReads.name, Quarantine.name}
    return [contract for contract in contracts if contract.area == "raw" and contract.name not in made]


def find(contract: Contract, source: Source, night: Night) -> Feed | None:
    """The input of a raw table under the shop's mapping, or None. Tables that a format derives are derived here."""
    recipe = recipe_of(contract, night)
    if recipe.build is None or recipe.asked.file:
        feed = source.find(*recipe.names)
        if feed is None and recipe.asked.file:
            raise ContractError(
                f"{source.origin}: there is no '{recipe.asked.file}', which the shop's mapping names for {contract.name}. "
                f"There are: {', '.join(source.names()) or 'no tables at all'}."
            )
        return feed
    tables = format_of(night.settings.mapping.preset).tables
    parts: dict[str, Feed] = {}
    for name in recipe.build_from:
        # A table may be derived from a raw table's own input, which goes by several names.
        names = tables[name].names if name in tables and tables[name].build is None else (name,)
        asked = night.settings.mapping.tables.get(name)
        part = source.find(*((asked.file,) if asked and asked.file else names))
        if part is None:
            return None
        parts[name] = part
    before = [part.fingerprint() for part in parts.values()]
    frames = cache(lambda name: parts[name].scan())
    scan = mapping.Scan(frames, lambda: _ordered_at(parts["order_lines"], frames("order_lines"), night))
    frame = recipe.build(scan).collect(engine="streaming")
    if [part.fingerprint() for part in parts.values()] != before:
        raise InputNotReadyError(f"{source.origin}: changed while it was read. Try again when it has been written.")
    origin = ", ".join(part.origin for part in parts.values())
    return DerivedFeed(origin, frame, tuple(parts.values()))


def recipe_of(contract: Contract, night: Night) -> mapping.Recipe:
    """The format's recipe for a raw table, corrected by the shop's own mapping."""
    chosen = night.settings.mapping
    recipe = format_of(chosen.preset).tables.get(contract.table, mapping.Recipe(names=(contract.table,)))
    return mapping.corrected(contract, recipe, chosen.tables.get(contract.table, TableMapping()))


def _ordered_at(feed: Feed, rows: pl.LazyFrame, night: Night) -> pl.Series:
    """The moments of the order lines' export, in its own order, under the reading that all its dates speak for."""
    plan = mapping.plan(OrderLines, recipe_of(OrderLines, night), feed)
    dates = {name: dtype for name, dtype in plan.dtypes.items() if dtype.is_temporal()}
    # A date that the shop's mapping fixes is the same in every row.
    columns = {name: pl.col(plan.taken[name]) if name in plan.taken else pl.lit(None) for name in dates}
    texts = rows.select(**columns).collect()
    tallies = {name: parsing.tally(texts[name], dtype) for name, dtype in dates.items()}
    reading = parsing.decide(tallies, dates, plan.recipe.asked, night.settings.country)
    zone = plan.recipe.timezone or night.settings.timezone
    return parsing.parse(texts["ordered_at"], dates["ordered_at"], reading, zone).values


def _ingest(contract: Contract, feed: Feed, night: Night, folder: Path, erased: Tombstones) -> Ingested:
    if not feed.columns:
        if mapping.required(contract) and contract is OrderLines:
            raise ContractError(f"{feed.origin}: the file is empty, without even a header. Export it again.")
        return _absent(contract, feed, night, folder)
    plan = mapping.plan(contract, recipe_of(contract, night), feed)
    table, aside = folder / f"{contract.table}.parquet", folder / f"{contract.table}.quarantine.parquet"
    reading: parsing.Reading | None = None
    repeated = pl.Series(ROW, [], dtype=pl.Int64)
    while True:
        done, used = one_pass.read(plan, feed, night, reading, repeated, erased, table, aside)
        told = one_pass.decide(plan, done.tallies, night)
        again = _repetitions(plan, table) if told == used else repeated
        if told == used and again.is_empty():
            break
        reading, repeated = told, pl.concat([repeated, again]).unique().sort() if told == used else repeated
    quarantine.require_few(contract, feed.origin, done.counts, done.rows_read, night.settings.inputs.quarantine_limit)
    first_at, last_at = _span(contract, table)
    _finish(contract, table)
    read = _read_row(
        contract,
        night,
        source=feed.origin,
        rows_read=done.rows_read,
        rows_kept=done.rows_kept,
        rows_quarantined=done.counts.total,
        rows_left_out=done.counts.left_out,
        first_at=first_at,
        last_at=last_at,
        fingerprint=feed.fingerprint(),
    )
    return Ingested(table, aside, read, feed.origin, done.rows_cautious)


def _repetitions(plan: Plan, table: Path) -> pl.Series:
    """Positions of the kept rows whose key stands in an earlier kept row."""
    key = one_pass.key(plan)
    if not key:
        return pl.Series(ROW, [], dtype=pl.Int64)
    position = pl.col("line_no" if plan.contract is OrderLines else ROW).alias(ROW)
    rows = (
        pl.scan_parquet(table, glob=False).select(*key, position).filter(pl.all_horizontal(pl.col(key).is_not_null()))
    )
    counted = (
        rows.group_by(key).agg(pl.col(ROW).min().alias("first"), pl.len().alias("count")).filter(pl.col("count") > 1)
    )
    doubled = counted.collect(engine="streaming")
    if doubled.is_empty():
        return pl.Series(ROW, [], dtype=pl.Int64)
    found = rows.join(doubled.lazy(), on=key).filter(pl.col(ROW) > pl.col("first")).select(ROW)
    return found.collect(engine="streaming")[ROW].sort()


def _finish(contract: Contract, table: Path) -> None:
    """Put the rows into the order of the contract's key and leave their position behind."""
    if contract is OrderLines:  # in the order of line_no, which is the position
        return
    key = [name for name in contract.primary_key if name not in mapping.DERIVED]
    frame = pl.scan_parquet(table, glob=False)
    frame = frame.sort(key) if key else frame
    sorted_table = table.with_suffix(".sorted")
    frame.select(list(contract.columns)).sink_parquet(
        sorted_table, compression="zstd", row_group_size=one_pass.ROW_GROUP
    )
    sorted_table.replace(table)


def _span(contract: Contract, table: Path) -> tuple[Any, Any]:
    """The first and the last moment of the table's main event."""
    events = [name for name, column in contract.columns.items() if (column.metadata or {}).get("event")]
    if not events:
        return None, None
    at = pl.col(events[0])
    return pl.scan_parquet(table, glob=False).select(at.min().alias("a"), at.max().alias("b")).collect().row(0)


def _absent(contract: Contract, source: Source | Feed, night: Night, folder: Path) -> Ingested:
    """An input that is not there, or has nothing in it: empty files."""
    table, aside = folder / f"{contract.table}.parquet", folder / f"{contract.table}.quarantine.parquet"
    contract.empty().write_parquet(table)
    Quarantine.empty().write_parquet(aside)
    there = hasattr(source, "columns")
    if contract is OrderLines and not there:
        raise ContractError(
            f"{source.origin}: there are no order lines, the one input that is required. Put a file or folder named "
            f"order_lines or orders there, or name it under mapping.tables.order_lines.file."
        )
    origin = source.origin if there else None
    return Ingested(table, aside, _read_row(contract, night, source=origin), origin)


def _read_row(contract: Contract, night: Night, **values: Any) -> pl.DataFrame:
    counts = dict.fromkeys(("rows_read", "rows_kept", "rows_quarantined", "rows_left_out"), 0)
    row = {"shop_id": night.shop, "as_of": night.as_of, "table": contract.table, **counts, **values}
    return pl.DataFrame({name: [row.get(name)] for name in InputReads.columns}, schema=InputReads.polars_schema)
