"""Seasonal-trend decomposition by loess of many series at once, compiled by numba. Import it inside the function that needs it.

Cleveland, Cleveland, McRae and Terpenning, STL: a seasonal-trend decomposition procedure based on loess (1990), without
robustness weights, since outliers are damped before. Every series is worked on by one thread.
"""

import numpy as np
from numba import njit, prange

# In cycles: over how many a place of the season is averaged. The last average is carried on for months, and that of the usual
# 7 to 11 cycles moves with the noise.
SEASON_SPAN = 35
ROUNDS = 2


@njit(cache=True)
def _local(y: np.ndarray, span: int, x: float, is_line: bool) -> float:
    """The value at `x` of the line, or the mean, of the `span` nearest values, tricube weights."""
    n = y.size
    width = min(span, n)
    left = min(max(round(x) - width // 2, 0), n - width)
    reach = max(x - left, left + width - 1 - x)
    if span > n:
        reach += (span - n) / 2
    total = weighted_x = weighted_y = 0.0
    for i in range(left, left + width):
        distance = abs(i - x) / (reach + 1e-9)
        w = (1 - distance**3) ** 3 if distance < 1 else 0.0
        total += w
        weighted_x += w * i
        weighted_y += w * y[i]
    centre, value = weighted_x / total, weighted_y / total
    if not is_line:
        return value
    spread = slope = 0.0
    for i in range(left, left + width):
        distance = abs(i - x) / (reach + 1e-9)
        w = (1 - distance**3) ** 3 if distance < 1 else 0.0
        spread += w * (i - centre) ** 2
        slope += w * (i - centre) * y[i]
    return value + (slope / spread * (x - centre) if spread > 1e-6 * total else 0.0)


@njit(cache=True)
def _moving_average(y: np.ndarray, span: int) -> np.ndarray:
    means = np.empty(y.size - span + 1)
    window = y[:span].sum()
    for i in range(means.size):
        means[i] = window / span
        if i + span < y.size:
            window += y[i + span] - y[i]
    return means


@njit(cache=True)
def _season_one(y: np.ndarray, period: int) -> np.ndarray:
    """The seasonal component of one series of at least two periods."""
    n = y.size
    trend_span = int(np.ceil(1.5 * period / (1 - 1.5 / SEASON_SPAN))) // 2 * 2 + 1
    low_span = period // 2 * 2 + 1
    trend = np.zeros(n)
    season = np.zeros(n)
    # Each place's values are smoothed over the cycles and carried on by one cycle at either end.
    cycles = np.empty(n + 2 * period)
    for _ in range(ROUNDS):
        rest = y - trend
        for place in range(period):
            values = rest[place::period].copy()
            for c in range(values.size + 2):
                cycles[place + c * period] = _local(values, SEASON_SPAN, c - 1.0, False)
        low = _moving_average(_moving_average(_moving_average(cycles, period), period), 3)
        for t in range(n):
            season[t] = cycles[t + period] - _local(low, low_span, t, True)
        plain = y - season
        for t in range(n):
            trend[t] = _local(plain, trend_span, t, True)
    return season


@njit(cache=True, parallel=True)
def seasons(values: np.ndarray, firsts: np.ndarray, period: int) -> np.ndarray:
    """The seasonal component of every series, (n_series, n_days); NaN before its first day."""
    made = np.full(values.shape, np.nan)
    for i in prange(values.shape[0]):
        made[i, firsts[i] :] = _season_one(values[i, firsts[i] :], period)
    return made
