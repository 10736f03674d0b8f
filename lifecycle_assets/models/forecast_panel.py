"""Daily series side by side: what every forecasting method is given.

A series begins at its first known day; later unknown days count as days without demand. Weekdays and months of the columns
follow from the date of the first.
"""

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np

WEEK = 7


def first_days(values: np.ndarray) -> np.ndarray:
    """The column of each series' first known day; the number of columns for a series without any."""
    known = np.isfinite(values)
    return np.where(known.any(axis=1), known.argmax(axis=1), values.shape[1])


@dataclass(frozen=True)
class Panel:
    """Daily series side by side.

    `values`: float64 (n_series, n_days), prepared (gaps filled, outliers damped); NaN before a series' first day. `start`: date
    of column 0. `regressors`: float64 (n_days + horizon, n_regressors) known ahead (holidays, promotions) or None, shared by
    all series. `nonnegative`: forecasts are clipped at 0.
    """

    values: np.ndarray
    start: dt.date
    regressors: np.ndarray | None
    nonnegative: bool

    @property
    def n_days(self) -> int:
        return self.values.shape[1]

    def of(self, values: np.ndarray) -> "Panel":
        """The same days with other values."""
        return replace(self, values=values)

    def weekdays(self, horizon: int) -> np.ndarray:
        """Monday = 0 .. Sunday = 6 of the columns and of the `horizon` days after them."""
        return (self.start.weekday() + np.arange(self.n_days + horizon)) % WEEK

    def months(self, horizon: int) -> np.ndarray:
        """January = 0 .. December = 11 of the columns and of the `horizon` days after them."""
        days = np.datetime64(self.start, "D") + np.arange(self.n_days + horizon)
        return days.astype("datetime64[M]").astype(np.int64) % 12
