"""How loyal is each customer, on one scale from 0 to 1?

Weighted sum of five metrics, each scaled to 0..1 between the shop's 1st and 99th percentile and clipped there (`robust:
false`: between minimum and maximum), recency reversed. Weights are renormalised to 1. A metric that is the same for all
customers scales to 1; one whose two percentiles coincide, though it is not the same for all, is scaled between minimum and
maximum. Without customers both tables are empty.
"""

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.settings import Loyalty, LoyaltySegments

SEGMENTS = ["Platinum", "Gold", "Silver", "Bronze", "At-Risk"]
DECIMALS = 9


@table("features.customer_loyalty")
class CustomerLoyalty(PerCustomer):
    """A loyalty score per customer, and the segment it falls in."""

    loyalty_score = share("Weighted sum of the scaled metrics; 1 = the most loyal one can be in this shop.")
    segment = text("Segment by the configured bounds of the score.", nullable=False, values=SEGMENTS)


@table("features.loyalty_summary")
class LoyaltySummary(dy.Schema):
    """The loyalty segments: how large, and how loyal."""

    shop_id = shop_key()
    as_of = as_of_column()
    segment = key("Loyalty segment; those without customers have no row.")
    customers = count("Customers in the segment.", "customers", minimum=1)
    customer_share = share("Of all customers.")
    mean_score = number("Mean loyalty score.", "score 0..1", minimum=0, maximum=1)
    median_score = number("Median loyalty score.", "score 0..1", minimum=0, maximum=1)
    p90_score = number("90th percentile of the loyalty score.", "score 0..1", minimum=0, maximum=1)


def customer_loyalty(customer_orders: pl.LazyFrame, settings: Loyalty) -> pl.DataFrame:
    """The loyalty score (0..1, 9 decimals) and segment of each customer, in the order given."""
    weights = settings.weights.model_dump()
    frame = customer_orders.select(*KEY, *weights).collect()
    if frame.is_empty():
        return CustomerLoyalty.empty()
    total = sum(weights.values())
    score = np.zeros(frame.height)
    for metric, weight in weights.items():
        scaled = _scale(frame[metric].cast(pl.Float64).to_numpy(), settings.robust, reverse=metric == "recency_days")
        score += weight / total * scaled
    # Sums of weights that should give .85 give .8499999999999999: the bounds are held against nine decimals.
    scores = pl.Series("loyalty_score", np.clip(np.round(score, DECIMALS), 0, 1))
    return frame.select(KEY).with_columns(scores).with_columns(_segment(settings.segments))


def loyalty_summary(customer_loyalty: pl.LazyFrame) -> pl.DataFrame:
    """Count, share and spread of the score per segment, one row for each that has customers."""
    # Integers add up exactly in any order; floats would make the mean depend on the number of threads.
    whole = (pl.col("loyalty_score") * 10**DECIMALS).round().cast(pl.Int64)
    score = pl.col("loyalty_score")
    return (
        customer_loyalty.group_by("shop_id", "as_of", "segment")
        .agg(
            pl.len().alias("customers"),
            whole.sum().alias("total"),
            score.median().alias("median_score"),
            score.quantile(0.9, "linear").alias("p90_score"),
        )
        # Sorted before dividing: the last bit of polars' division by one number depends on the place of the row.
        .sort("shop_id", "as_of", "segment")
        .with_columns(
            (pl.col("total") / 10**DECIMALS / pl.col("customers")).alias("mean_score"),
            (pl.col("customers") / pl.col("customers").sum()).alias("customer_share"),
        )
        .drop("total")
        .collect()
    )


def _scale(values: np.ndarray, robust: bool, reverse: bool) -> np.ndarray:
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        return np.ones(values.size)
    low, high = quantiles(values, [0.01, 0.99]) if robust else (lowest, highest)
    if low == high:
        low, high = lowest, highest
    scaled = np.clip((values - low) / (high - low), 0, 1)
    return 1 - scaled if reverse else scaled


def _segment(bounds: LoyaltySegments) -> pl.Expr:
    score = pl.col("loyalty_score")
    return (
        pl.when(score >= bounds.platinum).then(pl.lit("Platinum"))
        .when(score >= bounds.gold).then(pl.lit("Gold"))
        .when(score >= bounds.silver).then(pl.lit("Silver"))
        .when(score >= bounds.bronze).then(pl.lit("Bronze"))
        .otherwise(pl.lit("At-Risk"))
        .alias("segment")
    )  # fmt: skip
