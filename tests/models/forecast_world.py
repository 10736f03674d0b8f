"""Daily series whose nature is known: what a shop's series look like, drawn at random."""

import datetime as dt

import numpy as np

from lifecycle_assets.models.forecast_series import DailySeries

AS_OF = dt.date(2024, 5, 31)
WEEK = np.array([0.9, 0.8, 0.9, 1.0, 1.3, 1.5, 0.6])


def series(kind: str, values: np.ndarray, as_of: dt.date = AS_OF, names: list[str] | None = None) -> DailySeries:
    """Rows of daily values up to `as_of`; a NaN is a day without a row."""
    start = as_of - dt.timedelta(days=values.shape[1] - 1)
    has_rows = np.isfinite(values)
    return DailySeries(
        kind, names or [f"s{i:04d}" for i in range(len(values))], start, np.where(has_rows, values, 0.0), has_rows
    )


def drawn(nature: str, rng: np.random.Generator, n: int, days: int, ahead: int) -> np.ndarray:
    """(n, days + ahead) values: the days known and those to come."""
    day = np.arange(days + ahead)
    level = rng.uniform(50, 500, (n, 1))
    weekly = WEEK[day % 7]
    drift = np.exp(np.cumsum(rng.normal(0, 0.004, (n, day.size)), axis=1))
    if nature == "trend":
        mean = level * weekly * (1 + rng.uniform(-0.0005, 0.001, (n, 1)) * day)
    elif nature == "yearly":
        mean = level * weekly * (1 + 0.2 * np.sin(2 * np.pi * (day + rng.integers(0, 365, (n, 1))) / 365.25))
    elif nature == "promotions":
        mean = level * weekly * np.where(rng.random((n, day.size)) < 0.05, 1.8, 1.0)
    elif nature == "shift":
        mean = (
            level * weekly * np.where(day < rng.integers(days // 3, days, (n, 1)), 1.0, rng.uniform(0.6, 1.6, (n, 1)))
        )
    elif nature == "intermittent":
        bought = rng.random((n, day.size)) < rng.uniform(0.1, 0.4, (n, 1))
        return bought * rng.poisson(3, bought.shape).astype(float)
    else:
        raise ValueError(nature)
    return rng.poisson(mean * drift * rng.lognormal(0, 0.15, mean.shape)).astype(float)


NATURES = ("trend", "yearly", "promotions", "shift", "intermittent")
