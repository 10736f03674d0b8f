"""Who is told when something is wrong: a run that failed, a night that is late, orders that no longer arrive.

The sensors say each thing once, through the resource `notifications`; what they say names shops, runs and tables, never a
customer.
"""

import datetime as dt
import json
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs.contracts import InputReads
from lifecycle_assets.runs import is_whole
from lifecycle_assets.settings import Alerts, Shop
from lifecycle_assets.wiring import SHOP_TAG

FAILED, LATE, STALE = "run_failed", "night_late", "data_late"
# Of what a night does last. Dagster looks at an asset as a whole: it is stale once no shop at all has had its night.
NIGHTLY_FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(hours=26), fail_window=dt.timedelta(hours=30)
)


def failure_sensor(cause: Callable[[Any], str], alerts: Alerts) -> dg.SensorDefinition:
    """Tells of each run that failed, with the cause of its first failed step; `cause` takes a step's error. It is on from the
    start where there is a webhook."""

    @dg.run_failure_sensor(
        name="run_failed",
        description="Tells the alerts' webhook of each run that failed, and why.",
        default_status=_status(alerts),
    )
    def run_failed(context: dg.RunFailureSensorContext, notifications: dg.ResourceParam[Any]) -> None:
        run = context.dagster_run
        shop = run.tags.get(SHOP_TAG, "")
        failed = context.get_step_failure_events()
        why = cause(failed[0].step_failure_data.error) if failed else context.failure_event.message
        place = f" in {(failed[0].step_key or '').replace('__', '.')}" if failed else ""
        notifications.tell(FAILED, shop, run.run_id, f"{shop or 'lifecycle'}: {run.job_name} failed{place}: {why}")

    return run_failed


def watch_sensor(shops: Callable[[], Mapping[str, Shop]], alerts: Alerts, hour: int) -> dg.SensorDefinition:
    """Tells, once a day and shop, of a night that has not ended well by `alerts.late_hours` after `hour`, and of orders that
    have stopped arriving."""

    @dg.sensor(
        name="watch",
        minimum_interval_seconds=900,
        description="Tells the alerts' webhook of shops whose night is late or whose orders no longer arrive.",
        default_status=_status(alerts),
    )
    def watch(
        context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Any], notifications: dg.ResourceParam[Any]
    ) -> dg.SensorResult:
        told: dict[str, str] = json.loads(context.cursor or "{}")
        now = dt.datetime.now(dt.UTC)
        known = shops()
        said = 0
        for shop, settings in known.items():
            today = now.astimezone(zoneinfo.ZoneInfo(settings.timezone)).date()
            for kind, text in _wrong(context.instance, lake, shop, settings, alerts, hour, now):
                key = f"{shop}/{kind}"
                if told.get(key) == str(today):
                    continue
                notifications.tell(kind, shop, "", text)
                told[key] = str(today)
                said += 1
        kept = {key: day for key, day in told.items() if key.partition("/")[0] in known}
        return dg.SensorResult(cursor=json.dumps(kept), skip_reason=f"{said} told" if said else "all is well")

    return watch


def _status(alerts: Alerts) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if alerts.webhook else dg.DefaultSensorStatus.STOPPED


def _wrong(
    instance: dg.DagsterInstance, lake: Any, shop: str, settings: Shop, alerts: Alerts, hour: int, now: dt.datetime
) -> Iterator[tuple[str, str]]:
    local = now.astimezone(zoneinfo.ZoneInfo(settings.timezone))
    began = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if local - began >= dt.timedelta(hours=alerts.late_hours):
        filters = dg.RunsFilter(
            job_name=NIGHTLY,
            tags={SHOP_TAG: shop},
            statuses=[dg.DagsterRunStatus.SUCCESS],
            updated_after=began.astimezone(dt.UTC),
        )
        if not any(map(is_whole, instance.get_runs(filters))):
            since = f"{began:%H:%M} {settings.timezone}"
            yield LATE, f"{shop}: no night has ended well since {since}; look at its runs in Dagster"
    try:
        last = _last_order(lake, shop, settings.timezone)
    except LifecycleError:
        return  # A table of an earlier release: the next night makes it anew.
    if settings.as_of is None and last and (silent := (local.date() - last).days) > alerts.stale_days:
        yield STALE, f"{shop}: the last order is of {last}, {silent} days ago; does the input still arrive?"


def _last_order(lake: Any, shop: str, zone: str) -> dt.date | None:
    """The local day of the newest order line read."""
    reads = lake.scan(InputReads, shop).filter(pl.col("table") == "order_lines")
    return reads.select(pl.col("last_at").max().dt.convert_time_zone(zone).dt.date()).collect().item()
