"""What Dagster's event log keeps of a table holds nothing personal."""

import datetime as dt
from pathlib import Path

import polars as pl

from lifecycle_assets.inputs.contracts import Costs, Customers
from resources.io_manager import preview


def test_personal_values_are_masked_and_ids_are_not(tmp_path: Path) -> None:
    row = dict.fromkeys(Customers.columns) | {
        "shop_id": "s",
        "as_of": dt.date(2024, 5, 1),
        "customer_id": "c-17",
        "email": "ana@example.org",
        "birth_date": dt.date(1980, 2, 3),
        "country": "E|S",
    }
    path = tmp_path / "customers.parquet"
    pl.DataFrame([row], schema=Customers.polars_schema).write_parquet(path)
    shown = preview(Customers, path)
    assert "ana@example.org" not in shown
    assert "1980" not in shown
    assert "c-17" in shown
    assert "E\\|S" in shown  # a bar in a value does not open a new cell
    assert shown.splitlines()[2].count("***") == 2


def test_an_empty_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "costs.parquet"
    Costs.empty().write_parquet(path)
    assert preview(Costs, path) == "no rows"
