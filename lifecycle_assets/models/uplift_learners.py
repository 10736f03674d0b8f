"""By how much does the treatment change each customer's probability of responding? Four ways to learn it.

    uplift_forest   a random forest of uplift trees, see uplift_forest
    t_learner       one boosted model of the response per arm; the effect is their difference
    x_learner       the effects that the other arm's model imputes to each customer, learnt per arm and averaged by the
                    propensity (Künzel, Sekhon, Bickel and Yu, "Metalearners for estimating heterogeneous treatment effects
                    using machine learning", 2019)
    dr_learner      a regression of the doubly robust signal of models of the other half of the customers (Kennedy, "Towards
                    optimal doubly robust estimation of heterogeneous causal effects", 2023)

Boosting is xgboost with small, slow trees, since effects are faint beside responses. One thread per model: sums of several
threads would differ in their last digits from run to run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lifecycle_assets.models.uplift_forest import UpliftForest

if TYPE_CHECKING:
    import xgboost

Predict = Callable[[np.ndarray], np.ndarray]

BOOSTING = {
    "tree_method": "hist",
    "max_bin": 64,
    "max_depth": 3,
    "eta": 0.05,
    "lambda": 10.0,
    "nthread": 1,
}
ROUNDS = 100
LEAST_OF_LEAF = 20
# Responses are at most this sure; a logit has no end.
SURE = 0.001


@dataclass(frozen=True)
class Arms:
    """One row per customer of a campaign: `features` (nan is missing), `treated` and `response` 0 or 1, and `propensity`, the
    probability with which the customer was to be treated."""

    features: np.ndarray
    treated: np.ndarray
    response: np.ndarray
    propensity: np.ndarray

    def take(self, rows: np.ndarray) -> "Arms":
        """The rows at these positions or of this mask."""
        return Arms(self.features[rows], self.treated[rows], self.response[rows], self.propensity[rows])


def responses(arms: Arms) -> Predict:
    """Probability of a response as a control (first column) and as a treated customer (second)."""
    models = [
        _boosted(arms.features[rows], arms.response[rows], "binary:logistic")
        for rows in (arms.treated == 0, arms.treated == 1)
    ]
    return lambda features: np.column_stack([model(features) for model in models])


def propensity(arms: Arms) -> Predict:
    """Probability of being treated."""
    return _boosted(arms.features, arms.treated, "binary:logistic")


def signal(arms: Arms, expected: np.ndarray) -> np.ndarray:
    """Each customer's effect in expectation: the augmented inverse-probability-weighted score (Robins, Rotnitzky and Zhao,
    1994). Its mean is right when either the propensities or the `expected` responses of both arms are."""
    control, treated = expected[:, 0], expected[:, 1]
    weight = arms.treated / arms.propensity - (1 - arms.treated) / (1 - arms.propensity)
    return treated - control + weight * (arms.response - np.where(arms.treated == 1, treated, control))


def _forest(arms: Arms, rng: np.random.Generator) -> Predict:
    return UpliftForest.fit(arms.features, arms.treated, arms.response, rng).predict


def _t_learner(arms: Arms, _rng: np.random.Generator) -> Predict:
    model = responses(arms)
    return lambda features: np.diff(model(features), axis=1)[:, 0]


def _x_learner(arms: Arms, _rng: np.random.Generator) -> Predict:
    expected, is_treated = responses(arms)(arms.features), arms.treated == 1
    imputed = np.where(is_treated, arms.response - expected[:, 0], expected[:, 1] - arms.response)
    of_controls, of_treated = (
        _boosted(arms.features[rows], imputed[rows], "reg:squarederror") for rows in (~is_treated, is_treated)
    )
    share = float(arms.treated.mean())
    return lambda features: share * of_controls(features) + (1 - share) * of_treated(features)


def _dr_learner(arms: Arms, rng: np.random.Generator) -> Predict:
    half = folds(arms, 2, rng)
    effect = np.empty(half.size)
    for this in (0, 1):
        rows = half == this
        effect[rows] = signal(arms.take(rows), responses(arms.take(~rows))(arms.features[rows]))
    return _boosted(arms.features, effect, "reg:squarederror")


LEARNERS: dict[str, Callable[[Arms, np.random.Generator], Predict]] = {
    "uplift_forest": _forest,
    "t_learner": _t_learner,
    "x_learner": _x_learner,
    "dr_learner": _dr_learner,
}


def folds(arms: Arms, n: int, rng: np.random.Generator) -> np.ndarray:
    """A number from 0 to n - 1 per customer, drawn so that every fold has its share of both arms and both responses."""
    drawn = np.empty(arms.treated.size, np.int64)
    order = np.lexsort((rng.random(drawn.size), arms.response, arms.treated))
    drawn[order] = np.arange(drawn.size) % n
    return drawn


def _boosted(features: np.ndarray, target: np.ndarray, objective: str) -> Predict:
    import xgboost

    mean = float(target.mean())
    is_logistic = objective == "binary:logistic"
    start = min(max(mean, SURE), 1 - SURE) if is_logistic else mean
    # Each row weighs p (1 - p) in a leaf of a logistic model, 1 in another.
    least = LEAST_OF_LEAF * (start * (1 - start) if is_logistic else 1.0)
    booster = xgboost.train(
        {**BOOSTING, "objective": objective, "base_score": start, "min_child_weight": least},
        _matrix(features, target),
        num_boost_round=ROUNDS,
    )
    return lambda asked: booster.predict(_matrix(asked)).astype(np.float64)


def _matrix(features: np.ndarray, target: np.ndarray | None = None) -> "xgboost.DMatrix":
    import xgboost

    return xgboost.DMatrix(features, label=target, nthread=1)
