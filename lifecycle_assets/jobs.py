"""What people do by hand, as Dagster jobs: approve and undo batches, take and restore snapshots, prune.

The commands of the same names run these jobs. Nothing here computes; each op asks the clock once and says who asked.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from lifecycle_assets.dispatch import deliveries
from lifecycle_assets.dispatch.approval import Approvals
from lifecycle_assets.dispatch.assets import code_version
from lifecycle_assets.dispatch.carrying import Parcel
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.retention import LedgerTotals
from lifecycle_assets.dispatch.undo import undo
from lifecycle_assets.errors import DispatchError, LifecycleError
from lifecycle_assets.night import night_of
from lifecycle_assets.settings import as_of_default
from lifecycle_assets.staged import Appended
from lifecycle_assets.wiring import SHOP_TAG, SHOPS, table_asset

BY_HAND = "Dagster"
RUNNING = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class ForShop(dg.Config):
    shop: str = Field(description="the shop")


class ForBatch(ForShop):
    batch: str = Field(description="the batch's id; dispatch.batches lists them")
    actor: str = Field(default=BY_HAND, description="who asks for it; the ledger keeps the name")


class ForSnapshot(ForShop):
    name: str = Field(description="the snapshot's name")


class ForPruning(ForShop):
    dry_run: bool = Field(default=False, description="only say what would go")


@dg.op(required_resource_keys={"nights", "lake", "delivery"})
def approve(context: dg.OpExecutionContext, config: ForBatch) -> str:
    """Release one batch that waits for it, with a last look at consent."""
    settings = context.resources.nights.home.shop(config.shop)
    with _ledger(context, config.shop) as append:
        resources = context.resources
        outcome = Approvals(resources.lake, resources.delivery, append, settings, config.shop).approve(
            config.batch, at=_now(), run=context.run_id, code_version=code_version(), actor=config.actor
        )
    return _said(
        context,
        f"{config.shop}: {outcome.exported + outcome.recovered} messages of batch {config.batch} exported, "
        f"{outcome.cancelled} held back",
    )


@dg.op(required_resource_keys={"nights", "lake", "delivery", "carriers"})
def take_back(context: dg.OpExecutionContext, config: ForBatch) -> str:
    """Undo a batch: before its release it is gone, afterwards a cancel file tells the sending tool, and so is the receiver
    told that it was released for."""
    lake, delivery = context.resources.lake, context.resources.delivery
    with _ledger(context, config.shop) as append:
        done = undo(
            lake.scan(Ledger, config.shop),
            config.batch,
            shop=config.shop,
            at=_now(),
            run=context.run_id,
            actor=config.actor,
            delivery=delivery,
            append=append,
        )
    said = f"{config.shop}: batch {config.batch} is undone; of its messages {done.before_release} will not go out"
    if done.folder:
        folder = next(delivery.root.glob(f"{config.shop}/*/{done.folder}"))
        said += f", {done.after_release} that went out are taken back: cancel them by {folder}"
    return _said(context, said + _cancelled_at_the_receiver(context, config))


@dg.op(required_resource_keys={"keeping", "lake"})
def take_snapshot(context: dg.OpExecutionContext, config: ForSnapshot) -> str:
    """Keep the output tables and reports as they are under a name."""
    with context.resources.lake.lock(config.shop, "run"):
        no_night_beside(context.instance, config.shop)
        taken = context.resources.keeping.take(config.shop, config.name, at=_now())
    return _said(context, f"{config.shop}: snapshot {taken.name} taken")


@dg.op(required_resource_keys={"keeping", "lake"})
def restore(context: dg.OpExecutionContext, config: ForSnapshot) -> str:
    """Bring output tables and reports back to a snapshot."""
    with context.resources.lake.lock(config.shop, "run"):
        no_night_beside(context.instance, config.shop)
        back = context.resources.keeping.restore(config.shop, config.name)
    return _said(
        context,
        f"{config.shop}: features, models, dispatch and reports are again those of snapshot {back.name}. The ledger stays: "
        "what was sent was sent. Raw tables stay too; the next night reads the input anew.",
    )


@dg.op(required_resource_keys={"nights", "lake", "pruning"})
def remove_old(context: dg.OpExecutionContext, config: ForPruning) -> str:
    """Remove what is older than the shop keeps it (settings retention)."""
    settings = context.resources.nights.home.shop(config.shop)
    as_of = as_of_default(settings, _now())
    with context.resources.lake.lock(config.shop, "run"):
        no_night_beside(context.instance, config.shop)
        pruned = context.resources.pruning.prune(config.shop, settings, as_of, dry_run=config.dry_run)
    would = "would go" if config.dry_run else "went"
    lines = [
        f"{config.shop}: {pruned.ledger_lines} lines of the ledger and {len(pruned.paths)} folders and slices {would}"
    ]
    return _said(context, "\n".join([*lines, *(f"  {path}" for path in pruned.paths)]))


@dg.job(description="Release a batch that waits for a person's yes.")
def approve_batch() -> None:
    approve()


@dg.job(description="Take a batch back, before or after its release.")
def undo_batch() -> None:
    take_back()


@dg.job(description="Keep the output tables and reports as they are, under a name.")
def snapshot_shop() -> None:
    take_snapshot()


@dg.job(description="Bring the output tables and reports back to a snapshot; what was sent stays sent.")
def restore_shop() -> None:
    restore()


@dg.job(description="Remove what is older than the shop keeps it.")
def prune_shop() -> None:
    remove_old()


JOBS = (approve_batch, undo_batch, snapshot_shop, restore_shop, prune_shop)


def no_night_beside(instance: dg.DagsterInstance, shop: str) -> None:
    """Raises LifecycleError while a run of the shop goes on that Dagster has launched: by its schedule, a sensor or the UI.

    Those do not hold the shop's `run` lock. Runs of the command line do, and are not asked about here: one of them that was
    killed may be listed as running for ever.
    """
    filters = dg.RunsFilter(tags={SHOP_TAG: shop}, statuses=RUNNING)
    if beside := [run.run_id for run in instance.get_runs(filters) if run.remote_job_origin]:
        raise LifecycleError(
            f"{shop}: a night is running, Dagster's run {beside[0]}; try again when it has ended. "
            "If its process is gone, terminate it in Dagster's UI, under Runs."
        )


def nightly_pruning(assets: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset after all that read the ledger and the past: what is too old goes."""

    @dg.asset(**table_asset(LedgerTotals, "polars", resources=("pruning",)), deps=assets)
    def ledger_totals(context: dg.AssetExecutionContext) -> Appended:
        night = night_of(context)
        pruned = context.resources.pruning.prune(night.shop, night.settings, night.as_of)
        gone = {"lines of the ledger that went": pruned.ledger_lines, "folders and slices that went": len(pruned.paths)}
        context.add_output_metadata(gone)
        return Appended(pruned.ledger_lines)

    return ledger_totals


def nightly_snapshot(assets: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset at the end of a night, after all others: the snapshot of it."""

    @dg.asset(
        key=["reports", "snapshot"],
        group_name="reports",
        description="The night's output tables and reports, kept as they are for lifecycle restore.",
        kinds={"parquet"},
        partitions_def=SHOPS,
        required_resource_keys={"nights", "keeping"},
        deps=assets,
    )
    def snapshot(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        night = context.resources.nights.of(context)
        kept = context.resources.keeping.take_nightly(
            night.shop, night.as_of, at=night.started_at, keep=night.settings.retention.snapshots
        )
        return dg.MaterializeResult(metadata={"snapshot": kept.name})

    return snapshot


@contextmanager
def _ledger(context: Any, shop: str) -> Iterator[Callable[[pl.DataFrame], None]]:
    """The shop's ledger to oneself, and how lines are added to it."""
    lake = context.resources.lake
    destination = context.resources.nights.home.shop(shop).dispatch.delivery.destination

    def append(lines: pl.DataFrame) -> None:
        lake.append(Ledger, shop, lines.get_column("as_of")[0], deliveries.addressed(lines, destination))

    with lake.lock(shop, "ledger"):
        yield append


def _cancelled_at_the_receiver(context: Any, config: ForBatch) -> str:
    """Tell the shop's receiver which messages it must not send; what to say of it, empty where there is nobody to tell.

    Raises DispatchError where the receiver does not take it; the batch is undone all the same.
    """
    settings = context.resources.nights.home.shop(config.shop)
    destination = settings.dispatch.delivery.destination
    if destination is None:
        return ""
    messages = deliveries.to_cancel(context.resources.lake.scan(Ledger, config.shop), config.batch, destination)
    if messages.is_empty():
        return ""
    carrier = context.resources.carriers.of(config.shop, settings)
    receipt = carrier.cancel(Parcel(config.shop, messages["as_of"][0], config.batch, messages, None))
    if not receipt.taken:
        raise DispatchError(
            f"{config.shop}: batch {config.batch} is undone here, but the {destination} did not take the "
            f"cancellation ({receipt.error}): cancel its {messages.height} messages there, or undo the batch again"
        )
    return f"; the {destination} was told to cancel {messages.height}"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _said(context: Any, text: str) -> str:
    context.log.info(text)
    return text
