"""The CDNOW sample on which the models were published, as the package lifetimes carries it: 2,357 customers, weeks."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(find_spec("lifetimes").submodule_search_locations[0]) / "datasets"
CALIBRATION_ENDS = pl.date(1997, 9, 30)


def calibration() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frequency, recency, T and mean value of a repeat purchase of the first 39 weeks, as published."""
    frame = pl.read_csv(FOLDER / "cdnow_customers_summary_with_transactions.csv")
    return tuple(frame[name].cast(pl.Float64).to_numpy() for name in ("x", "t_x", "T", "zbar"))


def split() -> pl.DataFrame:
    """From the purchases themselves, a day one occasion, in weeks: the same, then purchases and value of the next 39 weeks."""
    lines = (FOLDER / "CDNOW_sample.txt").read_text().splitlines()
    rows = [(line.split()[1], line.split()[2], float(line.split()[4])) for line in lines]
    days = (
        pl.DataFrame(rows, schema=["customer", "date", "value"], orient="row")
        .with_columns(pl.col("date").str.to_date("%Y%m%d"))
        .group_by("customer", "date")
        .agg(pl.col("value").sum())
    )
    date, value, seen = pl.col("date"), pl.col("value"), pl.col("date") <= CALIBRATION_ENDS
    repeat = seen & (date > date.min())
    return (
        days.group_by("customer")
        .agg(
            frequency=repeat.sum().cast(pl.Float64),
            recency=(date.filter(seen).max() - date.min()).dt.total_days() / 7,
            T=(CALIBRATION_ENDS - date.min()).dt.total_days() / 7,
            monetary_value=value.filter(repeat).mean().fill_null(0.0),
            later_purchases=(~seen).sum().cast(pl.Float64),
            later_value=value.filter(~seen).sum(),
        )
        .sort("customer")
    )
