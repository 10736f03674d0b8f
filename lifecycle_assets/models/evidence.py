"""How much is the evidence of past messages worth tonight?

A message of age d days weighs 2 ** (-d / half_life). Sums of weighted responses are turned into a number of messages that is
worth as much: n_effective = (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965), responses in proportion. Were the rates
constant, a posterior made of these is as wide as it should be; counting sum w would be too wide.

What units have in common is fitted to plain counts of the `recent` messages, since weighted responses are not binomial: those
of the last 2 / ln 2 half-lives, a window of the same mean age and the same effective number as all messages weighted.

All posteriors are made of one `Evidence`: few bytes a message, those of each customer together, so that fifty million are added
up within seconds. Sums are taken in fixed point of 2^-60: they are exact, so that neither the order of the rows nor the nights
in which they came make a difference. A message older than thirty half-lives is worth nothing.
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl


class Evidence(NamedTuple):
    """`customers`: customer_id and segment of everyone, sorted; `segment` their place in the names of the `segments`.
    `messages`: those of customer i are the rows first[i] to first[i + 1] - 1, in any order; columns who (i), weight, and of
    models.message_evidence channel, content_type, discount_pct, sent_on, hour_of_week, messages_7d, responded, ordered,
    unsubscribed, propensity."""

    customers: pl.DataFrame
    segment: np.ndarray
    segments: pl.Series
    messages: pl.DataFrame
    first: np.ndarray


class Sums(NamedTuple):
    """Units x groups: messages, those with the outcome; the sums of all weights and of their squares; the same of the messages
    with the outcome."""

    n: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    squares: np.ndarray
    x_weight: np.ndarray
    x_squares: np.ndarray


class Statistics(NamedTuple):
    """Units x groups: messages and responses, and how many of each the weighted ones are worth."""

    n_sent: np.ndarray
    n_response: np.ndarray
    n_effective: np.ndarray
    x_effective: np.ndarray


def gathered(message_evidence: pl.LazyFrame, segments: pl.LazyFrame, as_of: dt.date, half_life_days: float) -> Evidence:
    """The evidence up to `as_of` of the customers in `segments` (customer_id, segment), weighted; that of nobody there is left
    out. `message_evidence` has the columns of that table, of profiles."""
    customers = segments.select("customer_id", "segment").sort("customer_id").collect()
    names = customers["segment"].unique().sort()
    messages = (
        weighted(message_evidence.filter(pl.col("sent_on") <= as_of), as_of, half_life_days)
        .join(customers.lazy().select("customer_id").with_row_index("who"), on="customer_id")
        .select(
            "who",
            pl.col("channel", "content_type").cast(pl.Categorical),
            "discount_pct",
            "sent_on",
            pl.col("hour_of_week").cast(pl.UInt8),
            pl.col("messages_7d").cast(pl.UInt32),
            "responded",
            "ordered",
            "unsubscribed",
            "propensity",
            "weight",
        )
        .sort("who")
        .collect(engine="streaming")
    )
    return Evidence(
        customers,
        customers["segment"].replace_strict(names, range(names.len()), return_dtype=pl.Int64).to_numpy(),
        names,
        messages,
        np.searchsorted(messages["who"].to_numpy(), np.arange(customers.height + 1, dtype=np.uint32)),
    )


def weighted(events: pl.LazyFrame, as_of: dt.date, half_life_days: float) -> pl.LazyFrame:
    """The events (column sent_on) with the weight of each at the end of `as_of`."""
    age = (pl.lit(as_of) - pl.col("sent_on")).dt.total_days()
    return events.with_columns(weight=0.5 ** (age / half_life_days))


def is_recent(as_of: dt.date, half_life_days: float) -> pl.Expr:
    return pl.col("sent_on") > as_of - dt.timedelta(days=round(2 / math.log(2) * half_life_days))


def codes(labels: pl.Series, names: Sequence[str]) -> np.ndarray:
    """The place in `names` of each label (Categorical), -1 of those that are not there."""
    place = {name: number for number, name in enumerate(names)}
    known = labels.unique().drop_nulls()
    numbers = known.to_physical().cast(pl.Int64).to_numpy()
    unknown = int(numbers.max(initial=-1)) + 1
    table = np.full(unknown + 1, -1, np.int16)
    table[numbers] = [place.get(label, -1) for label in known.cast(pl.String)]
    return table[labels.to_physical().fill_null(unknown).to_numpy()]


def sums(messages: pl.DataFrame, first: np.ndarray, group: np.ndarray, size: int, outcome: str = "responded") -> Sums:
    """Of each unit, whose rows begin at `first` and end where the next one's begin, by the message's `group`: 0 to `size` - 1,
    or -1 where it does not count. `outcome` is a column of flags."""
    from lifecycle_assets.models.evidence_kernel import grouped

    counts, totals = grouped(first, group, messages[outcome].to_numpy(), messages["weight"].to_numpy(), size)
    return Sums(*np.moveaxis(counts, 2, 0), *np.moveaxis(totals, 2, 0))


def shop_sums(messages: pl.DataFrame, group: np.ndarray, size: int, outcome: str = "responded") -> Sums:
    """The same over all messages, by group."""
    found = sums(messages, np.array([0, messages.height]), group, size, outcome)
    return Sums(*(values[0] for values in found))


def statistics(evidence: Evidence, group: np.ndarray, size: int) -> Statistics:
    """Of each customer, by group as in `sums`."""
    found = sums(evidence.messages, evidence.first, group, size)
    told = found.squares > 0
    n_effective = np.divide(found.weight**2, found.squares, out=np.zeros_like(found.weight), where=told)
    share = np.divide(found.x_weight, found.weight, out=np.zeros_like(found.weight), where=told)
    return Statistics(found.n, found.x, n_effective, n_effective * share)
