"""What the posteriors say of simulated customers beside what these truly are, by posterior."""

from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models.gamma_poisson import gamma_interval
from lifecycle_assets.simulator.world import CONTENTS, TIERS
from tests.models import channel_world, send_time_world
from tests.models.message_world import MARGIN, TICKET, Messages, cadence_posteriors, nba_scores

# What an order earns at each tier.
VALUE = TICKET * (MARGIN - np.array(TIERS) / 100)


class Recovered(NamedTuple):
    """`truth`, the posterior's mean and 90 % interval, and two rival guesses, each of the same shape: `raw`, what the unit's
    own messages say alone, where they say anything, and `shared`, the true average of the shop's customers."""

    truth: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    raw: np.ndarray | None
    shared: np.ndarray

    def covered(self) -> float:
        """The share of the intervals that hold the truth."""
        return float(((self.low <= self.truth) & (self.truth <= self.high)).mean())

    def error(self, guess: str) -> float:
        """Root mean squared error of a field."""
        return float(np.sqrt(((getattr(self, guess) - self.truth) ** 2).mean()))


def channel(seed: int, name: str) -> Recovered:
    """Response rates of the customers with messages on a channel."""
    rows = channel_world.against_truth(seed).filter(pl.col("n_sent") > 0, pl.col("channel") == name)
    rows = rows.with_columns(raw=pl.col("n_response") / pl.col("n_sent"), shared=pl.col("rate").mean())
    return Recovered(*(rows[column].to_numpy() for column in ("rate", "mean", "lo", "hi", "raw", "shared")))


def hours(seed: int, *, with_orders: bool) -> Recovered:
    """Multipliers of the send hours."""
    found = send_time_world.against_truth(seed, with_orders=with_orders)
    shared = np.broadcast_to(found.true.mean(axis=0), found.true.shape)
    return Recovered(found.true, found.mean, found.lo, found.hi, found.raw, shared)


def contents(of: Messages) -> Recovered:
    """Multipliers of the contents that were sent."""
    found = nba_scores(of).filter(pl.col("content_type").is_in(CONTENTS))
    number = {name: k for k, name in enumerate(CONTENTS)}
    content = found["content_type"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
    truth = of.people.contents[_number(found["customer_id"]), content]
    rate = (pl.col("n_response") / pl.col("n_sent")).fill_nan(None)
    average = pl.col("n_response").sum().over("customer_id") / pl.col("n_sent").sum().over("customer_id")
    raw = found.select((rate / average).fill_nan(None).fill_null(1.0)).to_series().to_numpy()
    mean = found["multiplier"].to_numpy()
    return Recovered(truth, mean, *gamma_interval(mean, found["multiplier_sd"].to_numpy()), raw, np.ones(truth.size))


def fatigue(of: Messages) -> Recovered:
    """Fatigue of all customers; without a prior there is no number of most."""
    found, truth = cadence_posteriors(of), of.people.fatigue
    named = (found[name].to_numpy() for name in ("fatigue", "fatigue_lo", "fatigue_hi"))
    return Recovered(truth, *named, None, np.full(truth.size, truth.mean()))


def discounts(of: Messages, level: str, found: pl.DataFrame) -> Recovered:
    """Multipliers by tier of the segments, or of the customers with evidence of their own: units x tiers, from `found`, the
    rows of models.discount_posteriors."""
    rows = found.filter(pl.col("level") == level)
    everyone = curves(of)
    truth = everyone[_number(rows["unit"])[:: len(TIERS)]] if level == "customer" else of_segments(of, everyone)
    mean, rate = matrix(rows, "multiplier"), matrix(rows, "n_response") / np.maximum(matrix(rows, "n_sent"), 1)
    average = rate.mean(axis=1, keepdims=True)
    raw = np.where(average > 0, rate / np.where(average > 0, average, 1.0), 1.0)
    shared = np.broadcast_to(everyone.mean(axis=0), truth.shape)
    return Recovered(truth, mean, *gamma_interval(mean, matrix(rows, "multiplier_sd")), raw, shared)


def profit(of: Messages, found: pl.DataFrame) -> dict[str, float]:
    """What a response truly earns, over what it earns at the best tier, on average over the customers with rows of their own:
    at the customer's recommended tier, at that of their segment, at the tier that is best for the shop as a whole; and
    the same of segments at theirs."""
    customers, segments = (found.filter(pl.col("level") == level) for level in ("customer", "segment"))
    number = _number(customers["unit"])[:: len(TIERS)]
    everyone = curves(of) * VALUE
    earned = everyone[number] / everyone[number].max(axis=1, keepdims=True)
    of_segment = of.segments.collect()["segment"].rank("dense").to_numpy()[number] - 1
    whole = of_segments(of, everyone)
    at_segments = matrix(segments, "is_recommended")
    return {
        "customers": float(earned[matrix(customers, "is_recommended")].mean()),
        "customers at their segment's": float(earned[at_segments[of_segment]].mean()),
        "customers at the shop's best": float(earned[:, everyone.mean(axis=0).argmax()].mean()),
        "segments": float((whole[at_segments] / whole.max(axis=1)).mean()),
    }


def curves(of: Messages) -> np.ndarray:
    """The true multipliers by tier, customers x tiers."""
    who = np.repeat(np.arange(of.people.size), len(TIERS))
    return of.people.by_discount(who, np.tile(TIERS, of.people.size)).reshape(-1, len(TIERS))


def of_segments(of: Messages, values: np.ndarray) -> np.ndarray:
    """The mean of rows of `values` over the customers of each segment."""
    segment = of.segments.collect()["segment"].to_numpy()
    return np.stack([values[segment == name].mean(axis=0) for name in np.unique(segment)])


def matrix(found: pl.DataFrame, column: str) -> np.ndarray:
    """A column of models.discount_posteriors, units x tiers."""
    return found[column].to_numpy().reshape(-1, len(TIERS))


def _number(customer: pl.Series) -> np.ndarray:
    return customer.str.slice(1).cast(pl.Int64).to_numpy()
