"""Forecasts by one forest or one boosted model over all series of a panel: what each series lacks, the others lend.

Features of a day: the value 7, 14 and 28 days before, the means of 7 and 28 days up to a week before, weekday, month, and the
regressors (as in the winning entries of Makridakis, Spiliotis and Assimakopoulos, M5 accuracy competition, 2022). All are known
a week ahead, so the path is made week by week, each on top of the one before. xgboost with histograms; at most ROWS days,
drawn by the seed, are learnt from.
"""

from typing import Any

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK, Panel

LAGS = (7, 14, 28)
SPANS = (7, 28)
# The days before a day that its features look at.
LOOK_BACK = WEEK + max(SPANS) - 1
ROWS = 100_000
# One thread: sums over several depend on how the rows are shared out.
COMMON = {"objective": "reg:squarederror", "tree_method": "hist", "max_bin": 64, "nthread": 1, "verbosity": 0}
FOREST = {"learning_rate": 1.0, "num_parallel_tree": 50, "subsample": 0.5, "colsample_bynode": 0.6, "max_depth": 10}
BOOSTING = {"learning_rate": 0.1, "max_depth": 5, "min_child_weight": 10, "subsample": 0.8}
BOOSTING_ROUNDS = 80


def random_forest(panel: Panel, horizon: int, seed: int) -> np.ndarray:
    """Fifty deep trees, each on half of the days."""
    return _forecast(panel, horizon, seed, {**FOREST, "min_child_weight": 10}, 1)


def gradient_boosting(panel: Panel, horizon: int, seed: int) -> np.ndarray:
    """Eighty shallow trees, each on the errors of those before."""
    return _forecast(panel, horizon, seed, BOOSTING, BOOSTING_ROUNDS)


def _forecast(panel: Panel, horizon: int, seed: int, parameters: dict[str, Any], rounds: int) -> np.ndarray:
    import xgboost

    calendar = _calendar(panel, horizon)
    before = np.full((panel.values.shape[0], LOOK_BACK), np.nan)
    inputs = _features(np.hstack([before, panel.values]), calendar[: panel.n_days])
    # A day counts once the value of the week before is known.
    rows = np.flatnonzero(np.isfinite(inputs[:, 0]) & np.isfinite(panel.values.ravel()))
    if rows.size > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, ROWS, replace=False))
    data = xgboost.QuantileDMatrix(inputs[rows], panel.values.ravel()[rows], max_bin=COMMON["max_bin"], nthread=1)
    model = xgboost.train({**COMMON, **parameters, "seed": seed}, data, rounds)

    path = np.hstack([before, panel.values])[:, -LOOK_BACK:]
    for day in range(0, horizon, WEEK):
        days = calendar[panel.n_days + day : panel.n_days + min(day + WEEK, horizon)]
        week = np.full((path.shape[0], days.shape[0]), np.nan)
        inputs = _features(np.hstack([path[:, -LOOK_BACK:], week]), days)
        path = np.hstack([path, model.inplace_predict(inputs).reshape(week.shape)])
    return path[:, LOOK_BACK:]


def _calendar(panel: Panel, horizon: int) -> np.ndarray:
    """Weekday, month and regressors of every day, past and ahead."""
    columns = [panel.weekdays(horizon)[:, None], panel.months(horizon)[:, None]]
    if panel.regressors is not None:
        columns.append(panel.regressors)
    return np.hstack(columns).astype(np.float32)


def _features(values: np.ndarray, calendar: np.ndarray) -> np.ndarray:
    """The features of all days after the first LOOK_BACK, one row per series and day; NaN is missing."""
    n_series, n_days = values.shape[0], calendar.shape[0]
    lags = [values[:, LOOK_BACK - lag :][:, :n_days] for lag in LAGS]
    means = [_means(values, span)[:, :n_days] for span in SPANS]
    of_series = np.stack([*lags, *means], axis=2, dtype=np.float32, casting="same_kind")
    of_days = np.broadcast_to(calendar, (n_series, *calendar.shape))
    return np.concatenate([of_series, of_days], axis=2).reshape(n_series * n_days, -1)


def _means(values: np.ndarray, span: int) -> np.ndarray:
    """For each day after the first LOOK_BACK, the mean of the known among the `span` days up to a week before it."""
    days = values[:, LOOK_BACK - WEEK + 1 - span :]
    known = np.isfinite(days)
    sums, counts = (np.cumsum(np.pad(of, ((0, 0), (1, 0))), axis=1) for of in (np.where(known, days, 0.0), known * 1.0))
    total, n = sums[:, span:] - sums[:, :-span], counts[:, span:] - counts[:, :-span]
    return np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
