"""The backtest as a Dagster asset: wiring only."""

import dataclasses
import datetime as dt

import dagster as dg
import polars as pl
from pydantic import Field

from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.inputs.as_known import as_known
from lifecycle_assets.inputs.contracts import Engagement, OrderLines, Products
from lifecycle_assets.models.backtest import WANTED, Backtest, judged, origins, replayed, told
from lifecycle_assets.models.backtest_known import Known
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import reads, table_asset


class Months(dg.Config):
    first: str = Field(
        "", description="First month whose end is replayed, e.g. 2025-01; empty: a year before the last."
    )
    last: str = Field("", description="Last month whose end is replayed; empty: the one before as_of's.")


@dg.asset(
    **table_asset(Backtest, "polars", resources=("snapshots", "replays")),
    ins=reads(OrderLines, Products, Engagement, IdentityMap),
)
def backtest(
    context: dg.AssetExecutionContext,
    config: Months,
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    engagement: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    zone, snapshots, replays = night.settings.timezone, context.resources.snapshots, context.resources.replays
    then = dataclasses.replace(night, settings=replayed(night.settings))

    def products_on(day: dt.date) -> pl.LazyFrame:
        return as_known(Products, products, day, zone)

    def take(day: dt.date) -> Snapshot:
        return snapshots.take(night.shop, day, night.settings.customer, timezone=zone)

    last_line = order_lines.select(pl.col("order_date").max()).collect().item()
    known = Known(
        shop=night.shop,
        settings=night.settings,
        settled=min(night.as_of, last_line or night.as_of),
        order_lines=resolved(order_lines, identity_map),
        engagement=resolved(engagement, identity_map),
        identity_map=identity_map,
        products_on=products_on,
        take=take,
    )
    parts = [Backtest.empty()]
    days = origins(config.first, config.last, night.as_of)
    for number, day in enumerate(days, start=1):
        context.log.info(f"{day}: scores of that night, {number} of {len(days)}")
        parts.append(judged(day, replays.tables(then, day, WANTED), known, night.as_of))
        for line in told(parts[-1]):
            context.log.info(f"{day}: {line}")
    return pl.concat(parts)
