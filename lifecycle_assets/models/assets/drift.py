"""Drift as a Dagster asset: wiring only."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import ChurnLabels, label_days
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.inputs.contracts import Customers, Products, Subscriptions, WebEvents
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models import drift as drifting
from lifecycle_assets.models import propensity_upgrade as upgrading
from lifecycle_assets.models import visitor_intent as visitor_scores
from lifecycle_assets.models import visitor_sessions as visits
from lifecycle_assets.models.assets import churn, propensity, scores
from lifecycle_assets.models.assets.training import STORE
from lifecycle_assets.models.churn_features import asked
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.classifier import Classifier
from lifecycle_assets.models.drift import MOST_ROWS, Drift
from lifecycle_assets.models.plan_ladders import plans_held
from lifecycle_assets.models.propensity import drawn
from lifecycle_assets.models.propensity_upgrade import PropensityUpgradeEvaluation
from lifecycle_assets.models.visitor_intent import VisitorIntent
from lifecycle_assets.models.visitor_intent_evaluation import LABEL_DAYS, SEVEN_DAYS, VisitorIntentEvaluation
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import asset_key, reads, table_asset

READS = (
    ChurnLabels,
    CustomerOrders,
    CustomerBehaviour,
    Subscriptions,
    Customers,
    IdentityMap,
    WebEvents,
    Products,
)
# What is trained tonight is in force before its drift is looked at.
TRAINED = (ChurnRiskEvaluation, PropensityUpgradeEvaluation, VisitorIntentEvaluation)
VISITOR_MODEL = scores.VISITOR_MODELS[SEVEN_DAYS]
# Models whose scores are kept.
KEPT = (churn.MODEL, VISITOR_MODEL)
Tables = dict[str, pl.LazyFrame]


@dg.asset(
    **table_asset(Drift, "xgboost", resources=(STORE, "lake")),
    ins=reads(*READS),
    deps=[asset_key(contract) for contract in TRAINED],
)
def drift(context: dg.AssetExecutionContext, **tables: pl.LazyFrame) -> pl.DataFrame:
    night, store = night_of(context), context.resources.model_store
    parts = [Drift.empty().drop("shop_id", "as_of")]
    for name, rows in _scored(night, tables):
        stored = store.champion(night.shop, name, night.as_of)
        if stored is None or not stored.files:
            continue
        model = Classifier.load(stored.files)
        parts.append(drifting.moved(name, stored.card, model, rows, night.settings.scores.drift_psi))
        if name in KEPT:
            settled = _settled(context, night, tables, name, stored.version)
            parts.append(drifting.calibration(name, *(column.to_numpy() for column in settled)))
    made = pl.concat(parts).with_columns(shop_id=pl.lit(night.shop), as_of=pl.lit(night.as_of))
    found = Drift.conform(made.lazy()).sort(Drift.primary_key).collect()
    told = found.filter("is_drifted").select("model", "kind", "name", "statistic", "threshold", "note")
    context.add_output_metadata({"drifted": dg.MetadataValue.md(markdown(told, longest=100))})
    return found


def _scored(night: Night, tables: Tables) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each model and whom it scores tonight, of many a draw."""
    settings, zone, identity_map = night.settings, night.settings.timezone, tables["identity_map"]
    everyone = tables["churn_labels"].select("customer_id").collect().to_series()
    some = drawn(everyone, MOST_ROWS, night.shop, Drift.name, settings.seed)

    def of_some(table: pl.LazyFrame) -> pl.LazyFrame:
        return table if some is None else table.filter(pl.col("customer_id").is_in(some.implode()))

    labels, orders, behaviour = (
        of_some(tables[contract.table]) for contract in (ChurnLabels, CustomerOrders, CustomerBehaviour)
    )
    subscriptions, customers = (
        of_some(resolved(tables[contract.table], identity_map)) for contract in (Subscriptions, Customers)
    )
    tonight = Snapshot(night.as_of, Orders.empty(), orders.collect(), behaviour.collect(), subscriptions.collect())
    yield churn.MODEL, asked(tonight, labels, settings.customer.churn, zone)
    upsell = settings.products.upsell
    held = plans_held(subscriptions, customers, night.as_of, zone, upsell)
    yield propensity.UPGRADE, upgrading.moves(held, tonight, upsell)
    moments = visits.moments(tables["web_events"], tables["products"], night.as_of, zone, weeks=1)
    yield VISITOR_MODEL, visitor_scores.asked(moments, identity_map)


def _settled(context: dg.AssetExecutionContext, night: Night, tables: Tables, name: str, version: int) -> pl.DataFrame:
    """Of a model whose scores are kept: the probability of each score of the version on the latest night whose time has passed,
    and whether it happened in that time."""
    contract, days = (
        (ChurnRisk, label_days(night.settings.customer.churn)) if name == churn.MODEL else (VisitorIntent, LABEL_DAYS)
    )
    the_day_after = night.as_of - dt.timedelta(days=days - 1)
    kept = context.resources.lake.scan_before(contract, night.shop, the_day_after)
    scores_of = (contract.empty().lazy() if kept is None else kept).filter(model_version=version).collect()
    if scores_of.is_empty():
        return pl.DataFrame(schema={"probability": pl.Float64, "happened": pl.Boolean})
    begin: dt.date = scores_of["as_of"][0]
    end = begin + dt.timedelta(days=days)
    if name == churn.MODEL:
        in_time = pl.col("churned") & (pl.col("churned_since") <= end).fill_null(value=True)
        labels = tables["churn_labels"].select("customer_id", happened=in_time).collect()
        told = scores_of.with_columns(probability="churn_probability").join(labels, on="customer_id")
    else:
        zone = night.settings.timezone
        bought = visits.purchases(tables["web_events"], tables["identity_map"], end_of(end, zone))
        buyers = bought.filter(pl.col("at") >= end_of(begin, zone))[visits.VISITOR]
        told = scores_of.with_columns(happened=pl.col(visits.VISITOR).is_in(buyers.implode()))
    return told.select("probability", "happened").drop_nulls()
