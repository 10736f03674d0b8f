"""The numbers of the reports once more, row by row in plain Python: one module a topic, each with
`naive(rows, as_of, settings)`, `rows` by the tables' short names. Values by fact path, bounds and comparisons included."""

import datetime as dt
import importlib
import pkgutil
from typing import Any

from lifecycle_assets.settings import Shop

Rows = dict[str, list[dict[str, Any]]]


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    """All topics together."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(__path__):
        found |= importlib.import_module(f"naive.{module.name}").naive(rows, as_of, settings)
    return found


def share(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole and whole > 0 else None
