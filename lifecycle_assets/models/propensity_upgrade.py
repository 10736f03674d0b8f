"""How likely is each customer to move from the plan they hold to a better one within 90 days?

One classifier for all moves: a row is a customer on a past day, the plan held on it and a better plan of the same ladder
(settings.products.upsell.plan_ladders, see plan_ladders.py); the label says whether that plan was started in the UPGRADE_DAYS
after. Features are how long the plan and any plan had been held, how many came before, the rise in price, orders and behaviour
as known on that day, and the share of the quota used, where the night of that day was kept (raw tables know the latest alone).
A plan whose start is not known is scored, but nothing is learnt from it. The rule to beat knows the time on the plan, and which
plan is moved to. Without ladders or plans held the table is empty.
"""

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.blocks import one_after_another
from lifecycle_assets.contracts import as_of_column, key, shop_key, table
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import local_date
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_drivers import Words
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.models.plan_ladders import MARK
from lifecycle_assets.models.propensity import (
    HIGH,
    LOW,
    MEDIUM,
    VERY_HIGH,
    VERY_LOW,
    PropensityColumns,
    interpreted,
    newest,
    newest_by_age,
    scored,
    stacked,
)
from lifecycle_assets.settings import Scores, Upsell

UPGRADE_DAYS = 90
BLOCK_ROWS = 400_000
OF_PLAN = (
    "days_on_plan",
    "days_since_first_plan",
    "plans_before",
    "rungs",
    "price_rise",
    "usage_share",
)
OF_ORDERS = ("recency_days", "visit_frequency", "orders_90d", "spend_90d")
OF_BEHAVIOUR = ("sessions_12w", "tickets_90d", "failed_payments_12m", "click_rate_90d", "latest_nps")
NUMBERS = (*OF_PLAN, *OF_ORDERS, *OF_BEHAVIOUR)
CATEGORIES = ("current_plan", "target_plan")
BASELINE = ("days_on_plan", "target_plan")
WORDS = {
    "days_on_plan": Words("{} days on the plan", "start of the plan not known"),
    "days_since_first_plan": Words("first plan {} days ago", "first plan not known"),
    "plans_before": Words("{} plans before", "plans before not known"),
    "rungs": Words("{} plans up", "steps up not known"),
    "price_rise": Words("costs {} more a month", "rise in price not known"),
    "usage_share": Words("{} of the quota used", "use of the quota not known"),
    "recency_days": Words("last order {} days ago", "no order"),
    "visit_frequency": Words("{} orders", "no order"),
    "orders_90d": Words("{} orders in 90 days", "no order"),
    "spend_90d": Words("{} spent in 90 days", "no order"),
    "sessions_12w": Words("{} visits in 12 weeks", "visits not known"),
    "tickets_90d": Words("{} support tickets in 90 days", "support tickets not known"),
    "failed_payments_12m": Words("{} failed payments in a year", "payments not known"),
    "click_rate_90d": Words("clicked {} of the messages in 90 days", "no messages that tell of clicks"),
    "latest_nps": Words("would recommend: {} of 10", "never asked whether they would recommend"),
    "current_plan": Words("holds {}", "plan not known"),
    "target_plan": Words("would move to {}", "plan not known"),
}
ADVICE = {
    VERY_HIGH: "offer the move now, at full price",
    HIGH: "show what the plan adds; a call is worth it",
    MEDIUM: "let them try the plan",
    LOW: "mention it in passing",
    VERY_LOW: "do not press; help them to use what they have",
}


class _OfPlans(dy.Schema):
    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    current_plan = key("The plan held.")
    target_plan = key("A better plan of the same ladder.")


@table("models.propensity_upgrade", needs=("raw.subscriptions",))
class PropensityUpgrade(_OfPlans, PropensityColumns):
    """How likely each holder of a plan is to move to each better plan of its ladder within 90 days."""


@table("models.propensity_upgrade_evaluation", history=True, needs=("raw.subscriptions",))
class PropensityUpgradeEvaluation(EvaluationColumns):
    """How well moves to a better plan within 90 days were foretold, for all moves together and for each."""


def training_set(held: pl.DataFrame, snapshots: Sequence[Snapshot], settings: Upsell) -> TrainingSet:
    """A row for each customer, plan held on the day of a snapshot (taken with the shop's timezone) and better plan; `held` are
    all plans held by tonight (`plans_held`)."""
    rows = [_labelled(held, snapshot, settings) for snapshot in snapshots]
    positive = f"moves to the plan within {UPGRADE_DAYS} days"
    return stacked(rows, NUMBERS, CATEGORIES, BASELINE, positive)


def newest_events(data: TrainingSet, snapshots: Sequence[Snapshot], timezone: str) -> dict[dt.date, dt.date | None]:
    """The date of the newest plan, purchase or event of features.customer_behaviour in each snapshot's features; None without
    any. `data` is the training set of the snapshots."""
    plans = newest_by_age(data.rows, ["days_on_plan"])
    return {
        snapshot.as_of: newest(
            pl.Series([plans.get(snapshot.as_of)], dtype=pl.Date),
            snapshot.customer_orders["last_purchase_date"],
            _behaviour(snapshot).select(local_date("last_event_at", timezone)).to_series(),
        )
        for snapshot in snapshots
    }


def propensity_upgrade(
    held: pl.DataFrame, tonight: Snapshot, champion: Champion, shop: str, upsell: Upsell, settings: Scores
) -> pl.LazyFrame:
    """A row for each customer, plan held and better plan of its ladder, ordered by these; `held` are `plans_held`."""
    rows = moves(held, tonight, upsell)
    if rows.is_empty():
        return PropensityUpgrade.empty().lazy()
    event = pl.format("moves from {} to {} within " + str(UPGRADE_DAYS) + " days", "current_plan", "target_plan")

    def blocks() -> Iterator[pl.DataFrame]:
        for block in scored(rows, lambda some: some, champion, settings, WORDS, _everywhere, BLOCK_ROWS):
            yield block.with_columns(
                interpreted(event, ADVICE, champion).alias("interpretation"),
                shop_id=pl.lit(shop),
                as_of=pl.lit(tonight.as_of),
            ).select(list(PropensityUpgrade.columns))

    return one_after_another(blocks, PropensityUpgrade.polars_schema)


def _everywhere(chances: np.ndarray) -> np.ndarray:
    return np.ones(chances.shape, dtype=bool)


def _labelled(held: pl.DataFrame, snapshot: Snapshot, settings: Upsell) -> pl.DataFrame:
    day = snapshot.as_of
    in_window = pl.col("day").is_between(day, day + dt.timedelta(days=UPGRADE_DAYS), closed="right")
    started = held.filter(in_window).select("customer_id", target_plan=_plan()).unique()
    return (
        moves(held, snapshot, settings)
        .join(started.with_columns(label=pl.lit(value=True)), on=["customer_id", "target_plan"], how="left")
        .with_columns(
            pl.col("label").fill_null(value=False),
            snapshot=pl.lit(day),
            group="customer_id",
            target=pl.format("{} to {}", "current_plan", "target_plan"),
        )
    )


def moves(held: pl.DataFrame, snapshot: Snapshot, settings: Upsell) -> pl.DataFrame:
    """customer_id, current_plan, target_plan, NUMBERS: the plans held at the end of the snapshot's day, and where they lead;
    ordered by the first three. `held` are `plans_held`."""
    day = snapshot.as_of
    begun = held.filter(pl.col("day") <= day).sort("customer_id", "day", "product_id")
    running = (
        begun.with_columns(
            days_since_first_plan=_days(day, pl.col("day").min().over("customer_id")),
            plans_before=pl.int_range(pl.len()).over("customer_id"),
        )
        .filter(pl.col("ended").is_null() | (pl.col("ended") > day))
        .unique(["customer_id", "product_id"], keep="first", maintain_order=True)
        .select(
            "customer_id",
            "days_since_first_plan",
            "plans_before",
            current_plan=_plan(),
            days_on_plan=_days(day, pl.col("day")),
        )
    )
    found = (
        running.join(_better_plans(settings), on="current_plan")
        .join(_usage(snapshot), on=["customer_id", "current_plan"], how="left")
        .join(snapshot.customer_orders.select("customer_id", *OF_ORDERS), on="customer_id", how="left")
        .join(_behaviour(snapshot).select("customer_id", *OF_BEHAVIOUR), on="customer_id", how="left")
    )
    columns = ["customer_id", *CATEGORIES, *(pl.col(name).cast(pl.Float64) for name in NUMBERS)]
    return found.select(columns).sort("customer_id", *CATEGORIES)


def _better_plans(settings: Upsell) -> pl.DataFrame:
    """current_plan, target_plan, rungs, price_rise of each plan and each one above it."""
    pairs = [
        (lower.name, upper.name, rungs, upper.price - lower.price)
        for ladder in settings.plan_ladders
        for (place, lower), (above, upper) in itertools.combinations(enumerate(ladder), 2)
        for rungs in [above - place]
    ]
    schema = {"current_plan": pl.String, "target_plan": pl.String, "rungs": pl.Int64, "price_rise": pl.Float64}
    return pl.DataFrame(pairs, schema=schema, orient="row")


def _behaviour(snapshot: Snapshot) -> pl.DataFrame:
    return CustomerBehaviour.empty() if snapshot.customer_behaviour is None else snapshot.customer_behaviour


def _usage(snapshot: Snapshot) -> pl.DataFrame:
    """customer_id, current_plan, usage_share: the largest of several subscriptions to one plan."""
    has_quota = pl.col("quota").cast(pl.Float64) > 0
    share = pl.when(has_quota).then(pl.col("used").cast(pl.Float64) / pl.col("quota").cast(pl.Float64))
    subscriptions = Subscriptions.empty() if snapshot.subscriptions is None else snapshot.subscriptions
    running = subscriptions.filter(pl.col("cancelled_at").is_null())
    return running.group_by("customer_id", current_plan="plan").agg(usage_share=share.max())


def _plan() -> pl.Expr:
    return pl.col("product_id").str.strip_prefix(MARK)


def _days(day: dt.date, since: pl.Expr) -> pl.Expr:
    return (pl.lit(day) - since).dt.total_days()
