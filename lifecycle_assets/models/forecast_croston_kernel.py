"""Demand that comes now and then: Croston's method and its heirs for many series at once, compiled by numba. Import it inside
the function that needs it.

Croston smooths the sizes of demands and the days between them; their ratio is the demand per day (Forecasting and stock
control for intermittent demands, 1972). SBA takes its bias off (Syntetos and Boylan, The accuracy of intermittent demand
estimates, 2005). TSB smooths the probability of a demand each day, so that what is no longer asked for fades (Teunter, Syntetos
and Babai, Intermittent demand: linking forecasting to inventory obsolescence, 2011). Smoothing parameters are those with the
smallest squared one-day errors on a grid.
"""

import numpy as np
from numba import njit, prange

CROSTON, SBA, TSB = 0, 1, 2
SIZE_WEIGHTS = np.array([0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
CHANCE_WEIGHTS = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.2])


@njit(cache=True)
def _croston(y: np.ndarray, alpha: float, unbiased: bool) -> tuple[float, float]:
    """(forecast, sum of squared one-day errors since the first demand)."""
    size, gap = 0.0, 0.0
    waited, squares, rate = 1, 0.0, 0.0
    seen = False
    for value in y:
        if seen:
            squares += (value - rate) ** 2
        if value > 0:
            size = size + alpha * (value - size) if seen else value
            gap = gap + alpha * (waited - gap) if seen else waited
            rate = size / gap * (1 - alpha / 2 if unbiased else 1.0)
            seen, waited = True, 1
        else:
            waited += 1
    return rate, squares


@njit(cache=True)
def _tsb(y: np.ndarray, alpha: float, beta: float) -> tuple[float, float]:
    """(forecast, sum of squared one-day errors)."""
    n_demands = (y > 0).sum()
    chance = n_demands / y.size
    size = y.sum() / max(n_demands, 1)
    squares = 0.0
    for value in y:
        squares += (value - chance * size) ** 2
        if value > 0:
            size += alpha * (value - size)
            chance += beta * (1 - chance)
        else:
            chance -= beta * chance
    return chance * size, squares


@njit(cache=True, parallel=True)
def rates(values: np.ndarray, firsts: np.ndarray, method: int) -> np.ndarray:
    """Expected demand per day after the last one, one per series."""
    made = np.empty(values.shape[0])
    for i in prange(values.shape[0]):
        y = values[i, firsts[i] :]
        lowest = np.inf
        for alpha in SIZE_WEIGHTS:
            if method == TSB:
                for beta in CHANCE_WEIGHTS:
                    rate, squares = _tsb(y, alpha, beta)
                    if squares < lowest:
                        made[i], lowest = rate, squares
            else:
                rate, squares = _croston(y, alpha, method == SBA)
                if squares < lowest:
                    made[i], lowest = rate, squares
    return made
