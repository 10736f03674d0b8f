"""What do a customer's subscriptions say at the end of a day?

Running subscriptions are those begun and not yet cancelled on that day; a cancellation that lies ahead, though it may be on
record, is not looked at. The plan is that of the running subscription begun last. Balance and usage are known on the day of
the rows themselves alone (their as_of): at an earlier day, and where a top-up came later, they are null.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.features.churn_labels import days_since, local_date

NUMBERS = (
    "subscriptions_running",
    "subscriptions_past",
    "subscription_age_days",
    "plan_age_days",
    "days_since_top_up",
    "balance",
    "usage_share",
)
CATEGORIES = ("plan",)


def subscription_facts(subscriptions: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.DataFrame:
    """customer_id, NUMBERS, CATEGORIES and newest_event, the date of the latest event that entered, ordered by customer_id:
    one row for each customer with a subscription begun on or before `as_of`. `subscriptions` is raw.subscriptions."""
    dates = {name: local_date(name, timezone) for name in ("started_at", "cancelled_at", "topped_up_at")}
    began, cancelled, topped_up = (pl.col(name) for name in dates)
    runs = pl.col("cancelled_at").is_null()
    is_known = (pl.col("as_of") <= as_of) & (topped_up <= as_of).fill_null(value=True)
    past = [pl.when(pl.col(name) <= as_of).then(pl.col(name)).alias(name) for name in ("cancelled_at", "topped_up_at")]
    newest_last = pl.col("plan").sort_by("started_at", "subscription_id")
    return (
        subscriptions.with_columns(**dates)
        .filter(began <= as_of)
        .with_columns(pl.when(is_known).then(pl.col(name)).alias(name) for name in ("balance", "quota", "used"))
        .with_columns(past)
        # Floats are added up in one order, whatever order the rows came in.
        .sort("customer_id", "subscription_id")
        .group_by("customer_id", maintain_order=True)
        .agg(
            runs.sum().cast(pl.Float64).alias("subscriptions_running"),
            (~runs).sum().cast(pl.Float64).alias("subscriptions_past"),
            began.filter(runs).min().alias("first_began"),
            began.filter(runs).max().alias("plan_began"),
            topped_up.max(),
            pl.when(pl.col("balance").count() > 0).then(pl.col("balance").sum()).alias("balance"),
            (
                pl.col("used").filter(runs).sum() / pl.col("quota").filter(runs & pl.col("used").is_not_null()).sum()
            ).alias("usage_share"),
            newest_last.filter(runs.sort_by("started_at", "subscription_id")).last().alias("plan"),
            pl.max_horizontal(began.max(), cancelled.max(), topped_up.max()).alias("newest_event"),
        )
        .select(
            "customer_id",
            "subscriptions_running",
            "subscriptions_past",
            days_since("first_began", as_of).cast(pl.Float64).alias("subscription_age_days"),
            days_since("plan_began", as_of).cast(pl.Float64).alias("plan_age_days"),
            days_since("topped_up_at", as_of).cast(pl.Float64).alias("days_since_top_up"),
            "balance",
            pl.when(pl.col("usage_share").is_finite()).then("usage_share").alias("usage_share"),
            "plan",
            "newest_event",
        )
        .sort("customer_id")
        .collect()
    )
