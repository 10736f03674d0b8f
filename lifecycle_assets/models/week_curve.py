"""How does a shop's response vary over the 168 hours of the week?

Multipliers of responses over exposure, a chain of Gamma-Poisson posteriors (gamma_poisson): by day, by hour of the day, by
hour of the week, each of what the ones before let expect. Hours are smoothed on the circle: an hour's prior is what it and its
neighbours tell together, a neighbour's messages counting the less the further away it is. Hours never tried have that prior.
"""

import numpy as np

WEEK = (7, 24)
# How much an hour says of those 2, 1, 0, 1 and 2 hours away.
NEIGHBOURS = {-2: 1 / 3, -1: 2 / 3, 0: 1.0, 1: 2 / 3, 2: 1 / 3}


def week_curve(responses: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """The multiplier of each of the 168 hours of the week (0 is Monday 00:00), 1 on average over the exposure; all 1 without
    responses."""
    if not responses.any():
        return np.ones(exposure.size)
    seen, expected = responses.reshape(WEEK), exposure.reshape(WEEK) * responses.sum() / exposure.sum()
    by_day = _multipliers(seen.sum(axis=1), expected.sum(axis=1))[:, None]
    by_hour = _smoothed(seen.sum(axis=0), (expected * by_day).sum(axis=0))
    curve = (by_day * by_hour).ravel()
    curve *= _smoothed(responses, expected.ravel() * curve)
    return curve * exposure.sum() / (exposure @ curve)


def _smoothed(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The multipliers of hours on a circle."""
    weights = np.array(list(NEIGHBOURS.values()))
    # So that sums of weighted counts say as much as counts (Kish).
    worth = weights.sum() / (weights**2).sum()

    def around(cells: np.ndarray) -> np.ndarray:
        return worth * sum(weight * np.roll(cells, away) for away, weight in NEIGHBOURS.items())

    prior = _multipliers(around(seen), around(expected))
    return prior * _multipliers(seen, expected * prior)


def _multipliers(seen: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Posterior means around 1. How far the cells differ is told by moments (Marshall, Applied Statistics 40, 1991): of a few
    cells with many responses each, a prior of how far they may differ would let their noise through."""
    variance = ((seen - expected) ** 2 - seen).sum() / (expected**2).sum()
    if variance <= 0:
        return np.ones_like(seen)
    return (1 / variance + seen) / (1 / variance + expected)
