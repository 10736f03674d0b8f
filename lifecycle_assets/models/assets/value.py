"""Lifetime value as Dagster assets: wiring only."""

import dagster as dg
import polars as pl

from lifecycle_assets.features.clv_inputs import value_basis
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models import clv_evaluation as clv_race
from lifecycle_assets.models import clv_forecast as clv_scores
from lifecycle_assets.models.assets.training import last_race, raced_tonight
from lifecycle_assets.models.clv_candidates import buyers, outcome
from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import HEAVY, reads, table_asset

# What an asset needs that looks at the shop as of past days.
PAST = ("snapshots",)


@dg.asset(
    **table_asset(ClvEvaluation, "scikit-learn", resources=(*PAST, "lake")),
    pool=HEAVY,
    ins=reads(Orders, CustomerOrders),
)
def clv_evaluation(
    context: dg.AssetExecutionContext, orders: pl.LazyFrame, customer_orders: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    basis = value_basis(customer_orders, night.settings.customer.clv_inputs)
    rows = last_race(context, ClvEvaluation, night.settings.customer)
    if rows is None or rows["value_basis"][0] != basis:
        rows = _race(context, orders, customer_orders, basis)
    context.add_output_metadata({"race": dg.MetadataValue.md(clv_race.shown(rows))})
    return rows


@dg.asset(**table_asset(ClvForecast, "polars", resources=PAST), ins=reads(Orders, CustomerOrders, ClvEvaluation))
def clv_forecast(
    context: dg.AssetExecutionContext,
    orders: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    clv_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings = night.settings.customer
    basis = value_basis(customer_orders, settings.clv_inputs)
    tonight = Snapshot(night.as_of, orders.collect(), customer_orders.collect())
    cut = clv_race.split(customer_orders, night.as_of)
    past = None
    if cut is not None:
        raced = clv_race.raced(customer_orders, night.shop, night.settings)
        then = context.resources.snapshots.take(night.shop, cut.test, settings, raced)
        past = clv_race.learnable(outcome(buyers(then, basis, settings), tonight, cut.test, cut.months, basis))
    return clv_scores.clv_forecast(
        buyers(tonight, basis, settings),
        past,
        clv_scores.chosen_of(clv_evaluation),
        basis,
        shop_id=night.shop,
        as_of=night.as_of,
        settings=night.settings,
    )


def _race(
    context: dg.AssetExecutionContext, orders: pl.LazyFrame, customer_orders: pl.LazyFrame, basis: str
) -> pl.DataFrame:
    night = night_of(context)
    cut, snapshots = clv_race.split(customer_orders, night.as_of), None
    if cut is not None:
        take, raced = context.resources.snapshots.take, clv_race.raced(customer_orders, night.shop, night.settings)
        train, test = (take(night.shop, day, night.settings.customer, raced) for day in (cut.train, cut.test))
        snapshots = (train, test, Snapshot(night.as_of, orders.collect(), customer_orders.collect()))
    rows = clv_race.clv_evaluation(
        cut, snapshots, basis, shop_id=night.shop, as_of=night.as_of, settings=night.settings
    )
    was_raced = rows["split_date"][0] is not None
    return raced_tonight(context, rows, night.settings.customer) if was_raced else rows
