"""What is expected of today's customers, customer by customer."""

import datetime as dt
from typing import Any

from scipy.optimize import brentq

from lifecycle_assets.settings import Shop
from naive import Rows, share


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    year = [r for r in rows["clv_forecast"] if r["horizon_months"] == 12]
    total = sum(r["expected_value"] for r in year)
    found: dict[str, Any] = {"value.customers": len(year), "value.total": total, "value.months": 12}
    found["value.basis"] = year[0]["value_basis"] if year else None
    found["value.extrapolated"] = sum(r["extrapolated"] for r in year)
    for tier in {r["clv_tier"] for r in year}:
        worth = [r["expected_value"] for r in year if r["clv_tier"] == tier]
        found[f"value.{tier}.share"] = share(len(worth), len(year))
        found[f"value.{tier}.value_share"] = share(sum(worth), total)
    for won in (r for r in rows["clv_evaluation"] if r["chosen"] and r["mae"] is not None):
        rival = next(r for r in rows["clv_evaluation"] if r["candidate"] == "past_rate")
        found |= {"value.race.months": won["months"], "value.race.mae": won["mae"], "value.race.baseline": rival["mae"]}
        found["value.race.error"] = won["total_error_pct"] / 100
        # The true total that a forecast of `total`, off by the error, belongs to.
        found["value.race.corrected"] = total - total * won["total_error_pct"] / (100 + won["total_error_pct"])
        if (coverage := won["interval_coverage"]) is not None:
            found |= {"value.race.coverage": coverage, "value.race.level": 0.8}
            found |= score_interval("value.race.coverage", coverage, won["n_customers"])
    return found


def score_interval(path: str, proportion: float, n: int, scale: float = 1.0) -> dict[str, float]:
    """The true proportions that a score test at 5 % would just not reject, searched for."""

    def beyond(true: float) -> float:
        return (proportion - true) ** 2 * n - 1.959964**2 * true * (1 - true)

    lo = 0.0 if proportion == 0 else brentq(beyond, 0.0, proportion)
    hi = 1.0 if proportion == 1 else brentq(beyond, proportion, 1.0)
    return {f"{path}/lo": lo * scale, f"{path}/hi": hi * scale}
