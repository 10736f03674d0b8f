"""What readers see of the lake: the same in the embedded catalogue and in a real PostgreSQL."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from adbc_driver_manager import ProgrammingError
from adbc_driver_postgresql import dbapi
from postgres_server import database, execute, server

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import Costs, Customers, Products
from resources.warehouse.lake import Lake
from resources.warehouse.postgres import Postgres

NIGHT = dt.date(2024, 5, 1)
TABLES = [Costs, Customers, Products, LifecycleStage, Ledger]
MakeLake = Callable[[], Lake]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def url(address: str) -> Iterator[str]:
    with database(address) as found:
        yield found


@pytest.fixture(params=["catalogue", "postgres"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    postgres = Postgres(request.getfixturevalue("url")) if request.param == "postgres" else None
    return Lake(tmp_path / "warehouse", TABLES, postgres=postgres)


def rows_of(contract: Contract, *rows: dict[str, object], shop: str = "a", as_of: dt.date = NIGHT) -> pl.DataFrame:
    blank = dict.fromkeys(contract.columns) | {"shop_id": shop, "as_of": as_of}
    return pl.DataFrame([blank | row for row in rows], schema=contract.polars_schema)


def products(*prices: float | None, shop: str = "a") -> pl.DataFrame:
    rows = [{"product_id": f"P{i}", "name": f"Ünïcode 'n' \"quotes\" {i}", "price": p} for i, p in enumerate(prices)]
    return rows_of(Products, *rows, shop=shop)


def stages(*names: str, as_of: dt.date = NIGHT) -> pl.DataFrame:
    rows = [
        {"customer_id": f"C{i}", "stage": name, "since": as_of, "previous_stage": None} for i, name in enumerate(names)
    ]
    frame = rows_of(LifecycleStage, *rows, as_of=as_of)
    return frame.with_columns(
        pl.lit(0).cast(frame.schema[name]).alias(name)
        for name, column in LifecycleStage.columns.items()
        if not column.nullable and frame[name].null_count()
    )


def seen(lake: Lake, contract: Contract, table: str = "") -> pl.DataFrame:
    found = lake.query(f"SELECT * FROM {contract.area}.{table or contract.table}")
    return contract.conform(found.lazy()).collect().sort(contract.primary_key)


def test_a_table_is_seen_as_it_was_written(lake: Lake) -> None:
    written = products(1.5, None, 1234567.8901)
    lake.write(Products, "a", NIGHT, written)
    assert seen(lake, Products).equals(written)
    assert lake.query("SELECT CAST(max(price) AS DECIMAL(18, 4)) AS top FROM raw.products")["top"].to_list() == [
        Decimal("1234567.8901")
    ]


def test_shops_are_replaced_apart_and_wholly(lake: Lake) -> None:
    lake.write(Products, "a", NIGHT, products(1, 2, 3))
    lake.write(Products, "b", NIGHT, products(4, shop="b"))
    lake.write(Products, "a", NIGHT, products(9))
    assert seen(lake, Products).select("shop_id", "price").rows() == [("a", Decimal(9)), ("b", Decimal(4))]
    lake.write(Products, "b", NIGHT, Products.empty())
    assert seen(lake, Products)["shop_id"].to_list() == ["a"]


def test_every_night_stands_in_the_history(lake: Lake) -> None:
    later = NIGHT + dt.timedelta(days=1)
    lake.write(LifecycleStage, "a", NIGHT, stages("new", "active"))
    lake.write(LifecycleStage, "a", later, stages("active", "active", as_of=later))
    lake.write(LifecycleStage, "a", later, stages("active", "lapsed", as_of=later))
    past = seen(lake, LifecycleStage, "lifecycle_stage_history")
    assert past.select("as_of", "stage").rows() == [
        (NIGHT, "new"),
        (NIGHT, "active"),
        (later, "active"),
        (later, "lapsed"),
    ]
    assert seen(lake, LifecycleStage)["stage"].to_list() == ["active", "lapsed"]


def ledger(*keys: str) -> pl.DataFrame:
    moment = dt.datetime(2024, 5, 1, 2, tzinfo=dt.UTC)
    known = {"event": "planned", "at": moment, "step": 1}
    rows = [known | {"idempotency_key": key} for key in keys]
    frame = rows_of(Ledger, *rows)
    lacking = [name for name, column in Ledger.columns.items() if not column.nullable and frame[name].null_count()]
    return frame.with_columns(pl.lit("email").alias(name) for name in lacking)


def test_lines_are_added_and_taken_out(lake: Lake) -> None:
    lake.append(Ledger, "a", NIGHT, ledger("k1", "k2"))
    lake.append(Ledger, "a", NIGHT, ledger("k3"))
    assert seen(lake, Ledger)["idempotency_key"].to_list() == ["k1", "k2", "k3"]
    lake.keep_rows(Ledger, "a", ledger("k2"))
    assert seen(lake, Ledger)["idempotency_key"].to_list() == ["k2"]


def test_a_restore_is_seen(lake: Lake, tmp_path: Path) -> None:
    lake.write(Products, "a", NIGHT, products(1))
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "data.parquet").hardlink_to(lake.path(Products, "a"))
    lake.write(Products, "a", NIGHT, products(2))
    lake.put_back(Products, "a", kept, slices=False)
    assert seen(lake, Products)["price"].to_list() == [Decimal(1)]


@pytest.mark.parametrize(
    "sql", ["DELETE FROM raw.products", "SELECT 1; DROP TABLE raw.products", "CREATE TABLE x (i INT)"]
)
def test_readers_cannot_write(lake: Lake, sql: str) -> None:
    lake.write(Products, "a", NIGHT, products(1))
    with pytest.raises(LifecycleError):
        lake.query(sql)
    assert seen(lake, Products).height == 1


# --- the database alone -----------------------------------------------------------------------------------------------


@pytest.fixture
def shown(url: str, tmp_path: Path) -> Lake:
    return Lake(tmp_path / "warehouse", TABLES, postgres=Postgres(url))


def test_tables_explain_themselves_and_have_keys(shown: Lake, url: str) -> None:
    shown.write(Costs, "a", NIGHT, Costs.empty())
    shown.write(LifecycleStage, "a", NIGHT, stages("new"))
    said = execute(url, "SELECT obj_description('features.lifecycle_stage'::regclass)")
    assert said == [(LifecycleStage.description,)]
    (column,) = execute(url, "SELECT col_description('features.lifecycle_stage_history'::regclass, 1)")
    assert column == (LifecycleStage.columns["shop_id"].description,)
    indexed = dict(execute(url, "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'lifecycle_stage'"))  # type: ignore[arg-type]
    assert any("UNIQUE" in text and "shop_id, as_of, customer_id" in text for text in indexed.values())
    assert any("(shop_id, customer_id)" in text for text in indexed.values())
    assert execute(url, "SELECT count(*) FROM pg_indexes WHERE tablename = 'costs'") == [(1,)]


def test_roles_see_what_they_may(shown: Lake, url: str) -> None:
    customer = {"customer_id": "C1", "email": "anna@example.org"}
    shown.write(Customers, "a", NIGHT, rows_of(Customers, customer))
    shown.write(LifecycleStage, "a", NIGHT, stages("new"))

    def asks(role: str, sql: str) -> list[tuple[object, ...]]:
        return execute(url, f"SET ROLE {role}", sql)

    assert asks("lifecycle_reader", "SELECT stage FROM features.lifecycle_stage") == [("new",)]
    assert asks("lifecycle_analyst", "SELECT customer_id FROM raw.customers") == [("C1",)]
    assert asks("lifecycle_operator", "SELECT email FROM raw.customers") == [("anna@example.org",)]
    for role, sql in (
        ("lifecycle_reader", "SELECT customer_id FROM raw.customers"),
        ("lifecycle_analyst", "SELECT email FROM raw.customers"),
        ("lifecycle_operator", "DELETE FROM raw.customers"),
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            asks(role, sql)


def test_what_is_shown_already_is_not_sent_again(shown: Lake, url: str) -> None:
    shown.write(Products, "a", NIGHT, products(1, 2))
    before = execute(url, "SELECT ctid::text, xmin::text FROM raw.products ORDER BY 1")
    shown.write(Products, "a", NIGHT, products(1, 2))
    Lake(shown.root, TABLES, postgres=Postgres(url)).refresh_all()
    assert execute(url, "SELECT ctid::text, xmin::text FROM raw.products ORDER BY 1") == before


def test_a_lost_connection_is_made_anew(shown: Lake, url: str) -> None:
    shown.write(Products, "a", NIGHT, products(1))
    name = url.partition("?")[0].rpartition("/")[2]
    others = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    assert execute(url, others) == [(True,)]
    shown.write(Products, "a", NIGHT, products(2))
    assert seen(shown, Products)["price"].to_list() == [Decimal(2)]


def test_a_database_that_is_away_catches_up(shown: Lake, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.write(Products, "a", NIGHT, products(1))
    monkeypatch.setenv("SECRET", "s3cr3t/?")
    away = Lake(shown.root, TABLES, postgres=Postgres("postgresql://me:${SECRET}@127.0.0.1:1/shop"))
    with pytest.raises(LifecycleError, match=r"127\.0\.0\.1:1/shop: the database cannot be used") as caught:
        away.write(Products, "a", NIGHT, products(2))
    assert "s3cr3t" not in str(caught.value)
    assert seen(shown, Products)["price"].to_list() == [Decimal(1)]
    assert away.scan(Products, "a").collect()["price"].to_list() == [Decimal(2)]
    shown.write(Products, "a", NIGHT, products(2))
    assert seen(shown, Products)["price"].to_list() == [Decimal(2)]


def test_a_reader_sees_the_old_rows_or_the_new(shown: Lake, url: str) -> None:
    few, many = products(*[1] * 2_000), products(*[2] * 5_000)
    shown.write(Products, "a", NIGHT, few)
    counts: set[tuple[object, ...]] = set()
    done = threading.Event()

    def read() -> None:
        with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            while not done.is_set():
                cursor.execute("SELECT count(*), count(DISTINCT price) FROM raw.products")
                counts.update(cursor.fetchall())

    reader = threading.Thread(target=read)
    reader.start()
    for frame in (many, few, many, few):
        shown.write(Products, "a", NIGHT, frame)
    done.set()
    reader.join()
    assert counts <= {(2_000, 1), (5_000, 1)} and len(counts) == 2


def test_a_mistake_in_a_query_is_not_taken_for_a_database_that_is_away(shown: Lake) -> None:
    shown.write(Products, "a", NIGHT, products(1))
    for sql in ("SHOW ALL TABLES", "SELECT * FROM raw.nowhere"):
        with pytest.raises(LifecycleError, match="the query failed: "):
            shown.query(sql)
    assert shown.query("SELECT count(*) AS n FROM raw.products")["n"].to_list() == [1]


def test_a_refused_row_leaves_the_table_as_it_was(shown: Lake, url: str) -> None:
    shown.write(Products, "a", NIGHT, products(1))
    execute(url, "ALTER TABLE raw.products ADD CHECK (price < 5)")
    with pytest.raises(LifecycleError, match="the database cannot be used"):
        shown.write(Products, "a", NIGHT, products(2, 3, 9))
    assert seen(shown, Products)["price"].to_list() == [Decimal(1)]


def test_a_table_of_an_earlier_release_is_made_anew_with_all_shops(shown: Lake, url: str) -> None:
    shown.write(Products, "a", NIGHT, products(1))
    shown.write(Products, "b", NIGHT, products(2, shop="b"))
    execute(url, "ALTER TABLE raw.products DROP COLUMN name", "UPDATE lifecycle.shapes SET shape = 'older'")
    again = Lake(shown.root, TABLES, postgres=Postgres(url))
    again.write(Products, "a", NIGHT, products(3))
    assert seen(again, Products).select("shop_id", "price").rows() == [("a", Decimal(3)), ("b", Decimal(2))]
    assert seen(again, Products)["name"].null_count() == 0


def test_older_slices_lack_newer_columns(shown: Lake) -> None:
    shown.write(LifecycleStage, "a", NIGHT, stages("new"))
    slice_ = shown.path(LifecycleStage, "a").parent / "history" / f"{NIGHT - dt.timedelta(days=9)}.parquet"
    optional = next(name for name, column in LifecycleStage.columns.items() if column.nullable)
    stages("active", as_of=NIGHT - dt.timedelta(days=9)).drop(optional).write_parquet(slice_)
    shown.refresh(LifecycleStage, "a")
    past = seen(shown, LifecycleStage, "lifecycle_stage_history")
    assert past["stage"].to_list() == ["active", "new"]


def test_a_zero_character_does_not_stop_the_night(shown: Lake) -> None:
    shown.write(Products, "a", NIGHT, products(1).with_columns(name=pl.lit("a\0b")))
    assert seen(shown, Products)["name"].to_list() == ["ab"]


def test_a_contract_under_another_name_is_another_table(shown: Lake, url: str) -> None:
    other = replace(Products, table="products_too")
    Lake(shown.root, [*TABLES, other], postgres=Postgres(url)).write(other, "a", NIGHT, products(1))
    assert execute(url, "SELECT count(*) FROM raw.products_too") == [(1,)]
