"""One reading of a whole input: mapped, parsed, checked row by row, written as it goes.

Memory stays bounded by a few batches, however large the input: one is read ahead, one worked on, one written.

Amounts are exact: quantity is rounded to 6 decimals, prices and discounts to 9, their product and difference computed in
decimals and rounded once, half away from zero, to 4.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs import mapping, optouts, parsing, quarantine
from lifecycle_assets.inputs.contracts import OrderLines, Quarantine
from lifecycle_assets.inputs.feed import Batch, Feed
from lifecycle_assets.inputs.mapping import Plan
from lifecycle_assets.inputs.quarantine import ERASED, LEFT_OUT, MALFORMED, REASONS, ROW, Counts, Flag
from lifecycle_assets.inputs.tombstones import Tombstones
from lifecycle_assets.night import Night

ROW_GROUP = 122_880
REST = {"raw.customers": "attributes", "raw.survey_responses": "groups"}
"""Tables whose further columns are kept, as a JSON object, and in which column."""

_EXACT = pl.Decimal(38, 15)


@dataclass
class Pass:
    """What one reading came to, and what the texts of each column speak for."""

    tallies: dict[str, parsing.Tally] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    rows_read: int = 0
    rows_kept: int = 0
    rows_cautious: int = 0


def read(
    plan: Plan,
    feed: Feed,
    night: Night,
    reading: parsing.Reading | None,
    repeated: pl.Series,
    erased: Tombstones,
    table: Path,
    aside: Path,
) -> tuple[Pass, parsing.Reading]:
    """Read everything once under `reading` (None: the one that the first batch speaks for); rows in `repeated` go aside, and
    so do those of people in `erased`, whose order lines become a guest's."""
    done = Pass({column: parsing.Tally() for column in plan.dtypes})
    checked = quarantine.row_checks(plan.contract)
    with (
        _Writer(
            table, {**plan.contract.polars_schema, **({} if plan.contract is OrderLines else {ROW: pl.Int64()})}
        ) as kept_writer,
        _Writer(aside, Quarantine.polars_schema) as aside_writer,
    ):
        for batch in _ahead(_together(feed.batches(), plan.recipe.together)):
            rows = plan.recipe.prepare(batch.rows) if plan.recipe.prepare else batch.rows
            raw = mapping.apply(plan, rows)
            for column, dtype in plan.dtypes.items():
                done.tallies[column] += parsing.tally(raw[column], dtype, done.tallies[column])
            reading = reading or decide(plan, done.tallies, night)
            typed, flags, cautious = _typed(plan, raw, rows, batch.numbers, reading, night)
            theirs = erased.among(typed, night.settings.country)
            if plan.contract is OrderLines:
                typed = erased.as_guests(typed, theirs)
            else:
                flags.append(Flag(None, ERASED, theirs, quarantine.ERASED_MESSAGE))
            flags.append(Flag(key(plan)[0] if key(plan) else None, "repeated", batch.numbers.is_in(repeated.implode())))
            flags += [
                Flag(None, LEFT_OUT, met, f"left out: {rule.reason}") for rule, met in mapping.left_out(plan, rows, raw)
            ]
            kept, reasons = quarantine.split(plan.contract, checked, typed, flags)
            kept_writer.write(kept)
            originals = {target: rows[name] for target, name in plan.taken.items() if name in rows.columns}
            quarantine.examples(plan.contract, done.counts, reasons, originals, batch.numbers)
            broken = erased.among_lines(batch.broken["line"], night.settings.country)
            unkept = pl.concat([batch.numbers.filter(theirs), batch.broken["number"].filter(broken)])
            aside_writer.write(_quarantined(plan.contract, night, batch, reasons, unkept))
            done.counts.add(reasons)
            done.counts.add(_malformed(batch.broken))
            done.rows_read += batch.rows.height + batch.broken.height
            done.rows_kept += kept.height
            done.rows_cautious += int(kept[ROW].is_in(cautious.implode()).sum())
    return done, reading or decide(plan, done.tallies, night)


def decide(plan: Plan, tallies: Mapping[str, parsing.Tally], night: Night) -> parsing.Reading:
    """How the texts are to be read, by what they have been so far."""
    return parsing.decide(tallies, plan.dtypes, plan.recipe.asked, night.settings.country)


def key(plan: Plan) -> list[str]:
    """The columns that must be unique over the whole input; none for tables without a key of their own."""
    if plan.contract is OrderLines:
        return ["line_id"] if "line_id" in plan.taken else []
    return [name for name in plan.contract.primary_key if name not in mapping.DERIVED]


# --- rows -------------------------------------------------------------------------------------------------------------


def _typed(
    plan: Plan, raw: pl.DataFrame, rows: pl.DataFrame, numbers: pl.Series, reading: parsing.Reading, night: Night
) -> tuple[pl.DataFrame, list[Flag], pl.Series]:
    """The rows under the contract's columns and types with their position, what is wrong with them beyond its rules, and
    the positions of those with an opt-out that is taken in the cautious way."""
    contract = plan.contract
    zone = plan.recipe.timezone or night.settings.timezone
    flags: list[Flag] = []
    columns: dict[str, pl.Series] = {}
    wanted = {**contract.polars_schema, **plan.recipe.helpers}
    for name, dtype in wanted.items():
        if name not in raw.columns:
            continue
        parsed = parsing.parse(raw[name], dtype, reading, zone)
        values = parsed.values
        flags.append(Flag(name, "unreadable", parsed.unreadable))
        if name in contract.columns:
            column = contract.columns[name]
            if dtype == pl.Float64 and column.nullable:
                values = values.set((~values.is_finite()).fill_null(False), None)
            if mapping.choices(column):
                values = values.str.to_lowercase()
        columns[name] = values.alias(name)
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in wanted.items() if name not in columns]
    typed = pl.DataFrame([numbers.alias(ROW), *columns.values()]).with_columns(absent)
    if plan.recipe.finish:
        typed = plan.recipe.finish(typed)
    unreadable = {flag.column: flag.mask for flag in flags if flag.column}
    typed, replaced = optouts.cautious(contract, typed, unreadable, night.as_of, night.today, night.settings.timezone)
    unreadable |= {name: unreadable[name] & ~mask for name, mask in replaced.items() if name in unreadable}
    flags = [Flag(name, "unreadable", mask) for name, mask in unreadable.items()]
    defaults = {name: mapping.default(column) for name, column in contract.columns.items()}
    typed = typed.with_columns(
        # What stands there and cannot be read is not replaced by the default.
        pl.when(pl.lit(unreadable[name]) if name in unreadable else pl.lit(value=False))
        .then(name)
        .otherwise(pl.col(name).fill_null(value))
        for name, value in defaults.items()
        if value is not None
    )
    typed = typed.with_columns(pl.lit(night.shop).alias("shop_id"), pl.lit(night.as_of).alias("as_of"))
    if contract.name in REST:
        rest = [name for name in plan.others if name in rows.columns]
        if rest:
            typed = typed.with_columns(_object(rows.select(rest)).alias(REST[contract.name]))
    if contract is OrderLines:
        typed = _order_lines(typed, night)
        flags += _order_line_flags(typed, night)
    for name, column in contract.columns.items():
        if (column.metadata or {}).get("event") and name in typed.columns:
            future = optouts.is_future(name, night.today, night.settings.timezone)
            flags.append(Flag(name, "future", typed.select(future).to_series()))
    cautious = typed.filter(pl.any_horizontal(pl.lit(value=False), *replaced.values()))[ROW]
    return typed.select(*contract.columns, ROW), [flag for flag in flags if flag.column in contract.columns], cautious


def _order_lines(typed: pl.DataFrame, night: Night) -> pl.DataFrame:
    def exact(name: str, decimals: int) -> pl.Expr:
        finite = pl.when(pl.col(name).is_finite() & (pl.col(name).abs() <= 1e10)).then(name)
        return finite.cast(pl.Decimal(38, decimals), strict=False).cast(_EXACT, strict=False)

    amount = exact("quantity", 6) * exact("unit_price", 9) - exact("discount_amount", 9)
    return typed.with_columns(
        line_no=pl.col(ROW),
        order_date=pl.col("ordered_at").dt.convert_time_zone(night.settings.timezone).dt.date(),
        amount=amount.round(4, mode="half_away_from_zero").cast(pl.Decimal(18, 4), strict=False),
        currency=pl.col("currency").str.to_uppercase(),
    )


def _order_line_flags(typed: pl.DataFrame, night: Night) -> list[Flag]:
    inputs_there = pl.all_horizontal(
        pl.col(name).is_finite().fill_null(value=False) for name in ("quantity", "unit_price", "discount_amount")
    )
    marks = typed.select(
        currency=(pl.col("currency") != night.settings.currency).fill_null(value=False),
        range=pl.col("amount").is_null() & inputs_there,
    )
    return [Flag("currency", "currency", marks["currency"]), Flag("amount", "range", marks["range"])]


def _object(rows: pl.DataFrame) -> pl.Series:
    """Each row's further columns as a JSON object: numbers and truth values as such, all else as text."""
    columns = [
        pl.col(name).str.strip_chars()
        if dtype == pl.String
        else pl.col(name)
        if dtype.is_numeric() or dtype == pl.Boolean or dtype.is_nested()
        else pl.col(name).cast(pl.String, strict=False)
        for name, dtype in rows.schema.items()
    ]
    return rows.select(pl.struct(columns).struct.json_encode()).to_series()


# --- batches ----------------------------------------------------------------------------------------------------------


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each read while the one before is worked on."""

    def following() -> Batch | None:
        return next(batches, None)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(following)
        while (batch := coming.result()) is not None:
            coming = pool.submit(following)
            yield batch


def _together(batches: Iterator[Batch], column: str | None) -> Iterator[Batch]:
    """The batches, cut so that rows which follow one another and agree in `column` are in one of them."""
    if column is None:
        yield from batches
        return
    held: Batch | None = None
    for batch in batches:
        if held is not None:
            batch = Batch(  # noqa: PLW2901
                pl.concat([held.rows, batch.rows], how="diagonal_relaxed"),
                pl.concat([held.numbers, batch.numbers]),
                batch.broken,
            )
        if batch.rows.is_empty():
            held = None
            yield batch
            continue
        groups = batch.rows[column].forward_fill().rle_id() if column in batch.rows.columns else batch.numbers
        cut = int((groups < groups[-1]).sum())
        held = Batch(batch.rows.slice(cut), batch.numbers.slice(cut), batch.broken.clear())
        yield Batch(batch.rows.head(cut), batch.numbers.head(cut), batch.broken)
    if held is not None:
        yield held


# --- what is written --------------------------------------------------------------------------------------------------


class _Writer:
    """A Parquet file written batch by batch, each while the next one is worked on."""

    def __init__(self, path: Path, schema: Mapping[str, Any]) -> None:
        self.path = path
        self.empty = pl.DataFrame(schema=schema)

    def __enter__(self) -> "_Writer":
        schema = _arrow(self.empty).schema
        self.writer = pq.ParquetWriter(self.path, schema, compression="zstd")
        self.pool = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None
        return self

    def write(self, frame: pl.DataFrame) -> None:
        if frame.height:
            if self.pending:
                self.pending.result()
            rows = _arrow(frame.select(self.empty.columns))
            self.pending = self.pool.submit(self.writer.write_table, rows, row_group_size=ROW_GROUP)

    def __exit__(self, *_: object) -> None:
        with self.pool, self.writer:
            if self.pending:
                self.pending.result()


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _quarantined(
    contract: Contract, night: Night, batch: Batch, reasons: pl.DataFrame, unkept: pl.Series
) -> pl.DataFrame:
    """The rows of `reasons` and the broken lines, as raw.quarantine has them; the content of those `unkept` is left out."""
    at = batch.numbers.is_in(reasons[ROW].implode()).arg_true()
    rows = pl.DataFrame({ROW: batch.numbers.gather(at), "row": quarantine.as_json(batch.rows[at])})
    lines = batch.broken.select(pl.col("number").alias(ROW), pl.struct("line").struct.json_encode().alias("row"))
    every = pl.concat([reasons.join(rows, on=ROW), _malformed(batch.broken).join(lines, on=ROW)]).sort(ROW)
    return every.select(
        pl.lit(night.shop).alias("shop_id"),
        pl.lit(night.as_of).alias("as_of"),
        pl.lit(contract.table).alias("table"),
        pl.col(ROW).alias("row_number"),
        "column",
        "rule",
        "message",
        pl.when(pl.col(ROW).is_in(unkept.implode())).then(pl.lit("{}")).otherwise("row").alias("row"),
        pl.lit(night.run).alias("run"),
    )


def _malformed(broken: pl.DataFrame) -> pl.DataFrame:
    return broken.select(
        pl.col("number").alias(ROW),
        pl.lit(None, dtype=pl.String).alias("column"),
        pl.lit(MALFORMED).alias("rule"),
        "message",
    ).select(list(REASONS))
