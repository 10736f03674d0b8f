"""Which models are fit to be used."""

import datetime as dt
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows

TABLES = {
    "churn_risk": ("churn_risk_evaluation", "all"),
    "propensity_buy": ("propensity_buy_evaluation", "all"),
    "propensity_respond_respond": ("propensity_respond_evaluation", "respond"),
    "propensity_respond_open": ("propensity_respond_evaluation", "open"),
    "propensity_respond_click": ("propensity_respond_evaluation", "click"),
    "propensity_respond_buy": ("propensity_respond_evaluation", "buy"),
    "propensity_upgrade": ("propensity_upgrade_evaluation", "all"),
    "visitor_intent_7_days": ("visitor_intent_evaluation", "7_days"),
    "visitor_intent_session": ("visitor_intent_evaluation", "session"),
}


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    found: dict[str, Any] = {"health.least": settings.scores.min_class, "health.models": 0, "health.fit": 0}
    if rows["backtest"]:
        found["health.backtest"] = max(r["as_of"] for r in rows["backtest"])
    for stored in rows["registry"]:
        if not stored["is_champion"]:
            continue
        model, path = stored["model"], f"health.{stored['model']}"
        table, target = TABLES[model]
        tests = [r for r in rows[table] if (r["target"], r["split"]) == (target, "out_of_time")]
        chosen = next((r for r in tests if r["chosen"]), None)
        age = (as_of - stored["trained_as_of"]).days
        found |= {f"{path}.trained": stored["trained_as_of"], f"{path}.age": age}
        if chosen:
            found |= {
                f"{path}.auc": chosen["roc_auc"],
                f"{path}.auc/lo": chosen["roc_auc_lo"],
                f"{path}.auc/hi": chosen["roc_auc_hi"],
                f"{path}.rule": next(r["roc_auc"] for r in tests if r["candidate"] == "baseline"),
            }
            found |= {f"{path}.{name}": chosen[name] for name in ("train_rows", "test_rows", "positive_rate")}
        moved = [r for r in rows["drift"] if r["model"] == model and r["statistic"] is not None]
        worst = max((r for r in moved if r["kind"] != "calibration"), key=lambda r: r["statistic"] / r["threshold"])
        found |= {f"{path}.moved": worst["statistic"], f"{path}.moved_threshold": worst["threshold"]}
        for r in moved:
            if r["kind"] == "calibration":
                found |= {f"{path}.off": r["statistic"], f"{path}.off_threshold": r["threshold"]}
        found["health.models"] += 1
        is_calm = not any(r["statistic"] > r["threshold"] for r in moved)
        found["health.fit"] += bool(chosen and chosen["is_used"] and is_calm and age <= 28)
    return found
