"""Who counts as churned, by the rule of the shop's kind of business?

    ecommerce  the last purchase is window_days ago or more
    saas       every subscription was cancelled on or before the snapshot
    prepaid    every balance is used up, and its last top-up (if any) is cycle_days ago or more

Customers are those with a purchase (ecommerce) or a subscription (saas, prepaid) begun on or before the snapshot. A
cancellation may lie in the future; it counts from its day on. Where none is known by the snapshot, nobody has churned
(saas), and every reason says so: nobody cancelled yet, or the input does not tell.

Balances and top-ups have no history: the input knows the latest alone. At a snapshot before the table's own as_of, and
where a top-up came after the snapshot, the prepaid label is therefore null rather than told from the future; what past
nights said of it stands in the table's history.

A training label of a snapshot is the label label_days later, of those not churned at the snapshot (`training_labels`).
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, shop_key, table, text
from lifecycle_assets.errors import InputError
from lifecycle_assets.settings import Churn

NEEDED = {"saas": ["started_at", "cancelled_at"], "prepaid": ["started_at", "balance", "topped_up_at"]}


@table("features.churn_labels", history=True)
class ChurnLabels(dy.Schema):
    """Whether each customer counts as churned at the end of as_of, by the rule of the shop's business type."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer: ecommerce: with a purchase, else with a subscription, begun on or before as_of.")
    business_type = text("Whose rule it is.", nullable=False, values=["ecommerce", *NEEDED])
    churned = flag("Counts as churned; null where a prepaid balance on that day is not known.", nullable=True)
    churned_since = date(
        "First day with the label; null when not churned, and for prepaid: the day a balance ran out is not recorded.",
        nullable=True,
    )
    last_event_date = date(
        "Last purchase (ecommerce), cancellation (saas) or top-up (prepaid); null when there was none.", nullable=True
    )
    days_since_event = count("as_of - last_event_date.", "days", nullable=True)
    reason = text("Why, in words.", nullable=False)


def churn_labels(
    orders: pl.LazyFrame, subscriptions: pl.LazyFrame, shop: str, snapshot: dt.date, settings: Churn, timezone: str
) -> pl.DataFrame:
    """The label of each customer at the end of `snapshot`, a local day of `timezone`, ordered by customer_id.

    `orders` has customer_id, order_date and is_purchase (features.orders; for what the shop knew then, as of the snapshot),
    `subscriptions` is raw.subscriptions. Raises InputError naming all columns that the business type needs and no
    subscription fills; subscriptions without any cancellation are enough for saas.
    """
    if settings.business_type == "ecommerce":
        labels = _by_purchases(orders, snapshot, settings.window_days)
    else:
        _require(subscriptions, settings.business_type)
        dates = {name: local_date(name, timezone) for name in ("started_at", "cancelled_at", "topped_up_at")}
        begun = subscriptions.with_columns(**dates).filter(pl.col("started_at") <= snapshot)
        if settings.business_type == "saas":
            labels = _by_cancellations(begun, snapshot)
        else:
            labels = _by_balances(begun, snapshot, settings.cycle_days)
    return (
        labels.select(
            pl.lit(shop).alias("shop_id"),
            pl.lit(snapshot).alias("as_of"),
            "customer_id",
            pl.lit(settings.business_type).alias("business_type"),
            "churned",
            "churned_since",
            "last_event_date",
            days_since("last_event_date", snapshot).alias("days_since_event"),
            "reason",
        )
        .sort("customer_id")
        .collect()
    )


def label_days(settings: Churn) -> int:
    """How many days after its snapshot a training label is taken."""
    return {
        "ecommerce": settings.window_days,
        "saas": settings.cancel_days,
        "prepaid": settings.cycle_days,
    }[settings.business_type]


def training_labels(at_snapshot: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Who of the customers not churned `at_snapshot` is churned in `later`, the labels of label_days after it.

    Columns customer_id and churns, ordered by customer_id; customers without a label on both days are left out.
    """
    return (
        at_snapshot.filter(~pl.col("churned"))
        .select("customer_id")
        .join(later.select("customer_id", pl.col("churned").alias("churns")).drop_nulls(), on="customer_id")
        .sort("customer_id")
    )


def _by_purchases(orders: pl.LazyFrame, snapshot: dt.date, window_days: int) -> pl.LazyFrame:
    recency = days_since("last_event_date", snapshot)
    churned = recency >= window_days
    return (
        orders.filter(pl.col("is_purchase") & (pl.col("order_date") <= snapshot))
        .group_by("customer_id")
        .agg(pl.col("order_date").max().alias("last_event_date"))
        .with_columns(
            churned.alias("churned"),
            pl.when(churned).then(pl.col("last_event_date") + pl.duration(days=window_days)).alias("churned_since"),
            pl.format(f"days since the last purchase: {{}}; churned from {window_days} on", recency).alias("reason"),
        )
    )


def _by_cancellations(begun: pl.LazyFrame, snapshot: dt.date) -> pl.LazyFrame:
    cancelled, churned = pl.col("cancelled_at"), pl.col("running") == 0
    none_at_all = pl.col("last_event_date").count() == 0
    unheard_of = (
        pl.when(none_at_all).then(pl.lit("; no cancellation of anybody is known by then")).otherwise(pl.lit(""))
    )
    return (
        begun.with_columns(pl.when(cancelled <= snapshot).then(cancelled).alias("cancelled_at"))
        .group_by("customer_id")
        .agg(
            cancelled.max().alias("last_event_date"),
            cancelled.null_count().alias("running"),
            pl.len().alias("subscriptions"),
        )
        .with_columns(
            churned.alias("churned"),
            pl.when(churned).then("last_event_date").alias("churned_since"),
            pl.format("{} of {} subscriptions running{}", "running", "subscriptions", unheard_of).alias("reason"),
        )
    )


def _by_balances(begun: pl.LazyFrame, snapshot: dt.date, cycle_days: int) -> pl.LazyFrame:
    topped_up = pl.col("topped_up_at")
    is_known = (pl.col("as_of") <= snapshot) & (topped_up <= snapshot).fill_null(value=True)
    is_topped_up = days_since("topped_up_at", snapshot) < cycle_days
    used_up = pl.when(is_known).then(pl.when(is_topped_up).then(pl.lit(value=False)).otherwise(pl.col("balance") <= 0))
    reason = (
        pl.when("churned").then(pl.lit(f"balance used up, not topped up within {cycle_days} days"))
        .when(~pl.col("churned")).then(pl.lit(f"balance left, or topped up within {cycle_days} days"))
        .otherwise(pl.lit("balance on this day not known"))
    )  # fmt: skip
    return (
        begun.group_by("customer_id")
        .agg(
            # One subscription in use keeps the customer; else one unknown leaves the label unknown.
            used_up.all(ignore_nulls=False).alias("churned"),
            topped_up.filter(topped_up <= snapshot).max().alias("last_event_date"),
        )
        .with_columns(pl.lit(None, dtype=pl.Date).alias("churned_since"), reason.alias("reason"))
    )


def _require(subscriptions: pl.LazyFrame, business_type: str) -> None:
    needed = NEEDED[business_type]
    filled = subscriptions.select(pl.col(needed).count()).collect().row(0, named=True)
    missing = [f"subscriptions.{name}" for name in needed if not filled[name]]
    # No cancellation at all, among subscriptions that are there, is what a young shop has.
    if missing and missing != ["subscriptions.cancelled_at"]:
        raise InputError(
            f"features.churn_labels: business type {business_type} needs {', '.join(missing)}: not given, or empty in "
            "every row. Add the columns to the input or map them in the shop's file; until there is something to tell, "
            "customer.churn.business_type: ecommerce goes by purchases."
        )


def local_date(column: str, timezone: str) -> pl.Expr:
    """The day of a moment in UTC, as the zone counts days."""
    return pl.col(column).dt.convert_time_zone(timezone).dt.date()


def days_since(column: str, snapshot: dt.date) -> pl.Expr:
    """Whole days from a date to the snapshot."""
    return (pl.lit(snapshot) - pl.col(column)).dt.total_days()
