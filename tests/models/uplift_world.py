"""Campaigns with planted effects: customers whose response with and without treatment is known."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class World:
    """Per customer: features, arm, response, and the true probabilities of a response as a control and as treated."""

    features: np.ndarray
    treated: np.ndarray
    response: np.ndarray
    control_rate: np.ndarray
    treated_rate: np.ndarray

    @property
    def effect(self) -> np.ndarray:
        return self.treated_rate - self.control_rate


def world(n: int, seed: int, *, strength: float = 1.0, confounding: float = 0.0) -> World:
    """Feature 0 moves the response and, with `confounding`, who is treated; feature 1 moves the effect, the others nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4))
    treated = (rng.random(n) < _sigmoid(confounding * features[:, 0])).astype(np.int64)
    base = -1.0 + 0.8 * features[:, 0]
    rates = _sigmoid(base), _sigmoid(base + strength * features[:, 1])
    response = (rng.random(n) < np.where(treated == 1, rates[1], rates[0])).astype(np.int64)
    return World(features, treated, response, *rates)


# Response as a control and as treated, of each kind of customer.
KINDS = {
    "persuadable": (0.10, 0.45),
    "sure_thing": (0.75, 0.75),
    "lost_cause": (0.05, 0.05),
    "sleeping_dog": (0.60, 0.30),
}


def four_kinds(n: int, seed: int) -> tuple[World, np.ndarray]:
    """Customers of the four kinds, told apart by the signs of two features; and the name of each one's kind."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 4))
    number = 2 * (features[:, 0] > 0) + (features[:, 1] > 0)
    rates = np.array(list(KINDS.values()))[number].T
    treated = rng.integers(0, 2, n)
    response = (rng.random(n) < np.where(treated == 1, rates[1], rates[0])).astype(np.int64)
    return World(features, treated, response, *rates), np.array(list(KINDS))[number]


def grid(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of whole numbers, of which a histogram loses nothing, arms and responses; without a random number."""
    i = np.arange(n)
    features = np.column_stack([(i * step) % 31 for step in (7, 11, 13, 17, 19)]).astype(float)
    treated = (i * 5 + i // 7) % 2
    chance = 0.2 + 0.01 * features[:, 0] + treated * (0.25 * (features[:, 1] > 15) - 0.1 * (features[:, 2] > 22))
    response = ((i * 0.6180339887498949) % 1 < chance).astype(np.int64)
    return features, treated, response


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
