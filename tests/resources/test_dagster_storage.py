"""Dagster's own runs and events in a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
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
