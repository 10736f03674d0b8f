"""Who was in which arm of a campaign, how did they respond, and what was known of them before?

Features are what each customer's orders, visits, messages and the like said at the end of a day before the assignment, never
of the assignment's own day, whose orders may already be its effect. A campaign that assigned on many days looks at most at
SNAPSHOTS of them, spread over its customers: each takes the latest that is before the assignment. Whoever had not bought yet
has no features; the learners know that as missing. Accounts of one profile are one customer. Left out, and counted: controls
known to be contaminated, profiles with accounts in both arms, and assignments whose outcome is unknown. An outcome bears no
date and holds as of every night.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.features.behaviour import BehaviourColumns
from lifecycle_assets.features.customer_orders import OrderColumns
from lifecycle_assets.features.identity import resolved

SNAPSHOTS = 6
MOST_LEVELS = 20
_KNOWN = {**OrderColumns.columns(), **BehaviourColumns.columns()}
GROUPS = [name for name, column in _KNOWN.items() if column.dtype == pl.String]
NUMBERS = [name for name in _KNOWN if name not in GROUPS]
CONTAMINATED, BOTH_ARMS, UNKNOWN = "contaminated controls", "customers in both arms", "assignments without an outcome"


def assigned(
    campaign_assignments: pl.LazyFrame, identity_map: pl.LazyFrame, as_of: dt.date, timezone: str, window_days: int
) -> pl.DataFrame:
    """campaign_id, customer_id, treatment, outcome, left_out (why, else null) and known (the day whose end the features are
    of), one row per campaign and profile, sorted by them: the campaigns that assigned within `window_days`."""
    end, day = end_of(as_of, timezone), pl.col("assigned_at").dt.convert_time_zone(timezone).dt.date()
    since = as_of - dt.timedelta(days=window_days)
    contaminated = (pl.col("contaminated") == 1).fill_null(value=False) & (pl.col("treatment") == 0)
    rows = (
        resolved(campaign_assignments.filter(pl.col("assigned_at") < end), identity_map)
        .with_columns(day=day)
        .filter(pl.col("day").max().over("campaign_id") > since)
        .group_by("campaign_id", "customer_id")
        .agg(
            pl.col("treatment").max(),
            pl.col("outcome").max(),
            pl.col("day").min(),
            contaminated=contaminated.any(),
            arms=pl.col("treatment").n_unique(),
        )
        .with_columns(
            left_out=pl.when(pl.col("arms") > 1)
            .then(pl.lit(BOTH_ARMS))
            .when("contaminated")
            .then(pl.lit(CONTAMINATED))
            .when(pl.col("outcome").is_null())
            .then(pl.lit(UNKNOWN))
        )
        .sort("campaign_id", "customer_id")
        .collect()
    )
    return rows.select(
        "campaign_id", "customer_id", "treatment", "outcome", "left_out", known=pl.col("day").dt.offset_by("-1d")
    ).with_columns(known=_few_days(pl.col("known")).over("campaign_id"))


def with_features(rows: pl.DataFrame, snapshots: Mapping[dt.date, pl.DataFrame]) -> pl.DataFrame:
    """`rows` with NUMBERS and GROUPS as of each row's `known` day; null for whoever had not bought. `snapshots` holds the
    customers' features as of each of these days."""
    schema = {
        "customer_id": pl.String,
        "known": pl.Date,
        **dict.fromkeys(NUMBERS, pl.Float64),
        **dict.fromkeys(GROUPS, pl.String),
    }
    known = [
        snapshot.with_columns(known=pl.lit(day)).select(pl.col(name).cast(kind) for name, kind in schema.items())
        for day, snapshot in sorted(snapshots.items())
    ]
    features = pl.concat([pl.DataFrame(schema=schema), *known])
    return rows.join(features, on=["customer_id", "known"], how="left", maintain_order="left")


@dataclass(frozen=True)
class Encoding:
    """Customers' features as numbers: `numbers` as they are; of each grouping column the place of its value among `levels`, the
    most frequent first. What is unknown or rare is missing. Features that are the same for all are left out."""

    numbers: list[str]
    levels: dict[str, list[str]]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Encoding":
        varying = {column.name for column in rows.select(NUMBERS + GROUPS) if column.n_unique() > 1}
        levels = {
            name: rows[name]
            .drop_nulls()
            .value_counts(name="n")
            .sort("n", name, descending=[True, False])[name]
            .head(MOST_LEVELS)
            .to_list()
            for name in GROUPS
            if name in varying
        }
        return cls([name for name in NUMBERS if name in varying], levels)

    @property
    def features(self) -> list[str]:
        return [*self.numbers, *self.levels]

    def matrix(self, rows: pl.DataFrame) -> np.ndarray:
        """One row per customer, a column per feature, nan where missing."""
        groups = [
            pl.col(name).replace_strict(known, list(range(len(known))), default=None, return_dtype=pl.Float64)
            for name, known in self.levels.items()
        ]
        columns = [pl.col(name).cast(pl.Float64) for name in self.numbers] + groups
        return np.ascontiguousarray(rows.select(columns).fill_null(float("nan")).to_numpy())


def _few_days(known: pl.Expr) -> pl.Expr:
    """The latest of at most SNAPSHOTS days on or before each: the first one, and those at equal steps through the rows."""

    def chosen(days: pl.Series) -> pl.Series:
        ordered = days.sort()
        kept = ordered.gather([i * ordered.len() // SNAPSHOTS for i in range(SNAPSHOTS)]).unique().sort()
        return kept.gather(kept.search_sorted(days, side="right") - 1).alias(days.name)

    return known.map_batches(chosen, return_dtype=pl.Date)
