"""What happened on average, carried on: seasonal naive, aggregation, mean and zero. Each needs nothing but a few days."""

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK, Panel

MONTHS = 12
# Days' worth of weight that the mean of a weekday has against its mean within a month: one month's.
PRIOR_DAYS = 4.0


def seasonal_naive(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The last week again and again."""
    return panel.values[:, panel.n_days - WEEK + np.arange(horizon) % WEEK]


def aggregation(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The mean of the weekday within the month, shrunk towards the weekday's mean over all months in proportion to how few such
    days there were; a month that was never seen gets the weekday's mean."""
    weekdays, months = panel.weekdays(horizon), panel.months(horizon)
    cells = np.eye(WEEK * MONTHS)[weekdays * MONTHS + months]
    known = np.isfinite(panel.values).astype(np.float64)
    sums = np.where(known > 0, panel.values, 0.0) @ cells[: panel.n_days]
    counts = known @ cells[: panel.n_days]
    by_weekday = (-1, WEEK, MONTHS)
    weekday_sums, weekday_counts = sums.reshape(by_weekday).sum(axis=2), counts.reshape(by_weekday).sum(axis=2)
    overall = sums.sum(axis=1, keepdims=True) / counts.sum(axis=1, keepdims=True)
    of_weekday = np.where(weekday_counts > 0, weekday_sums / np.maximum(weekday_counts, 1.0), overall)
    of_cell = (sums + PRIOR_DAYS * np.repeat(of_weekday, MONTHS, axis=1)) / (counts + PRIOR_DAYS)
    return of_cell @ cells[panel.n_days :].T


def mean(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The mean of all days."""
    return np.repeat(np.nanmean(panel.values, axis=1, keepdims=True), horizon, axis=1)


def zero(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Nothing: hard to beat by absolute errors where most days are empty."""
    return np.zeros((panel.values.shape[0], horizon))
