"""The feature tables as Dagster assets: wiring only.

Here belong the inputs and outputs of each table. What a table holds and how it is computed stands in its own module.
"""

import dagster as dg
import polars as pl

from lifecycle_assets.features import behaviour, clv_inputs, customer, identity, loyalty, rfm, stage, transitions
from lifecycle_assets.features import churn_labels as churn
from lifecycle_assets.features import customer_categories as bought
from lifecycle_assets.features import customer_orders as order_features
from lifecycle_assets.features import identity_ids as known
from lifecycle_assets.features import nps as nps_scores
from lifecycle_assets.features import orders as order_rows
from lifecycle_assets.features import profiles as wide
from lifecycle_assets.inputs.contracts import Customers, Identities, Subscriptions, SurveyResponses
from lifecycle_assets.night import night_of
from lifecycle_assets.sql import Sql, load
from lifecycle_assets.wiring import reads, sql_deps, table_asset

HERE = "lifecycle_assets.features"


@dg.asset(**table_asset(known.IdentityIds, "sql"), deps=sql_deps(load(HERE, "identity_ids")))
def identity_ids(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return known.identity_ids(night.shop, night.as_of, night.settings.timezone)


@dg.asset(**table_asset(identity.IdentityMap, "polars", "scipy"), ins=reads(known.IdentityIds, Customers, Identities))
def identity_map(
    context: dg.AssetExecutionContext, identity_ids: pl.LazyFrame, customers: pl.LazyFrame, identities: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    return identity.identity_map(
        identity_ids, customers, identities, shop_id=night.shop, as_of=night.as_of, shop=night.settings
    )


@dg.asset(**table_asset(order_rows.Orders, "sql"), deps=sql_deps(load(HERE, "orders")))
def orders(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return order_rows.orders(night.shop, night.as_of)


@dg.asset(**table_asset(order_features.CustomerOrders, "sql"), deps=sql_deps(load(HERE, "customer_orders")))
def customer_orders(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return order_features.customer_orders(night.shop, night.as_of, night.settings.customer)


@dg.asset(**table_asset(bought.CustomerCategories, "sql"), deps=sql_deps(load(HERE, "customer_categories")))
def customer_categories(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return bought.customer_categories(night.shop, night.as_of)


@dg.asset(**table_asset(behaviour.CustomerBehaviour, "sql"), deps=sql_deps(load(HERE, "customer_behaviour")))
def customer_behaviour(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return behaviour.customer_behaviour(
        night.shop, night.as_of, night.settings.timezone, night.settings.customer.nps.question
    )


@dg.asset(**table_asset(loyalty.CustomerLoyalty, "polars"), ins=reads(order_features.CustomerOrders))
def customer_loyalty(context: dg.AssetExecutionContext, customer_orders: pl.LazyFrame) -> pl.DataFrame:
    return loyalty.customer_loyalty(customer_orders, night_of(context).settings.customer.loyalty)


@dg.asset(**table_asset(loyalty.LoyaltySummary, "polars"), ins=reads(loyalty.CustomerLoyalty))
def loyalty_summary(customer_loyalty: pl.LazyFrame) -> pl.DataFrame:
    return loyalty.loyalty_summary(customer_loyalty)


@dg.asset(
    **table_asset(customer.CustomerFeatures, "polars"),
    ins=reads(order_features.CustomerOrders, loyalty.CustomerLoyalty, behaviour.CustomerBehaviour),
)
def customer_features(
    customer_orders: pl.LazyFrame, customer_loyalty: pl.LazyFrame, customer_behaviour: pl.LazyFrame
) -> pl.LazyFrame:
    return customer.customer_features(customer_orders, customer_loyalty, customer_behaviour)


@dg.asset(**table_asset(rfm.CustomerRfm, "polars"), ins=reads(customer.CustomerFeatures))
def customer_rfm(context: dg.AssetExecutionContext, customer_features: pl.LazyFrame) -> pl.DataFrame:
    return rfm.customer_rfm(customer_features, night_of(context).settings.customer.rfm)


@dg.asset(**table_asset(rfm.RfmThresholds, "polars"), ins=reads(customer.CustomerFeatures))
def rfm_thresholds(context: dg.AssetExecutionContext, customer_features: pl.LazyFrame) -> pl.DataFrame:
    return rfm.rfm_thresholds(customer_features, night_of(context).settings.customer.rfm)


@dg.asset(**table_asset(stage.LifecycleStage, "polars", "numba"), ins=reads(order_rows.Orders))
def lifecycle_stage(context: dg.AssetExecutionContext, orders: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    return stage.lifecycle_stage(orders, night.shop, night.as_of, night.settings.customer.stage)


@dg.asset(**table_asset(transitions.LifecycleTransitions, "polars", "numba"), ins=reads(order_rows.Orders))
def lifecycle_transitions(context: dg.AssetExecutionContext, orders: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    return transitions.lifecycle_transitions(orders, night.shop, night.as_of, night.settings.customer.stage)


@dg.asset(**table_asset(churn.ChurnLabels, "polars"), ins=reads(order_rows.Orders, Subscriptions, identity.IdentityMap))
def churn_labels(
    context: dg.AssetExecutionContext, orders: pl.LazyFrame, subscriptions: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    rule, zone = night.settings.customer.churn, night.settings.timezone
    of_profiles = identity.resolved(subscriptions, identity_map)
    return churn.churn_labels(orders, of_profiles, night.shop, night.as_of, rule, zone)


@dg.asset(
    **table_asset(nps_scores.NetPromoterScores, "polars"),
    ins=reads(SurveyResponses, stage.LifecycleStage, loyalty.CustomerLoyalty, identity.IdentityMap),
)
def nps(
    context: dg.AssetExecutionContext,
    survey_responses: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    customer_loyalty: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings, zone = night.settings.customer, night.settings.timezone
    answers = identity.resolved(survey_responses, identity_map)
    made = nps_scores.nps(answers, lifecycle_stage, customer_loyalty, night.shop, night.as_of, settings, zone)
    if made.notes:
        context.add_output_metadata({"notes": " ".join(made.notes)})
    return made.table


@dg.asset(
    **table_asset(clv_inputs.CustomerClvInputs, "polars"),
    ins=reads(order_features.CustomerOrders, churn.ChurnLabels),
)
def customer_clv_inputs(
    context: dg.AssetExecutionContext, customer_orders: pl.LazyFrame, churn_labels: pl.LazyFrame
) -> pl.DataFrame:
    return clv_inputs.customer_clv_inputs(customer_orders, churn_labels, night_of(context).settings.customer)


@dg.asset(**table_asset(wide.Profiles, "sql"), deps=sql_deps(load(HERE, "profiles")))
def profiles(context: dg.AssetExecutionContext) -> Sql:
    night = night_of(context)
    return wide.profiles(night.shop, night.as_of)
