"""Dagster's record of runs: what is old goes, what a killed run held is freed; on a real instance."""

import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.definitions import Home, build_defs, build_resources
from lifecycle_assets.dispatch.erasure import Erasures
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.operations.by_hand import prune_records
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.runs import COMMAND_TAG, close_dead_runs, old_runs
from lifecycle_assets.wiring import HEAVY, SHOP_TAG

ROOT = Path(__file__).parent.parent
SHOP = "name: {0}\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: .\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_HOME", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    (tmp_path / "shops").mkdir()
    for shop in ("lupe", "other"):
        (tmp_path / "shops" / f"{shop}.yaml").write_text(SHOP.format(shop))
    return Home(tmp_path)


WHOLE = frozenset({dg.AssetKey(OrderLines.key), dg.AssetKey(["features", "orders"]), dg.AssetKey(Erasures.key)})


def added(
    instance: dg.DagsterInstance,
    shop: str,
    status: dg.DagsterRunStatus,
    picked: frozenset[dg.AssetKey] | None = None,
    **more: str,
) -> str:
    run = dg.DagsterRun(job_name=NIGHTLY, status=status, tags={SHOP_TAG: shop, **more}, asset_selection=picked)
    instance.add_run(run)
    return run.run_id


def test_old_runs_go_but_for_running_ones_and_each_shops_last_good_whole_night(home: Home) -> None:
    good, failed, running = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED
    with open_instance(home) as instance:
        gone = [added(instance, "lupe", good), added(instance, "lupe", failed)]
        stay = [added(instance, "lupe", good), added(instance, "lupe", running), added(instance, "other", good, WHOLE)]
        gone += [added(instance, "lupe", good, frozenset({key})) for key in WHOLE]
        between = dt.datetime.now(dt.UTC)
        young = added(instance, "lupe", failed)
        assert sorted(old_runs(instance, between)) == sorted(gone)
        assert not old_runs(instance, between - dt.timedelta(days=1))
        assert {run.run_id for run in instance.get_runs()} == {*gone, *stay, young}


@pytest.mark.parametrize("dry_run", [True, False])
def test_pruning_removes_events_and_output_of_a_real_run(home: Home, dry_run: bool) -> None:
    (home.root / "lifecycle.yaml").write_text("run_days: 1\n")
    with open_instance(home) as instance:
        job = build_defs(home).resolve_job_def("snapshot_shop")
        config = {"ops": {"take_snapshot": {"config": {"shop": "lupe", "name": "mine"}}}}
        run_id = job.execute_in_process(run_config=config, instance=instance).run_id
        _age(home, run_id, days=2)
        events, printed = home.dagster / "history" / "runs" / f"{run_id}.db", home.dagster / "storage" / run_id
        assert events.exists() and printed.exists()
    said = prune_records(home, dry_run=dry_run)
    assert said == f"1 of Dagster's runs, older than 1 days, {'would go' if dry_run else 'went'} with their events"
    assert events.exists() is dry_run and printed.exists() is dry_run
    with open_instance(home) as instance:
        assert bool(instance.get_run_by_id(run_id)) is dry_run
        assert bool(instance.all_logs(run_id)) is dry_run


def _age(home: Home, run_id: str, days: int) -> None:
    moment = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
    with sqlite3.connect(home.dagster / "history" / "runs.db") as connection:
        connection.execute("UPDATE runs SET create_timestamp = ? WHERE run_id = ?", (moment, run_id))


HOLDS = """
import sys, time
from pathlib import Path
import dagster as dg
from lifecycle_assets.definitions import Home, build_resources
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.runs import COMMAND_TAG
from lifecycle_assets.wiring import HEAVY, SHOP_TAG
home = Home(Path(sys.argv[1]))
with open_instance(home) as instance, build_resources(home)["lake"].lock("lupe", "run"):
    tags = {SHOP_TAG: "lupe", COMMAND_TAG: "nightly"}
    run = dg.DagsterRun(job_name="nightly", status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)
    instance.event_log_storage.initialize_concurrency_limit_to_default(HEAVY)
    assert instance.event_log_storage.claim_concurrency_slot(HEAVY, run.run_id, "step").is_claimed
    print(run.run_id, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_night_held_is_freed_and_a_living_one_is_left_alone(home: Home) -> None:
    night = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(home.root)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    )
    try:
        assert night.stdout is not None
        run_id = night.stdout.readline().strip()
        lake = build_resources(home)["lake"]
        with open_instance(home) as instance:
            assert close_dead_runs(instance, lake) == []
            assert not instance.event_log_storage.claim_concurrency_slot(HEAVY, "next", "step").is_claimed
            night.send_signal(signal.SIGKILL)
            night.wait()
            assert close_dead_runs(instance, lake) == [run_id]
            run = instance.get_run_by_id(run_id)
            assert run is not None and run.status is dg.DagsterRunStatus.FAILURE
            deadline = time.monotonic() + 30
            while not instance.event_log_storage.claim_concurrency_slot(HEAVY, "next", "step").is_claimed:
                assert time.monotonic() < deadline, "its turn at the heavy steps was not freed"
                time.sleep(0.1)
            assert close_dead_runs(instance, lake) == []
    finally:
        night.kill()
        night.wait()


def test_a_run_that_no_command_started_is_dagsters_business(home: Home) -> None:
    with open_instance(home) as instance:
        added(instance, "lupe", dg.DagsterRunStatus.STARTED)
        ours = added(instance, "other", dg.DagsterRunStatus.STARTED, **{COMMAND_TAG: NIGHTLY})
        assert close_dead_runs(instance, build_resources(home)["lake"]) == [ours]
