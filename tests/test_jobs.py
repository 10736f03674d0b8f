"""What people do by hand keeps clear of the nights that Dagster has launched."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from lifecycle_assets import definitions
from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.jobs import no_night_beside
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.operations.nights import run_night

SHOP = "name: {0}\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: .\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_HOME", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    (tmp_path / "shops").mkdir()
    for shop in ("lupe", "other"):
        (tmp_path / "shops" / f"{shop}.yaml").write_text(SHOP.format(shop))
    return Home(tmp_path)


def by_hand(home: Home, instance: dg.DagsterInstance, job: str, op: str, **more: object) -> None:
    config = {"ops": {op: {"config": {"shop": "lupe", **more}}}}
    definitions.build_defs(home).resolve_job_def(job).execute_in_process(run_config=config, instance=instance)


def test_a_night_that_dagster_launched_keeps_out_what_must_not_run_beside_it(home: Home) -> None:
    location = RegisteredCodeLocationOrigin("lifecycle")  # ty: ignore[abstract-class-instantiation]
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "all"), NIGHTLY)
    running = dg.DagsterRun(
        job_name=NIGHTLY,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "lupe"},
        remote_job_origin=origin,
    )
    with open_instance(home) as instance:
        instance.add_run(running)
        for job, op, more in (
            ("snapshot_shop", "take_snapshot", {"name": "mine"}),
            ("restore_shop", "restore", {"name": "mine"}),
            ("prune_shop", "remove_old", {}),
        ):
            with pytest.raises(LifecycleError, match=running.run_id):
                by_hand(home, instance, job, op, **more)
        with pytest.raises(LifecycleError, match=running.run_id):
            run_night(home, "lupe")
        no_night_beside(instance, "other")
        instance.report_run_canceled(running)
        by_hand(home, instance, "snapshot_shop", "take_snapshot", name="mine")


def test_a_killed_run_of_the_command_line_keeps_nothing_out(home: Home) -> None:
    with open_instance(home) as instance:
        killed = dg.DagsterRun(job_name=NIGHTLY, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "lupe"})
        instance.add_run(killed)
        by_hand(home, instance, "snapshot_shop", "take_snapshot", name="mine")
