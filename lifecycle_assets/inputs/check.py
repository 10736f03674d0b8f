"""What is wrong with a shop's input, all of it at once, changing nothing.

Every table is read as a night would read it, into a folder that is thrown away.
"""

import datetime as dt
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs import ingest, mapping
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.inputs.feed import Source
from lifecycle_assets.inputs.ingest import Ingested
from lifecycle_assets.inputs.quarantine import ON_PURPOSE
from lifecycle_assets.night import Night
from lifecycle_assets.settings import Shop

LATE_DAYS = 3


@dataclass(frozen=True)
class Problem:
    """`error`: a run would fail; `warning`: it runs, and this is probably not what was meant; `info`: what was found."""

    level: Literal["error", "warning", "info"]
    table: str
    text: str


def problems(
    night: Night, open_source: Callable[[Shop], Source], contracts: Sequence[Contract], folder: Path
) -> list[Problem]:
    """Every problem of the inputs of a shop, errors first, and one line per table on what would be read."""
    try:
        source = open_source(night.settings)
    except LifecycleError as error:
        return [Problem("error", "input", str(error))]
    known = {contract.table for contract in contracts}
    found = [
        Problem("error", name, f"mapping.tables.{name}: there is no such table. There are: {', '.join(sorted(known))}.")
        for name in night.settings.mapping.tables
        if name not in known
    ]
    used: set[str] = set()
    for contract in contracts:
        try:
            done = ingest.ingest(contract, source, night, folder)
        except LifecycleError as error:
            found.append(Problem("error", contract.table, str(error)))
            continue
        if done.source is not None:
            used.add(done.source)
            found += _told(contract, done, night)
            if contract is OrderLines:
                found += _assumed(source, night)
    for name in source.names():
        feed = source.find(name)
        if feed is not None and not any(feed.origin in origin for origin in used) and not _failed(found):
            found.append(Problem("info", name, f"{feed.origin}: not used by any table under this mapping."))
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda problem: order[problem.level])


def _told(contract: Contract, done: Ingested, night: Night) -> list[Problem]:
    table = contract.table
    read, kept = done.number("rows_read"), done.number("rows_kept")
    found = [Problem("info", table, f"{done.source}: {read} rows read, {kept} kept." + _particulars(contract, done))]
    if read and not kept:
        found.append(Problem("warning", table, f"none of the {read} rows would be kept."))
    if done.rows_cautious:
        text = (
            f"{done.rows_cautious} opt-outs have a channel or a date that cannot be right; they count, on all channels or as "
            "made already. Correct them in the export."
        )
        found.append(Problem("warning", table, text))
    aside = pl.read_parquet(done.quarantine, columns=["column", "rule", "message", "row_number"], glob=False)
    grouped = aside.group_by("column", "rule", "message").agg(pl.len().alias("rows"), pl.col("row_number").min())
    for _, rule, message, rows, first in grouped.sort("rows", "message", descending=[True, False]).iter_rows():
        why = f"{message.removeprefix('left out: ')} (the first is data row {first})."
        if rule in ON_PURPOSE:
            found.append(Problem("info", table, f"{rows} rows would be left out on purpose: {why}"))
        else:
            found.append(Problem("warning", table, f"{rows} rows would be set aside: {why}"))
    if contract is OrderLines:
        found += _late(done, night)
    return found


def _particulars(contract: Contract, done: Ingested) -> str:
    """For order lines: guests, returns, and the days that they span."""
    if contract is not OrderLines or not done.number("rows_kept"):
        return ""
    counts = (
        pl.scan_parquet(done.table, glob=False)
        .select(
            pl.col("customer_id").null_count().alias("guests"),
            (pl.col("quantity") < 0).sum().alias("returns"),
            pl.col("order_date").min().alias("first"),
            pl.col("order_date").max().alias("last"),
        )
        .collect()
        .row(0, named=True)
    )
    return (
        f" {counts['guests']} without a customer, {counts['returns']} with a negative quantity, "
        f"from {counts['first']} to {counts['last']}."
    )


def _assumed(source: Source, night: Night) -> list[Problem]:
    """What order lines cannot do without in practice and no column is mapped to."""
    feed = ingest.find(OrderLines, source, night)
    if feed is None:
        return []
    plan = mapping.plan(OrderLines, ingest.recipe_of(OrderLines, night), feed)
    given = {*plan.taken, *plan.recipe.constants, *plan.recipe.supplies}
    unused = f" Columns not used: {', '.join(plan.others)}." if plan.others else ""
    missing = {
        "customer_id": "every line counts as a guest's, and there are no customers to decide about",
        "quantity": "one unit per line is assumed",
        "product_id": "products, recommendations and diversity stay empty",
    }
    return [
        Problem("warning", "order_lines", f"no column is mapped to {column}: {then}.{unused}")
        for column, then in missing.items()
        if column not in given
    ]


def _late(done: Ingested, night: Night) -> list[Problem]:
    last_at: dt.datetime | None = done.read["last_at"][0]
    if last_at is None:
        return []
    last = last_at.astimezone(zoneinfo.ZoneInfo(night.settings.timezone)).date()
    if last > night.as_of:
        return [
            Problem(
                "info",
                "order_lines",
                f"the data goes on after {night.as_of}, to {last}; later lines are not looked at.",
            )
        ]
    if (night.as_of - last).days > LATE_DAYS:
        days = (night.as_of - last).days
        text = f"the data ends on {last}, {days} days before {night.as_of}. Is an export missing? Else set as_of."
        return [Problem("warning", "order_lines", text)]
    return []


def _failed(found: Sequence[Problem]) -> bool:
    return any(problem.level == "error" for problem in found)
