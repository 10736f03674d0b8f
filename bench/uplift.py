"""The effect of a campaign on each of its customers: its whole trial, with four candidates, their intervals and the placebo.

The rival is causalml's uplift forest alone, cross-fitted on the same folds, where the package is installed; else a T-learner of
scikit-learn's boosting.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import Measured, measure, table
from lifecycle_assets.models.uplift_curve import Ranking, Responses, areas
from lifecycle_assets.models.uplift_forest import UpliftForest
from lifecycle_assets.models.uplift_learners import Arms, folds
from lifecycle_assets.models.uplift_trial import FOLDS, trial

TITLE = "Uplift"
CUSTOMERS, FEATURES = 50_000, 10


def section(_work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report; raises AssertionError where the forests' Qini differ by a tenth or more."""
    customers = min(CUSTOMERS, *sizes)
    measure("bench.uplift:whole", customers=600)  # compiles
    whole = measure("bench.uplift:whole", customers=customers)
    forest = measure("bench.uplift:forest", customers=customers)
    rival = measure("bench.uplift:rival", customers=customers)
    assert abs(forest.value["qini"] / rival.value["qini"] - 1) < 0.1, (forest.value, rival.value)
    rows = [
        _row("this project: whole trial, the best of four", whole, rival),
        _row("this project: uplift forest alone, cross-fitted", forest, rival),
        _row(f"{rival.value['name']}, cross-fitted", rival, rival),
    ]
    return "\n\n".join(
        [
            f"{customers:,} customers, {FEATURES} features, {FOLDS} folds. The whole trial holds four candidates, their "
            "intervals from 400 resamples, the placebo and the test of the assignment. The two forests' Qini differ by less "
            "than a tenth.",
            table(["what", "time", "CPU against the rival", "Qini"], rows),
        ]
    )


def whole(customers: int) -> dict[str, Any]:
    features, treated, response = campaign(customers)
    learnt = trial("bench", features, treated, response, 0.0, np.random.default_rng(0))
    return {"qini": learnt.race.filter(pl.col("candidate") == learnt.chosen)["qini"].item()}


def forest(customers: int) -> dict[str, Any]:
    features, treated, response = campaign(customers)

    def fitted(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        model = UpliftForest.fit(features[rows], treated[rows], response[rows], np.random.default_rng(0))
        return model.predict(features[asked])

    return {"qini": _cross_fitted(customers, fitted)}


def rival(customers: int) -> dict[str, Any]:
    features, treated, response = campaign(customers)

    def causalml(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        from causalml.inference.tree import UpliftRandomForestClassifier

        model = UpliftRandomForestClassifier("control", n_estimators=100, random_state=0, n_jobs=-1)
        arms = np.where(treated[rows] == 1, "treated", "control")
        model.fit(X=features[rows], treatment=arms, y=response[rows])
        return np.asarray(model.predict(features[asked]), dtype=np.float64)[:, 0]

    def scikit_learn(rows: np.ndarray, asked: np.ndarray) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingClassifier

        arms = [rows & (treated == arm) for arm in (0, 1)]
        models = [HistGradientBoostingClassifier().fit(features[of], response[of]) for of in arms]
        control, treatment = (model.predict_proba(features[asked])[:, 1] for model in models)
        return treatment - control

    if importlib.util.find_spec("causalml"):
        return {"qini": _cross_fitted(customers, causalml), "name": "causalml's UpliftRandomForestClassifier"}
    return {"qini": _cross_fitted(customers, scikit_learn), "name": "a T-learner of scikit-learn's boosting"}


def campaign(customers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, arms and responses: two features move the response, two the effect."""
    rng = np.random.default_rng(11)
    features, treated = rng.normal(size=(customers, FEATURES)), rng.integers(0, 2, customers)
    base = -1.5 + 0.8 * features[:, 0] - 0.5 * features[:, 1]
    effect = 0.6 * (features[:, 2] > 0) + 0.4 * features[:, 3] - 0.2
    chance = 1 / (1 + np.exp(-base - treated * effect))
    return features, treated, (rng.random(customers) < chance).astype(np.int64)


def _cross_fitted(customers: int, fitted: Any) -> float:
    """Qini of the out-of-fold scores that `fitted(rows to learn from, rows asked)` gives."""
    features, treated, response = campaign(customers)
    fold = folds(Arms(features, treated, response, np.full(customers, 0.5)), FOLDS, np.random.default_rng(0))
    score = np.empty(customers)
    for k in range(FOLDS):
        made = fitted(fold != k, fold == k)
        score[fold == k] = made - made.mean()
    return float(areas([Ranking.of(score)], Responses(treated, response, np.ones(customers)))[0, 0])


def _row(name: str, measured: Measured, rival: Measured) -> list[str]:
    return [
        name,
        f"{measured.seconds:.1f} s ({measured.cpu_seconds:.1f} s CPU), {measured.peak_gb:.2f} GB",
        f"{rival.cpu_seconds / measured.cpu_seconds:.1f} x",
        f"{measured.value['qini']:.4f}",
    ]
