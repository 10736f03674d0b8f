"""Forecasts as Dagster assets: wiring only."""

import datetime as dt
import time

import dagster as dg
import polars as pl

from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.inputs.contracts import Costs, OrderLines
from lifecycle_assets.models import forecast_alerts as alerts
from lifecycle_assets.models import forecast_chart
from lifecycle_assets.models import forecast_daily as paths
from lifecycle_assets.models import forecast_evaluation as forecast_race
from lifecycle_assets.models.forecast_alerts import ForecastAlerts
from lifecycle_assets.models.forecast_candidates import Candidate
from lifecycle_assets.models.forecast_cost import ForecastCost, improved
from lifecycle_assets.models.forecast_daily import ForecastDaily
from lifecycle_assets.models.forecast_evaluation import ForecastEvaluation
from lifecycle_assets.models.forecast_months import forecast_months
from lifecycle_assets.models.forecast_race import Budget
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_series import (
    DailySeries,
    cost_series,
    orders_per_day,
    revenue_series,
    unit_series,
)
from lifecycle_assets.models.forecast_units import ForecastUnits
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import HEAVY, asset_key, picture, reads, table_asset

# What all series of a shop are made of.
SOURCES = (OrderLines, IdentityMap, SegmentationLabels, Costs)


@dg.asset(**table_asset(ForecastEvaluation, "numba", resources=["lake", "mapped"]), pool=HEAVY, ins=reads(*SOURCES))
def forecast_evaluation(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    costs: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    lines = resolved(order_lines, identity_map)
    lake, the_day_after = context.resources.lake, night.as_of + dt.timedelta(days=1)
    last = lake.scan_before(ForecastEvaluation, night.shop, the_day_after)
    rows = forecast_race.forecast_evaluation(
        _series(lines, segmentation_labels, costs, night),
        None if last is None else last.collect(),
        _improved(lines, costs, night),
        shop=night.shop,
        as_of=night.as_of,
        settings=night.settings,
        budget=Budget(night.settings.forecasting.budget_seconds, time.perf_counter),
        mapped=context.resources.mapped,
    )
    context.add_output_metadata({"race": dg.MetadataValue.md(forecast_race.shown(rows))})
    return rows


@dg.asset(**table_asset(ForecastDaily, "numba", resources=["mapped"]), ins=reads(*SOURCES, ForecastEvaluation))
def forecast_daily(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    costs: pl.LazyFrame,
    forecast_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    lines = resolved(order_lines, identity_map)
    return paths.forecast_daily(
        _series(lines, segmentation_labels, costs, night),
        forecast_evaluation.collect(),
        _improved(lines, costs, night),
        shop=night.shop,
        as_of=night.as_of,
        settings=night.settings,
        mapped=context.resources.mapped,
    )


@dg.asset(
    **table_asset(ForecastRevenue, "polars"),
    ins=reads(OrderLines, IdentityMap, SegmentationLabels, ForecastDaily, ForecastEvaluation),
)
def forecast_revenue(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    forecast_daily: pl.LazyFrame,
    forecast_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    lines = resolved(order_lines, identity_map)
    series = revenue_series(lines, segmentation_labels, night.as_of, night.settings.forecasting)
    months = _months(series, forecast_daily, forecast_evaluation, night)
    if fan := forecast_chart.fan_chart(series, months, "shop"):
        context.add_output_metadata({"chart": picture(fan, "Revenue, with 80 and 95 % intervals")})
    return months


@dg.asset(**table_asset(ForecastUnits, "polars"), ins=reads(OrderLines, ForecastDaily, ForecastEvaluation))
def forecast_units(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    forecast_daily: pl.LazyFrame,
    forecast_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    series = unit_series(order_lines, night.as_of, night.settings.forecasting)
    return _months(series, forecast_daily, forecast_evaluation, night)


@dg.asset(**table_asset(ForecastCost, "polars"), ins=reads(Costs, ForecastDaily, ForecastEvaluation))
def forecast_cost(
    context: dg.AssetExecutionContext,
    costs: pl.LazyFrame,
    forecast_daily: pl.LazyFrame,
    forecast_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    series = cost_series(costs, night.as_of, night.settings.forecasting)
    return _months(series, forecast_daily, forecast_evaluation, night)


@dg.asset(
    **table_asset(ForecastAlerts, "polars", resources=["lake"]), ins=reads(*SOURCES), deps=[asset_key(ForecastDaily)]
)
def forecast_alerts(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    costs: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    first_day = night.as_of - dt.timedelta(days=alerts.DAYS - 1)
    past = context.resources.lake.scan_before(ForecastDaily, night.shop, first_day)
    lines = resolved(order_lines, identity_map)
    # Without a night to be held to account the orders need not be read.
    series = [] if past is None else _series(lines, segmentation_labels, costs, night)
    return alerts.forecast_alerts(series, past, shop=night.shop, as_of=night.as_of)


@dg.asset_check(
    asset=asset_key(ForecastAlerts),
    name="within_forecast",
    description="No series has left the 95 % interval of its forecast on each of the last two weeks' days.",
    required_resource_keys={"lake", "nights"},
)
def within_forecast(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    night = night_of(context)
    rows = context.resources.lake.scan(ForecastAlerts, night.shop).filter("is_alert").collect()
    return dg.AssetCheckResult(
        passed=rows.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"series": ", ".join(rows["series"].head(20)), "alerts": rows.height},
    )


def _series(
    lines: pl.LazyFrame, segmentation_labels: pl.LazyFrame, costs: pl.LazyFrame, night: Night
) -> list[DailySeries]:
    """All series of the shop, those first whose race matters most."""
    settings = night.settings.forecasting
    return [
        revenue_series(lines, segmentation_labels, night.as_of, settings),
        cost_series(costs, night.as_of, settings),
        unit_series(lines, night.as_of, settings),
    ]


def _improved(lines: pl.LazyFrame, costs: pl.LazyFrame, night: Night) -> Candidate | None:
    """The candidate for costs that knows the orders; without costs they need not be counted."""
    return None if costs.limit(1).collect().is_empty() else improved(orders_per_day(lines, night.as_of))


def _months(
    series: DailySeries, forecast_daily: pl.LazyFrame, forecast_evaluation: pl.LazyFrame, night: Night
) -> pl.DataFrame:
    return forecast_months(
        series,
        forecast_daily.collect(),
        forecast_evaluation.collect(),
        shop=night.shop,
        as_of=night.as_of,
        settings=night.settings,
    )
