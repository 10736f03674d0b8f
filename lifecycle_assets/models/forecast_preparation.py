"""What of a daily series is known, and which values are too odd to learn from?

A series begins with its first row: days before it are no demand of 0. Days without a row are filled with 0, and counted; the
rare missing days of a cost that comes nearly every day with a line between their neighbours. A silence at the end longer than
the longest before it, and than a week, is unknown too: the export may have stopped or the product be out of stock. What is
fitted there is the pattern of the last four weeks before, and no error is measured. A silence beyond GONE_DAYS is believed.

Outliers are kept in the data, and damped in what the candidates fit. How far a value lies off is measured from the median of
the weeks around it and the habit of its weekday: more than FENCE interquartile ranges beyond the quartiles (Tukey, 1977) for
revenue and cost, more than HAMPEL robust standard deviations for units (Hampel, 1974). They are damped to that limit. Days of
holidays and promotions, which the candidates know, are none.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK
from lifecycle_assets.models.forecast_series import DailySeries

GONE_DAYS = 91
PATTERN_DAYS = 28
# A cost with rows on more than this share of its days comes every day; the missing ones are gaps.
DAILY_SHARE = 0.6
# Whole weeks and odd: the median of so many days does not depend on the weekday in the middle.
WINDOW = 35
FENCE = 3.0
HAMPEL = 5.0
TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Known:
    """`values`: float64 (n_series, n_days), NaN where unknown. `days`: known span of each series in days, from its first row.
    `filled`: days without a row within it. `silent`: days of unknown silence at the end."""

    values: np.ndarray
    days: np.ndarray
    filled: np.ndarray
    silent: np.ndarray


def known(series: DailySeries) -> Known:
    """What is known of each series."""
    values, has_rows = series.values.copy(), series.has_rows
    n_days = series.n_days
    if not series.names:
        nothing = np.zeros(0, dtype=np.int64)
        return Known(values, nothing, nothing, nothing)
    column = np.arange(n_days)
    first, last = has_rows.argmax(axis=1), n_days - 1 - has_rows[:, ::-1].argmax(axis=1)
    # The export as a whole may have stopped.
    ended = n_days - _silence(np.logical_or.reduce(has_rows, axis=0)[None, :])[0]
    silent = np.maximum(_silence(has_rows), n_days - ended)
    is_inside = (column >= first[:, None]) & (column <= last[:, None])
    filled = (is_inside & ~has_rows).sum(axis=1)
    if series.kind == "cost":
        daily = filled <= (1 - DAILY_SHARE) * is_inside.sum(axis=1)
        for row in np.flatnonzero(daily & (filled > 0)):
            gaps = np.flatnonzero(is_inside[row] & ~has_rows[row])
            there = np.flatnonzero(has_rows[row])
            values[row, gaps] = np.interp(gaps, there, values[row, there])
    values[(column < first[:, None]) | (column >= (n_days - silent)[:, None])] = np.nan
    return Known(values, n_days - first, filled, silent)


def to_fit(values: np.ndarray, kind: str, exempt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What candidates learn from, without gaps behind a series' first day, and which days are outliers (bool, same shape).

    `values`: known values up to some day, NaN where unknown. `exempt`: bool per day, never an outlier.
    """
    whole = _with_pattern(values)
    if whole.shape[1] < WINDOW or not whole.size:
        return whole, np.zeros(whole.shape, dtype=bool)
    off = _off(whole)
    if kind == "units":
        limit = HAMPEL * TO_SIGMA * np.nanmedian(np.abs(off), axis=1, keepdims=True)
        low, high = -limit, limit
    else:
        lower, upper = np.nanquantile(off, [0.25, 0.75], axis=1, keepdims=True)
        low, high = lower - FENCE * (upper - lower), upper + FENCE * (upper - lower)
    # Where most days are alike the spread is 0 and says nothing.
    outlying = ((off < low) | (off > high)) & (high > low) & ~exempt
    return np.where(outlying, whole - off + np.clip(off, low, high), whole), outlying


def _silence(has_rows: np.ndarray) -> np.ndarray:
    """Days of unknown silence at the end of each row."""
    n_days = has_rows.shape[1]
    at_end = has_rows[:, ::-1].argmax(axis=1)
    since = np.arange(n_days) - np.maximum.accumulate(np.where(has_rows, np.arange(n_days), -1), axis=1)
    begun = np.logical_or.accumulate(has_rows, axis=1)
    is_end = np.arange(n_days) >= (n_days - at_end)[:, None]
    longest = np.where(begun & ~is_end, since, 0).max(axis=1, initial=0)
    return np.where((at_end > np.maximum(longest, WEEK)) & (at_end <= GONE_DAYS), at_end, 0)


def _with_pattern(values: np.ndarray) -> np.ndarray:
    """Unknown days at the end as the mean of their weekday in the last four known weeks."""
    is_known = np.isfinite(values)
    n_days = values.shape[1]
    end = n_days - is_known[:, ::-1].argmax(axis=1)
    short = np.flatnonzero((end < n_days) & is_known.any(axis=1))
    if not short.size:
        return values
    back = np.maximum(end[short, None] - PATTERN_DAYS + np.arange(PATTERN_DAYS), 0)
    weeks = np.take_along_axis(values[short], back, axis=1).reshape(short.size, -1, WEEK)
    seen = np.isfinite(weeks)
    weeks = np.where(seen, weeks, 0.0)
    overall = weeks.sum(axis=(1, 2)) / seen.sum(axis=(1, 2))
    counts = seen.sum(axis=1)
    pattern = np.where(counts > 0, weeks.sum(axis=1) / np.maximum(counts, 1), overall[:, None])
    after = np.arange(n_days) - end[short, None]
    repeated = np.take_along_axis(pattern, after % WEEK, axis=1)
    whole = values.copy()
    whole[short] = np.where(after >= 0, repeated, values[short])
    return whole


def _off(values: np.ndarray) -> np.ndarray:
    """How far each value lies off the median of the days around it and the habit of its weekday; 0 in series of less than a
    window."""
    from scipy.ndimage import median_filter

    is_known = np.isfinite(values)
    level = median_filter(np.where(is_known, values, 0.0), size=(1, WINDOW))
    # Half a window from either end the level is that of the first, or the last, whole window.
    n_days, half = values.shape[1], WINDOW // 2
    first = np.where(is_known.any(axis=1), is_known.argmax(axis=1), n_days)[:, None] + half
    whole = np.minimum(np.maximum(np.arange(n_days), first), n_days - 1 - half)
    off = values - np.where(first <= n_days - 1 - half, np.take_along_axis(level, whole, axis=1), values)
    for weekday in range(WEEK):
        days = off[:, weekday::WEEK]
        some = np.isfinite(days).any(axis=1)
        days[some] -= np.nanmedian(days[some], axis=1, keepdims=True)
    return off
