"""Planted tables of customer value and of churn: rows that satisfy their contracts, with a truth that the tests know."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from report_frames import AS_OF

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.churn_labels import ChurnLabels
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.models.churn_drivers import ChurnDrivers
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast

Frames = dict[str, pl.LazyFrame]
NEUTRAL: dict[Any, Any] = {
    pl.String: "x",
    pl.Int64: 1,
    pl.Float64: 1.0,
    pl.Boolean: False,
    pl.Date: AS_OF,
    pl.Datetime: dt.datetime.combine(AS_OF, dt.time(12), dt.UTC),
    pl.Decimal: Decimal(1),
}
AREA = {"roc_auc": 0.85, "roc_auc_lo": 0.81, "roc_auc_hi": 0.884}


def frames(case: str) -> Frames:
    """The tables of a case of cases.py: those of value and of churn."""
    return {} if case == "empty" else value_frames(case) | churn_frames(case)


def churn_frames(case: str) -> Frames:
    """rising: a proven score with customers in every band; flat: none at high risk; falling: all are calm; worthless: so are
    they, and no value is forecast; tiny: nothing could be learnt; superseded: no better than the rule; silent: than chance;
    gone: all have left."""
    if case == "gone":
        return labels(left=3, stay=0)
    n = {"tiny": 6, "flat": 120}.get(case, 200)
    worst = {"flat": 0.5, "falling": 0.2, "worthless": 0.2}.get(case, 0.9)
    chance = [None if case == "tiny" else round(0.01 + (worst - 0.01) * i / (n - 1), 6) for i in range(n)]
    used = case not in {"tiny", "superseded", "silent"}
    made = labels(left=17, stay=n) | risk(chance, used=used) | orders(n) | evaluation(case)
    if case != "tiny":
        third = ("country", "tenure_days") if case == "flat" else ("tenure_days", "country")
        made |= drivers(("recency_days", "orders_30d", *third, "moon_phase", "gaps_waited"), n)
    return made | (forecast([]) if case == "worthless" else {})


def value_frames(case: str) -> Frames:
    """rising: near, better than the past, ranges as stated; flat: a tie, ranges too narrow; falling: far off, worse than the
    past, ranges too wide; tiny, silent: no race; superseded: margins; one: a single customer and a month held out."""
    n = {"tiny": 6, "flat": 120, "one": 1}.get(case, 200)
    worth = [round(1.5 * i + 0.25, 4) for i in range(n)]
    basis = "margin" if case == "superseded" else "amount"
    race = {
        "rising": {"error": -3.4, "ours": 21.5, "past": 35.0, "coverage": 0.81},
        "flat": {"error": 6.5, "ours": 100.0, "past": 100.5, "coverage": 0.67},
        "falling": {"error": 45.0, "ours": 40.0, "past": 30.0, "coverage": 0.97},
        "superseded": {"error": 1.0, "ours": 21.5, "past": 35.0, "coverage": None},
        "one": {"error": -12.0, "ours": 21.5, "past": 35.0, "coverage": None, "months": 1},
    }
    return forecast(worth, basis, extrapolated=case == "tiny") | clv_evaluation(race.get(case), n)


def labels(left: int, stay: int) -> Frames:
    rows = [
        {"customer_id": f"{name}{i:04}", "business_type": "ecommerce", "churned": churned, "churned_since": None}
        for name, count, churned in (("left", left, True), ("c", stay, False))
        for i in range(count)
    ]
    return planted(ChurnLabels, rows)


def risk(chance: Sequence[float | None], *, used: bool) -> Frames:
    rows = [
        {
            "customer_id": f"c{i:04}",
            "churn_probability": p,
            "risk_band": "High" if p and p >= 0.6 else "Medium" if p and p >= 0.25 else "Low",
            "is_used": used,
        }
        for i, p in enumerate(chance)
    ]
    return planted(ChurnRisk, rows)


def orders(n: int) -> Frames:
    """The longer ago the last purchase, the higher the risk; the more orders, the lower; tenure has nothing to do with it."""
    rows = [
        {
            "customer_id": f"c{i:04}",
            "recency_days": i,
            "orders_30d": (n - i) // 10,
            "tenure_days": 400 + (i * 37) % 101,
            "median_gap_days": None if i % 5 == 0 else 7.0,
        }
        for i in range(n)
    ]
    return planted(CustomerOrders, rows)


def subscriptions(n: int) -> Frames:
    """One running each: the longer subscribed, the lower the risk."""
    rows = [
        {
            "subscription_id": f"s{i:04}",
            "customer_id": f"c{i:04}",
            "started_at": dt.datetime.combine(AS_OF - dt.timedelta(days=500 - 2 * i), dt.time(12), dt.UTC),
        }
        for i in range(n)
    ]
    return planted(Subscriptions, rows)


def drivers(features: Sequence[str], n: int) -> Frames:
    """The first carries most; of a segment of its own another one does."""
    total = sum(range(1, len(features) + 1))
    rows = [
        {
            "segment": segment,
            "feature": feature,
            "rank": place,
            "mean_abs_shap": (len(features) - place + 1) / 10,
            "share_of_all": (len(features) - place + 1) / total,
            "customers": n,
        }
        for segment, names in (("all", features), ("1", features[::-1]))
        for place, feature in enumerate(names, start=1)
    ]
    return planted(ChurnDrivers, rows)


def evaluation(case: str) -> Frames:
    if case == "tiny":
        nothing = {"candidate": "none", "test_rows": 0, "chosen": False, "is_used": False}
        return planted(ChurnRiskEvaluation, [{"target": "all", "split": "out_of_time", "train_rows": 6, **nothing}])
    area = {"silent": {"roc_auc": 0.53, "roc_auc_lo": 0.47, "roc_auc_hi": 0.59}}.get(case, AREA)
    common = {"target": "all", "train_rows": 900, "test_rows": 400, "positive_rate": 0.12}
    good = {"top_decile_lift": 1.2 if case == "flat" else 4.5, "calibration_error": 0.0137}
    ours = {"candidate": "logistic", "chosen": True, "is_used": case not in {"silent", "superseded"}, **good, **area}
    rule = {"candidate": "baseline", "roc_auc": 0.8, "roc_auc_lo": 0.754, "roc_auc_hi": 0.843, "is_used": False}
    rows = [
        {**common, **ours, "split": "out_of_time"},
        {**common, **ours, "split": "cv", "roc_auc_lo": None, "roc_auc_hi": None},
        {**common, **rule, **good, "split": "out_of_time", "chosen": False},
    ]
    return planted(ChurnRiskEvaluation, rows)


def forecast(worth: Sequence[float], basis: str = "amount", *, extrapolated: bool = False) -> Frames:
    """The upper 30 % are High, the lower 30 % Low; without a spread all are Medium."""
    rows = [
        {
            "customer_id": f"c{i:04}",
            "horizon_months": months,
            "value_basis": basis,
            "expected_value": round(value * months / 12, 4),
            "clv_tier": "High" if i >= 0.7 * len(worth) else "Low" if i < 0.3 * len(worth) else "Medium",
            "extrapolated": extrapolated,
            "algorithm_used": "bg_nbd",
        }
        for i, value in enumerate(worth)
        for months in (6, 12, 36)
    ]
    return planted(ClvForecast, rows)


def clv_evaluation(race: dict[str, Any] | None, n: int) -> Frames:
    common = {"value_basis": "amount", "n_customers": n, "months": 3}
    if race is None:
        alone = {"candidate": "bg_nbd", "bin": "all", "chosen": True, "months": None}
        return planted(ClvEvaluation, [{**common, **alone}])
    common["months"] = race.get("months", 3)
    ours = {"mae": race["ours"], "total_error_pct": race["error"], "interval_coverage": race["coverage"]}
    rows = [
        {**common, "candidate": "bg_nbd", "bin": "all", "chosen": True, **ours},
        {**common, "candidate": "past_rate", "bin": "all", "mae": race["past"], "total_error_pct": 80.0},
        {**common, "candidate": "bg_nbd", "bin": "0", "predicted_purchases": 0.4, "actual_purchases": 0.5},
        {**common, "candidate": "bg_nbd", "bin": "7+", "predicted_purchases": 3.25, "actual_purchases": 3.0},
    ]
    return planted(ClvEvaluation, rows)


def planted(contract: Contract, rows: Sequence[dict[str, Any]], as_of: dt.date = AS_OF) -> Frames:
    """The rows as the contract's table; columns that nobody named are null where they may be, else of no meaning."""
    neutral = {
        name: None if column.nullable else NEUTRAL[column.dtype.base_type()]
        for name, column in contract.columns.items()
    }
    keys = {"shop_id": "corner", "as_of": as_of}
    frame = pl.DataFrame([{**neutral, **keys, **row} for row in rows], contract.polars_schema)
    contract.require(frame)
    return {contract.table: frame.lazy()}
