"""Forecasts by libraries, series by series: ARIMA, TBATS and Prophet.

`arima`: (1,0,1)(0,1,1) with a season of a week, maximum likelihood, by statsforecast: about as good as a stepwise search,
at a tenth of its cost. `tbats`: weekly waves, and yearly ones from two years on, with a damped trend, without
Box-Cox and ARMA errors (De Livera, Hyndman and Snyder, Forecasting time series with complex seasonal patterns, 2011), by
statsforecast. `prophet`: piecewise trend, weekly and yearly waves (Taylor and Letham, Forecasting at scale, 2018), without
uncertainty samples. ARIMA and Prophet use the regressors that vary. What a library cannot fit is a row of NaN.
"""

import datetime as dt
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK, Panel, first_days
from lifecycle_assets.models.forecast_smoothing import TWO_YEARS, with_year

TALKATIVE = ("cmdstanpy", "prophet", "prophet.models")
# The library takes whole numbers only.
YEAR_DAYS = 365


def arima(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Seasonal ARIMA."""
    from statsforecast.models import ARIMA

    def of_one(series: np.ndarray, past: np.ndarray | None, ahead: np.ndarray | None) -> np.ndarray:
        model = ARIMA(order=(1, 0, 1), seasonal_order=(0, 1, 1), season_length=WEEK)
        return model.forecast(series, horizon, X=past, X_future=ahead)["mean"]

    return with_year(panel, horizon, lambda values, _: _each(panel.of(values), horizon, of_one))


def tbats(panel: Panel, horizon: int, _seed: int) -> np.ndarray:
    """Trigonometric seasons with a damped trend."""
    from statsforecast.models import TBATS

    def of_one(series: np.ndarray, _past: np.ndarray | None, _ahead: np.ndarray | None) -> np.ndarray:
        seasons = [WEEK, YEAR_DAYS] if series.size >= TWO_YEARS else [WEEK]
        model = TBATS(seasons, use_boxcox=False, use_trend=True, use_damped_trend=True, use_arma_errors=False)
        return model.forecast(series, horizon)["mean"]

    return _each(panel, horizon, of_one)


def prophet(panel: Panel, horizon: int, seed: int) -> np.ndarray:
    """Prophet with its own defaults."""
    import pandas as pd
    from prophet import Prophet

    last = panel.start + dt.timedelta(days=panel.n_days + horizon - 1)

    def of_one(series: np.ndarray, past: np.ndarray | None, ahead: np.ndarray | None) -> np.ndarray:
        model = Prophet(
            uncertainty_samples=0,
            daily_seasonality=False,
            weekly_seasonality=True,
            yearly_seasonality=series.size >= TWO_YEARS,
        )
        days = pd.DataFrame({"ds": pd.date_range(end=last, periods=series.size + horizon)})
        if past is not None and ahead is not None:
            for column, known in enumerate(np.vstack([past, ahead]).T):
                days[f"regressor_{column}"] = known
                model.add_regressor(f"regressor_{column}")
        model.fit(days[: series.size].assign(y=series), seed=seed)
        return model.predict(days[series.size :])["yhat"].to_numpy()

    return _each(panel, horizon, of_one)


def _each(
    panel: Panel,
    horizon: int,
    of_one: Callable[[np.ndarray, np.ndarray | None, np.ndarray | None], np.ndarray],
) -> np.ndarray:
    """Every series' forecast from its own days and the regressors then and ahead; NaN where there is none."""
    paths = np.full((panel.values.shape[0], horizon), np.nan)
    with _quiet():
        for row, first in enumerate(first_days(panel.values)):
            past, ahead = _varying(panel, first)
            try:
                paths[row] = of_one(np.ascontiguousarray(panel.values[row, first:]), past, ahead)
            except Exception as error:  # whatever the library stumbles over: the other candidates go on
                logging.getLogger(__name__).debug("no forecast of series %d: %r", row, error)
    return paths


def _varying(panel: Panel, first: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The regressors that vary within a series' days, on those days and ahead; None without any."""
    if panel.regressors is None:
        return None, None
    known = panel.regressors[first:]
    past = known[: panel.n_days - first]
    varies = np.ptp(past, axis=0) > 0
    return (past[:, varies], known[past.shape[0] :, varies]) if varies.any() else (None, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries report every fit, and warn of every slow convergence, on standard error."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
