"""The ways of classifying that are raced, each stored in its library's own format.

- logistic: elastic net, see classifier_linear.py.
- random_forest: XGBoost's forest mode, one round of many trees on random rows and columns (Breiman, "Random forests",
  2001). Its probability is the mean of the trees' shares of positives; its log-odds are of that mean.
- xgboost: Chen and Guestrin, "XGBoost: a scalable tree boosting system", 2016.
- catboost: oblivious trees, Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", 2018, in its
  plain mode.

How far to go (penalty, rounds) is decided on held-out rows by `tune`; `refit` goes as far again on all rows. Every fit runs on
one thread, so that it is the same on any machine; folds run side by side.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from lifecycle_assets.models import classifier_linear
from lifecycle_assets.models.classifier_linear import Linear
from lifecycle_assets.models.classifier_shap import DEEPEST, tree_shap, trees_of

MOST_ROUNDS = 600
PATIENCE = 30
TREES = 100
LOOSE = 1e-5
NOTHING = 1e-9
BOOSTING = {
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "max_bin": 128,
    "learning_rate": 0.06,
    "max_depth": 4,
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "nthread": 1,
}
FOREST = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_bin": 128,
    "num_parallel_tree": TREES,
    "learning_rate": 1.0,
    "max_depth": DEEPEST,
    "min_child_weight": 3,
    "subsample": 0.63,
    "nthread": 1,
}
OBLIVIOUS = {
    "loss_function": "Logloss",
    "boosting_type": "Plain",
    "learning_rate": 0.06,
    "depth": 4,
    "border_count": 128,
    "l2_leaf_reg": 3.0,
    "bootstrap_type": "Bernoulli",
    "subsample": 0.8,
    "thread_count": 1,
    "allow_writing_files": False,
    "logging_level": "Silent",
}


class Fitted(Protocol):
    """A fitted candidate. `inputs` are the columns of the encoding."""

    @property
    def parameters(self) -> dict[str, Any]: ...

    def log_odds(self, inputs: np.ndarray) -> np.ndarray: ...

    def shap(self, inputs: np.ndarray) -> np.ndarray:
        """rows x columns: what each column adds to the log-odds of an average row."""
        ...

    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True)
class Xgboost:
    """A booster."""

    booster: Any
    parameters: dict[str, Any]

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        return self.booster.inplace_predict(inputs, predict_type="margin").astype(np.float64)

    def shap(self, inputs: np.ndarray) -> np.ndarray:
        return tree_shap(self._trees, inputs)

    @cached_property
    def _trees(self) -> list[dict[str, list[float]]]:
        return trees_of(self.booster)

    def to_bytes(self) -> bytes:
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        import xgboost

        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(stored))
        return cls(booster, {})


@dataclass(frozen=True)
class Forest(Xgboost):
    """A forest.

    One Newton step of the log-odds from the base rate b takes a leaf with share y of positives to about (y - b) / (b (1 - b)),
    which is in proportion to the share: taken for log-odds it says too much of the likeliest.
    """

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        return self._of_step(super().log_odds(inputs) - self._base)

    def shap(self, inputs: np.ndarray) -> np.ndarray:
        """Each column's share of the step, in proportion, on the scale of the log-odds."""
        shares = super().shap(inputs)
        moved = shares.sum(axis=1)
        step = super().log_odds(inputs) - self._base
        added = self._of_step(step) - self._of_step(step - moved)
        slope = np.divide(added, moved, out=np.zeros_like(added), where=np.abs(moved) > NOTHING)
        return shares * slope[:, None]

    def _of_step(self, step: np.ndarray) -> np.ndarray:
        rate = 1 / (1 + np.exp(-self._base))
        share = np.clip(rate + step * rate * (1 - rate), NOTHING, 1 - NOTHING)
        return np.log(share / (1 - share))

    @cached_property
    def _base(self) -> float:
        """The log-odds that the step started from."""
        config = json.loads(self.booster.save_config())
        rate = float(config["learner"]["learner_model_param"]["base_score"].strip("[]"))
        return float(np.log(rate / (1 - rate)))


@dataclass(frozen=True)
class Catboost:
    """An ensemble of oblivious trees."""

    model: Any
    parameters: dict[str, Any]

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        return self.model.predict(inputs, prediction_type="RawFormulaVal", thread_count=1)

    def shap(self, inputs: np.ndarray) -> np.ndarray:
        import catboost

        return self.model.get_feature_importance(catboost.Pool(inputs), type="ShapValues", thread_count=1)[:, :-1]

    def to_bytes(self) -> bytes:
        # The same bytes as `save_model` writes, without a file.
        return bytes(self.model._serialize_model())

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Catboost":
        import catboost

        model = catboost.CatBoostClassifier()
        model.load_model(blob=stored)
        return cls(model, {})


def tune(name: str, inputs: np.ndarray, label: np.ndarray, held: np.ndarray, seed: int) -> tuple[Fitted, float]:
    """The candidate learnt from the rows that are not `held`, going as far as does best on the held ones; and how far."""
    match name:
        case "logistic":
            return classifier_linear.tune(inputs, label, held)
        case "baseline":
            return classifier_linear.fit(inputs, label, LOOSE), LOOSE
        case "random_forest":
            return _forest(inputs, label, seed), TREES
        case "xgboost":
            return _boosted(inputs[~held], label[~held], MOST_ROUNDS, seed, (inputs[held], label[held]))
        case _:
            return _oblivious(inputs[~held], label[~held], MOST_ROUNDS, seed, (inputs[held], label[held]))


def refit(name: str, inputs: np.ndarray, label: np.ndarray, far: float, seed: int) -> Fitted:
    """The candidate learnt from all rows, as far as `tune` said."""
    match name:
        case "logistic" | "baseline":
            return classifier_linear.fit(inputs, label, far)
        case "random_forest":
            return _forest(inputs, label, seed)
        case "xgboost":
            return _boosted(inputs, label, round(far), seed, None)[0]
        case _:
            return _oblivious(inputs, label, round(far), seed, None)[0]


def side_by_side() -> ThreadPoolExecutor:
    """One thread a core, for work that takes one thread each."""
    import numba

    return ThreadPoolExecutor(numba.get_num_threads())


READERS: dict[str, Callable[[bytes], Fitted]] = {
    "logistic": Linear.from_bytes,
    "random_forest": Forest.from_bytes,
    "xgboost": Xgboost.from_bytes,
    "catboost": Catboost.from_bytes,
}
ENDINGS = {"logistic": "json", "random_forest": "ubj", "xgboost": "ubj", "catboost": "cbm"}

Held = tuple[np.ndarray, np.ndarray]


def _boosted(inputs: np.ndarray, label: np.ndarray, rounds: int, seed: int, held: Held | None) -> tuple[Xgboost, float]:
    import xgboost

    learnt = xgboost.QuantileDMatrix(inputs, label, max_bin=BOOSTING["max_bin"], nthread=1)
    watched = [(xgboost.DMatrix(*held, nthread=1), "held")] if held else []
    booster = xgboost.train(
        {**BOOSTING, "seed": seed},
        learnt,
        rounds,
        evals=watched,
        early_stopping_rounds=PATIENCE if held else None,
        verbose_eval=False,
    )
    if held:
        rounds = booster.best_iteration + 1
        booster = booster[:rounds]
    return Xgboost(booster, {**BOOSTING, "rounds": rounds}), rounds


def _forest(inputs: np.ndarray, label: np.ndarray, seed: int) -> Forest:
    import xgboost

    some = float(np.sqrt(inputs.shape[1]) / inputs.shape[1])
    learnt = xgboost.QuantileDMatrix(inputs, label, max_bin=FOREST["max_bin"], nthread=1)
    parameters = {**FOREST, "colsample_bynode": some}
    return Forest(xgboost.train({**parameters, "seed": seed}, learnt, 1), parameters)


def _oblivious(
    inputs: np.ndarray, label: np.ndarray, rounds: int, seed: int, held: Held | None
) -> tuple[Catboost, float]:
    import catboost

    model = catboost.CatBoostClassifier(iterations=rounds, random_seed=seed, **OBLIVIOUS)
    if held:
        model.fit(inputs, label, eval_set=held, early_stopping_rounds=PATIENCE)
    else:
        model.fit(inputs, label)
    # What the library writes down beside the trees: times, a random id, its own build.
    notes = model.get_metadata()
    for name in list(notes.keys()):
        del notes[name]
    rounds = model.tree_count_
    return Catboost(model, {**OBLIVIOUS, "rounds": rounds}), rounds
