"""What is known of a customer when it is asked whether they will leave?

Everything that their orders, visits, messages, complaints and payments say, and, where the shop has them, their
subscriptions. Two ratios are added that a straight line cannot make of the rest: for how many of their own gaps a customer
has waited, and how spending moved between the last two quarters.
"""

import datetime as dt
from typing import NamedTuple

import polars as pl

from lifecycle_assets.features import subscription_facts as subscribed
from lifecycle_assets.features.behaviour import BehaviourColumns
from lifecycle_assets.features.churn_labels import label_days, local_date
from lifecycle_assets.features.customer_orders import OrderColumns
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.features.subscription_facts import subscription_facts
from lifecycle_assets.models.classifier_drivers import Words
from lifecycle_assets.settings import Churn

_ROLLED_UP = {**OrderColumns.columns(), **BehaviourColumns.columns()}
_TEXTS = tuple(name for name, column in _ROLLED_UP.items() if column.dtype == pl.String)
_FIGURES = tuple(name for name in _ROLLED_UP if name not in _TEXTS)
_RECENT, _BEFORE = pl.col("spend_90d").clip(0), pl.col("spend_prev_90d").clip(0)
# Of the other features, as floats.
RATIOS = {
    "gaps_waited": pl.col("recency_days") / pl.col("median_gap_days").clip(1),
    "spend_trend": pl.when(_RECENT + _BEFORE > 0).then((_RECENT - _BEFORE) / (_RECENT + _BEFORE)),
}

WORDS = {
    "purchase_total": Words("spent in all: {}", "has never ordered"),
    "visit_frequency": Words("orders in all: {}", "has never ordered"),
    "avg_ticket": Words("spends {} per order", "has never ordered"),
    "product_diversity": Words("different products bought: {}", "has never ordered"),
    "category_diversity": Words("categories bought from: {}", "has never ordered"),
    "recency_days": Words("days since the last order: {}", "has never ordered"),
    "tenure_days": Words("days since the first order: {}", "has never ordered"),
    "median_gap_days": Words("usual days between orders: {}", "has ordered too seldom for a rhythm"),
    "gap_cv": Words("gaps between orders vary by {} of their mean", "too few orders to tell how regular they are"),
    "margin_total": Words("margin in all: {}", "margin not known"),
    "discount_share": Words("share taken off the full price: {}", "discounts not known"),
    "return_rate": Words("share of units returned: {}", "bought nothing that could be returned"),
    "primary_category": Words("buys mostly {}", "bought from no known category"),
    "favourite_channel": Words("orders by {}", "channel not known"),
    "country": Words("orders from {}", "country not known"),
    "orders_30d": Words("orders in 30 days: {}", "has never ordered"),
    "orders_90d": Words("orders in 90 days: {}", "has never ordered"),
    "orders_365d": Words("orders in a year: {}", "has never ordered"),
    "spend_90d": Words("spent in 90 days: {}", "has never ordered"),
    "spend_prev_90d": Words("spent in the 90 days before the last 90: {}", "has never ordered"),
    "gaps_waited": Words("has waited {} times the usual gap", "too few orders to tell whether the wait is long"),
    "spend_trend": Words("spending of 90 days against the 90 before, from -1 to 1: {}", "spent nothing for 180 days"),
    "sessions_12w": Words("visits in 12 weeks: {}", "visits not known"),
    "views_30d": Words("pages viewed in 30 days: {}", "visits not known"),
    "carts_30d": Words("additions to the cart in 30 days: {}", "visits not known"),
    "session_depth_trend": Words("visits got deeper by a share of {}", "too few visits for a trend"),
    "category_shift": Words("share of visits that moved to other categories: {}", "too few visits to compare"),
    "sends_90d": Words("messages got in 90 days: {}", "messages not known"),
    "open_rate_90d": Words("share of messages opened: {}", "got no message that reports opens"),
    "click_rate_90d": Words("share of messages clicked: {}", "got no message that reports clicks"),
    "response_trend": Words("click rate moved by {}", "too few messages for a trend"),
    "tickets_90d": Words("support tickets in 90 days: {}", "tickets not known"),
    "failed_payments_12m": Words("failed payments in a year: {}", "payments not known"),
    "latest_nps": Words("would recommend the shop: {} of 10", "gave no answer to the recommend question"),
    "subscriptions_running": Words("subscriptions running: {}", "no subscription"),
    "subscriptions_past": Words("subscriptions cancelled before: {}", "no subscription"),
    "subscription_age_days": Words("days subscribed: {}", "no subscription running"),
    "plan_age_days": Words("days on this plan: {}", "no subscription running"),
    "days_since_top_up": Words("days since the last top-up: {}", "never topped up"),
    "balance": Words("balance: {}", "balance not known"),
    "usage_share": Words("share of the plan used: {}", "usage not known"),
    "plan": Words("on plan {}", "no plan named"),
}


class Features(NamedTuple):
    """The columns of a business type: `baseline` are those of the rule that has to be beaten."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    baseline: tuple[str, ...]


def features_for(settings: Churn) -> Features:
    """Which features a shop of this business type has."""
    numbers, categories = (*_FIGURES, *RATIOS), _TEXTS
    if settings.business_type == "ecommerce":
        return Features(numbers, categories, ("recency_days",))
    baseline = {"saas": ("subscription_age_days", "usage_share"), "prepaid": ("days_since_top_up",)}
    return Features(
        (*numbers, *subscribed.NUMBERS), (*categories, *subscribed.CATEGORIES), baseline[settings.business_type]
    )


def features_at(snapshot: Snapshot, settings: Churn, timezone: str) -> tuple[pl.DataFrame, dt.date | None]:
    """The features of every customer of the snapshot, one row each, ordered by customer_id; and the date of the newest
    purchase, event of features.customer_behaviour, subscription, cancellation or top-up among them.

    The snapshot holds behaviour and subscriptions.
    """
    if snapshot.customer_behaviour is None or snapshot.subscriptions is None:
        raise ValueError("a snapshot with the shop's timezone is needed: it holds behaviour and subscriptions")
    orders = (
        snapshot.customer_orders.lazy()
        .join(snapshot.customer_behaviour.lazy(), on="customer_id", how="left")
        .with_columns(pl.col(name).cast(pl.Float64) for name in _FIGURES)
    )
    newest = [
        snapshot.customer_orders["last_purchase_date"].max(),
        snapshot.customer_behaviour.select(local_date("last_event_at", timezone).max()).item(),
    ]
    if settings.business_type != "ecommerce":
        facts = subscription_facts(snapshot.subscriptions.lazy(), snapshot.as_of, timezone)
        newest.append(facts["newest_event"].max())
        orders = orders.join(facts.lazy(), on="customer_id", how="full", coalesce=True)
    columns = features_for(settings)
    table = (
        orders.with_columns(**RATIOS)
        .select("customer_id", *columns.numbers, *columns.categories)
        .sort("customer_id")
        .collect()
    )
    return table, max((day for day in newest if isinstance(day, dt.date)), default=None)


def asked(tonight: Snapshot, churn_labels: pl.LazyFrame, settings: Churn, timezone: str) -> pl.DataFrame:
    """Whom a model is asked about: the rows of `churn_labels` of customers who have not churned, with their features, ordered
    by customer_id. `tonight` holds behaviour and subscriptions."""
    at_risk = churn_labels.filter(~pl.col("churned").fill_null(value=False)).sort("customer_id").collect()
    features, _ = features_at(tonight, settings, timezone)
    return at_risk.join(features, on="customer_id", how="left", maintain_order="left")


def cancellations_on_record(snapshot: Snapshot, settings: Churn, timezone: str) -> pl.DataFrame:
    """customer_id and cancels_on of those whose subscriptions running at the end of the snapshot's day all end within the label
    window, as far as its subscriptions tell: the model is not asked about them. Nobody where churn is not a cancellation."""
    if snapshot.subscriptions is None:
        raise ValueError("a snapshot with the shop's timezone is needed: it holds subscriptions")
    ends, last = pl.col("cancelled_at"), snapshot.as_of + dt.timedelta(days=label_days(settings))
    return (
        snapshot.subscriptions.with_columns(local_date("started_at", timezone), local_date("cancelled_at", timezone))
        .filter((pl.col("started_at") <= snapshot.as_of) & (ends > snapshot.as_of).fill_null(value=True))
        .group_by("customer_id")
        .agg(ends.max().alias("cancels_on"), ends.null_count().alias("going_on"))
        .filter((pl.col("going_on") == 0) & (pl.col("cancels_on") <= last))
        .filter(pl.lit(settings.business_type == "saas"))
        .select("customer_id", "cancels_on")
    )
