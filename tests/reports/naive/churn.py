"""Who is at risk of leaving, customer by customer."""

import datetime as dt
import math
from typing import Any

from scipy.stats import spearmanr

from lifecycle_assets.settings import Shop
from naive import Rows, share
from naive.value import score_interval


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    churn, bands = settings.customer.churn, settings.scores.risk_bands
    windows = {"ecommerce": churn.window_days, "saas": churn.cancel_days, "prepaid": churn.cycle_days}
    scored = rows["churn_risk"]
    found: dict[str, Any] = {
        "churn.scored": len(scored),
        "churn.usable": sum(r["is_used"] for r in scored),
        "churn.left": sum(r["churned"] is True for r in rows["churn_labels"]),
        "churn.window": windows[churn.business_type],
        "churn.least": settings.scores.min_class,
        "churn.months": 12,
        "churn.bound.High": bands.high,
        "churn.bound.Medium": bands.medium,
    }
    found |= _test(rows)
    known = {r["customer_id"]: r["churn_probability"] for r in scored if r["churn_probability"] is not None}
    year = {r["customer_id"]: r["expected_value"] for r in rows["clv_forecast"] if r["horizon_months"] == 12}
    for band in {r["risk_band"] for r in scored} if known else ():
        members = [r["customer_id"] for r in scored if r["risk_band"] == band]
        found |= {f"churn.{band}": len(members), f"churn.{band}.share": share(len(members), len(known))}
        if worth := [year[customer] for customer in members if customer in year]:
            found |= {
                f"churn.{band}.value": sum(worth),
                f"churn.{band}.value_share": share(sum(worth), sum(year.values())),
            }
    if known and "churn.test.auc" in found:
        expected = math.fsum(known.values())
        chance = 1.959964 * math.sqrt(math.fsum(p - p * p for p in known.values()))
        margin = chance + found["churn.test.calibration"] / 100 * len(known)
        found["churn.expected"] = _people(expected)
        found["churn.expected/lo"] = _people(max(0.0, expected - margin))
        found["churn.expected/hi"] = _people(min(len(known), expected + margin))
    return found | _drivers(rows, known, as_of if churn.business_type != "ecommerce" else None)


def _people(number: float) -> float:
    return float(f"{number:.0f}") if number >= 10 else float(f"{number:.1f}")


def _test(rows: Rows) -> dict[str, Any]:
    tested = [
        r
        for r in rows["churn_risk_evaluation"]
        if r["split"] == "out_of_time" and r["roc_auc"] is not None and r["top_decile_lift"] is not None
    ]
    found: dict[str, Any] = {}
    if not {True, False} <= {r["chosen"] for r in tested}:
        return found
    for r in tested:
        if r["chosen"] or r["candidate"] == "baseline":
            path = "churn.test.auc" if r["chosen"] else "churn.test.rule"
            found |= {path: r["roc_auc"], f"{path}/lo": r["roc_auc_lo"], f"{path}/hi": r["roc_auc_hi"]}
        if r["chosen"]:
            n, rate = r["test_rows"], r["positive_rate"]
            found |= {"churn.test.customers": n, "churn.test.rate": rate, "churn.test.lift": r["top_decile_lift"]}
            found["churn.test.calibration"] = r["calibration_error"] * 100
            found |= score_interval("churn.test.lift", r["top_decile_lift"] * rate, (n + 9) // 10, 1 / rate)
    return found


def _drivers(rows: Rows, known: dict[str, float], subscribed_until: dt.date | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    age = {
        r["customer_id"]: {"subscription_age_days": (subscribed_until - r["started_at"].date()).days}
        for r in rows["subscriptions"]
        if subscribed_until
    }
    behaviour = {r["customer_id"]: r for r in rows["customer_behaviour"]}
    figures = [behaviour.get(r["customer_id"], {}) | age.get(r["customer_id"], {}) | r for r in rows["customer_orders"]]
    for driver in (r for r in rows["churn_drivers"] if r["segment"] == "all" and r["rank"] <= 6):
        path = f"churn.driver.{driver['feature']}"
        found[path] = driver["share_of_all"]
        values = {r["customer_id"]: _figure(r, driver["feature"]) for r in figures}
        pairs = [(p, values[customer]) for customer, p in known.items() if values.get(customer) is not None]
        found[f"{path}.correlation"] = None
        if len({b for _, b in pairs}) > 1:
            r = float(spearmanr(*zip(*pairs, strict=True)).statistic)
            spread = 1.959964 * math.sqrt((1 + r * r / 2) / (len(pairs) - 3))
            found[f"{path}.correlation"] = round(r, 4)
            for end, sign in (("lo", -1), ("hi", 1)):
                found[f"{path}.correlation/{end}"] = round(
                    math.tanh(math.atanh(max(-1 + 1e-9, min(r, 1 - 1e-9))) + sign * spread), 4
                )
    return found


def _figure(row: dict[str, Any], feature: str) -> float | None:
    if feature == "gaps_waited":
        gap = row["median_gap_days"]
        return None if gap is None else row["recency_days"] / max(gap, 1.0)
    value = row.get(feature)
    return None if value is None or isinstance(value, str) else float(value)
