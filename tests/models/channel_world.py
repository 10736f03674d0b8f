"""models.channel_posteriors of simulated customers beside what they truly are."""

from functools import cache

import polars as pl

from lifecycle_assets.models.channel_posteriors import ChannelPosteriors, channel_posteriors, preferences
from lifecycle_assets.models.evidence import gathered
from lifecycle_assets.settings import Shop
from lifecycle_assets.simulator.world import CHANNELS
from tests.models.engagement_world import SHOP, Lived, lived

BY = ["customer_id", "channel"]
ORDER, MARGIN = 50.0, 15.0
COSTS = {name: channel.cost for name, channel in SHOP.routing.channels.items()}


def posteriors(shop: Lived, evidence: pl.DataFrame, settings: Shop = SHOP) -> pl.DataFrame:
    """Everyone's average order is ORDER with a margin of MARGIN, and all are reached where they consented."""
    open_to = [pl.when(f"consent_{channel}").then(pl.lit(channel)) for channel in CHANNELS]
    return channel_posteriors(
        gathered(evidence.lazy(), shop.segments(), shop.as_of, settings.routing.posteriors.half_life_days),
        orders(shop.truth),
        preferences(shop.customers.with_columns(account="customer_id")),
        shop.truth.lazy().select(
            "customer_id", pl.concat_str(open_to, separator=",", ignore_nulls=True).alias("reachable_by")
        ),
        shop_id="sim",
        as_of=shop.as_of,
        shop=settings,
    )


def orders(customers: pl.DataFrame) -> pl.LazyFrame:
    return customers.lazy().select(
        "customer_id",
        purchase_total=pl.lit(300.0),
        margin_total=pl.lit(300.0 * MARGIN / ORDER),
        avg_ticket=pl.lit(ORDER),
    )


@cache
def against_truth(seed: int) -> pl.DataFrame:
    """Rows of a simulated shop with `rate`, the customer's true response on average over hours, tiers and contents, as tired as
    the messages that they got found them; `earned`, what a message then truly brings; and their stated preference."""
    shop = lived(customers=3_000, days=300, seed=seed, messages_per_month=9.0)
    evidence, who = shop.slice(), shop.people
    fatigue = pl.DataFrame({"customer_id": who.ids(), "fatigue": who.fatigue})
    tired = evidence.join(fatigue, on="customer_id").group_by(BY).agg(
        tired=(-pl.col("fatigue") * pl.col("messages_7d")).exp().mean()
    )  # fmt: skip
    rates = pl.DataFrame({"customer_id": who.ids(), **dict(zip(CHANNELS, who.rates.T, strict=True))})
    found = posteriors(shop, evidence)
    ChannelPosteriors.require(found)
    return (
        found.join(rates.unpivot(index="customer_id", variable_name="channel", value_name="rate"), on=BY)
        .join(tired, on=BY, how="left")
        .join(shop.customers.select("customer_id", "preferred_channel").collect(), on="customer_id")
        .with_columns(rate=pl.col("rate") * pl.col("tired").fill_null(1.0), seed=seed)
        .with_columns(
            earned=pl.col("rate") * pl.col("order_rate") * MARGIN
            - pl.col("channel").replace_strict(COSTS)
            - pl.col("unsubscribe_rate") * MARGIN
        )
    )


def calibration_of_the_best(rows: pl.DataFrame) -> pl.DataFrame:
    """By fifths of p_best, of customers with messages on each of the channels on which they may be written to: mean p_best,
    the share of channels that truly earn most, and how many rows."""
    one = ["seed", "customer_id"]
    allowed = rows.filter(pl.col("p_best").is_not_null() & (pl.col("n_sent") > 0))
    several = allowed.filter(pl.len().over(one) > 1).filter((pl.col("p_best").sum().over(one) - 1).abs() < 1e-9)
    return (
        several.with_columns(is_best=pl.col("earned") == pl.col("earned").max().over(one))
        .group_by(fifth=(pl.col("p_best") * 5).floor().clip(0, 4).cast(pl.Int64))
        .agg(pl.col("p_best").mean(), pl.col("is_best").mean(), pl.len())
        .sort("fifth")
    )
