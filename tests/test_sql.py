"""Parameters are bound as literals of the parsed statement, never as text."""

import datetime as dt

import duckdb
import pytest

from lifecycle_assets.sql import Sql


def test_parameters_cannot_change_the_statement() -> None:
    wicked = "x' OR 1=1; DROP TABLE t; --"
    sql = Sql("SELECT 1 AS one, :name AS name, :day AS day, :n + 1 AS n, :nothing AS nothing", {
        "name": wicked, "day": dt.date(2024, 2, 29), "n": 2, "nothing": None,
    })  # fmt: skip
    for dialect in ("duckdb", "postgres", "spark"):
        assert "2024-02-29" in sql.to(dialect)
    assert duckdb.sql(sql.to("duckdb")).fetchall() == [(1, wicked, dt.date(2024, 2, 29), 3, None)]


def test_a_parameter_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match="as_of"):
        Sql("SELECT 1 AS one, :as_of AS as_of").parsed()


def test_tables_are_those_of_an_area_not_the_common_table_expressions() -> None:
    sql = Sql("WITH a AS (SELECT * FROM raw.products) SELECT * FROM a JOIN features.orders ON true")
    assert sql.tables() == ["features.orders", "raw.products"]
