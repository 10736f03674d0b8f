"""Sales: windows, comparisons with their intervals, the reasons, the weeks."""

import datetime as dt
import math
from collections import defaultdict
from decimal import Decimal
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows

POWERS = {
    "revenue": {"revenue": 1},
    "orders": {"orders": 1},
    "buyers": {"buyers": 1},
    "ticket": {"revenue": 1, "orders": -1},
    "frequency": {"orders": 1, "buyers": -1},
}


class Window:
    """What each customer spent and ordered on the days of a window."""

    def __init__(self, rows: Rows, as_of: dt.date, days: int, shift: int) -> None:
        last = as_of - dt.timedelta(days=shift)
        self.days = {last - dt.timedelta(days=back) for back in range(days)}
        self.of: dict[str, dict[str, Any]] = defaultdict(lambda: {"revenue": Decimal(0), "orders": 0, "buyers": 0})
        for row in rows["order_lines"]:
            if row["status"] == "completed" and row["customer_id"] and row["order_date"] in self.days:
                self.of[row["customer_id"]]["revenue"] += row["amount"]
        for row in rows["orders"]:
            if row["is_purchase"] and row["order_date"] in self.days:
                self.of[row["customer_id"]]["orders"] += 1
                self.of[row["customer_id"]]["buyers"] = 1

    def sum(self, name: str) -> Any:
        return sum(customer[name] for customer in self.of.values())

    def figure(self, name: str) -> Any:
        above, *below = POWERS[name]
        if not below:
            return self.sum(above)
        return self.sum(above) / self.sum(below[0]) if self.sum(below[0]) else None


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    completed = [r for r in rows["order_lines"] if r["status"] == "completed" and r["order_date"] <= as_of]
    dates = [r["order_date"] for r in completed]
    first, last = min(dates, default=None), max(dates, default=None)
    found: dict[str, Any] = {"as_of": as_of, "data.first": first, "data.last": last}
    found["data.age"] = (as_of - last).days if last else None
    found |= {"method.confidence": 0.95, "method.few": 10}
    found |= {"period.short": 30, "period.long": 90, "period.year": 364, "period.weeks": 52}
    for days in (30, 90):
        now = Window(rows, as_of, days, 0)
        found |= {f"sales.{days}d.{name}": now.figure(name) for name in POWERS}
        for other, shift in (("before", days), ("year", 364)):
            then = Window(rows, as_of, days, shift)
            if first and first <= min(then.days):
                for name in POWERS:
                    prefix = f"sales.{days}d.{name}/{other}"
                    found |= {f"{prefix}/{part}": value for part, value in _compared(now, then, name).items()}
        guests = [r for r in completed if r["customer_id"] is None and r["order_date"] in now.days]
        found[f"sales.{days}d.guest_revenue"] = sum((r["amount"] for r in guests), Decimal(0))
        found[f"sales.{days}d.guest_orders"] = len({r["order_id"] for r in guests if r["quantity"] > 0})
    return found | _why(Window(rows, as_of, 30, 0), Window(rows, as_of, 30, 30)) | _weeks(completed, as_of)


def _compared(now: Window, then: Window, name: str) -> dict[str, Any]:
    new, old = now.figure(name), then.figure(name)
    found: dict[str, Any] = {"value": old, "difference": None if None in (new, old) else new - old}
    sums = [window.sum(column) for window in (now, then) for column in POWERS[name]]
    if min(sums) <= 0 or min(now.sum("buyers"), then.sum("buyers")) < 10:
        return found
    change = math.log(float(new) / float(old))
    variance = 0.0
    for customer in now.of.keys() | then.of.keys():
        part = 0.0
        for window, sign in ((now, 1), (then, -1)):
            for column, power in POWERS[name].items():
                if customer in window.of:
                    part += sign * power * float(window.of[customer][column]) / float(window.sum(column))
        variance += part * part
    reach = 1.959964 * math.sqrt(variance)
    return found | {
        "change": math.exp(change) - 1,
        "lo": math.exp(change - reach) - 1,
        "hi": math.exp(change + reach) - 1,
    }


def _why(now: Window, then: Window) -> dict[str, Any]:
    names = ("buyers", "frequency", "ticket")
    if min(window.sum(name) for window in (now, then) for name in ("buyers", "orders", "revenue")) <= 0:
        return {f"why.{name}": None for name in names}
    new, old = float(now.sum("revenue")), float(then.sum("revenue"))
    mean = (new - old) / math.log(new / old)
    return {f"why.{name}": mean * math.log(float(now.figure(name)) / float(then.figure(name))) for name in names}


def _weeks(completed: list[dict[str, Any]], as_of: dt.date) -> dict[str, Any]:
    """Only weeks that the data covers whole; this one in any case."""
    within = [row for row in completed if (as_of - row["order_date"]).days < 7 * 52]
    if not within:
        return {}
    reach = max((as_of - row["order_date"]).days for row in within) + 1
    weeks = {as_of - dt.timedelta(days=7 * back): Decimal(0) for back in range(max(1, reach // 7))}
    for row in within:
        week = as_of - dt.timedelta(days=(as_of - row["order_date"]).days // 7 * 7)
        if row["customer_id"] and week in weeks:
            weeks[week] += row["amount"]
    found = {"weekly.latest": weeks[as_of], "weekly.latest.week": as_of}
    for name, pick in (("highest", max), ("lowest", min)):
        found[f"weekly.{name}"] = pick(weeks.values())
        found[f"weekly.{name}.week"] = min(week for week in weeks if weeks[week] == found[f"weekly.{name}"])
    return found
