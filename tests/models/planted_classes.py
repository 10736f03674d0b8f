"""Point-in-time rows whose true probabilities are known."""

import datetime as dt

import numpy as np
import polars as pl

from lifecycle_assets.models.classifier import TrainingSet

NUMBERS = ("recency", "visits", "amount", "share", "noise")
CATEGORIES = ("plan",)


def planted(customers: int, *, snapshots: int = 4, interactions: bool = False, seed: int = 0) -> pl.DataFrame:
    """The rows of a TrainingSet, with `true`, the probability that the label was drawn with."""
    rng = np.random.default_rng(seed)
    rows = customers * snapshots
    recency, visits = rng.normal(size=rows), rng.normal(size=rows)
    amount, plan = rng.lognormal(3, 1, rows), rng.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2])
    log_odds = -2.2 + 0.9 * recency - 0.6 * visits + 0.4 * np.log1p(amount) + 0.8 * (plan == "pro")
    if interactions:
        log_odds += 1.2 * recency * visits + 0.8 * np.abs(visits)
    true = 1 / (1 + np.exp(-log_odds))
    days = [dt.date(2025, 1, 1) + dt.timedelta(90 * number) for number in range(snapshots)]
    return pl.DataFrame(
        {
            "snapshot": [day for day in days for _ in range(customers)],
            "group": [f"c{number:06d}" for number in range(customers)] * snapshots,
            "label": rng.random(rows) < true,
            "recency": recency,
            "visits": visits,
            "amount": amount,
            "share": rng.random(rows),
            "noise": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "plan": plan,
            "true": true,
        }
    ).with_columns(pl.col("noise").fill_nan(None))


def training_set(
    rows: pl.DataFrame,
    numbers: tuple[str, ...] = NUMBERS,
    categories: tuple[str, ...] = CATEGORIES,
    baseline: tuple[str, ...] = ("recency",),
) -> TrainingSet:
    return TrainingSet(rows, numbers, categories, baseline, "buys nothing for 90 days")


def last(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("snapshot") == pl.col("snapshot").max())
