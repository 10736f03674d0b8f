"""Churn risk as Dagster assets: wiring only."""

import dagster as dg
import polars as pl

from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import ChurnLabels, label_days
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.hashing import generator
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.models import churn_drivers as drivers_of_churn
from lifecycle_assets.models import churn_risk as churn_scores
from lifecycle_assets.models import churn_risk_evaluation as churn_training
from lifecycle_assets.models.assets.training import STORE, audit_check, in_force, trained
from lifecycle_assets.models.churn_drivers import ChurnDrivers
from lifecycle_assets.models.churn_features import asked, features_for
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.classifier import Trained
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.drift import described
from lifecycle_assets.models.propensity import drawn
from lifecycle_assets.models.score_training import learnt, snapshot_days
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import HEAVY, reads, table_asset

MODEL = "churn_risk"


@dg.asset(
    **table_asset(ChurnRiskEvaluation, "xgboost", resources=(STORE, "snapshots")),
    pool=HEAVY,
    ins=reads(CustomerOrders, Subscriptions, ChurnLabels),
)
def churn_risk_evaluation(
    context: dg.AssetExecutionContext,
    customer_orders: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    churn_labels: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    customer, scores, zone = night.settings.customer, night.settings.scores, night.settings.timezone
    window = label_days(customer.churn)

    def make() -> Trained:
        first = churn_training.first_day(customer_orders, subscriptions, customer.churn, zone)
        days = snapshot_days(first, night.as_of, window, scores.snapshots)
        everyone = churn_labels.select("customer_id").collect().to_series()
        only = drawn(everyone, scores.training_rows, night.shop, MODEL, night.settings.seed)
        take = context.resources.snapshots.take
        snapshots = [take(night.shop, day, customer, only, zone) for day in [*days, night.as_of]]
        data, newest = churn_training.training_set(snapshots, night.shop, customer.churn, zone)
        rng = generator(night.shop, MODEL, night.settings.seed)
        remark = churn_training.remark(snapshots, customer.churn, zone)
        some = churn_labels if only is None else churn_labels.filter(pl.col("customer_id").is_in(only.implode()))
        made = learnt(data, newest, window, night.as_of, scores, rng, remark)
        return described(made, asked(snapshots[-1], some, customer.churn, zone))

    columns = features_for(customer.churn)
    return trained(context, ChurnRiskEvaluation, MODEL, make, [*columns.numbers, *columns.categories])


churn_risk_audit = audit_check(ChurnRiskEvaluation, MODEL)


@dg.asset(
    **table_asset(ChurnRisk, "xgboost", resources=(STORE,)),
    ins=reads(
        ChurnLabels, CustomerOrders, CustomerBehaviour, Subscriptions, IdentityMap, ClvForecast, ChurnRiskEvaluation
    ),
)
def churn_risk(
    context: dg.AssetExecutionContext,
    churn_labels: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    customer_behaviour: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    clv_forecast: pl.LazyFrame,
    churn_risk_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    return churn_scores.churn_risk(
        _tonight(night, customer_orders, customer_behaviour, resolved(subscriptions, identity_map)),
        churn_labels,
        clv_forecast,
        in_force(context, MODEL, churn_risk_evaluation),
        night.settings.customer.churn,
        night.settings.scores,
        night.settings.timezone,
    )


@dg.asset(
    **table_asset(ChurnDrivers, "xgboost", resources=(STORE,)),
    ins=reads(
        CustomerOrders,
        CustomerBehaviour,
        Subscriptions,
        IdentityMap,
        SegmentationLabels,
        ChurnRiskEvaluation,
        ChurnRisk,
    ),
)
def churn_drivers(
    context: dg.AssetExecutionContext,
    customer_orders: pl.LazyFrame,
    customer_behaviour: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    churn_risk_evaluation: pl.LazyFrame,
    churn_risk: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    return drivers_of_churn.churn_drivers(
        _tonight(night, customer_orders, customer_behaviour, resolved(subscriptions, identity_map)),
        churn_risk,
        segmentation_labels,
        in_force(context, MODEL, churn_risk_evaluation),
        night.settings.customer.churn,
        night.settings.timezone,
        generator(night.shop, ChurnDrivers.name, night.settings.seed),
    )


def _tonight(
    night: Night, customer_orders: pl.LazyFrame, customer_behaviour: pl.LazyFrame, subscriptions: pl.LazyFrame
) -> Snapshot:
    """What tonight's tables tell; the orders themselves are not looked at."""
    return Snapshot(
        night.as_of, Orders.empty(), customer_orders.collect(), customer_behaviour.collect(), subscriptions.collect()
    )
