"""How many customers moved from which stage of life to which, month by month?

The stage at the end of the month before against the stage at the month's end, of every customer known by then: the flows
of a Sankey diagram. A customer who moves to and fro within a month is counted once, by where they stood at its ends. All
months are derived anew from the orders, each with what was known on its days (features/stage.py), so a night's table
repeats the months of the nights before, except where the history itself was changed. The month of as_of ends on as_of
until it is over. Without purchases the table is empty.
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, key, share, shop_key, table
from lifecycle_assets.features.stage import STAGES, stage_timeline
from lifecycle_assets.settings import Stage

NONE = "none"


@table("features.lifecycle_transitions")
class LifecycleTransitions(dy.Schema):
    """Customers by the stage at a month's begin and the stage at its end; a month's counts add up to all its customers."""

    shop_id = shop_key()
    as_of = as_of_column()
    month = dy.Date(primary_key=True, description="First day of the month.")
    from_stage = key(f"Stage at the end of the month before; {NONE}: the first purchase fell in this month.")
    to_stage = key(f"Stage at the end of the month. One of: {', '.join(STAGES)}.")
    customers = count("Customers who went this way, or stayed.", "customers", minimum=1)
    share_of_from = share("Of the customers with this from_stage in this month.")
    is_complete = flag("The month is over; else its end is as_of.")


def lifecycle_transitions(orders: pl.LazyFrame, shop: str, as_of: dt.date, settings: Stage) -> pl.DataFrame:
    """The flows of each month from the shop's first purchase to `as_of`, ordered by month, from_stage and to_stage.

    `orders` has customer_id, order_date and is_purchase (features.orders). Flows without customers have no row.
    """
    flows = _flows(stage_timeline(orders, as_of, settings), as_of)
    return (
        flows.group_by("month", "from_stage", "to_stage")
        .agg(pl.col("customers").sum())
        .sort("month", "from_stage", "to_stage")
        .select(
            pl.lit(shop).alias("shop_id"),
            pl.lit(as_of).alias("as_of"),
            pl.all(),
            (pl.col("customers") / pl.col("customers").sum().over("month", "from_stage")).alias("share_of_from"),
            (pl.col("month").dt.month_end() <= as_of).alias("is_complete"),
        )
    )


def _flows(timeline: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    """month, from_stage, to_stage, customers; a flow may have several rows.

    An interval of the timeline is one move into its stage, at the first month's end that it holds, and a stay at each later
    one. Equal intervals are counted before their months are spelt out, so that no row per customer and month ever exists.
    """
    after = (pl.col("until") + pl.duration(days=1)).dt.month_start()
    held = (
        timeline.lazy()
        .with_columns(
            first=pl.col("since").dt.month_start(),
            last=pl.when(pl.col("until") == as_of)
            .then(pl.col("until").dt.month_start())
            .otherwise(after.dt.offset_by("-1mo")),
        )
        .filter(pl.col("first") <= pl.col("last"))
    )
    is_first = pl.col("customer_id").ne_missing(pl.col("customer_id").shift())
    came_from = pl.when(is_first).then(pl.lit(NONE)).otherwise(pl.col("stage").shift())
    intervals = held.group_by(came_from.alias("from_stage"), pl.col("stage").alias("to_stage"), "first", "last").agg(
        pl.len().alias("customers")
    )
    moves = intervals.select(pl.col("first").alias("month"), "from_stage", "to_stage", "customers")
    stays = intervals.filter(pl.col("first") < pl.col("last")).select(
        pl.date_ranges(pl.col("first").dt.offset_by("1mo"), "last", "1mo").alias("month"),
        pl.col("to_stage").alias("from_stage"),
        "to_stage",
        "customers",
    )
    return pl.concat([moves, stays.explode("month")]).collect()
