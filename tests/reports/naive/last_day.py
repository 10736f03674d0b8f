"""The last day against its weekday, and the messages of the night before."""

import datetime as dt
import math
import statistics
from typing import Any

from scipy import stats

from lifecycle_assets.settings import Shop
from naive import Rows


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    bought = [r for r in rows["orders"] if r["is_purchase"] and r["customer_id"] and r["order_date"] <= as_of]
    today = [r for r in bought if r["order_date"] == as_of]
    before = [sum(r["order_date"] == as_of - dt.timedelta(days=7 * back) for r in bought) for back in range(1, 9)]
    mean = statistics.mean(before)
    found: dict[str, Any] = {"day.orders": len(today), "day.usual": mean, "day.weeks": 8}
    found |= {"day.orders/usual/value": mean, "day.orders/usual/difference": len(today) - mean}
    reached = min((r["order_date"] for r in bought), default=as_of) <= as_of - dt.timedelta(days=56)
    if reached and sum(before) >= 10:
        reach = stats.t.ppf(0.975, 7) * math.sqrt(max(statistics.variance(before), mean) * 9 / 8)
        inside = [count for count in range(10 * max(before) + 100) if abs(count - mean) <= reach]
        found |= {"day.usual/lo": min(inside), "day.usual/hi": max(inside)}
    gone = {r["idempotency_key"] for r in rows["ledger"] if r["event"] == "compensated" or r["detail"] == "undone"}
    yesterday = as_of - dt.timedelta(days=1)
    heard = {
        r["customer_id"]
        for r in rows["ledger"]
        if r["event"] == "exported" and r["as_of"] == yesterday and r["idempotency_key"] not in gone
    }
    return found | {"day.sent": len(heard), "day.sent.orders": sum(r["customer_id"] in heard for r in today)}
