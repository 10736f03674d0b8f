"""Forecasts by smoothing, for all series of a panel at once: damped Holt-Winters, Theta, STL-ETS, and the Croston family.

`ets`: exponential smoothing with a damped trend or none and an additive, multiplicative or no weekly season, the form by
Akaike's corrected criterion (Hyndman, Koehler, Snyder and Grose, A state space framework for automatic forecasting, 2002).
`theta`: Assimakopoulos and Nikolopoulos (2000), optimised as by Fiorucci and others (Models for optimising the theta method,
2016). `stl_ets`: the weekly season by loess, what is left by exponential smoothing. A series of two years has its yearly
season, three waves, taken out before and put back after.
"""

from collections.abc import Callable

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK, Panel, first_days

YEAR = 365.25
TWO_YEARS = 730
WAVES = 3


def ets(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Exponential smoothing with a damped trend or none, and a weekly season where there is one."""
    from lifecycle_assets.models import forecast_smoothing_kernel as kernel

    return with_year(panel, horizon, lambda values, firsts: kernel.ets(values, firsts, WEEK, horizon))


def theta(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The optimised Theta method on series without their weekly season."""
    from lifecycle_assets.models import forecast_smoothing_kernel as kernel

    return with_year(panel, horizon, lambda values, firsts: kernel.theta(values, firsts, WEEK, horizon))


def stl_ets(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The last week of the season found by loess again and again, around exponential smoothing of the rest."""
    from lifecycle_assets.models import forecast_smoothing_kernel as kernel
    from lifecycle_assets.models import forecast_stl_kernel as stl

    def forecast(values: np.ndarray, firsts: np.ndarray) -> np.ndarray:
        season = stl.seasons(values, firsts, WEEK)
        last_week = season[:, values.shape[1] - WEEK + np.arange(horizon) % WEEK]
        return kernel.ets(values - season, firsts, 1, horizon) + last_week

    return with_year(panel, horizon, forecast)


def croston(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Croston's demand per day."""
    from lifecycle_assets.models import forecast_croston_kernel as kernel

    return _level(panel, horizon, kernel.CROSTON)


def sba(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Croston's demand per day without its bias."""
    from lifecycle_assets.models import forecast_croston_kernel as kernel

    return _level(panel, horizon, kernel.SBA)


def tsb(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """The probability of a demand times its size."""
    from lifecycle_assets.models import forecast_croston_kernel as kernel

    return _level(panel, horizon, kernel.TSB)


def _level(panel: Panel, horizon: int, method: int) -> np.ndarray:
    from lifecycle_assets.models import forecast_croston_kernel as kernel

    return np.repeat(kernel.rates(panel.values, first_days(panel.values), method)[:, None], horizon, axis=1)


def with_year(panel: Panel, horizon: int, forecast: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """The forecast of the series without their yearly season, and that season put back."""
    firsts = first_days(panel.values)
    season = _yearly(panel, firsts, horizon)
    return forecast(panel.values - season[:, : panel.n_days], firsts) + season[:, panel.n_days :]


def _yearly(panel: Panel, firsts: np.ndarray, horizon: int) -> np.ndarray:
    """The yearly season of the days and of those ahead, by least squares beside a line; 0 for series below two years."""
    season = np.zeros((panel.values.shape[0], panel.n_days + horizon))
    long = np.flatnonzero(panel.n_days - firsts >= TWO_YEARS)
    if long.size == 0:
        return season
    days = np.arange(panel.n_days + horizon)
    angles = 2 * np.pi * np.outer(days, np.arange(1, WAVES + 1)) / YEAR
    waves = np.hstack([np.sin(angles), np.cos(angles)])
    line = np.column_stack([np.ones(days.size), days / panel.n_days])
    design = np.hstack([waves, line])[: panel.n_days]
    known = np.isfinite(panel.values[long])
    products = (design[:, :, None] * design[:, None, :]).reshape(panel.n_days, -1)
    gram = (known.astype(np.float64) @ products).reshape(long.size, design.shape[1], design.shape[1])
    target = np.where(known, panel.values[long], 0.0) @ design
    season[long] = np.linalg.solve(gram, target[:, :, None])[:, : waves.shape[1], 0] @ waves.T
    return season
