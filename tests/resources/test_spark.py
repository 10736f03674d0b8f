"""A real Spark cluster of two workers gives the tables that DuckDB gives: decimals to the last digit, floats to 1e-9."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from made_shop import AS_OF, SHOP, ZONE, Tables, lines, roll_up, run
from polars.testing import assert_frame_equal
from spark_cluster import cluster
from test_behaviour import raw
from test_profiles import ONE_PERSON, with_scores
from test_sql_dialects import STATEMENTS

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch.assignments import Assignments, assignments
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.identity_ids import IdentityIds
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.inputs.contracts import OrderLines, SurveyResponses
from lifecycle_assets.settings import Customer, Experiment
from lifecycle_assets.sql import Sql
from resources.engine.duckdb import DuckDBEngine
from resources.engine.spark import SparkEngine

QUESTION = "How 'likely' are you\\we to recommend ${spark.master}?"


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkEngine]:
    with cluster() as engine:
        yield engine


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """Raw tables with what engines may see differently, and DuckDB's roll-ups of them."""
    given = {**raw(8), IdentityMap.name: ONE_PERSON}
    # In UTF-16 the second comes before the third, in UTF-8 after it.
    spelt = pl.col("category").replace({"a": "é", "b": "😀", "c": "Ａ"})
    at = pl.col("line_no")
    given[OrderLines.name] = given[OrderLines.name].with_columns(
        spelt,
        quantity=pl.when(at % 3 == 0).then(3.0).otherwise("quantity"),
        unit_cost=pl.when(at % 3 == 0).then(0.33335).otherwise("unit_cost"),
    )
    asked = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit(QUESTION))
    given[SurveyResponses.name] = given[SurveyResponses.name].with_columns(question=asked)
    made = with_scores(roll_up(given, settings=Customer(window_months=18)))
    for contract, sql in STATEMENTS[3:]:
        made[contract.name] = run(sql, contract, made)
    return made


def same(engine: SparkEngine, sql: Sql, contract: Contract, tables: Tables) -> pl.DataFrame:
    """Spark's table, which is DuckDB's."""
    made, wanted = run(sql, contract, tables, engine), run(sql, contract, tables)
    assert_frame_equal(made, wanted, check_exact=False, abs_tol=1e-9, rel_tol=1e-9)
    exact = pl.selectors.exclude(pl.selectors.float())
    assert_frame_equal(made.select(exact), wanted.select(exact), check_exact=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "sql"), STATEMENTS, ids=lambda value: getattr(value, "name", ""))
def test_every_roll_up_is_duckdbs(
    spark: SparkEngine, tables: dict[str, pl.DataFrame], contract: Contract, sql: Sql
) -> None:
    assert same(spark, sql, contract, tables).height > 15


@pytest.mark.slow
@pytest.mark.parametrize(("contract", "sql"), STATEMENTS, ids=lambda value: getattr(value, "name", ""))
def test_a_shop_without_rows_gives_typed_tables_without_rows(spark: SparkEngine, contract: Contract, sql: Sql) -> None:
    assert same(spark, sql, contract, {}).is_empty()


@pytest.mark.slow
def test_words_of_people_stay_what_they_are(spark: SparkEngine, tables: dict[str, pl.DataFrame]) -> None:
    asked = customer_behaviour(SHOP, AS_OF, ZONE, nps_question=QUESTION)
    assert same(spark, asked, CustomerBehaviour, tables)["latest_nps"].null_count() < tables[CustomerOrders.name].height
    customers = tables[CustomerFeatures.name]
    experiments = {
        name: Experiment(salt=salt, variants={"a": 0.5, "b": 0.5})
        for name, salt in {"winback": "it's \\n", "welcome": "${spark.master}", "upsell": 'é\n"--', "plain": ""}.items()
    }
    assert same(spark, assignments(experiments), Assignments, {CustomerFeatures.name: customers}).height > 15


@pytest.mark.slow
def test_doubles_become_decimals_by_duckdbs_rounding(spark: SparkEngine) -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    cost = np.concatenate([rng.integers(0, 10**7, n // 2) / 1e5, np.round(rng.random(n // 2) * 9000, 4)])
    given = lines(1, n).with_columns(
        order_id=pl.format("O{}", "line_no"),
        customer_id=pl.lit("C1"),
        product_id=pl.lit(None, pl.String),
        quantity=pl.Series(rng.integers(-4000, 4000, n) * 0.5),
        discount_amount=pl.Series(rng.integers(0, 10**7, n) / 1e5),
        unit_cost=pl.Series(cost),
        status=pl.lit("completed"),
        order_date=pl.lit(AS_OF),
    )
    tables = {OrderLines.name: given}
    assert same(spark, orders(SHOP, AS_OF), Orders, tables).height == n


@pytest.mark.slow
def test_tables_of_several_files_of_two_releases_in_a_folder_with_an_awkward_name(
    spark: SparkEngine, tables: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    folder = tmp_path / "a [b] {c,d} *? %20 ü"
    folder.mkdir()
    sql = orders(SHOP, AS_OF)
    sources = {name: [folder / f"{name}.parquet"] for name in sql.tables()}
    for name, files in sources.items():
        tables[name].write_parquet(files[0])
    older = folder / "older.parquet"
    late = tables[OrderLines.name].with_columns(order_id=pl.format("late {}", "order_id"))
    late.drop("country", "unit_cost").write_parquet(older)
    sources[OrderLines.name].append(older)
    for name, engine in (("spark", spark), ("again", spark), ("duckdb", spark.finisher)):
        engine.run(sql, sources, Orders, folder / f"{name}.made")
    assert (folder / "spark.made").read_bytes() == (folder / "again.made").read_bytes()
    made = pl.read_parquet(folder / "spark.made", glob=False)
    assert_frame_equal(made, pl.read_parquet(folder / "duckdb.made", glob=False), check_exact=True)
    assert made.height == 2 * tables[Orders.name].height
    assert not list(folder.glob(".s*"))


@pytest.mark.slow
def test_a_night_with_the_engine_spark_leaves_the_tables_that_duckdbs_leaves(
    spark: SparkEngine, tables: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    spark.close()
    (tmp_path / "input").mkdir()
    given = tables[OrderLines.name].drop("shop_id", "as_of", "line_no", "order_date", "amount", "currency")
    given.write_csv(tmp_path / "input" / "order_lines.csv")
    night = [
        "--shop",
        "made",
        "--as-of",
        str(AS_OF),
        "--select",
        "+features/customer_behaviour",
    ]
    for engine in ("duckdb", "spark"):
        home = tmp_path / engine
        (home / "shops").mkdir(parents=True)
        shop = {"name": "Made", "timezone": ZONE, "currency": "USD", "country": "US", "input": str(tmp_path / "input")}
        (home / "shops" / "made.yaml").write_text("\n".join(f"{key}: {value}" for key, value in shop.items()))
        (home / "lifecycle.yaml").write_text(f"engine: {engine}\nspark_master: local[2]\n")
        program = [sys.executable, "-m", "lifecycle_assets.cli", "run", "--home", str(home), *night]
        subprocess.run(program, check=True, capture_output=True)
    for contract in (Orders, CustomerOrders, CustomerBehaviour, IdentityIds):
        file = Path("warehouse") / contract.area / contract.table / "made" / "data.parquet"
        made = pl.read_parquet(tmp_path / "spark" / file)
        assert made.height > 15
        assert_frame_equal(made, pl.read_parquet(tmp_path / "duckdb" / file), check_exact=True)


def test_what_is_not_installed_is_said_in_plain_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = SparkEngine("local[1]", DuckDBEngine())
    with monkeypatch.context() as patch, pytest.raises(SettingsError, match=r"pip install 'lifecycle_assets\[spark\]'"):
        patch.setitem(sys.modules, "pyspark.errors", None)
        engine.run(orders(SHOP, AS_OF), {}, Orders, tmp_path / "made")
    pytest.importorskip("pyspark")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="there is no Java"):
        engine.run(orders(SHOP, AS_OF), {}, Orders, tmp_path / "made")
