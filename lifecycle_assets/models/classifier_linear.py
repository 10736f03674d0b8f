"""Logistic regression with an elastic-net penalty.

Newton steps on the log-likelihood, each minimised by coordinate descent on the weighted Gram matrix, down a path of penalties
with warm starts (Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate descent",
2010). Columns are first drawn in by a signed logarithm, because amounts and counts are skewed, and standardised.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

L1_SHARE = 0.5
PATH = 25
SHORTEST = 1e-3
STEPS = 25
TOLERANCE = 1e-5
# Closer than this the curvature has hardly changed and is not worked out again.
NEAR = 0.1
SMALLEST = 1e-4
PATIENCE = 3


@dataclass(frozen=True)
class Linear:
    """log-odds = intercept + sum of weight * (signed log of the column - mean) / sd."""

    mean: np.ndarray
    sd: np.ndarray
    weight: np.ndarray
    intercept: float
    penalty: float

    @property
    def parameters(self) -> dict[str, Any]:
        return {"l1_share": L1_SHARE, "penalty": self.penalty, "columns_in_use": int(np.count_nonzero(self.weight))}

    def log_odds(self, inputs: np.ndarray) -> np.ndarray:
        return self.intercept + self._scaled(inputs) @ self.weight

    def shap(self, inputs: np.ndarray) -> np.ndarray:
        """What each column adds to the log-odds of a mean row."""
        return self._scaled(inputs) * self.weight

    def _scaled(self, inputs: np.ndarray) -> np.ndarray:
        return (_drawn_in(inputs) - self.mean) / self.sd

    def to_bytes(self) -> bytes:
        parts = {"mean": self.mean, "sd": self.sd, "weight": self.weight}
        made = {name: part.tolist() for name, part in parts.items()}
        return json.dumps({**made, "intercept": self.intercept, "penalty": self.penalty}).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Linear":
        made: Mapping[str, Any] = json.loads(stored)
        mean, sd, weight = (np.array(made[name], dtype=np.float64) for name in ("mean", "sd", "weight"))
        return cls(mean, sd, weight, float(made["intercept"]), float(made["penalty"]))


def tune(inputs: np.ndarray, label: np.ndarray, held: np.ndarray) -> tuple[Linear, float]:
    """The model of the penalty that does best on the `held` rows (a mask), learnt from the others, and that penalty."""
    mean, sd, scaled = _standardised(inputs[~held])
    ahead, happened = (_drawn_in(inputs[held]) - mean) / sd, label[held]
    best, best_loss, worse = Linear(mean, sd, np.zeros(mean.size), 0.0, 0.0), np.inf, 0
    for penalty, coefficients in _path(scaled, label[~held]):
        log_odds = coefficients[0] + ahead @ coefficients[1:]
        loss = float(np.logaddexp(0, np.where(happened, -log_odds, log_odds)).mean())
        worse = worse + 1 if loss >= best_loss else 0
        if worse == 0:
            best, best_loss = Linear(mean, sd, coefficients[1:], float(coefficients[0]), penalty), loss
        if worse == PATIENCE:
            break
    return best, best.penalty


def fit(inputs: np.ndarray, label: np.ndarray, penalty: float) -> Linear:
    """The model of one penalty."""
    mean, sd, scaled = _standardised(inputs)
    coefficients = elastic_net(scaled, label, penalty, _nothing(scaled, label))
    return Linear(mean, sd, coefficients[1:], float(coefficients[0]), penalty)


def elastic_net(scaled: np.ndarray, label: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """Intercept and weights that minimise the mean negative log-likelihood + penalty * (L1_SHARE * |w| +
    (1 - L1_SHARE) / 2 * w'w), from `start`."""
    from lifecycle_assets.models.classifier_linear_kernel import descend

    columns = np.column_stack([np.ones(len(scaled), scaled.dtype), scaled])
    coefficients, curvature, y = start, None, label.astype(np.float64)
    log_odds = _times(columns, coefficients)
    loss = _loss(log_odds, y, coefficients, penalty)
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-log_odds))
        if curvature is None:
            weight = np.maximum(probability * (1 - probability), 1e-5) / y.size
            curvature = (columns.T @ (columns * weight[:, None].astype(columns.dtype))).astype(np.float64)
        gradient = (((y - probability) / y.size).astype(columns.dtype) @ columns).astype(np.float64)
        step = descend(curvature, gradient, coefficients, penalty * L1_SHARE, penalty * (1 - L1_SHARE)) - coefficients
        ahead, share = _times(columns, step), 1.0
        # Where the classes are nearly separated the whole step overshoots and the next ones would run away.
        while (new := _loss(log_odds + share * ahead, y, coefficients + share * step, penalty)) > loss:
            share /= 2
            if share < SMALLEST:
                return coefficients
        coefficients, log_odds, loss = coefficients + share * step, log_odds + share * ahead, new
        moved = share * np.abs(step).max()
        if moved < TOLERANCE:
            break
        if moved > NEAR or share < 1:
            curvature = None
    return coefficients


def _times(columns: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return (columns @ coefficients.astype(columns.dtype)).astype(np.float64)


def _loss(log_odds: np.ndarray, y: np.ndarray, coefficients: np.ndarray, penalty: float) -> float:
    weight = coefficients[1:]
    shrunk = L1_SHARE * np.abs(weight).sum() + (1 - L1_SHARE) / 2 * weight @ weight
    return float(np.logaddexp(0, log_odds).mean() - y @ log_odds / y.size + penalty * shrunk)


def _path(scaled: np.ndarray, label: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Penalties from the one that leaves nothing down, each with its coefficients."""
    start = _nothing(scaled, label)
    steepest = np.abs((label - label.mean()) @ scaled).max() / label.size / L1_SHARE
    for penalty in np.geomspace(max(steepest, 1e-6), max(steepest, 1e-6) * SHORTEST, PATH):
        start = elastic_net(scaled, label, float(penalty), start)
        yield float(penalty), start


def _nothing(scaled: np.ndarray, label: np.ndarray) -> np.ndarray:
    rate = label.mean()
    return np.append(np.log(rate / (1 - rate)), np.zeros(scaled.shape[1]))


def _standardised(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    drawn_in = _drawn_in(inputs)
    mean, sd = drawn_in.mean(axis=0, dtype=np.float64), drawn_in.std(axis=0, dtype=np.float64)
    sd = np.where(sd > 1e-6, sd, 1.0)
    return mean, sd, (drawn_in - mean.astype(np.float32)) / sd.astype(np.float32)


def _drawn_in(inputs: np.ndarray) -> np.ndarray:
    values = inputs.astype(np.float32, copy=False)
    return np.sign(values) * np.log1p(np.abs(values))
