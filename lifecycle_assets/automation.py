"""When things run: the nightly job, its schedule per shop at the shop's own hour, and the sensors.

Nothing here computes; jobs select assets, schedules and sensors ask for runs of one shop each.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.models.drift import Drift
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.settings import Shop
from lifecycle_assets.wiring import SHOP_PARTITIONS, SHOPS

NIGHTLY = "nightly"
AS_OF_TAG = "lifecycle/as_of"
SET_TAG = "lifecycle/set"
BACKTEST = "backtest"
RETRAIN = "retrain"
TIER_TAG = "lifecycle/tier"
PRIORITY_TAG = "dagster/priority"
# How much longer than it has a run counts as having waited.
HEAD_START = {
    "starter": dt.timedelta(0),
    "pro": dt.timedelta(hours=1),
    "agency": dt.timedelta(hours=2),
    "enterprise": dt.timedelta(hours=4),
}
# Every model that was not trained for this very date is due.
TRAIN_ALL = "scores.retrain_days=1\nforecasting.retrain_days=1"
# What a night does not make: it takes minutes and changes with the question.
OF_BACKTEST = dg.AssetSelection.assets(["models", "backtest"], ["reports", "backtest"])


def queue_tags(shop: Shop, asked_at: dt.datetime) -> dict[str, str]:
    """Tags of a run that say where it stands in the queue of runs, and in the pools of steps.

    What was asked for first goes first, and each tier has a head start: a night of `enterprise` overtakes what was asked for
    in the four hours before it, and nothing older. So nobody waits for ever, however many others keep coming. A run that
    people start has no such tags and goes before all of these.
    """
    minutes = int((asked_at - HEAD_START[shop.tier]).timestamp() // 60)
    return {TIER_TAG: shop.tier, PRIORITY_TAG: str(-minutes)}


def nightly_job() -> Any:
    """Ingest, features, decisions, batches and reports of one shop."""
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.all() - OF_BACKTEST,
        description="One night of one shop: inputs to reports.",
        config=dg.RunConfig(loggers={"console": {}}),
    )


def retrain_job() -> Any:
    """Train the models of one shop anew out of turn, on the tables of its last night, and score with those that take over."""
    return dg.define_asset_job(
        RETRAIN,
        selection=dg.AssetSelection.groups("models") - OF_BACKTEST,
        tags={SET_TAG: TRAIN_ALL},
        description="Train a shop's models out of turn; a challenger takes over only where it is not worse.",
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
        tags = {AS_OF_TAG: str(as_of), **queue_tags(settings, context.scheduled_execution_time)}
        return dg.RunRequest(run_key=f"{shop}@{as_of}", partition_key=shop, tags=tags)

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


def retrain_sensor(shops: Callable[[], Mapping[str, Shop]]) -> dg.SensorDefinition:
    """Asks for a training of a shop's models where models.drift of its last night says that the world has moved, or that
    what the champion foretells no longer happens; once for each such night. Trainings that are due by age need no sensor:
    the night makes them, as often as the shop's tier says."""

    @dg.sensor(
        job_name=RETRAIN,
        name="retrain_on_drift",
        minimum_interval_seconds=300,
        description="Trains a shop's models anew when they have drifted, or the champion no longer foretells what happens.",
    )
    def retrain_on_drift(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Any]) -> Iterator[Any]:
        asked = False
        for shop, settings in shops().items():
            drifted = lake.scan(Drift, shop).filter("is_drifted").select("as_of", "model").unique().collect()
            if drifted.is_empty():
                continue
            as_of, models = drifted["as_of"][0], sorted(drifted["model"])
            # The registry of that night says whether they were trained in it: then they know the world as it is.
            trained = (
                lake.scan(Registry, shop).filter(pl.col("model").is_in(models)).select(pl.col("trained_as_of").max())
            )
            if trained.collect().item() == as_of:
                continue
            asked = True
            context.log.info(f"{shop}: drifted on {as_of}: {', '.join(models)}")
            tags = {AS_OF_TAG: str(as_of), **queue_tags(settings, dt.datetime.now(dt.UTC))}
            yield dg.RunRequest(run_key=f"{shop}@{as_of}", partition_key=shop, tags=tags)
        if not asked:
            yield dg.SkipReason("no model in force has drifted")

    return retrain_on_drift


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
        tags = queue_tags(settings, dt.datetime.now(dt.UTC))
        yield dg.RunRequest(run_key=f"{shop}:{fingerprint}", partition_key=shop, tags=tags)
