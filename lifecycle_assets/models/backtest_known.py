"""What the judges of past scores share: tonight's knowledge of the shop, and what a verdict is.

Customers are tonight's profiles: the score of an account that was merged later counts for the whole profile, of several
accounts that of the first. Of many customers a draw is judged.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.features.identity import resolved
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models.backtest_figures import Figure
from lifecycle_assets.models.propensity import drawn
from lifecycle_assets.settings import Shop

MOST_CUSTOMERS = 20_000
UNTRAINED = "no score: too little to learn from by then"
NOBODY = "nothing to judge: no such customer, message or purchase in the time after"
ONE_KIND = "too few of one kind to tell"
KEYS = ("customer_id", "horizon_months", "product_id", "campaign_id", "outcome", "rank")

# Score tables of a past night, by their short names.
Scores = Mapping[str, pl.LazyFrame]


@dataclass(frozen=True)
class Known:
    """Tonight's knowledge of a shop: raw tables of profiles, and its snapshots of past days (`take`). `settled` is the last day
    whose events are all there. `products_on` is raw.products as known on a day."""

    shop: str
    settings: Shop
    settled: dt.date
    order_lines: pl.LazyFrame
    engagement: pl.LazyFrame
    identity_map: pl.LazyFrame
    products_on: Callable[[dt.date], pl.LazyFrame]
    take: Callable[[dt.date], Snapshot]


class Judged(NamedTuple):
    """The figures of one score of one past day; without figures `note` says why. `until` is when its outcomes are complete, the
    day itself where nothing was foretold."""

    target: str
    until: dt.date
    figures: list[Figure]
    note: str = NOBODY


def unsettled(target: str, until: dt.date, settled: dt.date) -> Judged:
    """The verdict on outcomes that are not complete by the end of the data, `settled`."""
    note = f"not settled: the outcome is complete on {until}, the data ends on {settled}"
    return Judged(target, until, [], note)


def of_profiles(rows: pl.LazyFrame, known: Known) -> pl.LazyFrame:
    """Scores under the ids of tonight's profiles."""
    columns = rows.collect_schema()
    key = [name for name in KEYS if name in columns]
    return resolved(rows, known.identity_map).unique(key, keep="first", maintain_order=True)


def drawn_customers(scored: pl.LazyFrame, known: Known) -> pl.Series:
    """The customers to judge, in order."""
    everyone = scored.select(pl.col("customer_id").unique().sort()).collect().to_series()
    some = drawn(everyone, MOST_CUSTOMERS, known.shop, "models.backtest", known.settings.seed)
    return everyone if some is None else some


def numbers(rows: pl.DataFrame, *names: str) -> list[np.ndarray]:
    """The columns as float64."""
    return [rows[name].cast(pl.Float64).to_numpy() for name in names]
