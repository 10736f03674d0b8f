"""A night that PostgreSQL shows as well: the same rows in both stores, also after the connection was lost in the middle."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from lifecycle_assets.definitions import build_resources
from resources.home import Home
from tests.faults.killing import Step
from tests.faults.small_shop import differences, make_home, run_here, start
from tests.resources.postgres_server import database, execute, server

FEATURES = "+features/customer_features"
ANALYSTS = (
    "SELECT rfm_tier, count(*) AS customers, round(avg(monetary_total), 2) AS spent FROM features.customer_rfm "
    "GROUP BY rfm_tier ORDER BY rfm_tier",
    "SELECT date_trunc('month', order_date) AS month, sum(amount) AS revenue, count(DISTINCT customer_id) AS buyers "
    "FROM features.orders GROUP BY 1 ORDER BY 1",
    "SELECT d.action, d.reason, count(*) AS customers FROM dispatch.decisions AS d "
    "JOIN features.customer_orders AS o USING (shop_id, customer_id) GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT model, version, is_champion FROM models.registry ORDER BY model, version",
    "SELECT l.programme, count(*) FILTER (WHERE l.event = 'exported') AS sent, min(b.first_send_at) AS earliest "
    "FROM dispatch.ledger AS l JOIN dispatch.batches AS b USING (batch_id) GROUP BY 1 ORDER BY 1",
)
Calm = tuple[Home, list[Step]]
NewHome = Callable[..., Home]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def url(address: str) -> Iterator[str]:
    with database(address) as found:
        yield found


@pytest.fixture(scope="module")
def calm_features(tmp_path_factory: pytest.TempPathFactory, kiosk: Path) -> Home:
    """A home without a database after the same night."""
    home = make_home(tmp_path_factory.mktemp("calm") / "home", kiosk)
    assert run_here(home, FEATURES).success
    return home


@pytest.mark.nights
def test_both_stores_hold_the_same_night_and_answer_analysts_alike(calm: Calm, new_home: NewHome, url: str) -> None:
    home = new_home(deployment=f"warehouse: '{url}'\n")
    assert run_here(home).success
    # The tables as read are the database's here, and the catalogue's there.
    assert differences(home, calm[0]) == []
    lake = build_resources(home)["lake"]
    for sql in ANALYSTS:
        ours, theirs = lake.catalogue.query(sql), lake.postgres.query(sql)
        assert ours.height > 0
        assert _plain(ours) == _plain(theirs), sql


@pytest.mark.nights
def test_a_connection_lost_in_the_middle_fails_the_night_and_the_next_catches_up(
    new_home: NewHome, calm_features: Home, address: str, url: str
) -> None:
    home = new_home(deployment=f"warehouse: '{url}'\n")
    name = url.partition("?")[0].rpartition("/")[2]
    process = start(home, FEATURES)
    assert process.stderr is not None
    for _ in range(6):
        process.stderr.readline()
    execute(
        address,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    said = process.communicate()[0]
    assert process.returncode == 1
    assert "the database cannot be used" in said and "run the night again" in said
    execute(address, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert run_here(home, FEATURES).success
    assert differences(home, calm_features) == []


def _plain(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    """Rows as texts: the two name some types otherwise."""
    numbers = rows.with_columns(pl.col(pl.Decimal).cast(pl.Float64), pl.col(pl.Datetime).cast(pl.Datetime("us")))
    return [tuple(f"{float(v):.6f}" if isinstance(v, int | float) else str(v) for v in row) for row in numbers.rows()]
