"""Propensities as Dagster assets: wiring only."""

import datetime as dt
from collections.abc import Mapping
from functools import cache

import dagster as dg
import polars as pl

from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.hashing import generator
from lifecycle_assets.inputs.contracts import Customers, Engagement, OrderLines, Products, Subscriptions
from lifecycle_assets.models import propensity_buy as buying
from lifecycle_assets.models import propensity_pairs as pairs
from lifecycle_assets.models import propensity_respond as responding
from lifecycle_assets.models import propensity_upgrade as upgrading
from lifecycle_assets.models.assets.training import STORE, audit_check, in_force, trained
from lifecycle_assets.models.champion import ALL, Champion
from lifecycle_assets.models.classifier import Trained, TrainingSet
from lifecycle_assets.models.drift import described
from lifecycle_assets.models.plan_ladders import plans_held
from lifecycle_assets.models.propensity import drawn, newest, newest_by_age
from lifecycle_assets.models.propensity_buy import PropensityBuy, PropensityBuyEvaluation
from lifecycle_assets.models.propensity_messages import RESPOND_DAYS
from lifecycle_assets.models.propensity_respond import (
    OUTCOMES,
    PropensityRespond,
    PropensityRespondEvaluation,
)
from lifecycle_assets.models.propensity_upgrade import PropensityUpgrade, PropensityUpgradeEvaluation
from lifecycle_assets.models.score_training import learnt, snapshot_days
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import HEAVY, reads, table_asset

BUY, UPGRADE = PropensityBuy.table, PropensityUpgrade.table


def _response(outcome: str) -> str:
    return f"{PropensityRespond.table}_{outcome}"


@dg.asset(
    **table_asset(PropensityBuyEvaluation, "xgboost", resources=(STORE, "snapshots")),
    pool=HEAVY,
    ins=reads(OrderLines, Products, IdentityMap, CustomerOrders),
)
def propensity_buy_evaluation(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings, lines = night.settings.scores, resolved(order_lines, identity_map)

    def make() -> Trained:
        first = customer_orders.select(pl.col("first_purchase_date").min()).collect().item()
        days = snapshot_days(first, night.as_of, buying.BUY_DAYS, settings.snapshots)
        most = buying.most_customers(settings)
        only = drawn(
            customer_orders.select("customer_id").collect().to_series(), most, night.shop, BUY, night.settings.seed
        )
        take = context.resources.snapshots.take
        snapshots = [take(night.shop, day, night.settings.customer, only) for day in days]
        shelves = [pairs.shelf(lines, products, day, settings) for day in days]
        rng = generator(night.shop, f"{BUY}_rows", night.settings.seed)
        data = buying.training_set(snapshots, shelves, lines, settings, rng)
        seen = {
            day: newest(snapshot.customer_orders["last_purchase_date"], shelf.histories["last_date"])
            for day, snapshot, shelf in zip(days, snapshots, shelves, strict=True)
        }
        return _learnt(night, BUY, data, seen, buying.BUY_DAYS)

    return trained(context, PropensityBuyEvaluation, BUY, make, [*buying.FEATURES, *buying.CATEGORIES])


propensity_buy_audit = audit_check(PropensityBuyEvaluation, BUY)


@dg.asset(
    **table_asset(PropensityBuy, "xgboost", resources=(STORE,)),
    ins=reads(OrderLines, Products, IdentityMap, CustomerOrders, PropensityBuyEvaluation),
)
def propensity_buy(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    propensity_buy_evaluation: pl.LazyFrame,
) -> pl.LazyFrame:
    night = night_of(context)
    settings = night.settings.scores
    shelf = pairs.shelf(resolved(order_lines, identity_map), products, night.as_of, settings)
    return buying.propensity_buy(customer_orders, shelf, in_force(context, BUY, propensity_buy_evaluation), settings)


@dg.asset(
    **table_asset(PropensityRespondEvaluation, "xgboost", resources=(STORE,)),
    pool=HEAVY,
    ins=reads(Engagement, OrderLines, IdentityMap),
)
def propensity_respond_evaluation(
    context: dg.AssetExecutionContext,
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    lines = resolved(order_lines, identity_map)
    sent = _sent(night, engagement, lines, identity_map)

    @cache
    def rows() -> pl.DataFrame:
        settings, seed = night.settings.scores, night.settings.seed
        return responding.training_rows(sent, lines, night.as_of, night.shop, settings, seed)

    def evaluated(outcome: str) -> pl.DataFrame:
        def make() -> Trained:
            seen = newest_by_age(rows(), responding.AGES)
            return _learnt(night, _response(outcome), responding.training_set(rows(), outcome), seen, RESPOND_DAYS)

        features = [*responding.NUMBERS, *responding.FACTS]
        made = trained(context, PropensityRespondEvaluation, _response(outcome), make, features)
        return made.with_columns(target=pl.lit(outcome))

    return pl.concat([evaluated(outcome) for outcome in OUTCOMES])


propensity_respond_audit = audit_check(PropensityRespondEvaluation, *(_response(outcome) for outcome in OUTCOMES))


@dg.asset(
    **table_asset(PropensityRespond, "xgboost", resources=(STORE,)),
    ins=reads(Engagement, OrderLines, IdentityMap, CustomerOrders, PropensityRespondEvaluation),
)
def propensity_respond(
    context: dg.AssetExecutionContext,
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    propensity_respond_evaluation: pl.LazyFrame,
) -> pl.LazyFrame:
    night = night_of(context)
    lines = resolved(order_lines, identity_map)

    def champion(outcome: str) -> Champion:
        own = propensity_respond_evaluation.filter(pl.col("target") == outcome).with_columns(target=pl.lit(ALL))
        return in_force(context, _response(outcome), own)

    return responding.propensity_respond(
        _sent(night, engagement, lines, identity_map),
        lines,
        customer_orders,
        {outcome: champion(outcome) for outcome in OUTCOMES},
        night.as_of,
        night.settings.timezone,
        night.settings.scores,
    )


@dg.asset(
    **table_asset(PropensityUpgradeEvaluation, "xgboost", resources=(STORE, "snapshots")),
    pool=HEAVY,
    ins=reads(Subscriptions, Customers, IdentityMap),
)
def propensity_upgrade_evaluation(
    context: dg.AssetExecutionContext,
    subscriptions: pl.LazyFrame,
    customers: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings, zone = night.settings.scores, night.settings.timezone
    held = _held(night, subscriptions, customers, identity_map)

    def make() -> Trained:
        days = snapshot_days(
            held.select(pl.col("day").min()).item(), night.as_of, upgrading.UPGRADE_DAYS, settings.snapshots
        )
        most = settings.training_rows // settings.snapshots
        holders = held["customer_id"].unique()
        some = drawn(holders, most, night.shop, UPGRADE, night.settings.seed)
        only = holders if some is None else some
        take = context.resources.snapshots.take
        snapshots = [take(night.shop, day, night.settings.customer, only, zone) for day in days]
        theirs = held.filter(pl.col("customer_id").is_in(only.implode()))
        data = upgrading.training_set(theirs, snapshots, night.settings.products.upsell)
        seen = upgrading.newest_events(data, snapshots, zone)
        tonight = take(night.shop, night.as_of, night.settings.customer, only, zone)
        made = _learnt(night, UPGRADE, data, seen, upgrading.UPGRADE_DAYS)
        return described(made, upgrading.moves(theirs, tonight, night.settings.products.upsell))

    return trained(context, PropensityUpgradeEvaluation, UPGRADE, make, [*upgrading.NUMBERS, *upgrading.CATEGORIES])


propensity_upgrade_audit = audit_check(PropensityUpgradeEvaluation, UPGRADE)


@dg.asset(
    **table_asset(PropensityUpgrade, "xgboost", resources=(STORE,)),
    ins=reads(Subscriptions, Customers, IdentityMap, CustomerOrders, CustomerBehaviour, PropensityUpgradeEvaluation),
)
def propensity_upgrade(
    context: dg.AssetExecutionContext,
    subscriptions: pl.LazyFrame,
    customers: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    customer_behaviour: pl.LazyFrame,
    propensity_upgrade_evaluation: pl.LazyFrame,
) -> pl.LazyFrame:
    night = night_of(context)
    own = resolved(subscriptions, identity_map).collect()
    tonight = Snapshot(night.as_of, Orders.empty(), customer_orders.collect(), customer_behaviour.collect(), own)
    return upgrading.propensity_upgrade(
        _held(night, subscriptions, customers, identity_map),
        tonight,
        in_force(context, UPGRADE, propensity_upgrade_evaluation),
        night.shop,
        night.settings.products.upsell,
        night.settings.scores,
    )


def _learnt(
    night: Night, name: str, data: TrainingSet, seen: Mapping[dt.date, dt.date | None], label_days: int
) -> Trained:
    rng = generator(night.shop, name, night.settings.seed)
    return learnt(data, seen, label_days, night.as_of, night.settings.scores, rng)


def _sent(night: Night, engagement: pl.LazyFrame, lines: pl.LazyFrame, identity_map: pl.LazyFrame) -> pl.LazyFrame:
    return responding.sent_messages(resolved(engagement, identity_map), lines, night.as_of, night.settings.timezone)


def _held(
    night: Night, subscriptions: pl.LazyFrame, customers: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    return plans_held(
        resolved(subscriptions, identity_map),
        resolved(customers, identity_map),
        night.as_of,
        night.settings.timezone,
        night.settings.products.upsell,
    )
