"""Planted models in force: for each verdict one, and shops that have some of them."""

import datetime as dt
from typing import Any

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.models.backtest import Backtest
from lifecycle_assets.models.drift import Drift
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.reports.health import MODELS

AS_OF = dt.date(2024, 6, 30)
Row = dict[str, Any]
# Model -> age in days, AUC, half of its interval, AUC of its rule, is_used, PSI of a feature, how far what happened is off what
# was foretold.
PLANTED = {
    "churn_risk": (5, 0.81, 0.03, 0.74, True, 0.04, 0.05),
    "propensity_buy": (60, 0.72, 0.02, 0.66, True, 0.1, None),
    "propensity_respond_respond": (5, 0.58, 0.09, 0.57, False, 0.1, None),
    "propensity_respond_open": (3, 0.7, 0.05, 0.6, True, 0.31, 0.1),
    "propensity_respond_click": (3, 0.7, 0.05, 0.6, True, 0.3, 0.45),
    "visitor_intent_7_days": (4, None, None, None, False, 0.0, None),
}
# Case -> the models of the shop.
CASES = {
    "rising": ("churn_risk",),
    "flat": ("churn_risk", "propensity_respond_respond"),
    "falling": ("churn_risk", "propensity_respond_open", "propensity_respond_click"),
    "superseded": tuple(PLANTED),
    "silent": ("propensity_buy", "visitor_intent_7_days"),
}


def frames(case: str) -> dict[str, pl.LazyFrame]:
    """The tables of a shop by their short names; of an unknown case nothing was ever trained."""
    models = CASES.get(case, ())
    evaluations = {contract: [] for contract, _ in MODELS.values()}
    for model in models:
        contract, target = MODELS[model]
        evaluations[contract] += _evaluated(model, target)
    made: dict[Contract, list[Row]] = {
        Registry: [row for model in models for row in _versions(model)],
        Drift: [row for model in models for row in _moved(model)],
        Backtest: _judged() if models else [],
        **evaluations,
    }
    return {contract.table: _table(contract, rows).lazy() for contract, rows in made.items()}


def _table(contract: Contract, rows: list[Row]) -> pl.DataFrame:
    schema = contract.polars_schema
    key = {"shop_id": "corner", "as_of": AS_OF}
    frame = pl.DataFrame([{**dict.fromkeys(schema), **key, **row} for row in rows], schema=schema)
    frame = frame.sort(contract.primary_key)
    contract.require(frame)
    return frame


def _trained(model: str) -> dt.date:
    return AS_OF - dt.timedelta(days=PLANTED[model][0])


def _versions(model: str) -> list[Row]:
    """The one in force, and a later one that was not taken."""
    common = {"model": model, "candidate": "logistic", "file": f"models/corner/{model}", "sha256": "0" * 64}
    champion = {**common, "version": 1, "trained_as_of": _trained(model), "is_champion": True}
    return [champion, {**common, "version": 2, "trained_as_of": AS_OF, "is_champion": False}]


def _evaluated(model: str, target: str) -> list[Row]:
    _, auc, half, rule, is_used, _, _ = PLANTED[model]
    common = {"target": target, "train_rows": 4000, "test_rows": 1500, "trained_as_of": _trained(model)}
    if auc is None:
        rows = [("none", "out_of_time", None, None, None, False)]
    else:
        rows = [
            ("logistic", "cv", auc + 0.1, None, None, True),
            ("logistic", "out_of_time", auc, auc - half, auc + half, True),
            ("baseline", "cv", rule + 0.1, None, None, False),
            ("baseline", "out_of_time", rule, rule - half, rule + half, False),
        ]
    return [
        {
            **common,
            "candidate": candidate,
            "split": split,
            "roc_auc": value,
            "roc_auc_lo": lo,
            "roc_auc_hi": hi,
            "positive_rate": None if value is None else 0.125,
            "top_decile_lift": None if value is None else 3.2,
            "calibration_error": None if value is None else 0.025,
            "chosen": chosen,
            "is_used": is_used and chosen,
        }
        for candidate, split, value, lo, hi, chosen in rows
    ]


def _moved(model: str) -> list[Row]:
    *_, moved, off = PLANTED[model]
    common = {"model": model, "n": 2000, "n_trained": 1900}
    features = [("orders_90d", moved, 0.2), ("recency_days", moved / 2, 0.3)]
    rows = [
        {**common, "kind": "feature", "name": name, "statistic": psi, "threshold": limit, "is_drifted": psi > limit}
        for name, psi, limit in features
    ]
    rows.append(
        {**common, "kind": "score", "name": "probability", "statistic": 0.02, "threshold": 0.2, "is_drifted": False}
    )
    told = {"statistic": off, "threshold": 0.25, "is_drifted": off > 0.25} if off is not None else {"is_drifted": False}
    return [*rows, {**common, **told, "n_trained": None, "kind": "calibration", "name": "probability"}]


def _judged() -> list[Row]:
    """Churn risk clearly ahead of its rule, likely purchases not."""
    return [
        {
            "origin": dt.date(2024, month, 28),
            "model": model,
            "target": "all",
            "metric": "auc",
            "value": auc,
            "lo": auc - 0.02,
            "hi": auc + 0.02,
            "simple": 0.7,
            "n": 900,
            "outcome_until": dt.date(2024, month + 1, 28),
            "predictions_hash": "0" * 64,
        }
        for model, auc in (("churn_risk", 0.8), ("propensity_buy", 0.705))
        for month in (2, 3, 4)
    ]
