"""How far can the numbers be trusted: what was read, what was set aside and why, how fresh is it?"""

import datetime as dt

import polars as pl

from lifecycle_assets.inputs.contracts import InputReads, Quarantine
from lifecycle_assets.reports.facts import Fact, Facts, Row, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

LEFT_OUT = "left_out"
TOP_RULES = 10


READS = (InputReads, Quarantine)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    return quality(tables[InputReads], tables[Quarantine], settings.timezone)


def quality(input_reads: pl.LazyFrame, quarantine: pl.LazyFrame, timezone: str) -> Facts:
    """Rows read, kept, left out on purpose and broken, by table, and the most frequent reasons.

    input_reads, quarantine: the raw tables of that name. Facts `rows.read|kept|left_out|broken`, `rows.broken.share`,
    `reason.<place>` for the ten most frequent reasons in the order of table `set_aside` (table, column, rule, reason: the
    shop's own for what it leaves out, rows); table `inputs` (table, rows_read, rows_kept, rows_left_out, rows_broken, and
    the local dates first, last).
    """
    broken = pl.col("rows_quarantined") - pl.col("rows_left_out")
    inputs: list[Row] = (
        input_reads.filter(pl.col("rows_read") > 0)
        .select(
            "table",
            "rows_read",
            "rows_kept",
            "rows_left_out",
            broken.alias("rows_broken"),
            pl.col("first_at").dt.convert_time_zone(timezone).dt.date().alias("first"),
            pl.col("last_at").dt.convert_time_zone(timezone).dt.date().alias("last"),
        )
        .sort("rows_read", "table", descending=[True, False])
        .collect()
        .to_dicts()
    )
    # Rows are left out for as many reasons as the mapping names, in the shop's own words; a rule is broken in one way.
    own = pl.when(pl.col("rule") == LEFT_OUT).then(pl.col("message").str.strip_prefix("left out: ")).alias("reason")
    set_aside: list[Row] = (
        quarantine.group_by("table", "column", "rule", own)
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .sort("rows", "table", "column", "rule", "reason", descending=[True, *[False] * 4], nulls_last=True)
        .head(TOP_RULES)
        .collect(engine="streaming")
        .to_dicts()
    )
    total = {name: sum(row[f"rows_{name}"] for row in inputs) for name in ("read", "kept", "left_out", "broken")}
    facts = [Fact(f"rows.{name}", rows, "rows", total["read"]) for name, rows in total.items()]
    facts += [
        Fact("rows.broken.share", part(total["broken"], total["read"]), "share", total["read"]),
        Fact("rows.left_out.share", part(total["left_out"], total["read"]), "share", total["read"]),
        Fact("rows.tables", len(inputs), "tables"),
    ]
    facts += [Fact(f"reason.{place}", row["rows"], "rows") for place, row in enumerate(set_aside, start=1)]
    return Facts(facts, {"inputs": inputs, "set_aside": set_aside})
