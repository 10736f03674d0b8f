"""Which methods compete for forecasting daily series, what each costs, and for which series it is.

Every candidate is called in the same way and answers in the same way: one row per series, finite, or NaN throughout where it
does not apply or failed. None raises because of the data. A series that never changes goes on as it is; the others are divided
by their mean absolute value first, so that no method depends on the currency; a forecast beyond EXPLODED times the largest
value seen is none. The methods themselves are in forecast_averages, forecast_smoothing and forecast_trees, all series at once,
and in forecast_libraries, series by series.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from lifecycle_assets.models import forecast_averages as averages
from lifecycle_assets.models import forecast_libraries as libraries
from lifecycle_assets.models import forecast_smoothing as smoothing
from lifecycle_assets.models import forecast_trees as trees
from lifecycle_assets.models.forecast_panel import WEEK, Panel, first_days

__all__ = ["CANDIDATES", "Candidate", "Mapped", "Panel"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Method = Callable[[Panel, int, int], np.ndarray]
# A series with a greater share of days without demand is intermittent.
INTERMITTENT_SHARE = 0.4
EXPLODED = 10.0


class Mapped(Protocol):
    """Where expensive candidates work: the builtin `map`, or what does the same in other processes, in any order."""

    def __call__(self, function: Callable[[Item], Answer], items: Iterable[Item], /) -> Iterable[Answer]: ...


@dataclass(frozen=True)
class Candidate:
    """A method of the race.

    `cost`: seconds per series of 400 days on one core for one fit, roughly, in a panel of many. `min_days`: known days that a
    series needs. `applies(values)`: which series of a panel it is for. `forecast(panel, horizon, seed)`: float64 (n_series,
    horizon), NaN rows where it does not apply or failed.
    """

    name: str
    cost: float
    min_days: int
    applies: Callable[[np.ndarray], np.ndarray]
    forecast: Method


def _candidate(
    name: str, cost: float, min_days: int, method: Method, only: Callable[[np.ndarray], np.ndarray] | None = None
) -> Candidate:
    def applies(values: np.ndarray) -> np.ndarray:
        enough = values.shape[1] - first_days(values) >= min_days
        return enough & only(values) if only else enough

    def forecast(panel: Panel, horizon: int, seed: int) -> np.ndarray:
        answer = np.full((panel.values.shape[0], horizon), np.nan)
        rows = np.flatnonzero(applies(panel.values))
        clean = _without_gaps(panel.values[rows])
        constant = np.nanmax(clean, axis=1, initial=-np.inf) == np.nanmin(clean, axis=1, initial=np.inf)
        answer[rows[constant]] = clean[constant, -1:]
        rows, clean = rows[~constant], clean[~constant]
        if rows.size and horizon:
            scale = _rounded(np.nanmean(np.abs(clean), axis=1, keepdims=True))
            made = method(panel.of(clean / scale), horizon, seed) * scale
            largest = np.nanmax(np.abs(clean), axis=1, keepdims=True)
            good = (np.isfinite(made) & (np.abs(made) <= EXPLODED * largest)).all(axis=1)
            answer[rows[good]] = made[good]
        if panel.nonnegative:
            answer = np.maximum(answer, 0.0)
        return answer

    return Candidate(name, cost, min_days, applies, forecast)


def _rounded(scale: np.ndarray) -> np.ndarray:
    """To eight binary digits, so that days before a series' first one do not change its last digits."""
    mantissa, exponent = np.frexp(scale)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def _without_gaps(values: np.ndarray) -> np.ndarray:
    """NaN up to a series' first known day, 0 where a later one is unknown."""
    known = np.isfinite(values)
    begun = np.maximum.accumulate(known, axis=1)
    return np.where(known, values, np.where(begun, 0.0, np.nan))


def _intermittent(values: np.ndarray) -> np.ndarray:
    """Whether more than INTERMITTENT_SHARE of a series' days are without demand, and none is negative."""
    known = np.isfinite(values)
    begun = np.maximum.accumulate(known, axis=1)
    empty = begun & ~(known & (values != 0))
    negative = (known & (values < 0)).any(axis=1)
    return ~negative & (empty.sum(axis=1) > INTERMITTENT_SHARE * begun.sum(axis=1))


CANDIDATES: Mapping[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        _candidate("seasonal_naive", 0.0, WEEK, averages.seasonal_naive),
        _candidate("aggregation", 0.0, 1, averages.aggregation),
        _candidate("mean", 0.0, 1, averages.mean),
        _candidate("zero", 0.0, 1, averages.zero, _intermittent),
        _candidate("croston", 0.0, WEEK, smoothing.croston, _intermittent),
        _candidate("sba", 0.0, WEEK, smoothing.sba, _intermittent),
        _candidate("tsb", 0.0, WEEK, smoothing.tsb, _intermittent),
        _candidate("theta", 0.0001, 2 * WEEK, smoothing.theta),
        _candidate("ets", 0.0002, 2 * WEEK, smoothing.ets),
        _candidate("stl_ets", 0.0003, 4 * WEEK, smoothing.stl_ets),
        _candidate("gradient_boosting", 0.0005, 6 * WEEK, trees.gradient_boosting),
        _candidate("random_forest", 0.0007, 6 * WEEK, trees.random_forest),
        _candidate("arima", 0.03, 5 * WEEK, libraries.arima),
        _candidate("prophet", 0.04, 4 * WEEK, libraries.prophet),
        _candidate("tbats", 0.04, 4 * WEEK, libraries.tbats),
    )
}
