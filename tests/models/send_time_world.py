"""Send times of simulated customers: what their messages and orders tell, and their true hours."""

import datetime as dt
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models import hour_curves
from lifecycle_assets.models.evidence import Evidence, gathered, weighted
from lifecycle_assets.models.response_cells import Rates
from lifecycle_assets.models.send_time_learning import Curves, learnt
from lifecycle_assets.models.send_time_posteriors import order_hours
from lifecycle_assets.simulator.world import SEND_HOURS
from tests.models.engagement_world import SHOP, Lived, lived

HOURS = np.array(SEND_HOURS)
NO_ORDERS = pl.LazyFrame(schema={"customer_id": pl.String, "ordered_on": pl.Date, "hour": pl.Int64})


class Told(NamedTuple):
    """What the arguments of send_time_posteriors are made of."""

    evidence: pl.LazyFrame
    channels: pl.LazyFrame
    segments: pl.LazyFrame
    orders: pl.LazyFrame

    def gathered(self, as_of: dt.date) -> tuple[Evidence, Rates | None]:
        """The evidence and the rates, of which send times read the means alone."""
        evidence = gathered(self.evidence, self.segments, as_of, 90)
        channels = self.channels.collect().pivot("channel", index="customer_id", values="mean", sort_columns=True)
        names = channels.columns[1:]
        if not names:
            return evidence, None
        rows = evidence.customers.join(channels, on="customer_id", how="left", maintain_order="left").fill_null(0)
        unused = np.zeros(rows.height)
        return evidence, Rates(names, rows.select(names).to_numpy(), unused, unused, unused, unused)


@cache
def told(seed: int, **past: float) -> Told:
    """Of a simulated shop with such a past; rates by channel are shrunk by hand, as models.channel_posteriors does."""
    shop = lived(2_000, seed=seed, **past)
    evidence = shop.slice().lazy()
    orders = order_hours(shop.order_lines, shop.customers, as_of=shop.as_of, timezone=SHOP.timezone)
    segments = by_loyalty(shop)
    return Told(evidence, rates(evidence, segments), segments, orders)


def by_loyalty(shop: Lived) -> pl.LazyFrame:
    """By how often customers bought, which is all that a shop sees of the kinds of people."""
    bought = shop.order_lines.group_by("customer_id").agg(orders=pl.col("order_id").n_unique())
    number = pl.sum_horizontal(pl.col("orders").fill_null(0) > limit for limit in (1, 3, 8)).cast(pl.String)
    return shop.truth.lazy().join(bought, on="customer_id", how="left").select("customer_id", segment=number)


def rates(evidence: pl.LazyFrame, segments: pl.LazyFrame) -> pl.LazyFrame:
    answered = evidence.group_by("customer_id", "channel").agg(n=pl.len(), x=pl.col("responded").sum())
    usual = evidence.group_by("channel").agg(usual=pl.col("responded").mean())
    shrunk = (25 * pl.col("usual") + pl.col("x").fill_null(0)) / (25 + pl.col("n").fill_null(0))
    return (
        segments.select("customer_id")
        .join(usual, how="cross")
        .join(answered, on=["customer_id", "channel"], how="left")
        .select("customer_id", "channel", mean=shrunk)
    )


class Truth(NamedTuple):
    """Posterior and truth of the multipliers of the send hours, customers x hours; messages per customer."""

    mean: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    true: np.ndarray
    messages: np.ndarray
    raw: np.ndarray


@cache
def against_truth(seed: int, *, with_orders: bool) -> Truth:
    shop, known = lived(2_000, seed=seed), told(seed)
    curves = curves_of(known if with_orders else known._replace(orders=NO_ORDERS), shop)
    usual = curves.usual.reshape(7, 24).mean(axis=0)
    multipliers = (curves.relative * usual[:, None])[HOURS]
    chance = chances(curves)
    responses, exposure = (cells[:, HOURS] for cells in curves.told[:2])
    total = np.maximum(responses.sum(axis=1, keepdims=True), 1e-9)
    rate = np.divide(responses, exposure, out=np.ones_like(responses), where=exposure > 0)
    return Truth(
        chance @ multipliers.T,
        quantiles(multipliers, chance, 0.05),
        quantiles(multipliers, chance, 0.95),
        true_multipliers(shop),
        curves.sent,
        np.where(responses.any(axis=1, keepdims=True), rate * exposure.sum(axis=1, keepdims=True) / total, 1.0),
    )


def curves_of(known: Told, shop: Lived) -> Curves:
    orders = known.orders.rename({"ordered_on": "sent_on"})
    return learnt(*known.gathered(shop.as_of), weighted(orders, shop.as_of, 90))


def chances(curves: Curves) -> np.ndarray:
    """The kernel's posterior over the curves, in numpy."""
    responses, exposure, peaks, segment, _ = curves.told
    log_shares, peak, shape = curves.model[:3]
    fit = hour_curves.log_likelihoods(responses, exposure, shape) + log_shares[segment] + peaks[:, peak]
    chance = np.exp(fit - fit.max(axis=1, keepdims=True))
    return chance / chance.sum(axis=1, keepdims=True)


def quantiles(values: np.ndarray, chance: np.ndarray, share: float) -> np.ndarray:
    """Of each row of `values` under each row of `chance`: where the middles of the steps pass the share."""
    found = np.empty((len(chance), len(values)))
    for column, row in enumerate(values):
        order = np.argsort(row, kind="stable")
        middles = np.cumsum(chance[:, order], axis=1) - chance[:, order] / 2
        found[:, column] = [np.interp(share, middle, row[order]) for middle in middles]
    return found


def true_multipliers(shop: Lived) -> np.ndarray:
    who = np.arange(shop.people.size)
    return np.stack([shop.people.by_hour(who, np.full(who.size, hour)) for hour in HOURS], axis=1)
