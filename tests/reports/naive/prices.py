"""Price advice and what it is expected to bring."""

import datetime as dt
from collections import Counter
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    advice = rows["price_recommendations"]
    advised = [r for r in advice if r["best_price"] is not None]
    moves = Counter((r["best_price"] > r["current_price"]) - (r["best_price"] < r["current_price"]) for r in advised)
    changes = [
        _change(r, rows["price_outcomes"]) | {"goal": r["optimize_for"]}
        for r in advised
        if r["best_price"] != r["current_price"]
    ]
    largest = sorted(changes, key=lambda c: -c["gain"])[:10]
    found: dict[str, Any] = {
        "prices.days": settings.products.prices.horizon_days,
        "prices.tested": len(advice),
        "prices.advised": len(advised),
        "prices.lower": moves[-1],
        "prices.higher": moves[1],
        "prices.kept": moves[0],
        "prices.changes": len(changes),
        "prices.clear": sum(c["lo"] > 0 for c in changes),
        "prices.listed": len(largest),
        "prices.listed_clear": sum(c["lo"] > 0 for c in largest),
    }
    for goal in {c["goal"] for c in changes}:
        of_goal = [c for c in changes if c["goal"] == goal]
        found |= {
            f"prices.{goal}.gain": sum(c["gain"] for c in of_goal),
            f"prices.{goal}.gain/lo": sum(c["lo"] for c in of_goal),
            f"prices.{goal}.gain/hi": sum(c["hi"] for c in of_goal),
            f"prices.{goal}.today": sum(c["today"] for c in of_goal),
        }
    return found


def _change(advice: dict[str, Any], outcomes: list[dict[str, Any]]) -> dict[str, float]:
    """What the advised price brings more than today's, as expected and at the ends of the elasticity's interval."""
    value = f"expected_{advice['optimize_for']}"
    of_product = [r for r in outcomes if r["product_id"] == advice["product_id"]]
    (now,) = [r for r in of_product if r["is_current"]]
    (then,) = [r for r in of_product if r["is_best"]]
    cost = 0.0 if advice["optimize_for"] == "revenue" else now["price"] - now["expected_profit"] / now["expected_units"]
    gains = [then[value] - now[value]]
    for end in ("elasticity_lo", "elasticity_hi"):
        units = now["expected_units"] * (then["price"] / now["price"]) ** advice[end]
        gains.append(units * (then["price"] - cost) - now[value])
    return {"gain": gains[0], "lo": min(gains), "hi": max(gains), "today": now[value]}
