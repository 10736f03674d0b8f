"""Can it be told in advance who will leave?

The label is that of features.churn_labels, one label window after the snapshot: 90 days without a purchase, a cancellation
within 30 days, a balance used up a cycle later (all by settings). Rows are the customers who had not churned at the snapshot,
nor had a cancellation on record for the label window: models.churn_risk gives those a probability of 1 without the model.
Training, validation and test are those of all scores (models/classifier.py). The simple rules to beat: the days since the
last purchase (ecommerce), the age of the subscription and the usage (saas), the days since the last top-up (prepaid).

A prepaid balance of a past day is known where the shop's night was run on that day; other snapshots have no labels. So it is
with the cancellations that were on record: on other days their customers stay, which makes the model expect more to leave
than leave of those it is asked about (`remark`).
"""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from lifecycle_assets.contracts import table
from lifecycle_assets.errors import InputError
from lifecycle_assets.features.churn_labels import ChurnLabels, churn_labels, label_days, local_date, training_labels
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models.churn_features import cancellations_on_record, features_at, features_for
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_evaluation import EvaluationColumns
from lifecycle_assets.settings import Churn


@table("models.churn_risk_evaluation", history=True)
class ChurnRiskEvaluation(EvaluationColumns):
    """How well each way of predicting churn did: cross-validated, and on the last snapshot."""


def training_set(
    snapshots: Sequence[Snapshot], shop: str, settings: Churn, timezone: str
) -> tuple[TrainingSet, dict[dt.date, dt.date | None]]:
    """Rows of every snapshot but the last, labelled by the snapshot that follows; and the newest event in each one's features.

    Snapshots, oldest first, lie `label_days` apart, hold behaviour and subscriptions, and end with tonight.
    """
    columns = features_for(settings)
    labels = [_labels(snapshot, shop, settings, timezone) for snapshot in snapshots]
    parts, newest = [_no_rows(settings)], {}
    for snapshot, now, later in zip(snapshots, labels, labels[1:], strict=False):
        features, newest[snapshot.as_of] = features_at(snapshot, settings, timezone)
        certain = cancellations_on_record(snapshot, settings, timezone)
        rows = (
            training_labels(now, later)
            .join(certain, on="customer_id", how="anti", maintain_order="left")
            .join(features, on="customer_id", how="left", maintain_order="left")
        )
        parts.append(
            rows.select(
                pl.lit(snapshot.as_of).alias("snapshot"),
                pl.col("customer_id").alias("group"),
                pl.col("churns").alias("label"),
                *columns.numbers,
                *columns.categories,
            )
        )
    data = TrainingSet(pl.concat(parts), *columns, positive=positive(settings))
    return data, newest


def remark(snapshots: Sequence[Snapshot], settings: Churn, timezone: str) -> str:
    """What to know of a model of `snapshots`, as `training_set` takes them, of a shop that records cancellations ahead; else
    empty."""
    *past, tonight = snapshots
    n_told = sum(s.subscriptions is not None and s.as_of in s.subscriptions["as_of"] for s in past)
    if n_told == len(past) or cancellations_on_record(tonight, settings, timezone).is_empty():
        return ""
    return (
        f"Probabilities include cancellations already on record: which ones were is known of {n_told} of {len(past)} "
        "snapshots. They are too high for customers without one."
    )


def first_day(
    customer_orders: pl.LazyFrame, subscriptions: pl.LazyFrame, settings: Churn, timezone: str
) -> dt.date | None:
    """The first day of which the shop's rule has something to tell; None of an empty shop."""
    if settings.business_type == "ecommerce":
        return customer_orders.select(pl.col("first_purchase_date").min()).collect().item()
    return subscriptions.select(local_date("started_at", timezone).min()).collect().item()


def positive(settings: Churn) -> str:
    """What churning is, in words."""
    days = label_days(settings)
    return {
        "ecommerce": f"buys nothing for {days} days",
        "saas": f"cancels the last subscription within {days} days",
        "prepaid": f"has used up the balance in {days} days without a top-up",
    }[settings.business_type]


def _labels(snapshot: Snapshot, shop: str, settings: Churn, timezone: str) -> pl.DataFrame:
    subscriptions = pl.LazyFrame() if snapshot.subscriptions is None else snapshot.subscriptions.lazy()
    try:
        return churn_labels(snapshot.orders.lazy(), subscriptions, shop, snapshot.as_of, settings, timezone)
    except InputError:  # nothing of that day is known
        return ChurnLabels.empty()


def _no_rows(settings: Churn) -> pl.DataFrame:
    columns = features_for(settings)
    return pl.DataFrame(
        schema={
            "snapshot": pl.Date,
            "group": pl.String,
            "label": pl.Boolean,
            **dict.fromkeys(columns.numbers, pl.Float64),
            **dict.fromkeys(columns.categories, pl.String),
        }
    )
