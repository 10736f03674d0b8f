"""How many tables and columns a database has that was made by the contracts' own statements."""

import datetime as dt
from collections import Counter
from functools import cache
from typing import Any

import duckdb

from lifecycle_assets import definitions  # noqa: F401 - imports every contract
from lifecycle_assets.contracts import registry
from lifecycle_assets.settings import Shop
from naive import Rows


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    known = registry()
    columns = _columns()
    found: dict[str, Any] = {"as_of": as_of, "dictionary.tables": len(set(columns)), "dictionary.columns": len(columns)}
    for area, count in Counter(area for area, _ in columns).items():
        found[f"dictionary.{area}.columns"] = count
    for area, count in Counter(area for area, _ in set(columns)).items():
        found[f"dictionary.{area}.tables"] = count
    needy = {name for name, contract in known.items() if contract.needs}
    inputs = {name for name in needy if name in known[name].needs}
    found["dictionary.history.tables"] = len([name for name in known if known[name].history])
    return found | {"dictionary.optional.tables": len(inputs), "dictionary.dependent.tables": len(needy - inputs)}


@cache
def _columns() -> list[tuple[str, str]]:
    """Area and table of every column."""
    with duckdb.connect() as database:
        for area in {contract.area for contract in registry().values()}:
            database.execute(f"CREATE SCHEMA {area}")
        for contract in registry().values():
            database.execute(contract.ddl())
        return database.execute("SELECT table_schema, table_name FROM information_schema.columns").fetchall()
