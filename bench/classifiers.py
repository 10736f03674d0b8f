"""Training of the score models, and the scoring of a shop's customers with the reasons for each probability.

The rival in training is what one would write with scikit-learn: three of its classifiers in `cross_val_score` over the same
grouped folds and matrix, without tuning, calibration, interval or test. The rival in scoring is each library's own SHAP
(`shap.TreeExplainer` hands XGBoost's and CatBoost's trees to the same functions), with the three largest taken by numpy.
"""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.models.classifier import TrainingSet, train
from lifecycle_assets.models.classifier_candidates import Catboost, Xgboost
from lifecycle_assets.models.classifier_drivers import Words, factors_in_words
from lifecycle_assets.models.classifier_encoding import Encoding
from lifecycle_assets.settings import Scores

TITLE = "Classifiers"
NUMBERS = tuple(f"number_{place}" for place in range(20))
CATEGORIES = tuple(f"category_{place}" for place in range(5))
SNAPSHOTS = 4
RIVAL_ROWS = 50_000
RIVAL_SCORED = 2_000
TAUGHT = 20_000


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report: trained on a twentieth of `sizes` rows, scored a tenth of the largest."""
    del work, memory_limit  # nothing is stored, and the SQL engine has no part in it
    trained = []
    for size in sizes:
        rows = size // 20
        ours = measure("bench.classifiers:ours", rows=rows)
        rival = measure("bench.classifiers:rival", rows=min(rows, RIVAL_ROWS))
        trained.append(
            [
                f"{rows:,}",
                f"{ours.seconds:.0f} s ({ours.cpu_seconds:.0f} s CPU), {ours.peak_gb:.1f} GB",
                f"{ours.value['chosen']}, {ours.value['cv']:.4f}",
                f"{ours.value['out_of_time']:.4f} of {ours.value['possible']:.4f}",
                f"{rival.seconds:.0f} s for {min(rows, RIVAL_ROWS):,}",
                f"{rival.value['best']}, {rival.value['cv']:.4f}",
            ]
        )
    customers, scored = max(sizes) // 10, []
    for candidate in ("logistic", "xgboost", "catboost", "random_forest"):
        made = measure("bench.classifiers:score", candidate=candidate, customers=customers)
        theirs = made.value["theirs"]
        scored.append(
            [
                candidate,
                f"{made.value['seconds']:.0f} s, {made.peak_gb:.1f} GB",
                f"{theirs:.0f} s" if theirs else "",
                f"{theirs / made.value['seconds']:.1f} x" if theirs else "",
            ]
        )
    return "\n\n".join(
        [
            f"Trained on {len(NUMBERS)} numbers and {len(CATEGORIES)} categories: four candidates, 5 folds, calibration, "
            "test out of time, final fit. `possible` is the AUC of the probabilities that the labels were drawn with.",
            table(
                ["rows", "this project", "winner, AUC in CV", "out of time", "scikit-learn", "best, AUC in CV"], trained
            ),
            f"{customers:,} customers with probability, top 3 factors and their words; the libraries' own SHAP measured on "
            f"{RIVAL_SCORED:,} rows and multiplied up, with the same values:",
            table(["model", "this project", "its library's SHAP", "faster"], scored),
        ]
    )


def ours(rows: int) -> dict[str, Any]:
    """The winner, its AUC in cross-validation and out of time, and the best possible one."""
    from sklearn.metrics import roc_auc_score

    data = generate(rows)
    trained = train(_set(data), Scores(training_rows=max(rows, 1_000)), np.random.default_rng(0))
    chosen = trained.evaluation.filter(pl.col("chosen")).sort("split")
    last = data.filter(pl.col("snapshot") == pl.col("snapshot").max())
    return {
        "chosen": chosen["candidate"][0],
        "cv": chosen["roc_auc"][0],
        "out_of_time": chosen["roc_auc"][1],
        "possible": roc_auc_score(last["label"], last["true"]),
    }


def rival(rows: int) -> dict[str, Any]:
    """The best of scikit-learn's classifiers and its AUC in cross-validation."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = generate(rows).filter(pl.col("snapshot") < pl.col("snapshot").max())
    inputs = Encoding.fit(data, NUMBERS, CATEGORIES).matrix(data)
    linear = LogisticRegression(solver="saga", l1_ratio=0.5, C=0.1, max_iter=200)
    found = {}
    for name, model in (
        ("logistic", make_pipeline(StandardScaler(), linear)),
        ("random forest", RandomForestClassifier(100, min_samples_leaf=5, random_state=0)),
        ("boosting", HistGradientBoostingClassifier(max_iter=200, learning_rate=0.06, random_state=0)),
    ):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        areas = cross_val_score(
            model,
            inputs,
            data["label"].to_numpy(),
            groups=data["group"].to_numpy(),
            cv=folds,
            scoring="roc_auc",
            n_jobs=2,
        )
        found[name] = float(areas.mean())
    best = max(found, key=lambda name: found[name])
    return {"best": best, "cv": found[best]}


def score(candidate: str, customers: int) -> dict[str, float | None]:
    """Seconds for all customers, and what the library's own SHAP would take for them."""
    settings = Scores(candidates=(candidate,), folds=2)  # ty: ignore[invalid-argument-type]
    model = train(_set(generate(TAUGHT)), settings, np.random.default_rng(0)).model
    assert model is not None
    data = generate(customers, seed=1).select(*NUMBERS, *CATEGORIES)
    words = {name: Words(f"{name} is {{}}", f"{name} is not known") for name in data.columns}
    model.drivers(data.head(10))
    started = time.perf_counter()
    probability = model.probability(data)
    told = factors_in_words(model.drivers(data), words)
    seconds = time.perf_counter() - started
    assert told.len() == probability.size == customers
    inputs = model.encoding.matrix(data.head(RIVAL_SCORED))
    started = time.perf_counter()
    match model.model:
        case Xgboost():
            import xgboost

            booster = model.model.booster
            booster.set_param({"nthread": 0})
            effects = booster.predict(xgboost.DMatrix(inputs), pred_contribs=True)[:, :-1]
            np.argsort(-np.abs(effects), axis=1)[:, :3]
            taken = time.perf_counter() - started
            # Of a forest on the scale of its step, as the library has them.
            ours = Xgboost.shap(model.model, inputs)
        case Catboost():
            import catboost

            effects = model.model.model.get_feature_importance(catboost.Pool(inputs), type="ShapValues")[:, :-1]
            np.argsort(-np.abs(effects), axis=1)[:, :3]
            taken = time.perf_counter() - started
            ours = model.model.shap(inputs)
        case _:
            return {"seconds": seconds, "theirs": None}
    theirs = taken * customers / inputs.shape[0]
    assert np.abs(effects - ours).max() < 1e-3
    return {"seconds": seconds, "theirs": theirs}


def generate(rows: int, seed: int = 0) -> pl.DataFrame:
    """Snapshots of customers: skewed counts and amounts, some missing, categories of a few to thirty levels, and a label that
    depends on some of them, alone and together, with its true probability."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, len(NUMBERS)))
    groups = [rng.geometric(0.2, rows) % (2 + 7 * place) for place in range(len(CATEGORIES))]
    log_odds = (
        -1.5 + 0.8 * numbers[:, 0] - 0.5 * numbers[:, 1] + 0.4 * numbers[:, 2] * numbers[:, 3]
        + 0.3 * np.abs(numbers[:, 4]) + 0.5 * (groups[1] == 1) - 0.4 * (groups[2] > 5) * numbers[:, 5]
    )  # fmt: skip
    true = 1 / (1 + np.exp(-log_odds))
    label = rng.random(rows) < true
    told = np.where(np.arange(len(NUMBERS)) % 2 == 0, np.expm1(np.abs(numbers)) * np.sign(numbers), numbers)
    told[:, 10:] = np.where(rng.random((rows, 10)) < 0.1, np.nan, told[:, 10:])
    days = pl.Series([dt.date(2025, 1, 1) + dt.timedelta(90 * number) for number in range(SNAPSHOTS)])
    customers = -(-rows // SNAPSHOTS)
    return pl.DataFrame(told, schema=list(NUMBERS)).with_columns(
        *(pl.Series(name, values).cast(pl.String) for name, values in zip(CATEGORIES, groups, strict=True)),
        snapshot=days.gather(np.arange(rows) // customers),
        group=pl.Series(np.arange(rows) % customers).cast(pl.String),
        label=pl.Series(label),
        true=pl.Series(true),
    )


def _set(data: pl.DataFrame) -> TrainingSet:
    return TrainingSet(data, NUMBERS, CATEGORIES, ("number_0",), "does it")
