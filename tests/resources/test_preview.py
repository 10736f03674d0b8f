"""What Dagster's event log keeps of a table holds nothing personal."""

import datetime as dt

import polars as pl

from lifecycle_assets.inputs.contracts import Costs, Customers
from resources.io_manager import preview


def test_personal_values_are_masked_and_ids_are_not() -> None:
    row = dict.fromkeys(Customers.columns) | {
        "shop_id": "s",
        "as_of": dt.date(2024, 5, 1),
        "customer_id": "c-17",
        "email": "ana@example.org",
        "birth_date": dt.date(1980, 2, 3),
        "country": "E|S",
    }
    shown = preview(Customers, pl.LazyFrame([row], schema=Customers.polars_schema))
    assert "ana@example.org" not in shown
    assert "1980" not in shown
    assert "c-17" in shown
    assert "E\\|S" in shown  # a bar in a value does not open a new cell
    assert shown.splitlines()[2].count("***") == 2


def test_an_empty_table_says_so() -> None:
    assert preview(Costs, Costs.empty().lazy()) == "no rows"
