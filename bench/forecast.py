"""Forecasts: the whole race of one young revenue series with every candidate, and of a catalogue's products, from daily values
to months, beside the libraries fitted series by series."""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.forecast_rivals import WAYS, forecast
from bench.harness import measure, table
from lifecycle_assets.models.forecast_choice import FOLDS
from lifecycle_assets.models.forecast_daily import forecast_daily
from lifecycle_assets.models.forecast_evaluation import forecast_evaluation
from lifecycle_assets.models.forecast_months import forecast_months
from lifecycle_assets.models.forecast_race import Budget
from lifecycle_assets.models.forecast_series import DailySeries
from lifecycle_assets.settings import Shop

TITLE = "Forecasts"
AS_OF = dt.date(2024, 12, 31)
YOUNG_DAYS, DAYS, AHEAD = 90, 400, 56
PRODUCTS_PER_MILLION = 1_000
# Libraries get these only, and their time is multiplied.
SAMPLE = 20
FITS = FOLDS + 1
BUDGET = 3600
SHOP = Shop(name="bench", timezone="UTC", currency="EUR", country="ES", input="none")


def section(_work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report."""
    products = max(SAMPLE, sizes[0] * PRODUCTS_PER_MILLION // 1_000_000)
    young = measure("bench.forecast:young").value
    rivals = {way: measure("bench.forecast:rival", way=way).value for way in WAYS}
    catalogue = measure("bench.forecast:catalogue", products=products)
    ours = catalogue.value
    rows = [
        [
            "this project",
            f"{young['seconds']:.1f} s, every candidate",
            f"{ours['seconds']:.1f} s, {catalogue.peak_gb:.1f} GB",
            f"{ours['error']:.3f}",
        ]
    ]
    for way, value in rivals.items():
        if value["each"]:
            of_all = f"{value['each'] * FITS * products:,.0f} s (from {SAMPLE})"
            rows.append([way, f"{value['young'] * FITS:.1f} s", of_all, f"{value['error']:.3f}"])
    header = [
        "",
        f"one series of {YOUNG_DAYS} days, 12 months",
        f"{products:,} products x {DAYS} days, 6 months",
        f"scaled error of {SAMPLE}",
    ]
    told = (
        f"{FOLDS} folds, selection and the final fit; the libraries {FITS} fits. Scaled error: mean absolute error of {AHEAD} "
        "held-out days over that of seasonal naive in what was known."
    )
    return "\n\n".join([told, table(header, rows)])


def young() -> dict[str, float]:
    """Seconds from one young series to its months, libraries and compiled code loaded."""
    values = _values(1)[:, -YOUNG_DAYS:]
    _night("revenue", values)
    return {"seconds": _night("revenue", values)[1]}


def catalogue(products: int) -> dict[str, float]:
    """Seconds from daily units to months, compiled code loaded, and the error on the sample's held-out days."""
    values = _values(products + 1)[:products]
    _night("units", values[:2, :DAYS])
    made, seconds = _night("units", values[:, :DAYS])
    return {"seconds": seconds, "error": _error(made[:SAMPLE, :AHEAD], values[:SAMPLE])}


def rival(way: str) -> dict[str, float]:
    """Seconds per fit of a library's way, of the young series and of the sample's, and its error; 0 where it is not there."""
    values = _values(SAMPLE + 1)[:SAMPLE]
    try:
        forecast(way, values[:1, :YOUNG_DAYS], AHEAD)
    except ImportError:
        return {"young": 0.0, "each": 0.0, "error": 0.0}
    _, of_young = forecast(way, _values(1)[:, -YOUNG_DAYS:], 365)
    made, each = forecast(way, values[:, :DAYS], AHEAD)
    return {"young": of_young, "each": each, "error": _error(made, values)}


def _night(kind: str, values: np.ndarray) -> tuple[np.ndarray, float]:
    """The daily path (n_series, n_days ahead) and the seconds of all steps, with time for every candidate."""
    names = ["shop"] if kind == "revenue" else [f"product:{i:06d}" for i in range(len(values))]
    start = AS_OF - dt.timedelta(days=values.shape[1] - 1)
    series = DailySeries(kind, names, start, values, np.ones(values.shape, dtype=bool))
    started = time.perf_counter()
    budget = Budget(BUDGET if kind == "revenue" else 0.0, time.perf_counter)
    rows = forecast_evaluation([series], None, None, shop="bench", as_of=AS_OF, settings=SHOP, budget=budget)
    path = forecast_daily([series], rows, None, shop="bench", as_of=AS_OF, settings=SHOP)
    forecast_months(series, path, rows, shop="bench", as_of=AS_OF, settings=SHOP)
    seconds = time.perf_counter() - started
    return path["value"].cast(float).to_numpy().reshape(len(names), -1), seconds


def _values(n: int) -> np.ndarray:
    """(n, DAYS + AHEAD) units a day: a level that wanders, a weekly rhythm, noise; every third product sells on few days. The
    last series is a shop's revenue."""
    rng = np.random.default_rng(0)
    day = np.arange(DAYS + AHEAD)
    rhythm = np.array([0.9, 0.8, 0.9, 1.0, 1.3, 1.5, 0.6])[day % 7]
    level = rng.uniform(0.3, 40, (n, 1)) * np.where(np.arange(n) % 3 == 0, 0.03, 1.0)[:, None]
    level[-1] = 5_000
    drift = np.exp(np.cumsum(rng.normal(0, 0.005, (n, day.size)), axis=1))
    return rng.poisson(level * drift * rhythm * rng.lognormal(0, 0.2, (n, day.size))).astype(float)


def _error(made: np.ndarray, values: np.ndarray) -> float:
    """Mean over series of the mean absolute error over that of seasonal naive in what was known."""
    scale = np.abs(values[:, 7:DAYS] - values[:, : DAYS - 7]).mean(axis=1)
    size = np.abs(made - values[:, DAYS : DAYS + AHEAD]).mean(axis=1)
    return float((size / scale).mean())
