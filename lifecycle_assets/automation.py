"""When things run: the nightly job, its schedule per shop at the shop's own hour, and the sensors.

Nothing here computes; jobs select assets, schedules and sensors ask for runs of one shop each.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import Field

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.settings import Shop
from lifecycle_assets.wiring import SHOP_PARTITIONS, SHOPS

NIGHTLY = "nightly"
AS_OF_TAG = "lifecycle/as_of"
SET_TAG = "lifecycle/set"
BACKTEST = "backtest"
# What a night does not make: it takes minutes and changes with the question.
OF_BACKTEST = dg.AssetSelection.assets(["models", "backtest"], ["reports", "backtest"])


def nightly_job() -> Any:
    """Ingest, features, decisions, batches and reports of one shop."""
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.all() - OF_BACKTEST,
        description="One night of one shop: inputs to reports.",
        config=dg.RunConfig(loggers={"console": {}}),
    )


def backtest_job() -> Any:
    """The scores of past month ends held against what then happened, for the months of the run's configuration."""
    return dg.define_asset_job(
        BACKTEST,
        selection=OF_BACKTEST,
        description="How good each score was, month by month: past nights of one shop made again and judged.",
        config=dg.RunConfig(loggers={"console": {}}),
    )


class Rollback(dg.Config):
    shop: str = Field(description="the shop")
    model: str = Field(description="the model, e.g. churn_risk; models.registry lists them")


@dg.op(required_resource_keys={"model_store"})
def withdraw(context: dg.OpExecutionContext, config: Rollback) -> None:
    """Withdraw the version of a model that is in force; the one before makes the scores from the next run on."""
    now = context.resources.model_store.rollback(config.shop, config.model)
    context.log.info(f"{config.model} of {config.shop} is version {now.version} again, trained on {now.trained_as_of}")


@dg.job(description="Go back to the version of a model before the one in force.")
def rollback_model() -> None:
    withdraw()


def nightly_schedules(shops: Mapping[str, Shop], hour: int) -> list[dg.ScheduleDefinition]:
    """One schedule per shop, at `hour` in the shop's own time zone, looking at the day that has just ended there."""
    return [_schedule(shop, settings, hour) for shop, settings in shops.items()]


def _schedule(shop: str, settings: Shop, hour: int) -> dg.ScheduleDefinition:
    @dg.schedule(
        job_name=NIGHTLY,
        name=f"nightly_{shop.replace('-', '_')}",
        cron_schedule=f"0 {hour} * * *",
        execution_timezone=settings.timezone,
        description=f"Every night at {hour:02d}:00 {settings.timezone}, for {settings.name}.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        as_of = settings.as_of or context.scheduled_execution_time.date() - dt.timedelta(days=1)
        context.instance.add_dynamic_partitions(SHOP_PARTITIONS, [shop])
        return dg.RunRequest(run_key=f"{shop}@{as_of}", partition_key=shop, tags={AS_OF_TAG: str(as_of)})

    return nightly


def new_input_sensor(shops: Callable[[], Mapping[str, Shop]]) -> dg.SensorDefinition:
    """Asks for a run of a shop whose input has changed and has then been left alone for `inputs.stable_seconds`.

    The cursor holds the fingerprint last run per shop. A shop added while Dagster runs becomes a partition
    here. A shop that cannot be read is said in the tick's log and does not keep the others from running.
    """

    @dg.sensor(
        job_name=NIGHTLY,
        name="new_input",
        minimum_interval_seconds=60,
        description="Runs a shop's night when new input has arrived and is complete.",
    )
    def new_input(context: dg.SensorEvaluationContext, sources: dg.ResourceParam[Any]) -> dg.SensorResult:
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        known = shops()
        partitions = context.instance.get_dynamic_partitions(SHOP_PARTITIONS)
        added = [shop for shop in known if shop not in partitions]
        requests = list(_requests(context, sources, known, seen))
        return dg.SensorResult(
            run_requests=requests,
            cursor=json.dumps({shop: value for shop, value in seen.items() if shop in known}),
            dynamic_partitions_requests=[SHOPS.build_add_request(added)] if added else [],
            skip_reason=None if requests else "no input has changed",
        )

    return new_input


def _requests(context: Any, sources: Any, known: Mapping[str, Shop], seen: dict[str, str]) -> Iterator[dg.RunRequest]:
    for shop, settings in known.items():
        try:
            fingerprint = sources.fingerprint(settings)
            if fingerprint == seen.get(shop) or not sources.is_stable(settings):
                continue
        except LifecycleError as error:
            context.log.warning(f"{shop}: {error}")
            continue
        seen[shop] = fingerprint
        yield dg.RunRequest(run_key=f"{shop}:{fingerprint}", partition_key=shop)
