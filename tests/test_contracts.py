"""One declaration gives validation, DDL with comments, and refuses what breaks it."""

import datetime as dt

import dataframely as dy
import duckdb
import polars as pl
import pytest

from lifecycle_assets.contracts import AREAS, Contract, describe, money, registry, table
from lifecycle_assets.errors import ContractError
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.inputs.contracts import Costs, Products


def test_ddl_makes_the_table_with_types_keys_and_comments() -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute("CREATE SCHEMA raw")
        connection.execute(Products.ddl("duckdb"))
        columns = dict(
            connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'products'"
            ).fetchall()
        )
        assert list(columns) == list(Products.columns)
        assert columns["unit_cost"] == "What one unit costs the shop. [currency]"
        comment = connection.execute("SELECT comment FROM duckdb_tables() WHERE table_name = 'products'").fetchone()
        assert comment == ("The catalogue.",)
        row = ["s", "2024-01-01", "p", *([None] * (len(columns) - 3))]
        insert = f"INSERT INTO raw.products VALUES ({', '.join('?' * len(columns))})"
        connection.execute(insert, row)
        with pytest.raises(duckdb.ConstraintException):
            connection.execute(insert, row)


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_every_table_has_ddl(dialect: str) -> None:
    for contract in registry().values():
        text = contract.ddl(dialect)
        assert text.startswith("CREATE TABLE")
        assert text.count("COMMENT ON") == 1 + len(contract.columns)


def test_every_table_begins_with_shop_and_date_and_describes_every_column() -> None:
    tables = registry()
    assert {contract.area for contract in tables.values()} <= set(AREAS)
    for contract in tables.values():
        assert list(contract.columns)[:2] == ["shop_id", "as_of"], contract.name
        for column in contract.columns:
            assert contract.columns[column].description, f"{contract.name}.{column} is not described"


def test_conform_orders_casts_and_drops_but_never_invents_columns() -> None:
    frame = pl.LazyFrame(
        {"cost": [1], "surplus": ["x"], "date": [dt.date(2024, 1, 2)], "as_of": [dt.date(2024, 1, 3)], "shop_id": ["s"]}
    )
    with pytest.raises(ContractError, match=r"raw\.costs: column\(s\) cost_type missing"):
        Costs.conform(frame)
    whole = Costs.conform(frame.with_columns(cost_type=pl.lit(None))).collect()
    assert whole.schema == Costs.polars_schema
    assert whole.row(0) == ("s", dt.date(2024, 1, 3), dt.date(2024, 1, 2), 1.0, None)


def test_require_names_rule_and_count() -> None:
    row = {"shop_id": "s", "as_of": dt.date(2024, 1, 3), "date": dt.date(2024, 1, 2), "cost": None, "cost_type": None}
    frame = pl.DataFrame([row], schema=Costs.polars_schema)
    assert Costs.violations(frame) == {"cost|nullability": 1}
    with pytest.raises(ContractError, match=r"cost\|nullability \(1 rows\)"):
        Costs.require(frame)


def test_money_is_exact_and_described_with_its_unit() -> None:
    assert money("x").dtype == pl.Decimal(18, 4)
    assert describe(CustomerRfm, "recency_days").endswith("[days]")


def test_a_table_needs_an_area_and_a_description() -> None:
    with pytest.raises(ValueError, match="named area.table"):
        table("nowhere.x")(type("X", (dy.Schema,), {"__doc__": "x"}))
    with pytest.raises(ValueError, match="docstring"):
        table("raw.x")(type("X", (dy.Schema,), {}))
    assert all(isinstance(contract, Contract) for contract in registry().values())
