"""Many shops on one machine: their schedules, Dagster's own queue with the shipped settings, turns at the heavy steps, and
freshness. The scheduler, the queue and the freshness daemon are Dagster's, on the code location as its server loads it."""

import datetime as dt
import logging
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.freshness import FreshnessDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._scheduler.scheduler import launch_scheduled_runs

from lifecycle_assets.automation import AS_OF_TAG, NIGHTLY, PRIORITY_TAG, TIER_TAG, queue_tags
from lifecycle_assets.definitions import Home, build_defs
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.settings import Shop
from lifecycle_assets.wiring import HEAVY, SHOP_TAG

ROOT = Path(__file__).parent.parent
TIERS = ("starter", "pro", "agency", "enterprise")
SHOP = "name: Shop {0}\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: .\ntier: {1}\n"
MADRID = zoneinfo.ZoneInfo("Europe/Madrid")
TWO = dt.datetime(2024, 5, 2, 2, 0, tzinfo=MADRID)
STARTING = "PIPELINE_STARTING"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_HOME", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    (tmp_path / "shops").mkdir()
    for tier in TIERS:
        (tmp_path / "shops" / f"shop-{tier}.yaml").write_text(SHOP.format(tier, tier))
    return Home(tmp_path)


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with open_instance(home) as instance:
        yield instance


@pytest.fixture
def workspace(instance: dg.DagsterInstance) -> Iterator[WorkspaceProcessContext]:
    target = ModuleTarget("lifecycle_assets.definitions", None, str(ROOT), "lifecycle")
    with create_test_daemon_workspace_context(target, instance) as context:
        yield context


@pytest.mark.slow
def test_shops_at_the_same_hour_all_queue(instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
    (location,) = workspace.create_request_context().code_locations
    (repository,) = location.get_repositories().values()
    nightly = [schedule for schedule in repository.get_schedules() if schedule.name.startswith("nightly_")]
    with freeze_time(TWO - dt.timedelta(hours=1)):
        for schedule in nightly:
            instance.start_schedule(schedule)
    with freeze_time(TWO + dt.timedelta(seconds=30)):
        end = (TWO + dt.timedelta(seconds=30)).astimezone(dt.UTC)
        list(launch_scheduled_runs(workspace, logging.getLogger("test"), end, {}))
    queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    assert {run.tags[SHOP_TAG]: run.tags[TIER_TAG] for run in queued} == {f"shop-{tier}": tier for tier in TIERS}
    assert {run.tags[AS_OF_TAG] for run in queued} == {"2024-05-01"}


def test_of_fifty_waiting_nights_none_is_lost_and_two_go_at_a_time(instance: dg.DagsterInstance) -> None:
    shops = {f"shop{number:02}": TIERS[number % len(TIERS)] for number in range(50)}
    for shop, tier in shops.items():
        instance.add_run(waiting(shop, queue_tags_at(tier, TWO)))
    # A second night of a shop that waits, and one that a person starts last of all.
    instance.add_run(waiting("shop03", queue_tags_at("enterprise", TWO + dt.timedelta(minutes=1))))
    instance.add_run(waiting("shop00", {}))
    order: list[tuple[str, str | None]] = []
    for batch in taken(instance):
        assert len(batch) <= 2
        assert len({run.tags[SHOP_TAG] for run in batch}) == len(batch), "two runs of a shop at a time"
        order += [(run.tags[SHOP_TAG], run.tags.get(TIER_TAG)) for run in batch]
    assert order[0] == ("shop00", None)
    assert order[-1] != ("shop03", "enterprise")
    tiers = [tier for _, tier in order[1:]]
    assert sorted(order[1:]) == sorted([*shops.items(), ("shop03", "enterprise")])
    assert tiers == sorted(tiers, key=lambda tier: -TIERS.index(tier or "")), "the higher tier goes first"


def taken(instance: dg.DagsterInstance) -> Iterator[list[dg.DagsterRun]]:
    """What Dagster's queue hands out, time after time, until nothing waits; what was handed out runs meanwhile, and ends."""
    queue = QueuedRunCoordinatorDaemon(interval_seconds=5)
    while batch := queue._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None):
        for run in batch:
            instance.report_dagster_event(dg.DagsterEvent(STARTING, run.job_name), run_id=run.run_id)
        yield batch
        for run in batch:
            instance.report_run_canceled(run)


def queue_tags_at(tier: str, moment: dt.datetime) -> dict[str, str]:
    known = {"name": "x", "timezone": "Europe/Madrid", "currency": "EUR", "country": "ES", "input": ".", "tier": tier}
    return queue_tags(Shop.model_validate(known), moment)


def waiting(shop: str, tags: dict[str, str]) -> dg.DagsterRun:
    location = RegisteredCodeLocationOrigin("lifecycle")  # ty: ignore[abstract-class-instantiation]
    return dg.DagsterRun(
        job_name=NIGHTLY,
        status=dg.DagsterRunStatus.QUEUED,
        tags={SHOP_TAG: shop, **tags},
        remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "all"), NIGHTLY),
    )


def test_a_shop_of_the_lowest_tier_does_not_wait_for_ever(instance: dg.DagsterInstance) -> None:
    """An enterprise's runs keep coming, one an hour; the starter, asked for at two, goes before that of seven."""
    instance.add_run(waiting("starter", queue_tags_at("starter", TWO)))
    hours = range(1, 9)
    for hour in hours:
        instance.add_run(waiting(f"big{hour}", queue_tags_at("enterprise", TWO + dt.timedelta(hours=hour))))
    order = [run.tags[SHOP_TAG] for batch in taken(instance) for run in batch]
    assert set(order) == {"starter", *(f"big{hour}" for hour in hours)}
    before = order[: order.index("starter")]
    assert set(before) <= {"big1", "big2", "big3", "big4"} and len(before) >= 3


def test_priorities_fit_what_dagster_takes() -> None:
    far = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
    assert abs(int(queue_tags_at("enterprise", far)[PRIORITY_TAG])) < 2**31


def test_the_steps_that_take_most_memory_take_turns(home: Home, instance: dg.DagsterInstance) -> None:
    nodes = build_defs(home).resolve_job_def(NIGHTLY).all_node_defs
    heavy = {node.name for node in nodes if node.pool == HEAVY}
    assert {"posteriors", "models__churn_risk_evaluation", "models__forecast_evaluation", "prices"} <= heavy
    events = instance.event_log_storage
    events.initialize_concurrency_limit_to_default(HEAVY)
    assert events.claim_concurrency_slot(HEAVY, "first", "posteriors").is_claimed
    assert not events.claim_concurrency_slot(HEAVY, "second", "posteriors").is_claimed


@pytest.mark.slow
def test_a_home_whose_nights_have_stopped_is_shown_as_stale(
    instance: dg.DagsterInstance, workspace: WorkspaceProcessContext
) -> None:
    last = dg.AssetKey(["reports", "snapshot"])
    made = dg.AssetMaterialization(last, partition="shop-pro")
    daemon = FreshnessDaemon()

    def state(hours: float) -> str:
        with freeze_time(dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)):
            list(daemon.run_iteration(workspace))
        return instance.get_freshness_state_records([last])[last].freshness_state.value

    assert instance.get_settings("freshness") == {"enabled": True}
    instance.report_runless_asset_event(made)
    assert [state(hours) for hours in (1, 27, 31)] == ["PASS", "WARN", "FAIL"]
