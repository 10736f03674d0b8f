"""The rivals of bench.forecast: pmdarima, tbats, prophet and statsforecast as their documentation uses them, series by series.

Each entry of WAYS imports its library and returns the function that forecasts one daily series, so that imports are not timed.
"""

import logging
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np

Way = Callable[[np.ndarray, int], np.ndarray]


def pmdarima_way() -> Way:
    """Stepwise search of a seasonal ARIMA."""
    from pmdarima import auto_arima

    def of_one(series: np.ndarray, horizon: int) -> np.ndarray:
        model = auto_arima(series, m=7, stepwise=True, suppress_warnings=True, error_action="ignore")
        return np.asarray(model.predict(horizon))

    return of_one


def tbats_way() -> Way:
    """The package's own search over Box-Cox, trend and ARMA errors."""
    from tbats import TBATS

    return lambda series, horizon: TBATS(seasonal_periods=[7], n_jobs=1).fit(series).forecast(horizon)


def prophet_way() -> Way:
    """Prophet with its defaults, uncertainty samples included."""
    import pandas as pd
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet", "prophet.models"):
        logging.getLogger(name).disabled = True

    def of_one(series: np.ndarray, horizon: int) -> np.ndarray:
        days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=series.size + horizon)})
        model = Prophet().fit(days[: series.size].assign(y=series))
        return model.predict(days[series.size :])["yhat"].to_numpy()

    return of_one


def statsforecast_way(model: str, **options: int | bool) -> Callable[[], Way]:
    """One of statsforecast's automatic models."""

    def load() -> Way:
        from statsforecast import models

        return lambda series, horizon: getattr(models, model)(**options).forecast(series, horizon)["mean"]

    return load


WAYS: Mapping[str, Callable[[], Way]] = {
    "pmdarima auto_arima": pmdarima_way,
    "tbats": tbats_way,
    "prophet": prophet_way,
    "statsforecast AutoARIMA": statsforecast_way("AutoARIMA", season_length=7, approximation=True),
    "statsforecast AutoETS": statsforecast_way("AutoETS", season_length=7),
    "statsforecast AutoTheta": statsforecast_way("AutoTheta", season_length=7),
    "statsforecast MSTL": statsforecast_way("MSTL", season_length=7),
}


def forecast(way: str, past: np.ndarray, horizon: int) -> tuple[np.ndarray, float]:
    """The forecasts of the series of `past` (n_series, n_days) by one of WAYS, and its seconds a series."""
    of_one = WAYS[way]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        made = np.array([of_one(np.ascontiguousarray(series), horizon) for series in past])
        return made, (time.perf_counter() - started) / past.shape[0]
