"""How likely does each customer respond on each channel, and what does a message there earn?

Per channel a hierarchical beta-binomial model of a response per delivered message, shop -> segment -> customer (see
beta_binomial): alpha = kappa mu + x_effective, beta = kappa (1 - mu) + n_effective - x_effective, with the decayed evidence of
the customer (see evidence) and mu and kappa of their segment. A stated preferred channel is worth `preference_weight` prior
responses to those who state it, as one lift of mu for all of them: where their answers tell otherwise, the lift follows.

Channels are compared on what they earn, since a click and an order are not the same event on two channels: response rate times
the shop's orders per response there, times the margin of the customer's average order (of the shop's median one where there is
none), less what the message and unsubscribed customers cost. p_best counts draws from the posteriors.

A channel on which no message is settled has no rows, and a shop without evidence none at all: the rates configured with the
programmes then stand alone. A customer without messages has the segment's prior. Evidence of those who never bought
is not used.
"""

import datetime as dt
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table, text
from lifecycle_assets.hashing import random_keys
from lifecycle_assets.models.beta_binomial import fit, quantile
from lifecycle_assets.models.evidence import Evidence, Statistics, codes, is_recent, shop_sums, statistics, sums
from lifecycle_assets.settings import ChannelName, Posteriors, Routing, Shop

DRAWS = 64


@table("models.channel_posteriors", needs=("raw.engagement",))
class ChannelPosteriors(dy.Schema):
    """The response rate of each customer on each enabled channel: Beta(alpha, beta), from shop to segment to customer."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    channel = key("The channel.")
    segment = text("Loyalty segment that the customer's prior is of.")
    alpha = number("First parameter of the posterior.", "responses", minimum=0)
    beta = number("Second parameter of the posterior.", "messages without response", minimum=0)
    mean = share("Expected response rate.")
    lo = share("Lower end of its 90 % interval.")
    hi = share("Upper end of its 90 % interval.")
    n_sent = count("Settled messages to the customer on the channel, of any age.", "messages")
    n_response = count("Of these, responded to.", "messages")
    n_effective = number("Messages that the decayed evidence is worth.", "messages", minimum=0)
    borrowed = share("Share of the posterior that comes from the prior: kappa / (kappa + n_effective).")
    shop_rate = share("Response rate of the channel over the whole shop.")
    shop_sent = count("Settled messages of the whole shop on the channel.", "messages")
    order_rate = share("Orders per response on the channel, over the whole shop.")
    unsubscribe_rate = share("Customers who leave the channel per message, over the whole shop.")
    expected_margin = number(
        "Margin of an order times its chance, less the message's cost and what unsubscribes cost, per message: at the load of "
        "past messages, and whether or not the message causes the order, which dispatch.decisions asks as well.",
        "currency",
    )
    p_best = share(
        "Probability that the channel earns most of those on which the customer may be reached; null where they may not.",
        nullable=True,
    )


class Rates(NamedTuple):
    """What a channel's messages come to over the whole shop."""

    shop_rate: float
    shop_sent: int
    order_rate: float
    unsubscribe_rate: float


def channel_posteriors(
    evidence: Evidence,
    customer_orders: pl.LazyFrame,
    preferences: pl.LazyFrame,
    reach: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
) -> pl.DataFrame:
    """One row of `ChannelPosteriors` per customer of the evidence and enabled channel that has any, sorted by customer_id and
    channel. `preferences` has customer_id and preferred_channel; `reach` is dispatch.reach, `customer_orders` that table of
    features."""
    settings = shop.routing.posteriors
    enabled = sorted(name for name, channel in shop.routing.channels.items() if channel.enabled)
    messages = evidence.messages
    group = codes(messages["channel"], enabled)
    rates = _rates(messages, group, enabled)
    if not rates:
        return ChannelPosteriors.empty()
    known = _known(evidence.customers, customer_orders, preferences, reach, shop.routing)
    own = statistics(evidence, group, len(enabled))
    recent = messages.select(is_recent(as_of, settings.half_life_days)).to_series().to_numpy()
    lately = sums(messages, evidence.first, np.where(recent, group, -1), len(enabled))
    parts = []
    for place, channel in enumerate(enabled):
        if channel in rates:
            of_channel = Statistics(*(values[:, place] for values in own))
            prior = _prior(
                evidence, lately.n[:, place], lately.x[:, place], known["preferred_channel"] == channel, settings
            )
            parts.append(_posterior(channel, known, of_channel, prior, rates[channel], shop.routing))
    keys = random_keys(known["customer_id"], shop_id, ChannelPosteriors.name, shop.seed)
    best = _chances(parts, keys)
    return (
        pl.concat(part.with_columns(p_best=pl.Series(chances)) for part, chances in zip(parts, best, strict=True))
        .with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of), p_best=pl.when("allowed").then("p_best"))
        .select(list(ChannelPosteriors.columns))
        .sort("customer_id", "channel")
    )


def preferences(customers: pl.LazyFrame) -> pl.LazyFrame:
    """customer_id, preferred_channel: what the oldest account says that says anything. `customers` is raw.customers with the
    column `account`, its customer_id, and in the place of that the profile's."""
    return (
        customers.filter(pl.col("preferred_channel").is_not_null())
        .sort("created_at", "account", nulls_last=True)
        .group_by("customer_id")
        .agg(pl.col("preferred_channel").first())
    )


def _rates(messages: pl.DataFrame, group: np.ndarray, channels: list[ChannelName]) -> dict[ChannelName, Rates]:
    """Of the `channels` with evidence. `group` is each message's place among them."""
    responded, ordered, left = (
        shop_sums(messages, group, len(channels), outcome) for outcome in ("responded", "ordered", "unsubscribed")
    )
    return {
        channel: Rates(
            responded.x_weight[place] / weight,
            int(responded.n[place]),
            ordered.x_weight[place] / responded.x_weight[place] if responded.x_weight[place] else 0.0,
            left.x_weight[place] / weight,
        )
        for place, (channel, weight) in enumerate(zip(channels, responded.weight.tolist(), strict=True))
        if weight > 0
    }


def _known(
    everyone: pl.DataFrame,
    customer_orders: pl.LazyFrame,
    preferences: pl.LazyFrame,
    reach: pl.LazyFrame,
    routing: Routing,
) -> pl.DataFrame:
    """Per customer, in the order of their ids: customer_id, segment, preferred_channel, reachable_by, and margin: that of their
    average order, in currency."""
    own_rate = pl.when(pl.col("purchase_total") > 0).then(pl.col("margin_total") / pl.col("purchase_total"))
    rate = own_rate.cast(pl.Float64).clip(0, 1).fill_null(routing.margin_rate)
    margin = pl.when(pl.col("avg_ticket") > 0).then(pl.col("avg_ticket") * rate)
    return (
        everyone.lazy()
        .join(customer_orders.select("customer_id", margin=margin), on="customer_id", how="left")
        .join(preferences, on="customer_id", how="left")
        .join(reach.select("customer_id", "reachable_by"), on="customer_id", how="left")
        .sort("customer_id")
        .with_columns(pl.col("margin").fill_null(pl.col("margin").median()).fill_null(0.0))
        .collect()
    )


def _prior(
    evidence: Evidence, n: np.ndarray, x: np.ndarray, prefers: pl.Series, settings: Posteriors
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and kappa of each customer's prior on a channel, fitted to their recent messages and responses there."""
    favourable = prefers.fill_null(value=False).to_numpy()
    hierarchy = fit(
        n.astype(np.float64),
        x.astype(np.float64),
        evidence.segment,
        favourable,
        evidence.segments.len(),
        settings.preference_weight,
    )
    return hierarchy.prior(evidence.segment, favourable)


def _posterior(
    channel: ChannelName,
    known: pl.DataFrame,
    own: Statistics,
    prior: tuple[np.ndarray, np.ndarray],
    rates: Rates,
    routing: Routing,
) -> pl.DataFrame:
    """The rows of one channel, a row per row of `known`; also `worth` (currency per response), `cost` (currency per message)
    and `allowed`."""
    settings = routing.posteriors
    mean, kappa = prior
    n, x = own.n_effective, own.x_effective
    alpha, beta = kappa * mean + x, kappa * (1 - mean) + n - x
    margin = known["margin"].to_numpy()
    leaving = margin if settings.unsubscribe_cost is None else np.full(margin.size, settings.unsubscribe_cost)
    worth = rates.order_rate * margin
    cost = routing.channels[channel].cost + rates.unsubscribe_rate * leaving
    found = {
        "alpha": alpha,
        "beta": beta,
        "mean": alpha / (alpha + beta),
        "lo": quantile(alpha, beta, 0.05),
        "hi": quantile(alpha, beta, 0.95),
        "n_sent": own.n_sent,
        "n_response": own.n_response,
        "n_effective": n,
        "borrowed": kappa / (kappa + n),
        "worth": worth,
        "cost": cost,
        "expected_margin": alpha / (alpha + beta) * worth - cost,
    }
    return known.with_columns(
        pl.lit(channel).alias("channel"),
        *(pl.Series(name, values) for name, values in found.items()),
        *(pl.lit(value, ChannelPosteriors.polars_schema[name]).alias(name) for name, value in rates._asdict().items()),
        pl.col("reachable_by").str.split(",").list.contains(channel).fill_null(value=False).alias("allowed"),
    )


def _chances(parts: list[pl.DataFrame], keys: np.ndarray) -> np.ndarray:
    """channel x customer: the share of the draws in which the channel earns most."""
    from lifecycle_assets.models.best_channel_kernel import chances_to_be_best

    columns = ("alpha", "beta", "worth", "cost", "allowed")
    stacked = (np.stack([part[name].to_numpy() for part in parts], axis=1) for name in columns)
    return chances_to_be_best(*stacked, keys, DRAWS).T
