"""Why this probability? The features that moved it most, per row, and over all rows.

SHAP values on the log-odds (Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
2020): what each feature adds to the model's log-odds of an average row, before calibration. Columns made of one feature are
added up again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

TINY = 1e-9
VALUE = "value of the driver"


class Words(NamedTuple):
    """How a feature is told: `known` holds {} for its value ("ordered {} days ago"), `missing` is said where it has none."""

    known: str
    missing: str


def factors_in_words(drivers: pl.DataFrame, names: Mapping[str, Words]) -> pl.Series:
    """The drivers of each row as text: "ordered 120 days ago (raises it by 18 points); ...", points being of the calibrated
    probability in percent. A feature without words is told by its name. Null where a row has no driver."""
    n = sum(name.startswith("driver_") for name in drivers.columns)
    told = [_told(k, names) for k in range(1, n + 1)]
    factors = pl.concat_str(told, separator="; ", ignore_nulls=True).alias("top_factors")
    return drivers.select(pl.when(factors != "").then(factors)).to_series()


def top_drivers(
    rows: pl.DataFrame, features: Sequence[str], effects: np.ndarray, probability: np.ndarray, n: int
) -> pl.DataFrame:
    """driver_k, effect_k, points_k and value_k of the n largest `effects` (rows x features, log-odds) of each row, k from 1.

    A feature that moved nothing is no driver: null. `points` is what the probability would lose without the effect.
    """
    largest = _largest(np.abs(effects), min(n, len(features)))
    odds = np.log(np.maximum(probability, TINY)) - np.log(np.maximum(1 - probability, TINY))
    numbers = rows.select(
        pl.col(name).cast(pl.Float64) if rows.schema[name].is_numeric() else pl.lit(None, pl.Float64).alias(name)
        for name in features
    ).to_numpy()
    by_row, columns = np.arange(len(effects)), dict[str, pl.Series]()
    for k in range(n):
        place = largest[:, min(k, largest.shape[1] - 1)]
        effect = effects[by_row, place].astype(np.float64) * (k < largest.shape[1])
        driver = pl.Series(features, dtype=pl.String).gather(place)
        columns[f"driver_{k + 1}"] = driver
        columns[f"effect_{k + 1}"] = pl.Series(effect)
        columns[f"points_{k + 1}"] = pl.Series(100 * (probability - 1 / (1 + np.exp(effect - odds))))
        columns[f"value_{k + 1}"] = _values(rows, driver, numbers[by_row, place])
    return pl.DataFrame(columns).with_columns(
        pl.when(pl.col(f"effect_{k}") != 0).then(pl.col(f"{part}_{k}")).alias(f"{part}_{k}")
        for k in range(1, n + 1)
        for part in ("driver", "effect", "points", "value")
    )


def _largest(size: np.ndarray, n: int) -> np.ndarray:
    """rows x n: where the n largest of each row stand, the largest first."""
    some = np.argpartition(-size, n - 1, axis=1)[:, :n]
    order = np.argsort(-np.take_along_axis(size, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _values(rows: pl.DataFrame, driver: pl.Series, number: np.ndarray) -> pl.Series:
    """The value of each row's driver as text: whole and large numbers without decimals, others with three digits. `number` is
    the value where it is one."""
    text = pl.lit(None, dtype=pl.String)
    for name in driver.unique().sort():
        if not rows.schema[name].is_numeric():
            text = pl.when(driver == name).then(pl.col(name).cast(pl.String)).otherwise(text)
    value = pl.Series(number)
    plain = ((value == value.round(0)) | (value.abs() >= 100)) & value.is_finite()
    numbers = (
        pl.when(plain).then(value.round(0).cast(pl.Int64, strict=False).cast(pl.String))
        .when(value.is_finite()).then(value.round_sig_figs(3).cast(pl.String))
    )  # fmt: skip
    return rows.with_columns(pl.coalesce(text, numbers).alias(VALUE)).get_column(VALUE)


def _told(k: int, names: Mapping[str, Words]) -> pl.Expr:
    driver, value, effect, points = (pl.col(f"{part}_{k}") for part in ("driver", "value", "effect", "points"))
    parts = {name: words.known.partition("{}") for name, words in names.items()}
    before = driver.replace_strict({n: p[0] for n, p in parts.items()}, default=driver + " is ", return_dtype=pl.String)
    after = driver.replace_strict({n: p[2] for n, p in parts.items()}, default=pl.lit(""), return_dtype=pl.String)
    gone = {name: words.missing for name, words in names.items()}
    without = driver.replace_strict(gone, default=driver + " is not known", return_dtype=pl.String)
    said = pl.when(value.is_null()).then(without).otherwise(pl.concat_str(before, value, after))
    size = (
        pl.when(points.abs() >= 1).then(points.abs().round(0).cast(pl.Int64).cast(pl.String))
        .when(points.abs() >= 0.05).then(points.abs().round(1).cast(pl.String))
        .otherwise(pl.lit("less than 0.1"))
    )  # fmt: skip
    way = pl.when(effect > 0).then(pl.lit("raises")).otherwise(pl.lit("lowers"))
    unit = pl.when(size == "1").then(pl.lit(" point)")).otherwise(pl.lit(" points)"))
    return pl.when(driver.is_not_null()).then(pl.concat_str(said, pl.lit(" ("), way, pl.lit(" it by "), size, unit))
