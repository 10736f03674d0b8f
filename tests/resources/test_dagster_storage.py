"""Dagster's own runs and events, in SQLite files and in a real PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from postgres_server import database, execute, server

from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.operations.nights import run_night

SHOP = "name: Mine\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: orders.csv\nas_of: 2024-02-01\n"
ORDERS = "order_id,customer_id,ordered_at,product_id,quantity,unit_price\n1,c1,2024-01-02 10:00,p,1,5\n"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with server(tmp_path) as address, database(address) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("LIFECYCLE_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
    (tmp_path / "shops").mkdir()
    (tmp_path / "shops" / "mine.yaml").write_text(SHOP)
    (tmp_path / "orders.csv").write_text(ORDERS)
    return Home(tmp_path)


def test_runs_are_kept_in_the_database(home: Home, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.root / "lifecycle.yaml").write_text("dagster_storage: postgres\n")
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    with pytest.raises(SettingsError, match="DAGSTER_POSTGRES_URL"):
        open_instance(home)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url.replace("postgresql://", "postgresql+psycopg2://"))
    night = run_night(home, "mine", select="raw/order_lines")
    assert night.success
    assert execute(url, "SELECT run_id, status FROM runs") == [(night.run_id, "SUCCESS")]
    assert execute(url, "SELECT count(*) > 5 FROM event_logs") == [(True,)]
    assert not list(home.dagster.glob("**/*.db"))
    (home.root / "lifecycle.yaml").write_text("dagster_storage: sqlite\n")
    with open_instance(home) as instance:
        assert instance.get_runs_count() == 0
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with open_instance(home):
        assert (home.dagster / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def open_files(home: Home) -> list[str]:
    """The files of events that this process has open."""
    folder = home.dagster / "history" / "runs"
    names = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sorted(path.stem for path in names if path.parent == folder and path.suffix == ".db")


def test_a_run_that_goes_on_is_followed_and_holds_no_file_open(home: Home) -> None:
    seen: list[str] = []
    told = threading.Event()

    def heard(entry: dg.EventLogEntry, _: str) -> None:
        seen.append(entry.dagster_event_type.value if entry.dagster_event_type else "")
        if "STEP_START" in seen:
            told.set()

    @dg.op
    def look(context: dg.OpExecutionContext) -> bool:
        assert open_files(home) == []
        elsewhere.watch(context.run_id, None, heard)
        context.log.info("still here")
        return told.wait(20)

    @dg.job
    def looking() -> None:
        look()

    with open_instance(home) as instance, open_instance(home) as page:
        elsewhere = page.event_log_storage
        assert looking.execute_in_process(instance=instance).output_for_node("look")


def test_dagster_itself_reads_what_was_written(home: Home) -> None:
    night = run_night(home, "mine", select="raw/order_lines")
    with open_instance(home) as instance:
        ours = instance.all_logs(night.run_id)
        assert instance.get_latest_materialization_event(dg.AssetKey(["raw", "order_lines"])) is not None
        assert instance.get_run_by_id(night.run_id).is_success
    plain = SqliteEventLogStorage(str(home.dagster / "history" / "runs"))
    assert [record.event_log_entry for record in plain.get_records_for_run(night.run_id).records] == ours
    assert len(ours) > 5
