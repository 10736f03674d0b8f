"""Exponential smoothing and Theta for many series at once, compiled by numba. Import it inside the
function that needs it.

Every series is worked on by one thread, so the forecasts are the same on any number of threads. `values` are (series, days),
`firsts` the column at which each series begins.
"""

import numpy as np
from numba import njit, prange

ADDITIVE, MULTIPLICATIVE = 1, 2
# Bounds of the damping, as usual (Hyndman and Athanasopoulos, Forecasting, 2021, section 8.2).
LEAST_DAMPING, MOST_DAMPING = 0.8, 0.98
# Where the search for smoothing parameters begins, as logits.
LEVEL_STARTS = np.array([-3.0, -1.4, 0.0])
SEASON_STARTS = np.array([-4.0, -1.7])
TREND_STARTS = np.array([-4.0, -1.7])
DAMPING_START = 1.0
# This many forms, the best at the starts, are refined by Nelder and Mead's simplex in this many evaluations each.
REFINED, EVALUATIONS, TOLERANCE = 2, 60, 1e-5
# Of the correlation at the season's lag: beyond it, at 90 %, there is a season.
SIGNIFICANT = 1.645
THETA_LEVELS = 24


@njit(cache=True)
def _weights(x: np.ndarray) -> tuple[float, float, float, float]:
    """Smoothing of level, trend and season, and the damping, from unbounded numbers."""
    squeezed = 1 / (1 + np.exp(-x))
    level = 1e-4 + 0.9998 * squeezed[0]
    damping = LEAST_DAMPING + (MOST_DAMPING - LEAST_DAMPING) * squeezed[3]
    return level, level * squeezed[1], (1 - level) * squeezed[2], damping


@njit(cache=True)
def _season_of(y: np.ndarray, period: int, kind: int) -> np.ndarray:
    """What each place of the period differs from the moving average around it: by a sum to 0, or by a factor around 1."""
    season = np.zeros(period)
    counts = np.zeros(period)
    half = period // 2
    around = y[: 2 * half].sum()
    for t in range(half, y.size - half):
        around += y[t + half]
        if kind == ADDITIVE:
            season[t % period] += y[t] - around / period
        else:
            season[t % period] += y[t] * period / around
        counts[t % period] += 1
        around -= y[t - half]
    season /= counts
    return season - season.mean() if kind == ADDITIVE else season / season.mean()


@njit(cache=True)
def _smooth(
    y: np.ndarray, sums: np.ndarray, x: np.ndarray, trended: bool, kind: int, season: np.ndarray, path: np.ndarray
) -> float:
    """Run one form over the series: -2 log likelihood but for a constant. `sums` are running sums of the series without its
    season; `season` holds its first values and ends as its last; `path` receives the forecast."""
    alpha, beta, gamma, damping = _weights(x)
    n, period = y.size, season.size
    # The mean over as many days as the level remembers is its best start.
    memory = min(n, max(period, int(2 / alpha)))
    level, slope, error_sum, log_sum = sums[memory] / memory, 0.0, 0.0, 0.0
    place = 0
    for t in range(n):
        step = damping * slope if trended else 0.0
        base = level + step
        if kind == MULTIPLICATIVE:
            fitted = base * season[place]
            if fitted <= 0:
                return np.inf
            error = y[t] / fitted - 1
            error_sum += error * error
            log_sum += np.log(fitted)
            level = base * (1 + alpha * error)
            slope = step + beta * base * error
            season[place] *= 1 + gamma * error
        else:
            error = y[t] - base - season[place]
            error_sum += error * error
            level = base + alpha * error
            slope = step + beta * error
            if kind == ADDITIVE:
                season[place] += gamma * error
        place += 1
        if place == period:
            place = 0
    ahead, damped = 0.0, 1.0
    for h in range(path.size):
        damped *= damping
        ahead += damped
        base = level + (ahead * slope if trended else 0.0)
        path[h] = base * season[place] if kind == MULTIPLICATIVE else base + season[place]
        place += 1
        if place == period:
            place = 0
    return n * np.log(error_sum / n + 1e-300) + 2 * log_sum


@njit(cache=True)
def _refine(
    y: np.ndarray, sums: np.ndarray, start: np.ndarray, moved: np.ndarray, trended: bool, kind: int, season: np.ndarray
) -> tuple[np.ndarray, float]:
    """The best parameters that Nelder and Mead's simplex finds from `start`, moving those named in `moved`."""
    d = moved.size
    none = np.empty(0)
    points = np.empty((d + 1, start.size))
    costs = np.empty(d + 1)
    for i in range(d + 1):
        points[i] = start
        if i:
            points[i, moved[i - 1]] += 1.0
        costs[i] = _smooth(y, sums, points[i], trended, kind, season.copy(), none)
    used = d + 1
    while used < EVALUATIONS:
        order = np.argsort(costs)
        points, costs = points[order], costs[order]
        if costs[d] - costs[0] < TOLERANCE * y.size:
            break
        centre = np.zeros(start.size)
        for i in range(d):
            centre += points[i] / d
        tried = 2 * centre - points[d]
        cost = _smooth(y, sums, tried, trended, kind, season.copy(), none)
        used += 1
        if cost < costs[0]:
            further = 3 * centre - 2 * points[d]
            further_cost = _smooth(y, sums, further, trended, kind, season.copy(), none)
            used += 1
            if further_cost < cost:
                tried, cost = further, further_cost
        elif cost >= costs[d - 1]:
            nearer = 0.5 * (centre + (tried if cost < costs[d] else points[d]))
            nearer_cost = _smooth(y, sums, nearer, trended, kind, season.copy(), none)
            used += 1
            if nearer_cost >= min(cost, costs[d]):
                for i in range(1, d + 1):
                    points[i] = 0.5 * (points[0] + points[i])
                    costs[i] = _smooth(y, sums, points[i], trended, kind, season.copy(), none)
                used += d
                continue
            tried, cost = nearer, nearer_cost
        points[d], costs[d] = tried, cost
    best = np.argmin(costs)
    return points[best], costs[best]


@njit(cache=True)
def _corrected(cost: float, n: int, trended: bool, kind: int, period: int) -> float:
    """Akaike's criterion, corrected for few days (Hurvich and Tsai, 1989)."""
    k = 3 + (3 if trended else 0) + (period if kind else 0)
    return cost + 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1)


@njit(cache=True)
def _ets_one(y: np.ndarray, period: int, path: np.ndarray) -> None:
    """The forecast of the best form by Akaike's corrected criterion: with or without a damped trend; with an additive, a
    multiplicative (series above 0) or no season."""
    n = y.size
    kinds = 1 if period == 1 or n < 2 * period else (3 if y.min() > 0 else 2)
    seasons = np.zeros((kinds, max(period, 1)))
    sums = np.zeros((kinds, n + 1))
    for kind in range(kinds):
        if kind:
            seasons[kind] = _season_of(y, period, kind)
        for t in range(n):
            plain = y[t] / seasons[kind, t % period] if kind == MULTIPLICATIVE else y[t] - seasons[kind, t % period]
            sums[kind, t + 1] = sums[kind, t] + plain
    none = np.empty(0)
    starts = np.empty((2 * kinds, 4))
    criteria = np.full(2 * kinds, np.inf)
    for form in range(2 * kinds):
        trended, kind = form % 2 == 1, form // 2
        for a in LEVEL_STARTS:
            for b in TREND_STARTS if trended else TREND_STARTS[:1]:
                for c in SEASON_STARTS if kind else SEASON_STARTS[:1]:
                    x = np.array([a, b, c, DAMPING_START])
                    cost = _smooth(y, sums[kind], x, trended, kind, seasons[kind].copy(), none)
                    criterion = _corrected(cost, n, trended, kind, period)
                    if criterion < criteria[form] or not np.isfinite(criteria[form]):
                        criteria[form], starts[form] = criterion, x
    best, lowest = 0, np.inf
    for form in np.argsort(criteria)[:REFINED]:
        trended, kind = form % 2 == 1, form // 2
        if trended:
            moved = np.array([0, 1, 2, 3]) if kind else np.array([0, 1, 3])
        else:
            moved = np.array([0, 2]) if kind else np.array([0])
        x, cost = _refine(y, sums[kind], starts[form], moved, trended, kind, seasons[kind])
        starts[form] = x
        criterion = _corrected(cost, n, trended, kind, period)
        if criterion < lowest:
            best, lowest = form, criterion
    kind = best // 2
    _smooth(y, sums[kind], starts[best], best % 2 == 1, kind, seasons[kind].copy(), path)


@njit(cache=True, parallel=True)
def ets(values: np.ndarray, firsts: np.ndarray, period: int, horizon: int) -> np.ndarray:
    """Exponential smoothing with a damped trend or none, (n_series, horizon)."""
    paths = np.empty((values.shape[0], horizon))
    for i in prange(values.shape[0]):
        _ets_one(values[i, firsts[i] :], period, paths[i])
    return paths


@njit(cache=True)
def _has_season(y: np.ndarray, period: int) -> bool:
    """Whether the correlation at the season's lag stands out of those before it at 90 % (Assimakopoulos and Nikolopoulos)."""
    if y.size < 3 * period:
        return False
    centred = y - y.mean()
    variance = (centred * centred).sum()
    if variance <= 0:
        return False
    noise = 1.0
    correlation = 0.0
    for lag in range(1, period + 1):
        correlation = (centred[lag:] * centred[:-lag]).sum() / variance
        if lag < period:
            noise += 2 * correlation * correlation
    return abs(correlation) > SIGNIFICANT * np.sqrt(noise / y.size)


@njit(cache=True)
def _theta_fit(y: np.ndarray, drift: np.ndarray, alpha: float) -> tuple[float, float, float, float]:
    """(sum of squares, last level, its share of the drift, alpha) of the best line and first level for one smoothing.

    One-day errors are linear in the first level and in the weight 1 - 1/theta of the drift, so that both are solved for."""
    n = y.size
    aa = ab = bb = ay = by = 0.0
    smoothed, memory = 0.0, 1.0
    a0, slope = drift
    for t in range(n):
        rest = y[t] - smoothed
        # The part of the trend that a smoothed level lags behind.
        lag = memory * a0 + slope * (1 - memory * (1 - alpha)) / alpha
        aa += memory * memory
        ab += memory * lag
        bb += lag * lag
        ay += memory * rest
        by += lag * rest
        smoothed += alpha * (y[t] - smoothed)
        memory *= 1 - alpha
    determinant = aa * bb - ab * ab
    weight = (aa * by - ab * ay) / determinant if determinant > 1e-12 * aa * bb else 0.0
    weight = min(max(weight, 0.0), 1.0)
    level = (ay - weight * ab) / aa
    squares = 0.0
    current, memory = level, 1.0
    for t in range(n):
        lag = memory * a0 + slope * (1 - memory * (1 - alpha)) / alpha
        error = y[t] - current - weight * lag
        squares += error * error
        current += alpha * (y[t] - current)
        memory *= 1 - alpha
    return squares, current, weight, memory


@njit(cache=True)
def _theta_one(y: np.ndarray, period: int, path: np.ndarray) -> None:
    n = y.size
    kind = 0
    season = np.zeros(period)
    plain = y.copy()
    if _has_season(y, period):
        kind = MULTIPLICATIVE if y.min() > 0 else ADDITIVE
        season = _season_of(y, period, kind)
        for t in range(n):
            plain[t] = y[t] / season[t % period] if kind == MULTIPLICATIVE else y[t] - season[t % period]
    middle = (n - 1) / 2
    slope = 0.0
    spread = 0.0
    for t in range(n):
        slope += (t - middle) * plain[t]
        spread += (t - middle) * (t - middle)
    slope = slope / spread if spread > 0 else 0.0
    # The line as it is the day before the first.
    drift = np.array([plain.mean() - slope * (middle + 1), slope])
    best, lowest = 0.5, np.inf
    for i in range(THETA_LEVELS):
        # Evenly spaced logits between .007 and .95.
        alpha = 1 / (1 + np.exp(5.0 - 8.0 * i / (THETA_LEVELS - 1)))
        squares = _theta_fit(plain, drift, alpha)[0]
        if squares < lowest:
            best, lowest = alpha, squares
    _, level, weight, memory = _theta_fit(plain, drift, best)
    for h in range(path.size):
        lag = memory * drift[0] + drift[1] * ((1 - memory * (1 - best)) / best + h)
        value = level + weight * lag
        place = (n + h) % period
        path[h] = value * season[place] if kind == MULTIPLICATIVE else value + season[place]


@njit(cache=True, parallel=True)
def theta(values: np.ndarray, firsts: np.ndarray, period: int, horizon: int) -> np.ndarray:
    """The optimised Theta method, (n_series, horizon)."""
    paths = np.empty((values.shape[0], horizon))
    for i in prange(values.shape[0]):
        _theta_one(values[i, firsts[i] :], period, paths[i])
    return paths
