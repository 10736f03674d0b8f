"""Planted forecasts: the months of a shop's own past times a known factor, with ranges of known width, raced and watched."""

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import polars as pl
from report_frames import AS_OF

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import Costs, OrderLines, Products
from lifecycle_assets.models.forecast_alerts import DAYS, ForecastAlerts
from lifecycle_assets.models.forecast_cost import ForecastCost
from lifecycle_assets.models.forecast_daily import ForecastDaily
from lifecycle_assets.models.forecast_evaluation import ForecastEvaluation
from lifecycle_assets.models.forecast_race import CANNOT_WIN, NO_TIME
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_units import ForecastUnits

Frames = dict[str, pl.LazyFrame]
Months = dict[dt.date, Decimal]
# What is expected of each series, as a multiple of a year earlier; the shop's is what its parts come to.
FACTORS = {
    "rising": {"shop": "1.3", "category:tea": "1.6", "category:cups": "0.7", "product:p1": "1.5", "product:p2": "8"},
    "falling": {"shop": "0.7", "category:tea": "0.5", "product:p1": "0.5"},
}
HALF95, HALF80 = Decimal("0.1"), Decimal("0.06")
# Errors of the method in use and of last week's repetition on each stretch held back, and the shares inside the ranges.
RACES: dict[str, dict[str, Any]] = {
    "rising": {"own": (10, 11, 9, 10), "naive": (20, 22, 19, 21), "inside": (0.8, 0.82, 0.78, 0.8), "days": 91},
    "falling": {"own": (20, 21, 22, 20), "naive": (15, 16, 17, 15.5), "inside": (0.6, 0.62, 0.61, 0.6), "days": 28},
    "flat": {"own": (10, 12, 9, 11), "naive": (11, 10, 10, 12), "inside": (0.7, 0.9, 0.8, 0.8), "days": 56},
    "tiny": {"own": (5, 6, 4, 5), "naive": (), "inside": (0.7, 0.9, 0.8, 0.8), "days": 14},
}
ALERTS = {
    "rising": (
        ("revenue", "shop", 900.0, 700.0, "above"),
        ("units", "product:p1", 12.0, 30.5, "below"),
        ("cost", "cost_type:unknown", 50.0, 51.0, "both"),
    ),
    "falling": (("revenue", "category:other", 10.0, 70.0, "below"),),
}


def frames(case: str) -> Frames:
    """The forecasts of a case of cases.py, on its own order lines."""
    from cases import CASES

    lines = CASES[case]()["order_lines"].collect()
    # Where the shop sells by name: tea is product p1, cups p2, and some of both have no category.
    place = pl.int_range(pl.len()) % 5
    lines = lines.with_columns(
        category=pl.when(place < 3).then(pl.lit("tea")).when(place == 3).then(pl.lit("cups")),
        product_id=pl.when(place < 3).then(pl.lit("p1")).otherwise(pl.lit("p2")),
    )
    return {"order_lines": lines.lazy()} | forecasts(
        lines, case, months=12, with_costs=case in {"rising", "superseded"}
    )


def steady(days: int = 800, as_of: dt.date = AS_OF) -> pl.DataFrame:
    """Order lines of a shop that takes 100 a day with tea, 60 with cups and 20 with what has no category."""
    parts = (("tea", "p1", "100", 10.0), ("cups", "p2", "60", 4.0), (None, None, "20", 1.0))
    rows = [
        (as_of - dt.timedelta(days=ago), f"o{ago}", category, product, quantity, Decimal(amount), "completed")
        for ago in range(days)
        for category, product, amount, quantity in parts
    ]
    rows.append((as_of, "o-cancelled", "tea", "p1", 1.0, Decimal(9999), "cancelled"))
    names = ("order_date", "order_id", "category", "product_id", "quantity", "amount", "status")
    return pl.DataFrame(rows, {name: OrderLines.polars_schema[name] for name in names}, orient="row")


def forecasts(lines: pl.DataFrame, case: str, months: int, *, with_costs: bool, as_of: dt.date = AS_OF) -> Frames:
    """The forecast tables, which satisfy their contracts. Without lines there are none."""
    sold = lines.filter(status="completed").to_dicts()
    if not sold:
        return {}
    revenue = _months(sold, ("shop", _category), "amount", as_of)
    units = _months(sold, (_product,), "quantity", as_of)
    costs = [{"order_date": as_of - dt.timedelta(days=ago), "cost": Decimal("51.5")} for ago in range(800)]
    spent = _months(costs, ("total",), "cost", as_of) if with_costs else {}
    made = {
        "forecast_revenue": _table(ForecastRevenue, _ahead(revenue, case, months, as_of), as_of),
        "forecast_units": _table(ForecastUnits, _ahead(units, case, months, as_of), as_of),
        "forecast_cost": _table(ForecastCost, _ahead(spent, case, months, as_of), as_of),
        "forecast_daily": _table(ForecastDaily, _daily(as_of), as_of),
        "forecast_evaluation": _table(ForecastEvaluation, _race(case), as_of),
        "forecast_alerts": _table(ForecastAlerts, _alerts(case, as_of), as_of),
        "products": _table(Products, [{"product_id": "p1", "name": "Green tea 250 g"}, {"product_id": "p2"}], as_of),
    }
    if with_costs:
        made["costs"] = _table(Costs, [{"date": row["order_date"], "cost": float(row["cost"])} for row in costs], as_of)
    return {name: frame.lazy() for name, frame in made.items()}


def _category(line: Mapping[str, Any]) -> str:
    return f"category:{line['category'] or 'unknown'}"


def _product(line: Mapping[str, Any]) -> str | None:
    return f"product:{line['product_id']}" if line["product_id"] else None


def _months(
    rows: list[dict[str, Any]],
    keys: tuple[str | Callable[[Mapping[str, Any]], str | None], ...],
    column: str,
    as_of: dt.date,
) -> dict[str, Months]:
    found: dict[str, Months] = {}
    for row in rows:
        if row["order_date"] <= as_of:
            for key in keys:
                name = key if isinstance(key, str) else key(row)
                if name:
                    month = row["order_date"].replace(day=1)
                    of_series = found.setdefault(name, {})
                    of_series[month] = of_series.get(month, Decimal(0)) + Decimal(str(row[column]))
    return found


def _ahead(past: dict[str, Months], case: str, months: int, as_of: dt.date) -> list[dict[str, Any]]:
    """The rest of the running month, where there is any, and the full months after it."""
    tomorrow = as_of + dt.timedelta(days=1)
    rows = []
    for name, known in past.items():
        factor = Decimal(FACTORS.get(case, {}).get(name, "1.02"))
        month, full = tomorrow.replace(day=1), 0
        while full < months:
            partial = month <= as_of
            year_ago = known.get(month.replace(year=month.year - 1), sum(known.values(), Decimal(0)) / len(known))
            value = (factor * year_ago / (2 if partial else 1)).quantize(Decimal("0.01"))
            full += not partial
            row = {"series": name, "month": month, "is_partial": partial, **_bounds(value)}
            rows += [row | {"basis": basis} for basis in ("calendar", "business")]
            month = (month + dt.timedelta(days=31)).replace(day=1)
    return rows


def _bounds(value: Decimal) -> dict[str, Decimal]:
    return {
        "value": value,
        "lo80": value * (1 - HALF80),
        "hi80": value * (1 + HALF80),
        "lo95": value * (1 - HALF95),
        "hi95": value * (1 + HALF95),
    }


def _daily(as_of: dt.date) -> list[dict[str, Any]]:
    """Forty days, the twelfth of which is the highest and the fifth the lowest."""
    value = {12: Decimal(300), 5: Decimal(50)}
    return [
        {
            "kind": "revenue",
            "series": "shop",
            "date": as_of + dt.timedelta(days=day),
            **_bounds(value.get(day, Decimal(180))),
        }
        for day in range(1, 41)
    ]


def _race(case: str) -> list[dict[str, Any]]:
    """The contest of the shop's revenue: the method in use, last week's repetition, and those that took no part."""
    if case not in RACES:
        return []
    race = RACES[case]
    common = {"kind": "revenue", "series": "shop", "horizon_days": race["days"], "flips": 3 if case == "falling" else 0}
    rows = []
    for name, maes in (("ets", race["own"]), ("seasonal_naive", race["naive"])):
        chosen = name == "ets"
        inside = {"coverage80": race["inside"], "coverage95": [min(1.0, share + 0.15) for share in race["inside"]]}
        for fold, mae in enumerate(maes, start=1):
            shares = {column: values[fold - 1] for column, values in inside.items()}
            rows.append({"candidate": name, "fold": fold, "mae": float(mae), "chosen": chosen, **shares})
        if maes:
            shares = {column: sum(values) / len(values) for column, values in inside.items()}
            overall = {"mae": sum(maes) / len(maes), "score": 31.0 * sum(maes) / len(maes), "mape": 0.125}
            rows.append({"candidate": name, "fold": 0, "chosen": chosen, **overall, **shares})
    for name, why in (("prophet", NO_TIME), ("tbats", NO_TIME), ("arima", CANNOT_WIN), ("zero", "not for this series")):
        rows.append({"candidate": name, "fold": 0, "skipped_reason": why})
    return [common | row for row in rows]


def _alerts(case: str, as_of: dt.date) -> list[dict[str, Any]]:
    columns = ("kind", "series", "actual", "expected", "direction")
    calm = {
        "kind": "revenue",
        "series": "channel:web",
        "actual": 5.0,
        "expected": 5.0,
        "days_outside": 1,
        "is_alert": False,
    }
    rows = [
        dict(zip(columns, alert, strict=True)) | {"days_outside": DAYS, "is_alert": True}
        for alert in ALERTS.get(case, ())
    ]
    return [row | {"forecast_as_of": as_of - dt.timedelta(days=DAYS)} for row in [*rows, calm]] if case in RACES else []


def _table(contract: type, rows: list[dict[str, Any]], as_of: dt.date) -> pl.DataFrame:
    """The rows with the columns that no test looks at filled in."""
    table: Contract = contract  # type: ignore[assignment]
    fill = {"shop_id": "corner", "as_of": as_of, "trained_as_of": as_of, "seconds": 0.0, "days": 30, "flips": 0}
    words = {"best_algorithm": "ets", "algorithm": "ets", "interpretation": "not shown"}
    flags = {"is_structural_break": False, "chosen": False, "is_partial": False}
    known = {name: value for name, value in (fill | words | flags).items() if name in table.polars_schema}
    frame = pl.DataFrame([known | row for row in rows], schema=dict(table.polars_schema))
    table.require(frame)
    return frame
