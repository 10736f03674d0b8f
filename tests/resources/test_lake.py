"""Tables are written whole or not at all; readers, from other processes too, see one night or the other."""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.errors import ContractError, LifecycleError
from lifecycle_assets.features.stage import LifecycleStage, lifecycle_stage
from lifecycle_assets.inputs.contracts import Costs, Products
from lifecycle_assets.settings import Stage
from lifecycle_assets.sql import Sql
from resources.engine.duckdb import DuckDBEngine
from resources.warehouse.lake import Lake

NIGHT = dt.date(2024, 5, 1)


def lake_at(path: Path) -> Lake:
    return Lake(path / "warehouse", [Costs, Products, LifecycleStage])


def costs(rows: int, cost: float = 1.0, shop: str = "a", as_of: dt.date = NIGHT) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "shop_id": [shop] * rows,
            "as_of": [as_of] * rows,
            "date": [as_of - dt.timedelta(days=i % 300) for i in range(rows)],
            "cost": np.full(rows, cost),
            "cost_type": [f"type {i}" for i in range(rows)],
        }
    )


def stages(rows: int) -> pl.DataFrame:
    orders = pl.LazyFrame(
        {
            "customer_id": [str(i) for i in range(rows)],
            "order_date": [NIGHT - dt.timedelta(days=i) for i in range(rows)],
            "is_purchase": [True] * rows,
        }
    )
    return lifecycle_stage(orders, "a", NIGHT, Stage())


def products(ids: list[str], shop: str = "a") -> pl.DataFrame:
    blank = dict.fromkeys(Products.columns)
    return pl.DataFrame(
        [{**blank, "shop_id": shop, "as_of": NIGHT, "product_id": i} for i in ids], schema=Products.polars_schema
    )


def test_what_was_never_written_is_empty_and_typed(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    assert lake.scan(Costs, "a").collect().schema == Costs.polars_schema
    lake.refresh_all()
    described = lake.catalogue.query("DESCRIBE raw.costs")
    assert described["column_name"].to_list() == list(Costs.columns)


def test_views_carry_the_contracts_comments_and_show_every_shop(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(3))
    lake.write(Costs, "b", NIGHT, costs(2, shop="b"))
    assert lake.catalogue.query("SELECT shop_id, count(*) AS n FROM raw.costs GROUP BY 1 ORDER BY 1").rows() == [
        ("a", 3), ("b", 2),
    ]  # fmt: skip
    comment = lake.catalogue.query(
        "SELECT comment FROM duckdb_columns() WHERE table_name = 'costs' AND column_name = 'cost'"
    )
    assert comment.item() == "Cost of the day. [currency]"


def test_the_same_table_again_changes_nothing(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    first = lake.write(Costs, "a", NIGHT, costs(1000))
    before = {
        p: p.stat().st_mtime_ns for p in (tmp_path / "warehouse").rglob("*") if p.is_file() and ".locks" not in p.parts
    }
    second = lake.write(Costs, "a", NIGHT, costs(1000))
    after = {
        p: p.stat().st_mtime_ns for p in (tmp_path / "warehouse").rglob("*") if p.is_file() and ".locks" not in p.parts
    }
    assert (first.changed, second.changed) == (True, False)
    assert before == after


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (costs(2).with_columns(cost=pl.lit(None, pl.Float64)), "nullability"),
        (costs(2).drop("cost_type"), "cost_type missing"),
        (costs(2, shop="b"), "another shop"),
    ],
)
def test_a_bad_table_never_replaces_a_good_one(tmp_path: Path, bad: pl.DataFrame, message: str) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(5))
    with pytest.raises(ContractError, match=message):
        lake.write(Costs, "a", NIGHT, bad)
    assert lake.scan(Costs, "a").collect().height == 5
    assert not list((tmp_path / "warehouse" / ".work").iterdir())


def test_a_table_of_an_older_version_says_how_to_make_it_anew(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(2))
    costs(2).drop("cost_type").write_parquet(lake.path(Costs, "a"))
    with pytest.raises(ContractError, match=r"without cost_type\. .*lifecycle run --shop a --select \+raw/costs"):
        lake.scan(Costs, "a")


def test_a_check_finds_a_file_that_another_hand_has_changed_since_it_was_published(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(5))
    assert lake.check(Costs, "a") == lake_at(tmp_path).check(Costs, "a") == 5
    costs(7).write_parquet(lake.path(Costs, "a"))
    assert lake.check(Costs, "a") == 7
    costs(2, shop="b").write_parquet(lake.path(Costs, "a"))
    with pytest.raises(ContractError, match="another shop"):
        lake.check(Costs, "a")


def test_a_key_twice_is_refused_also_beyond_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.warehouse.lake.VALIDATION_ROWS", 4)
    lake = lake_at(tmp_path)
    lake.write(Products, "a", NIGHT, products([str(i) for i in range(10)]))
    with pytest.raises(ContractError, match="1 of 11 rows repeat the key"):
        lake.write(Products, "a", NIGHT, products([*(str(i) for i in range(10)), "0"]))
    assert lake.scan(Products, "a").collect().height == 10


def test_history_keeps_a_slice_per_night(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    sample = stages(3)
    for offset in (0, 1, 0):
        night = NIGHT + dt.timedelta(days=offset)
        lake.write(LifecycleStage, "a", night, sample.with_columns(as_of=pl.lit(night)))
    assert lake.nights(LifecycleStage, "a") == [NIGHT, NIGHT + dt.timedelta(days=1)]
    current = lake.catalogue.query("SELECT DISTINCT as_of FROM features.lifecycle_stage")
    assert current["as_of"].to_list() == [NIGHT]
    both = lake.catalogue.query(
        "SELECT as_of, count(*) AS n FROM features.lifecycle_stage_history GROUP BY 1 ORDER BY 1"
    )
    assert both["n"].to_list() == [3, 3]


def test_the_night_before_is_the_latest_one_that_left_a_slice(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    days = [NIGHT, NIGHT + dt.timedelta(days=3), NIGHT + dt.timedelta(days=4)]
    for night in days:
        lake.write(LifecycleStage, "a", night, stages(3).with_columns(as_of=pl.lit(night)))
    assert lake.scan_before(LifecycleStage, "a", days[0]) is None
    assert lake.scan_before(LifecycleStage, "b", days[2]) is None
    for night, before in ((days[1], days[0]), (days[2], days[1]), (days[2] + dt.timedelta(days=9), days[2])):
        found = lake.scan_before(LifecycleStage, "a", night)
        assert found is not None
        assert found.collect()["as_of"].unique().to_list() == [before]


def test_superseded_versions_go_only_after_their_time(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    for cost in (1.0, 2.0, 3.0):
        lake.write(Costs, "a", NIGHT, costs(5, cost))
    versions = tmp_path / "warehouse/.versions/raw/costs/a"
    assert len(list(versions.glob("*.parquet"))) == 3
    lake.keep_versions = dt.timedelta(seconds=-5)
    lake.write(Costs, "a", NIGHT, costs(5, 4.0))
    assert len(list(versions.glob("*.parquet"))) == 1
    assert lake.catalogue.query("SELECT max(cost) AS cost FROM raw.costs").item() == 4.0


def test_a_catalogue_that_missed_a_publication_is_mended_by_the_next_run(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(5, 1.0))
    stale = (tmp_path / "warehouse/lifecycle.duckdb").read_bytes()
    lake.write(Costs, "a", NIGHT, costs(5, 2.0))
    (tmp_path / "warehouse/lifecycle.duckdb").write_bytes(stale)  # as after a kill between the two renames
    lake.write(Costs, "a", NIGHT, costs(5, 2.0))
    assert lake.catalogue.query("SELECT max(cost) AS cost FROM raw.costs").item() == 2.0


FRESH_READER = """
import duckdb, json, sys, time
path, until, reads, nights = sys.argv[1], float(sys.argv[2]), 0, set()
print("ready", flush=True)
while time.time() < until:
    with duckdb.connect(path, read_only=True) as connection:
        low, high, rows, kinds = connection.execute(
            "SELECT min(cost), max(cost), count(*), count(DISTINCT cost_type) FROM raw.costs").fetchone()
    assert low == high and rows == kinds == 20_000 + low, (low, high, rows, kinds)
    nights.add(low)
    reads += 1
print(json.dumps({"reads": reads, "nights": len(nights)}), flush=True)
"""

# A connection that stays open goes on reading the night it began with, whole.
HELD_READER = """
import duckdb, json, sys, time
path, until, reads = sys.argv[1], float(sys.argv[2]), 0
connection = duckdb.connect(path, read_only=True)
query = "SELECT min(cost), max(cost), count(*) FROM raw.costs"
first = connection.execute(query).fetchone()
print("ready", flush=True)
while time.time() < until:
    assert connection.execute(query).fetchone() == first
    reads += 1
print(json.dumps({"reads": reads, "nights": 1}), flush=True)
"""


def test_readers_in_other_processes_see_whole_nights_while_a_writer_replaces_them(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(20_000, 0.0))
    until = time.time() + 6
    database = str(tmp_path / "warehouse" / "lifecycle.duckdb")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", program, database, str(until)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for program in (FRESH_READER, HELD_READER)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() == "ready"
    night = 0
    while time.time() < until:
        night += 1
        lake.write(Costs, "a", NIGHT, costs(20_000 + night, float(night)))
    told = []
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        told.append(json.loads(out))
    assert night > 3
    assert told[0]["reads"] > 3
    assert told[0]["nights"] > 1
    assert told[1]["reads"] > 3


def ledger_lines(rows: int) -> pl.DataFrame:
    values = {
        "shop_id": "a",
        "as_of": NIGHT,
        "batch_id": "b",
        "event": "planned",
        "at": dt.datetime(2024, 5, 2, tzinfo=dt.UTC),
        "customer_id": "c",
        "channel": "email",
        "programme": "winback",
        "step": 1,
        "offer_id": None,
        "actor": "nightly run",
        "run": "a@2024-05-01",
        "detail": None,
    }
    return pl.DataFrame(
        [{**values, "idempotency_key": f"{rows}-{i}"} for i in range(rows)], schema=Ledger.polars_schema
    )


def test_what_a_killed_run_left_half_written_is_never_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse", [Costs, Ledger])
    lake.append(Ledger, "a", NIGHT, ledger_lines(2))
    lake.write(Costs, "a", NIGHT, costs(3))
    with lake.staging(Ledger, "a") as staged:
        staged.write_bytes(b"PAR1 and then the power went")
        lake.append(Ledger, "a", NIGHT, ledger_lines(3))
        assert lake.scan(Ledger, "a").collect().height == 5
        assert lake.catalogue.query("SELECT count(*) AS n FROM dispatch.ledger").item() == 5
    with lake.staging(Costs, "a") as staged:
        staged.write_bytes(b"half")
        assert lake.catalogue.query("SELECT count(*) AS n FROM raw.costs").item() == 3
    assert not list((tmp_path / "warehouse" / ".work").iterdir())


def test_what_killed_runs_left_goes_after_a_day(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(3))
    work = tmp_path / "warehouse" / ".work"
    for name, age in (("old.parquet", 90_000), ("young.parquet", 60)):
        (work / name).touch()
        os.utime(work / name, (time.time() - age, time.time() - age))
    lake.write(Costs, "a", NIGHT, costs(4))
    assert [path.name for path in work.iterdir()] == ["young.parquet"]


@pytest.mark.parametrize("damage", [b"", b"not a database", b"x" * 20_000])
def test_a_damaged_catalogue_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(3))
    lake.write(Products, "a", NIGHT, products(["p"]))
    lake.catalogue.path.write_bytes(damage)
    lake.refresh_all()
    assert lake.catalogue.query("SELECT count(*) AS n FROM raw.costs, raw.products").item() == 3


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from test_lake import *
lake = lake_at(Path(sys.argv[1]))
night = int(sys.argv[2])
while True:
    night += 1
    lake.write(Costs, "a", NIGHT, costs(3000 + night, float(night)))
"""


def test_kill_at_any_moment_leaves_a_whole_table(tmp_path: Path) -> None:
    lake = lake_at(tmp_path)
    lake.write(Costs, "a", NIGHT, costs(3000, 0.0))
    rng = np.random.default_rng(7)
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for attempt in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(1000 * attempt), here], env=environment
        )
        deadline = time.time() + 30
        start = lake.path(Costs, "a").stat().st_ino
        while lake.path(Costs, "a").stat().st_ino == start and time.time() < deadline:
            time.sleep(0.01)
        time.sleep(float(rng.random()) * 0.3)
        writer.kill()
        writer.wait()
        for frame in (lake.scan(Costs, "a").collect(), lake.catalogue.query("SELECT * FROM raw.costs")):
            assert frame["cost"].n_unique() == 1
            assert frame.height == 3000 + frame["cost"][0]
    lake.write(Costs, "a", NIGHT, costs(10, 5.0))
    assert lake.catalogue.query("SELECT count(*) AS n FROM raw.costs").item() == 10


@pytest.mark.parametrize("shop", ["", "../x", "a/b", ".hidden", "_all", "a*"])
def test_a_shop_id_cannot_leave_its_folder(tmp_path: Path, shop: str) -> None:
    with pytest.raises(LifecycleError, match="not a shop id"):
        lake_at(tmp_path).path(Costs, shop)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'x.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "ATTACH '/tmp/other.duckdb'",
        "DROP VIEW raw.costs",
        "SET threads = 1",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{warehouse}/x.parquet' (FORMAT parquet, USE_TMP_FILE false)",
        "SELEC 1",
    ],
)
def test_queries_read_the_tables_and_nothing_else(tmp_path: Path, sql: str) -> None:
    lake = lake_at(tmp_path)
    lake.refresh_all()
    with pytest.raises(LifecycleError):
        lake.catalogue.query(sql.format(warehouse=tmp_path / "warehouse"))
    assert not (tmp_path / "warehouse" / "x.parquet").exists()


def test_the_engine_spills_instead_of_growing(tmp_path: Path) -> None:
    rows = 3_000_000
    source = tmp_path / "costs.parquet"
    duckdb.sql(
        f"SELECT 'a' AS shop_id, DATE '2024-05-01' AS as_of, DATE '2024-01-01' AS date, 1.5 AS cost, "
        f"md5(i::VARCHAR) || md5((i + 1)::VARCHAR) AS cost_type FROM range({rows}) t(i)"
    ).write_parquet(str(source))
    sql = Sql(
        "SELECT shop_id, as_of, date, SUM(CAST(cost AS DECIMAL(18, 4))) AS cost, cost_type "
        "FROM raw.costs GROUP BY shop_id, as_of, date, cost_type"
    )
    target = tmp_path / "out.parquet"
    DuckDBEngine(memory_limit="300MB", threads=2).run(sql, {"raw.costs": [source]}, Costs, target)
    out = pl.scan_parquet(target).select(pl.len(), pl.col("cost").sum()).collect()
    assert out.row(0) == (rows, 1.5 * rows)
    assert not list(tmp_path.glob(".spill-*"))


def test_every_contract_can_stand_in_the_catalogue(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse", list(registry().values()))
    lake.refresh_all()
    shown = lake.catalogue.query("SHOW ALL TABLES")
    names = {f"{row['schema']}.{row['name']}" for row in shown.to_dicts()}
    assert set(registry()) <= names
