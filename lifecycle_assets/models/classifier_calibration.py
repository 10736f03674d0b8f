"""From a score to a probability that means what it says.

With MANY positives and negatives the frequencies of STEP_ROWS rows at a time along the score are made monotone (isotonic
regression, Zadrozny and Elkan, 2002) and joined by straight lines between the centres of the steps (Oron and Flournoy,
"Centered isotonic regression", 2017), so that customers keep their order. With fewer, a logistic curve through the score
(Platt, 1999, with his targets); where it would fall, the order says nothing and everybody has the rate of all. Either learns
from rows that the score's model had not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MANY = 1_000
STEP_ROWS = 50
LEAST = 1e-6
SMALLEST = 1e-9


@dataclass(frozen=True)
class Calibration:
    """Probabilities at the points `at` on the log-odds scale, joined by straight lines (isotonic), or the slope and
    intercept of the log-odds (platt)."""

    method: str
    at: np.ndarray
    value: np.ndarray

    @classmethod
    def fit(cls, log_odds: np.ndarray, label: np.ndarray) -> "Calibration":
        if min(label.sum(), (~label).sum()) >= MANY:
            return cls("isotonic", *_isotonic(log_odds, label))
        return cls("platt", np.zeros(0), _platt(log_odds, label))

    def probability(self, log_odds: np.ndarray) -> np.ndarray:
        if self.method == "isotonic":
            return np.interp(log_odds, self.at, self.value)
        from scipy.special import expit

        return np.clip(expit(self.value[0] * log_odds + self.value[1]), LEAST, 1 - LEAST)

    def to_json(self) -> dict[str, Any]:
        return {"method": self.method, "at": self.at.tolist(), "value": self.value.tolist()}

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> "Calibration":
        return cls(str(made["method"]), np.array(made["at"], np.float64), np.array(made["value"], np.float64))


def _isotonic(log_odds: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import isotonic_regression

    scores, place, counts = np.unique(log_odds, return_inverse=True, return_counts=True)
    parts = np.flatnonzero(np.diff((np.cumsum(counts) - counts) // STEP_ROWS, prepend=-1))
    rows = np.add.reduceat(counts, parts).astype(np.float64)
    total = np.add.reduceat(scores * counts, parts)
    hits = np.add.reduceat(np.bincount(place, weights=label), parts)
    steps = isotonic_regression(hits / rows, weights=rows)
    first = steps.blocks[:-1]
    weight = np.add.reduceat(rows, first)
    # Half a row each way: nobody is certain.
    value = (steps.x[first] * weight + 0.5) / (weight + 1)
    return np.add.reduceat(total, first) / weight, np.maximum.accumulate(value)


def _platt(log_odds: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Newton's method; the targets are drawn in by one row of either class."""
    from scipy.special import expit

    positives, negatives = label.sum(), (~label).sum()
    level = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    target = np.where(label, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    columns = np.column_stack([log_odds, np.ones(log_odds.size)])
    curve = level
    loss = _loss(columns @ curve, target)
    for _ in range(100):
        probability = expit(columns @ curve)
        weight = np.maximum(probability * (1 - probability), LEAST)
        step = np.linalg.solve(
            columns.T @ (columns * weight[:, None]) + LEAST * np.eye(2), columns.T @ (target - probability)
        )
        # With rare positives a whole step overshoots.
        while (new := _loss(columns @ (curve + step), target)) > loss and np.abs(step).max() > SMALLEST:
            step = step / 2
        curve, loss = curve + step, new
        if np.abs(step).max() < SMALLEST:
            break
    return curve if curve[0] > 0 else level


def _loss(log_odds: np.ndarray, target: np.ndarray) -> float:
    return float((np.logaddexp(0, log_odds) - target * log_odds).sum())
