"""The rival of bench.clv: the package lifetimes, as its documentation uses it."""

# ruff: noqa: N806 - T is the models' own name of the time observed

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from lifetimes import BetaGeoFitter, GammaGammaFitter

MONTHS = (6, 12, 36)
DAYS_PER_MONTH = 30.4375
ANNUAL_RATE = 0.10


def lifetimes_way(source: str) -> dict[str, Any]:
    """The same with lifetimes: fit, expected purchases and values, and its own discounted customer lifetime value."""
    frame = pl.read_parquet(source)
    columns = [pd.Series(frame[name].to_numpy()) for name in ("frequency", "recency", "T", "mean")]
    frequency, recency, T, mean = columns
    fitted, spend, again = BetaGeoFitter().fit(frequency, recency, T), GammaGammaFitter(), frequency > 0
    spend.fit(frequency[again], mean[again])
    purchases = [fitted.predict(months * DAYS_PER_MONTH, frequency, recency, T) for months in MONTHS]
    value = spend.conditional_expected_average_profit(frequency, mean)
    monthly = (1 + ANNUAL_RATE) ** (1 / 12) - 1
    for months in MONTHS:
        spend.customer_lifetime_value(fitted, *columns, time=months, freq="D", discount_rate=monthly)
    assert np.isfinite(value).all()
    parameters = [
        *(fitted.params_[name] for name in ("r", "alpha")),
        *(spend.params_[name] for name in ("p", "q", "v")),
    ]
    return {"parameters": parameters, "purchases": [float(p.sum()) for p in purchases]}
