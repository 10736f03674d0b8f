"""Does anything tell the customers whom a campaign moves from those whom it does not?

Every candidate of uplift_learners scores each customer by a model that has not seen them (3-fold cross-fitting). Models of
different folds have different levels, and a fold whose customers happened to respond well gets its scores from the others, so
scores are taken from their fold's mean: pooled as they are, they would rank worse than by chance. The highest Qini wins; where
the treatment was not drawn at random, the doubly robust learner is taken, which alone allows for it.

The best of several is better than it is. The intervals of the candidates' Qini are therefore simultaneous: all of them hold
together with 95 % (largest t of the bootstrap; Romano and Wolf, "Stepwise multiple testing as formalized data snooping",
2005), so the winner's does, whoever wins. They are also wider than the bootstrap's, which takes the scores as given (see
uplift_assignment.CROSS_FITTED): right without an effect, cautious with one. Uplift is used when all of these hold: the
winner's Qini is above 0; it is above that of a plain response model, which ranks customers by their probability of responding
when treated (by the 95 % interval of the difference); and the placebo stays quiet, that is, the winner learnt anew on a
shuffled treatment finds nothing.

Scores become effects by a regression of each customer's doubly robust signal on the winner's out-of-fold scores (the best
linear predictor of Chernozhukov, Demirer, Duflo and Fernández-Val, "Generic machine learning inference on heterogeneous
treatment effects", 2018).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.models import uplift_learners as learners
from lifecycle_assets.models.uplift_assignment import CROSS_FITTED, Assignment, assignment
from lifecycle_assets.models.uplift_curve import Ranking, Responses, areas, resampled_areas
from lifecycle_assets.models.uplift_learners import LEARNERS, Arms, Predict

FOLDS = 3
RESPONSE_MODEL = "response_model"
DOUBLY_ROBUST = "dr_learner"
LEVEL = 0.95

Fit = Callable[[Arms, np.random.Generator], Predict]


@dataclass(frozen=True)
class Calibration:
    """Effect = mean + slope * score, for scores taken from their mean; `error` is the standard error of the mean. A slope below
    0 is noise and counts as 0."""

    mean: float
    slope: float
    error: float

    @classmethod
    def of(cls, score: np.ndarray, effect: np.ndarray) -> "Calibration":
        """Regress `effect` on `score`, whose mean is 0."""
        squares = float((score**2).sum())
        slope = max(float((score * effect).sum()) / squares, 0.0) if squares > 0 else 0.0
        return cls(float(effect.mean()), slope, float(effect.std(ddof=1) / np.sqrt(effect.size)))

    def effect(self, score: np.ndarray) -> np.ndarray:
        """The effect that each score stands for."""
        return self.mean + self.slope * score


class Placebo(NamedTuple):
    """Qini and the ends of its 95 % interval when who was treated is shuffled."""

    qini: float
    low: float
    high: float

    @property
    def is_quiet(self) -> bool:
        """Whether the interval covers 0, as it must: an order better or worse than chance was found in nothing."""
        return self.low <= 0 <= self.high


class Final(NamedTuple):
    """Models of all customers of a campaign: the scores, from their mean, and the expected responses."""

    score: Predict
    expected: Predict


@dataclass(frozen=True)
class Trial:
    """What was learnt of one campaign. Arrays have a row per customer: `arms`, `assigned`, `expected` (responses as a control
    and as a treated customer, by models that have not seen them), `scores` of each candidate, from their folds' means.

    `race` has a row per candidate: qini, auuc and gain (of Qini over the response model), each with _lo and _hi; `placebo` is
    of a shuffled treatment. `dilution` is what effects are multiplied by for contaminated controls; areas,
    effects and `calibration` have it in them. `final` is for customers who were not in the campaign; None where uplift is not
    used."""

    campaign_id: str
    arms: Arms
    assigned: Assignment
    expected: np.ndarray
    scores: dict[str, np.ndarray]
    rankings: dict[str, Ranking]
    responses: Responses
    chosen: str
    race: pl.DataFrame
    qini_response_model: float
    placebo: Placebo
    dilution: float
    calibration: Calibration
    is_used: bool
    final: Final | None

    @property
    def is_heterogeneous(self) -> bool:
        """Whether the chosen candidate's Qini is above 0."""
        return bool(self.race.row(by_predicate=pl.col("candidate") == self.chosen, named=True)["qini_lo"] > 0)


def trial(
    campaign_id: str,
    features: np.ndarray,
    treated: np.ndarray,
    response: np.ndarray,
    contaminated_share: float,
    rng: np.random.Generator,
) -> Trial:
    """Learn from one row per customer: `features` (nan is missing), `treated` and `response` 0 or 1, at least FOLDS of each."""
    arms = Arms(features, treated, response, np.full(treated.size, treated.mean()))
    fold = learners.folds(arms, FOLDS, rng)
    (foretold,) = _cross_fit(arms, fold, [_treatment], rng)
    assigned = assignment(features, treated, foretold, fold)
    arms = replace(arms, propensity=assigned.propensity)
    expected, *fitted = _cross_fit(arms, fold, [_response, *LEARNERS.values()], rng)
    scores = {name: _centred(score, fold) for name, score in zip(LEARNERS, fitted, strict=True)}
    rankings = {name: Ranking.of(score) for name, score in scores.items()}
    rankings[RESPONSE_MODEL] = Ranking.of(_centred(expected[:, 1], fold))
    responses = Responses(treated, response, assigned.weight)
    dilution = 1 / (1 - contaminated_share)

    measured = areas(list(rankings.values()), responses) * dilution
    resampled = resampled_areas(list(rankings.values()), responses, rng) * dilution
    race = _race(list(scores), measured, resampled)
    chosen = race.sort("qini", descending=True, maintain_order=True)["candidate"][0]
    if not assigned.randomised:
        chosen = DOUBLY_ROBUST
    placebo = _placebo(arms, fold, LEARNERS[chosen], rng)
    winner = race.row(by_predicate=pl.col("candidate") == chosen, named=True)
    is_used = winner["qini_lo"] > 0 and winner["gain_lo"] > 0 and placebo.is_quiet and assigned.is_comparable
    return Trial(
        campaign_id,
        arms,
        assigned,
        expected,
        scores,
        rankings,
        responses,
        chosen,
        race,
        float(measured[-1, 0]),
        placebo,
        dilution,
        Calibration.of(scores[chosen], learners.signal(arms, expected) * dilution),
        is_used,
        _final(arms, LEARNERS[chosen], rng) if is_used else None,
    )


def _treatment(arms: Arms, _rng: np.random.Generator) -> Predict:
    return learners.propensity(arms)


def _response(arms: Arms, _rng: np.random.Generator) -> Predict:
    return learners.responses(arms)


def _cross_fit(arms: Arms, fold: np.ndarray, fits: list[Fit], rng: np.random.Generator) -> list[np.ndarray]:
    """Each fit's predictions for every customer, from models of the other folds; fits and folds run beside each other."""
    tasks = [(fit, k) for fit in fits for k in range(FOLDS)]

    def predicted(task: tuple[Fit, int], own: np.random.Generator) -> np.ndarray:
        fit, k = task
        return fit(arms.take(fold != k), own)(arms.features[fold == k])

    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(predicted, tasks, rng.spawn(len(tasks))))
    made = []
    for i in range(len(fits)):
        own = parts[i * FOLDS : (i + 1) * FOLDS]
        whole = np.empty((fold.size, *own[0].shape[1:]))
        for k, part in enumerate(own):
            whole[fold == k] = part
        made.append(whole)
    return made


def _centred(score: np.ndarray, fold: np.ndarray) -> np.ndarray:
    means = np.bincount(fold, weights=score) / np.bincount(fold)
    return score - means[fold]


def _race(names: list[str], measured: np.ndarray, resampled: np.ndarray) -> pl.DataFrame:
    """Areas of the candidates, with the response model's as the last of `measured` and `resampled`."""
    made: dict[str, object] = {"candidate": names}
    found = {
        "qini": (measured[:-1, 0], resampled[:, :-1, 0]),
        "auuc": (measured[:-1, 1], resampled[:, :-1, 1]),
        "gain": (measured[:-1, 0] - measured[-1, 0], resampled[:, :-1, 0] - resampled[:, -1:, 0]),
    }
    for name, (value, draws) in found.items():
        half = Z * draws.std(axis=0) if name == "gain" else _half_widths(draws)
        made |= {name: value, f"{name}_lo": value - half, f"{name}_hi": value + half}
    return pl.DataFrame(made)


def _half_widths(draws: np.ndarray) -> np.ndarray:
    """Half-widths of intervals that hold together with LEVEL; draws are resample x candidate. 0 where nothing varies."""
    spread = draws.std(axis=0)
    away = np.abs(draws - draws.mean(axis=0))
    largest = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0).max(axis=1)
    return float(np.quantile(largest, LEVEL)) * CROSS_FITTED * spread


def _placebo(arms: Arms, fold: np.ndarray, fit: Fit, rng: np.random.Generator) -> Placebo:
    share = np.full(arms.treated.size, arms.treated.mean())
    shuffled = replace(arms, treated=rng.permutation(arms.treated), propensity=share)
    (score,) = _cross_fit(shuffled, fold, [fit], rng)
    ranking = Ranking.of(_centred(score, fold))
    responses = Responses(shuffled.treated, shuffled.response, np.ones(share.size))
    qini = float(areas([ranking], responses)[0, 0])
    half = float(_half_widths(resampled_areas([ranking], responses, rng)[:, :, 0])[0])
    return Placebo(qini, qini - half, qini + half)


def _final(arms: Arms, fit: Fit, rng: np.random.Generator) -> Final:
    model = fit(arms, rng)
    level = float(model(arms.features).mean())
    return Final(lambda features: model(features) - level, learners.responses(arms))
