"""Retraining on drift, and who is told what when something is wrong: real instance, real receiver on loopback."""

import datetime as dt
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from lifecycle_assets import automation, definitions
from lifecycle_assets.contracts import Contract
from lifecycle_assets.definitions import Home, build_defs, build_resources
from lifecycle_assets.inputs.contracts import InputReads
from lifecycle_assets.models.drift import Drift
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.wiring import SHOP_TAG

NIGHT = dt.date(2024, 5, 1)
SHOP = "name: {0}\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: missing.csv\n"


class Receiver(BaseHTTPRequestHandler):
    got: ClassVar[list[dict[str, Any]]] = []
    answer: ClassVar[int] = 200

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    Receiver.got.clear()
    Receiver.answer = 200
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alerts"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_HOME", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("ALERT_URL_PART", "alerts")
    (tmp_path / "shops").mkdir()
    for shop in ("lupe", "other"):
        (tmp_path / "shops" / f"{shop}.yaml").write_text(SHOP.format(shop))
    (tmp_path / "lifecycle.yaml").write_text(f"alerts: {{webhook: '{address}', late_hours: 1}}\nschedule_hour: 0\n")
    return Home(tmp_path)


def rows(contract: Contract, *some: dict[str, object], shop: str = "lupe") -> pl.DataFrame:
    known = {"shop_id": shop, "as_of": NIGHT}
    zero = {pl.String: "x", pl.Int64: 1, pl.Boolean: False, pl.Float64: 0.0, pl.Date: NIGHT}
    blank = {
        name: None if column.nullable else zero.get(contract.polars_schema[name].base_type())
        for name, column in contract.columns.items()
    }
    return pl.DataFrame([blank | known | row for row in some], schema=contract.polars_schema)


def at_noon(home: Home) -> None:
    """The shop lupe lies where it is noon now: its night has been due for hours."""
    zone = f"Etc/GMT{dt.datetime.now(dt.UTC).hour - 12:+d}"
    (home.root / "shops" / "lupe.yaml").write_text(SHOP.format("lupe").replace("Europe/Madrid", zone))


def tick(home: Home, name: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    defs = build_defs(home)
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=defs.get_repository_def(), resources=build_resources(home)
    )
    with partition_loading_context(dynamic_partitions_store=instance):
        return defs.resolve_sensor_def(name).evaluate_tick(context)


def test_drift_asks_for_one_training_of_the_shop_that_drifted(home: Home) -> None:
    lake = build_resources(home)["lake"]
    moved = {"model": "churn_risk", "kind": "score", "name": "probability", "is_drifted": True}
    lake.write(Drift, "lupe", NIGHT, rows(Drift, moved))
    lake.write(Drift, "other", NIGHT, rows(Drift, moved | {"is_drifted": False}, shop="other"))
    version = {"model": "churn_risk", "trained_as_of": NIGHT - dt.timedelta(days=3), "is_champion": True}
    lake.write(Registry, "lupe", NIGHT, rows(Registry, version))
    with open_instance(home) as instance:
        (request,) = tick(home, "retrain_on_drift", instance).run_requests
        assert (request.partition_key, request.run_key) == ("lupe", "lupe@2024-05-01")
        assert request.tags[automation.AS_OF_TAG] == "2024-05-01"
        lake.write(Registry, "lupe", NIGHT, rows(Registry, version | {"trained_as_of": NIGHT}))
        assert not tick(home, "retrain_on_drift", instance).run_requests, "trained that very night"


def test_a_retraining_trains_what_was_not_trained_that_night(home: Home) -> None:
    job = build_defs(home).resolve_job_def(automation.RETRAIN)
    (home.root / "shops" / "lupe.yaml").write_text(SHOP.format("lupe") + "tier: enterprise\n")
    assert [home.shop(shop).retrain_days(None) for shop in ("lupe", "other")] == [1, 7]
    overrides = job.tags[automation.SET_TAG].splitlines()
    forced = home.shop("other", overrides)
    assert forced.retrain_days(forced.scores.retrain_days) == forced.retrain_days(forced.forecasting.retrain_days) == 1
    assert {key.path[0] for key in job.asset_layer.selected_asset_keys} == {"models"}


def test_a_failed_run_is_told_with_its_cause_and_once(home: Home) -> None:
    with open_instance(home) as instance:
        defs = build_defs(home)
        job = defs.resolve_job_def(automation.NIGHTLY)
        result = job.execute_in_process(
            partition_key="lupe",
            instance=instance,
            asset_selection=[dg.AssetKey(["raw", "order_lines"])],
            raise_on_error=False,
        )
        assert not result.success
        failure = next(e for e in result.all_events if e.event_type_value == "PIPELINE_FAILURE")
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failed",
            dagster_event=failure,
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            resources={"notifications": build_resources(home)["notifications"]},
        ).for_run_failure()
        defs.resolve_sensor_def("run_failed")(context)
    (told,) = Receiver.got
    assert (told["kind"], told["shop"], told["run"]) == ("run_failed", "lupe", result.run_id)
    assert told["text"].startswith("lupe: nightly failed in raw.order_lines: ") and "missing.csv" in told["text"]


def test_a_late_night_and_silent_input_are_told_once_a_day(home: Home) -> None:
    at_noon(home)
    lake = build_resources(home)["lake"]
    now = dt.datetime.now(dt.UTC)
    long_ago = {"table": "order_lines", "last_at": now - dt.timedelta(days=9), "first_at": now - dt.timedelta(days=99)}
    lake.write(InputReads, "lupe", NIGHT, rows(InputReads, long_ago))
    lake.write(InputReads, "other", NIGHT, rows(InputReads, long_ago | {"last_at": now}, shop="other"))
    with open_instance(home) as instance:
        first = tick(home, "watch", instance)
        kinds = {(told["shop"], told["kind"]) for told in Receiver.got}
        assert ("lupe", "data_late") in kinds and ("other", "data_late") not in kinds
        assert ("lupe", "night_late") in kinds
        count = len(Receiver.got)
        tick(home, "watch", instance, first.cursor)
        assert len(Receiver.got) == count


@pytest.mark.parametrize(("picked", "is_late"), [(None, False), (frozenset({dg.AssetKey(["raw", "orders"])}), True)])
def test_only_a_whole_night_is_in_time(home: Home, picked: frozenset[dg.AssetKey] | None, is_late: bool) -> None:
    at_noon(home)
    with open_instance(home) as instance:
        run = dg.DagsterRun(
            job_name=automation.NIGHTLY,
            status=dg.DagsterRunStatus.SUCCESS,
            tags={SHOP_TAG: "lupe"},
            asset_selection=picked,
        )
        instance.add_run(run)
        tick(home, "watch", instance)
    assert (("lupe", "night_late") in {(told["shop"], told["kind"]) for told in Receiver.got}) is is_late


def test_a_receiver_that_does_not_take_it_is_only_logged(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifications = build_resources(home)["notifications"]
    Receiver.answer = 500
    with caplog.at_level(logging.WARNING, "lifecycle"):
        notifications.tell("run_failed", "lupe", "r1", "lupe: broken")
    assert [record.message for record in caplog.records] == [
        "lupe: broken",
        "the alerts' webhook answered 500 to run_failed of lupe",
    ]
    assert definitions.build_defs(home).resolve_sensor_def("run_failed").default_status.value == "RUNNING"
