"""Dagster's own record of runs: closing those whose process is gone, removing those that are old.

Both matter to nights to come. A run that was killed is listed as running: it keeps a place in the queue, its shop from being
run again, and its turn at the heavy steps (wiring.HEAVY). And each run leaves some thousand events.
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from pydantic import Field

from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.dispatch.erasure import Erasures
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.wiring import SHOP_TAG

# On runs of `lifecycle run`: their process holds the shop's lock for as long as it lives.
COMMAND_TAG = "lifecycle/command"
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def close_dead_runs(instance: dg.DagsterInstance, lake: Any) -> list[str]:
    """Mark runs of the command line as failed whose process is gone, and free what they hold; their ids.

    Runs that Dagster launched are not looked at: its daemon does that (run_monitoring in dagster.yaml).
    """
    running = dg.RunsFilter(tags={COMMAND_TAG: NIGHTLY}, statuses=[dg.DagsterRunStatus.STARTED])
    closed = []
    for run in instance.get_runs(running):
        with lake.try_lock(run.tags[SHOP_TAG], "run") as is_free:
            # Looked at again: it may have ended between the list and the lock.
            now = instance.get_run_by_id(run.run_id)
            if not is_free or now is None or now.is_finished:
                continue
            instance.report_run_failed(run, "Its process is gone; it was killed, or the machine went down.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            closed.append(run.run_id)
    return closed


def old_runs(instance: dg.DagsterInstance, before: dt.datetime) -> list[str]:
    """The runs that ended and were created before that moment, but for the last good whole night of each shop."""
    good = dg.RunsFilter(job_name=NIGHTLY, statuses=[dg.DagsterRunStatus.SUCCESS])
    kept = _last_of_each_shop(filter(is_whole, instance.get_runs(good)))
    ended = dg.RunsFilter(statuses=FINISHED, created_before=before)
    return [run.run_id for run in instance.get_runs(ended) if run.run_id not in kept]


def is_whole(night: dg.DagsterRun) -> bool:
    """Whether a run of the nightly job was of all its assets, not of a few (`--select`, or picked in Dagster).

    Dagster's page names them one by one even if asked for all: then what a night begins and ends with is among them.
    """
    picked = night.asset_selection
    return not picked or {dg.AssetKey(OrderLines.key), dg.AssetKey(Erasures.key)} <= picked


def remove_runs(instance: dg.DagsterInstance, runs: Iterable[str]) -> None:
    """Remove runs with their events and what they printed."""
    events = instance.event_log_storage
    for run in runs:
        instance.delete_run(run)
        instance.compute_log_manager.delete_logs(prefix=[run])
        if isinstance(events, SqliteEventLogStorage):  # It empties the run's own file, and leaves it.
            Path(events.path_for_shard(run)).unlink(missing_ok=True)


def _last_of_each_shop(newest_first: Iterable[dg.DagsterRun]) -> set[str]:
    last: dict[str, str] = {}
    for run in newest_first:
        last.setdefault(run.tags.get(SHOP_TAG, ""), run.run_id)
    return set(last.values())


class Pruning(dg.Config):
    dry_run: bool = Field(default=False, description="only say what would go")


@dg.op(required_resource_keys={"nights"})
def remove_old_runs(context: dg.OpExecutionContext, config: Pruning) -> str:
    """Remove Dagster's record of runs that are older than the deployment keeps it (setting run_days)."""
    days = context.resources.nights.home.deployment().run_days
    runs = old_runs(context.instance, dt.datetime.now(dt.UTC) - dt.timedelta(days=days))
    if not config.dry_run:
        remove_runs(context.instance, runs)
    would = "would go" if config.dry_run else "went"
    said = f"{len(runs)} of Dagster's runs, older than {days} days, {would} with their events"
    context.log.info(said)
    return said


@dg.job(description="Remove Dagster's record of runs that are older than the deployment keeps it.")
def prune_runs() -> None:
    remove_old_runs()


def prune_runs_schedule() -> dg.ScheduleDefinition:
    """Every Sunday at noon, when no night runs in most places."""
    return dg.ScheduleDefinition(
        name="prune_runs_weekly",
        job=prune_runs,
        cron_schedule="0 12 * * 0",
        execution_timezone="UTC",
        description="Once a week: Dagster's record of old runs goes.",
    )
