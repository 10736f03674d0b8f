"""What a raw table held on a past day does not depend on anything that came after it."""

import datetime as dt

import polars as pl
import pytest

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs import contracts as raw
from lifecycle_assets.inputs.as_known import SINCE, as_known

DAY, ZONE = dt.date(2024, 5, 31), "America/New_York"
# Local midnight after DAY in UTC is 04:00.
LAST, NEXT = dt.datetime(2024, 6, 1, 3, 59, tzinfo=dt.UTC), dt.datetime(2024, 6, 1, 4, 0, tzinfo=dt.UTC)
TABLES = [table for table in vars(raw).values() if isinstance(table, Contract) and table.table in SINCE]


def row(contract: Contract, at: dt.datetime, later: dt.datetime | None, number: int) -> dict[str, object]:
    """A row of an event at a moment; every other moment is `later`."""
    filled: dict[str, object] = {}
    for name, dtype in contract.polars_schema.items():
        moment = at if name == SINCE[contract.table] else later
        if dtype == pl.Date:
            filled[name] = None if moment is None else moment.date() - dt.timedelta(days=moment < NEXT)
        elif isinstance(dtype, pl.Datetime):
            filled[name] = moment
        else:
            filled[name] = number if dtype.is_numeric() else None if dtype == pl.Boolean else f"{name}-{number}"
    return filled


def table(contract: Contract, *rows: dict[str, object]) -> pl.LazyFrame:
    return pl.DataFrame(rows, schema=dict(contract.polars_schema), strict=False).lazy()


@pytest.mark.parametrize("contract", TABLES, ids=lambda contract: contract.table)
def test_rows_of_later_events_were_not_there(contract: Contract) -> None:
    both = table(contract, row(contract, LAST, LAST, 1), row(contract, NEXT, NEXT, 2))
    then = as_known(contract, both, DAY, ZONE).collect()
    assert then.equals(as_known(contract, both.head(1), DAY, ZONE).collect())
    assert then.height == 1
    assert as_known(contract, both, DAY + dt.timedelta(days=1), ZONE).collect().height == 2


@pytest.mark.parametrize("contract", TABLES, ids=lambda contract: contract.table)
def test_what_happened_to_a_row_later_is_not_known(contract: Contract) -> None:
    happened = as_known(contract, table(contract, row(contract, LAST, NEXT, 1)), DAY, ZONE).collect()
    nothing = as_known(contract, table(contract, row(contract, LAST, None, 1)), DAY, ZONE).collect()
    moments = [name for name, dtype in contract.polars_schema.items() if isinstance(dtype, pl.Datetime)]
    nullable = [name for name in moments if contract.columns[name].nullable and name != SINCE[contract.table]]
    assert happened.select(nullable).equals(nothing.select(nullable))
    assert all(happened[name].null_count() == 1 for name in nullable)


def test_what_a_message_brought_later_is_not_known() -> None:
    sent = row(raw.Engagement, LAST, NEXT, 7)
    then = as_known(raw.Engagement, table(raw.Engagement, sent), DAY, ZONE).collect()
    assert then.select("order_id", "revenue", "converted_at").row(0) == (None, None, None)
    answered = {**sent, "converted_at": LAST}
    then = as_known(raw.Engagement, table(raw.Engagement, answered), DAY, ZONE).collect()
    assert then.select("order_id", "revenue").row(0) == ("order_id-7", 7.0)


def test_every_raw_table_with_an_event_is_cut_by_it() -> None:
    dated = {
        contract.table
        for contract in vars(raw).values()
        if isinstance(contract, Contract)
        and any((column.metadata or {}).get("event") for column in contract.columns.values())
    }
    assert dated <= set(SINCE)
