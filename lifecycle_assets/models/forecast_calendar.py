"""Which days are business days, and what is known of days ahead: the calendar of forecasts."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from lifecycle_assets.features.public_holidays import public_holidays
from lifecycle_assets.settings import Promotion

SATURDAY = 5


@dataclass(frozen=True)
class Calendar:
    """The shop's days from `start`: bool per day. `has_holidays`: whether the holidays of its country are known."""

    start: dt.date
    is_business: np.ndarray
    is_holiday: np.ndarray
    is_promotion: np.ndarray
    has_holidays: bool

    def regressors(self, first: int, last: int) -> np.ndarray | None:
        """float64 (last - first, n) of the days with these numbers: what is known ahead; None where nothing is."""
        columns = [days[first:last] for days in (self.is_holiday, self.is_promotion) if days.any()]
        return np.column_stack(columns).astype(np.float64) if columns else None

    def exempt(self, n_days: int) -> np.ndarray:
        """Of the first `n_days`, those which candidates know to be unlike others."""
        return (self.is_holiday | self.is_promotion)[:n_days]


def calendar(start: dt.date, last: dt.date, country: str, promotions: tuple[Promotion, ...]) -> Calendar:
    """The days from `start` to `last`; business days are Monday to Friday without the country's holidays."""
    days = np.arange(np.datetime64(start, "D"), np.datetime64(last, "D") + 1)
    weekday = (start.weekday() + np.arange(days.size)) % 7
    known = public_holidays(country, start, last)
    is_holiday = np.isin(days, known.to_numpy()) if known is not None else np.zeros(days.size, dtype=bool)
    is_promotion = np.zeros(days.size, dtype=bool)
    for promotion in promotions:
        is_promotion |= (days >= np.datetime64(promotion.first)) & (days <= np.datetime64(promotion.last))
    return Calendar(start, (weekday < SATURDAY) & ~is_holiday, is_holiday, is_promotion, known is not None)
