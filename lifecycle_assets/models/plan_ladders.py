"""Which plan did each customer hold from when to when, and which is the next better one?

The ladders are the shop's own (settings.products.upsell.plan_ladders), each plan with its price: raw tables know plans by name
alone. Plans held come from raw.subscriptions, and today's from raw.customers. A plan ends with its cancellation, or when the
customer starts another one of its ladder. A plan whose start is not known counts from as_of; when those before it on the ladder
ended is then not known either, so that they count as ended on the day they began: the customer is of the past of no plan of
that ladder, and nothing is learnt from the move. Without ladders all is empty.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.settings import Upsell

# Before a plan's name, so that it is not taken for a product's id.
MARK = "plan\x1f"


def plan_steps(settings: Upsell) -> pl.DataFrame:
    """product_id, item_id (marked plans), name, item_name, price, item_price, margin_difference and basis for each plan and the
    next one of its ladder that brings more."""
    rungs = _rungs(settings)
    following = rungs.select("ladder", pl.col("rung") - 1, pl.exclude("ladder", "rung").name.prefix("item_"))
    pairs = rungs.join(following, on=["ladder", "rung"]).sort("ladder", "rung")
    rise = pl.col("item_price") - pl.col("price")
    extra_cost = pl.col("item_unit_cost") - pl.col("unit_cost")
    return pairs.select(
        product_id="plan",
        item_id="item_plan",
        name=pl.col("plan").str.strip_prefix(MARK),
        item_name=pl.col("item_plan").str.strip_prefix(MARK),
        price="price",
        item_price="item_price",
        margin_difference=rise - extra_cost.fill_null(0.0),
        basis=pl.when(extra_cost.is_null()).then(pl.lit("price")).otherwise(pl.lit("margin")),
    ).filter(pl.col("margin_difference") > 0)


def plans_held(
    subscriptions: pl.LazyFrame, customers: pl.LazyFrame, as_of: dt.date, timezone: str, settings: Upsell
) -> pl.DataFrame:
    """customer_id, product_id (the marked plan), day (local, of its start) and ended (first day without it; null: still held),
    of the plans of the ladders that were started up to `as_of`."""

    def day(moment: str) -> pl.Expr:
        return pl.col(moment).dt.convert_time_zone(timezone).dt.date()

    subscribed = subscriptions.select(
        "customer_id", "plan", day=day("started_at"), cancelled=day("cancelled_at"), is_dated=pl.lit(value=True)
    )
    current = customers.select(
        "customer_id",
        "plan",
        day=day("plan_started_at").fill_null(as_of),
        cancelled=pl.lit(None, pl.Date),
        is_dated=pl.col("plan_started_at").is_not_null(),
    )
    # A plan that both tables tell of began when its subscription did.
    current = current.join(subscribed, on=["customer_id", "plan"], how="anti")
    held = pl.concat([subscribed, current]).filter(pl.col("day") <= as_of).with_columns(plan=MARK + pl.col("plan"))
    order = ["customer_id", "ladder", "day", "rung", "cancelled"]
    following = pl.col("day").shift(-1).over("customer_id", "ladder")
    all_dated = pl.col("is_dated").all().over("customer_id", "ladder")
    ended = pl.when(all_dated | ~pl.col("is_dated")).then(pl.min_horizontal(following, "cancelled")).otherwise("day")
    return (
        held.join(_rungs(settings).lazy(), on="plan")
        .sort(order)
        .select("customer_id", "day", product_id="plan", ended=ended)
        .collect()
    )


def _rungs(settings: Upsell) -> pl.DataFrame:
    """ladder, rung, plan (marked), price, unit_cost."""
    return pl.DataFrame(
        [
            (ladder, rung, MARK + plan.name, plan.price, plan.unit_cost)
            for ladder, plans in enumerate(settings.plan_ladders)
            for rung, plan in enumerate(plans)
        ],
        schema={"ladder": pl.Int64, "rung": pl.Int64, "plan": pl.String, "price": pl.Float64, "unit_cost": pl.Float64},
        orient="row",
    )
