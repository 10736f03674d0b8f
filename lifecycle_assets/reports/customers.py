"""Where do the customers stand, who moved since a month ago, and where is the money?

Stages now are those of features.lifecycle_stage; stages a month ago come from the stage timeline, which re-derives every
customer's past from the orders. A net movement is called rising or falling only when the moves one way outnumber the moves
the other way by more than chance would give (difference of two Poisson counts, 95 %); with fewer than 10 moves nothing is
called.
"""

import datetime as dt
import math

import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.loyalty import CustomerLoyalty
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.stage import LifecycleStage, stage_timeline
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Row, part
from lifecycle_assets.reports.sales import SHORT
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

STAGES = ("new", "active", "won_back", "at_risk", "lapsed")
HEALTHY = ("new", "active", "won_back")
NOT_YET = "not_yet"
FEW_MOVES = 10
TIERS = ("Champion", "Loyal", "Potential", "Promising", "At-Risk")
SEGMENTS = ("Platinum", "Gold", "Silver", "Bronze", "At-Risk")


READS = (Orders, LifecycleStage, CustomerRfm, CustomerLoyalty, CustomerFeatures)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    timeline = stage_timeline(tables[Orders], as_of, settings.customer.stage).lazy()
    return (
        stages(tables[LifecycleStage], timeline, as_of)
        | rfm(tables[CustomerRfm], settings.customer.rfm.bins)
        | loyalty(tables[CustomerLoyalty], tables[CustomerFeatures])
    )


def stages(stage: pl.LazyFrame, timeline: pl.LazyFrame, as_of: dt.date) -> Facts:
    """How many customers are in each stage now and 30 days ago, and who moved.

    stage: features.lifecycle_stage; timeline: customer_id, stage, since, until (both inclusive) per spell. Facts
    `customers`, `stage.<stage>` with comparison `before`, `stage.<stage>.share`, `moves.slipped|lapsed|returned|joined`,
    `night.slipped|returned|joined` (since the night before); table `stage_flow` (then, now, customers).
    """
    flow = _flow(stage, timeline, as_of - dt.timedelta(days=SHORT))
    night = _flow(stage, timeline, as_of - dt.timedelta(days=1))

    def moved(start: tuple[str, ...], end: tuple[str, ...], flow: list[Row] = flow) -> int:
        return sum(row["customers"] for row in flow if row["then"] in start and row["now"] in end)

    everyone = moved((NOT_YET, *STAGES), STAGES)
    earlier = moved(STAGES, STAGES)
    facts = [
        Fact("customers", everyone, "customers", everyone, {"before": _moved(earlier, everyone - earlier, 0)}),
        Fact("stage.healthy", moved((NOT_YET, *STAGES), HEALTHY), "customers", everyone),
        Fact("stage.healthy.share", part(moved((NOT_YET, *STAGES), HEALTHY), everyone), "share", everyone),
    ]
    for name in STAGES:
        others = tuple(other for other in (NOT_YET, *STAGES) if other != name)
        count = moved((NOT_YET, *STAGES), (name,))
        into, out = moved(others, (name,)), moved((name,), others)
        facts += [
            Fact(f"stage.{name}", count, "customers", everyone, {"before": _moved(count - into + out, into, out)}),
            Fact(f"stage.{name}.share", part(count, everyone), "share", everyone),
        ]
    away = ("at_risk", "lapsed")
    slipped, returned = moved(HEALTHY, away), moved(away, HEALTHY)
    facts += [
        Fact("moves.slipped", slipped, "customers", earlier),
        Fact("moves.lapsed", moved((*HEALTHY, "at_risk"), ("lapsed",)), "customers", earlier),
        Fact("moves.returned", returned, "customers", earlier),
        Fact("moves.joined", moved((NOT_YET,), STAGES), "customers", everyone),
        Fact("night.joined", moved((NOT_YET,), STAGES, night), "customers", everyone),
        Fact("night.slipped", moved(HEALTHY, away, night), "customers", everyone),
        Fact("night.returned", moved(away, HEALTHY, night), "customers", everyone),
        Fact("moves.net", returned - slipped, "customers", earlier, {"before": _moved(0, returned, slipped)}),
    ]
    return Facts(facts, {"stage_flow": flow})


def rfm(customer_rfm: pl.LazyFrame, bins: int) -> Facts:
    """Customers and revenue over the recency x frequency grid, and per tier.

    customer_rfm: features.customer_rfm. Facts `tier.<tier>`, `.share`, `.revenue`, `.revenue_share`; `best_cell`,
    `best_cell.share`, `best_cell.revenue_share` (highest recency and frequency score), `fullest_cell`; tables `rfm_grid`
    (recency_score, frequency_score, customers, revenue, share, revenue_share) and `tiers`. Revenue is that of all history.
    """
    grid = _groups(customer_rfm, ["recency_score", "frequency_score"], "monetary_total")
    grid.sort(key=lambda row: (row["recency_score"], row["frequency_score"]))
    tiers = _named(_groups(customer_rfm, ["rfm_tier"], "monetary_total"), "rfm_tier", TIERS)
    fullest = max(grid, key=lambda row: row["customers"], default=None)
    best = next((r for r in grid if r["recency_score"] == r["frequency_score"] == bins), None)
    facts = [
        Fact("best_cell", best["customers"] if best else 0, "customers"),
        Fact("best_cell.share", best["share"] if best else 0.0, "share"),
        Fact("best_cell.revenue_share", best["revenue_share"] if best else 0.0, "share"),
        Fact("fullest_cell", fullest["customers"] if fullest else 0, "customers"),
        Fact("fullest_cell.recency", fullest["recency_score"] if fullest else None, "score"),
        Fact("fullest_cell.frequency", fullest["frequency_score"] if fullest else None, "score"),
        Fact("rfm.bins", bins, "score"),
        *_facts_of("tier", tiers),
    ]
    return Facts(facts, {"rfm_grid": grid, "tiers": tiers})


def loyalty(customer_loyalty: pl.LazyFrame, customer_features: pl.LazyFrame) -> Facts:
    """Customers and revenue per loyalty segment.

    customer_loyalty: features.customer_loyalty; customer_features for purchase_total. Facts `segment.<segment>`,
    `.share`, `.revenue`, `.revenue_share`, `segment.top_two` and `.share` (Platinum and Gold); table `segments`.
    """
    spent = customer_features.select("customer_id", "purchase_total")
    joined = customer_loyalty.select("customer_id", "segment").join(spent, on="customer_id")
    segments = _named(_groups(joined, ["segment"], "purchase_total"), "segment", SEGMENTS)
    everyone = sum(row["customers"] for row in segments)
    top = [row for row in segments if row["name"] in SEGMENTS[:2]]
    top_two, top_share = sum(row["customers"] for row in top), sum(row["revenue_share"] or 0.0 for row in top)
    facts = [
        Fact("segment.top_two", top_two, "customers", everyone),
        Fact("segment.top_two.share", part(top_two, everyone), "share", everyone),
        Fact("segment.top_two.revenue_share", round(top_share, 6), "share", everyone),
        *_facts_of("segment", segments),
    ]
    return Facts(facts, {"segments": segments})


def _flow(stage: pl.LazyFrame, timeline: pl.LazyFrame, day: dt.date) -> list[Row]:
    """Customers by their stage on `day` (then) and now, in the stages' order."""
    before = timeline.filter(pl.col("since") <= day, pl.col("until") >= day)
    flow: list[Row] = (
        stage.select("customer_id", pl.col("stage").alias("now"))
        .join(before.select("customer_id", pl.col("stage").alias("then")), on="customer_id", how="left")
        .with_columns(pl.col("then").fill_null(NOT_YET))
        .group_by("then", "now")
        .agg(pl.len().cast(pl.Int64).alias("customers"))
        .sort(
            pl.col("then").replace_strict(_order((NOT_YET, *STAGES)), return_dtype=pl.Int8),
            pl.col("now").replace_strict(_order(STAGES), return_dtype=pl.Int8),
        )
        .collect(engine="streaming")
        .to_dicts()
    )
    return flow


def _groups(frame: pl.LazyFrame, by: list[str], money: str) -> list[Row]:
    """Customers and revenue per group, with their shares of the whole; revenue shares are null without revenue."""
    rows: list[Row] = (
        frame.group_by(by)
        .agg(pl.len().cast(pl.Int64).alias("customers"), pl.col(money).sum().alias("revenue"))
        .sort(by)
        .collect(engine="streaming")
        .to_dicts()
    )
    customers, revenue = sum(row["customers"] for row in rows), sum(row["revenue"] for row in rows)
    return [
        {**row, "share": part(row["customers"], customers), "revenue_share": part(row["revenue"], revenue)}
        for row in rows
    ]


def _named(rows: list[Row], column: str, order: tuple[str, ...]) -> list[Row]:
    """In the order of merit, with the group under `name`; an empty group keeps its place."""
    known = {row.pop(column): row for row in rows}
    nothing = {"customers": 0, "revenue": 0, "share": 0.0, "revenue_share": 0.0}
    return [{"name": name, **known.get(name, nothing)} for name in order] if known else []


def _facts_of(prefix: str, rows: list[Row]) -> list[Fact]:
    everyone = sum(row["customers"] for row in rows)
    units = {"customers": "customers", "share": "share", "revenue": "currency", "revenue_share": "share"}
    return [
        Fact(f"{prefix}.{row['name']}" + ("" if column == "customers" else f".{column}"), row[column], unit, everyone)
        for row in rows
        for column, unit in units.items()
    ]


def _moved(before: int, into: int, out: int) -> Comparison:
    spread = Z * math.sqrt(into + out)
    verdict = (
        "few"
        if into + out < FEW_MOVES
        else "rising"
        if into - out > spread
        else "falling"
        if out - into > spread
        else "flat"
    )
    return Comparison(before, into - out, verdict)


def _order(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}
