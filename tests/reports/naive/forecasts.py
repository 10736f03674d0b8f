"""The months ahead and what they are held against, added up row by row."""

import datetime as dt
from collections import Counter, defaultdict
from decimal import Decimal
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from lifecycle_assets.settings import Shop
from naive import Rows

Found = dict[str, Any]


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> Found:
    found: Found = {
        "forecasts.level.inner": 0.8,
        "forecasts.level.outer": 0.95,
        "forecasts.cold": 60,
        "forecasts.watched": len(rows["forecast_alerts"]),
        "forecasts.alerts": sum(row["is_alert"] for row in rows["forecast_alerts"]),
        "forecasts.alerts.days": 14,
    }
    for row in rows["forecast_alerts"]:
        found |= {f"forecasts.alert.{row['kind']}.{row['series']}.{name}": row[name] for name in ("actual", "expected")}
    sold = [row for row in rows["order_lines"] if row["status"] == "completed" and row["order_date"] <= as_of]
    shop = [(row["order_date"], row["amount"]) for row in sold]
    found |= series("forecasts.shop", rows["forecast_revenue"], "shop", shop, as_of)
    found |= proof("forecasts.shop", [row for row in rows["forecast_evaluation"] if row["kind"] == "revenue"], "shop")
    for name in {row["series"] for row in rows["forecast_revenue"] if row["series"].startswith("category:")}:
        own = [(row["order_date"], row["amount"]) for row in sold if f"category:{row.get('category')}" == name]
        found |= series(f"forecast.{name}", rows["forecast_revenue"], name, own, as_of)
    for name in {row["series"] for row in rows["forecast_units"]}:
        own = [
            (row["order_date"], Decimal(str(row["quantity"])))
            for row in sold
            if f"product:{row.get('product_id')}" == name
        ]
        found |= series(f"forecast.{name}", rows["forecast_units"], name, own, as_of)
    spent = [(row["date"], Decimal(str(row["cost"]))) for row in rows["costs"] if row["date"] <= as_of]
    found |= series("forecast.cost", rows["forecast_cost"], "total", spent, as_of)
    return found | days(rows) | race(rows)


def series(path: str, forecast: list[dict], name: str, came: list[tuple[dt.date, Decimal]], as_of: dt.date) -> Found:
    """Each period's total, the range of a single month, and the same months a year before."""
    ahead = sorted(
        (row for row in forecast if row["series"] == name and row["basis"] == "calendar"), key=lambda row: row["month"]
    )
    past: dict[dt.date, Decimal] = defaultdict(Decimal)
    for day, amount in came:
        past[day.replace(day=1)] += amount
    first = min((day for day, _ in came), default=None)
    found: Found = {f"{path}.history": (as_of - first).days + 1 if first else 0}
    full = [row for row in ahead if not row["is_partial"]]
    for row in ahead:
        if row["is_partial"]:
            so_far = past[row["month"]]
            found |= {f"{path}.running.month": row["month"], f"{path}.running.so_far": so_far}
            found |= {
                f"{path}.running{end}": row[column] + so_far
                for end, column in (("", "value"), ("/lo", "lo95"), ("/hi", "hi95"))
            }
    for period, months in (("next", 1), ("quarter", 3), ("year", 12)):
        these = full[:months]
        if not these:
            continue
        total = sum(row["value"] for row in these)
        here = f"{path}.{period}"
        found[here] = total
        if len(these) == 1:
            found |= {f"{here}/lo": these[0]["lo95"], f"{here}/hi": these[0]["hi95"]}
        found |= {f"{here}.months": len(these), f"{here}.first": these[0]["month"], f"{here}.last": these[-1]["month"]}
        earlier = [row["month"].replace(year=row["month"].year - 1) for row in these]
        if first is not None and first <= earlier[0]:
            before = sum(past[month] for month in earlier)
            found[f"{here}/year/value"] = before
            if found[f"{path}.history"] >= 2 * 365:
                found[f"{here}/year/change"] = float(total) / float(before) - 1
    return found


def proof(path: str, rows: list[dict], name: str) -> Found:
    used = [row for row in rows if row["series"] == name and row["chosen"]]
    whole = next((row for row in used if row["fold"] == 0), None)
    parts = [row for row in used if row["fold"] > 0]
    if whole is None or not parts:
        return {}
    found: Found = {
        f"{path}.flips": whole["flips"],
        f"{path}.proof.trials": len(parts),
        f"{path}.proof.mae": whole["mae"],
    }
    found |= {f"{path}.proof.days": whole["horizon_days"], f"{path}.proof.score": whole["score"]}
    found |= student(f"{path}.proof.inner", [row["coverage80"] for row in parts])
    found |= student(f"{path}.proof.outer", [row["coverage95"] for row in parts])
    others = {row["fold"]: row["mae"] for row in rows if row["series"] == name and row["candidate"] == "seasonal_naive"}
    if others:
        found[f"{path}.proof.naive"] = others[0]
        found |= student(f"{path}.proof.lead", [others[row["fold"]] - row["mae"] for row in parts])
    return found


def student(path: str, values: list[float]) -> Found:
    lo, hi = t.interval(0.95, len(values) - 1, fmean(values), stdev(values) / len(values) ** 0.5)
    return {path: fmean(values), f"{path}/lo": lo, f"{path}/hi": hi}


def days(rows: Rows) -> Found:
    ahead = [row for row in rows["forecast_daily"] if row["kind"] == "revenue" and row["series"] == "shop"]
    ahead = sorted(ahead, key=lambda row: row["date"])[:28]
    found: Found = {"forecast.days": len(ahead)}
    for name, best in (("highest", max), ("lowest", min)):
        if ahead:
            row = best(ahead, key=lambda row: row["value"])
            found |= {f"forecast.days.{name}": row["value"], f"forecast.days.{name}.date": row["date"]}
            found |= {f"forecast.days.{name}/lo": row["lo95"], f"forecast.days.{name}/hi": row["hi95"]}
    return found


def race(rows: Rows) -> Found:
    ours = [
        r for r in rows["forecast_evaluation"] if r["kind"] == "revenue" and r["series"] == "shop" and r["fold"] == 0
    ]
    why = Counter(row["skipped_reason"] for row in ours if row["skipped_reason"])
    late, beaten = why.pop("no time left in the budget", 0), why.pop("cannot win any more", 0)
    ran = sum(row["mae"] is not None for row in ours)
    counts = {"ran": ran, "late": late, "beaten": beaten, "unsuited": sum(why.values())}
    return {f"forecast.race.{name}": count for name, count in counts.items()}
