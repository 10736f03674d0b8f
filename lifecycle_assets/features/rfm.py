"""How recently, how often and for how much did each customer buy, beside the shop's other customers?

Recency, frequency and monetary scores by quantile classes (Hughes, Strategic Database Marketing, 1994): the cut points
are the quantiles i/bins by linear interpolation, a class reaches up to and includes its upper cut point, so equal values
share a score and another purchase never lowers one's frequency score. The tier comes from the sum of the three scores.
With few customers or many equal values some scores stay empty; without customers both tables are empty.
"""

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, money, number, shop_key, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.settings import Rfm

TIERS = ["Champion", "Loyal", "Potential", "Promising", "At-Risk"]
METRICS = {"recency": "recency_days", "frequency": "frequency", "monetary": "monetary_total"}


@table("features.customer_rfm")
class CustomerRfm(PerCustomer):
    """How recently, how often and for how much each customer bought, scored among the shop's customers."""

    recency_days = count("as_of - last purchase.", "days")
    frequency = count("Purchases in the observation window.", "orders")
    monetary_total = money("Sum of the order amounts in the observation window, returns taken off.")
    recency_score = count("1 .. bins; the highest bought last.", "score", minimum=1, maximum=10)
    frequency_score = count("1 .. bins; the highest bought most often.", "score", minimum=1, maximum=10)
    monetary_score = count("1 .. bins; the highest spent most.", "score", minimum=1, maximum=10)
    rfm_class = text("The three scores, e.g. 545 (with 10 bins 10-4-5).", nullable=False)
    rfm_total = count("Sum of the three scores.", "score", minimum=3, maximum=30)
    rfm_tier = text("Champion by rfm_total >= 3 * bins - 2; the others by their place.", nullable=False, values=TIERS)
    interpretation = text("The row in words.", nullable=False)


@table("features.rfm_thresholds")
class RfmThresholds(dy.Schema):
    """The cut points behind the scores and tiers of features.customer_rfm, for audit."""

    shop_id = shop_key()
    as_of = as_of_column()
    metric = key("recency, frequency, monetary or rfm_total.")
    cut = dy.Int64(primary_key=True, min=1, description="Number of the cut point, from the lowest value up.")
    quantile = number("Share of customers at or below (rfm_total: of those who are no Champions).", "share 0..1")
    value = number("The cut point: days, orders, currency or score.")
    meaning = text("Which side of it means what.", nullable=False)


def customer_rfm(customer_features: pl.LazyFrame, settings: Rfm) -> pl.DataFrame:
    """The RFM row of each customer (columns recency_days, visit_frequency, purchase_total), in the order given."""
    frame = _metrics(customer_features)
    if frame.is_empty():
        return CustomerRfm.empty()
    frame = _scored(frame, settings.bins)
    lower, middle, upper = _tier_cuts(frame, settings)
    total = pl.col("rfm_total")
    tier = (
        pl.when(total >= 3 * settings.bins - 2).then(pl.lit("Champion"))
        .when(total >= upper).then(pl.lit("Loyal"))
        .when(total <= lower).then(pl.lit("At-Risk"))
        .when(total >= middle).then(pl.lit("Potential"))
        .otherwise(pl.lit("Promising"))
    )  # fmt: skip
    return frame.with_columns(tier.alias("rfm_tier")).with_columns(_interpretation(settings.bins))


def rfm_thresholds(customer_features: pl.LazyFrame, settings: Rfm) -> pl.DataFrame:
    """The cut points that `customer_rfm` uses for the same customers; one row per metric and cut point."""
    frame = _metrics(customer_features)
    if frame.is_empty():
        return RfmThresholds.empty()
    bins = settings.bins
    rows: list[tuple[str, int, float, float, str]] = []
    for metric, cuts in _cuts(frame, bins).items():
        for number_, value in enumerate(cuts.tolist(), start=1):
            sense = (
                f"more scores at most {bins - number_}"
                if metric == "recency"
                else f"more scores at least {number_ + 1}"
            )
            rows.append((metric, number_, number_ / bins, value, sense))
    shares = _tier_shares(settings)
    meanings = ["at or below: At-Risk", "at or above: Potential; below: Promising", "at or above: Loyal"]
    values = _tier_cuts(_scored(frame, bins), settings)
    rows += [
        ("rfm_total", i, share, value, meaning)
        for i, (share, value, meaning) in enumerate(zip(shares, values, meanings, strict=True), start=1)
    ]
    rows.append(("rfm_total", 4, 1.0, 3.0 * bins - 2, "at or above: Champion"))
    cuts_frame = pl.DataFrame(rows, schema=["metric", "cut", "quantile", "value", "meaning"], orient="row")
    return frame.select("shop_id", "as_of").head(1).join(cuts_frame, how="cross").sort("metric", "cut")


def _metrics(customer_features: pl.LazyFrame) -> pl.DataFrame:
    return customer_features.select(
        *KEY,
        "recency_days",
        pl.col("visit_frequency").alias("frequency"),
        pl.col("purchase_total").alias("monetary_total"),
    ).collect()


def _cuts(frame: pl.DataFrame, bins: int) -> dict[str, np.ndarray]:
    shares = [i / bins for i in range(1, bins)]
    return {metric: quantiles(_floats(frame, column), shares) for metric, column in METRICS.items()}


def _scored(frame: pl.DataFrame, bins: int) -> pl.DataFrame:
    above = {
        metric: np.searchsorted(cuts, _floats(frame, METRICS[metric]), side="left")
        for metric, cuts in _cuts(frame, bins).items()
    }
    scores = [
        pl.Series("recency_score", bins - above["recency"]),
        pl.Series("frequency_score", 1 + above["frequency"]),
        pl.Series("monetary_score", 1 + above["monetary"]),
    ]
    names = [score.name for score in scores]
    return frame.with_columns(scores).with_columns(
        pl.concat_str(names, separator="-" if bins == 10 else "").alias("rfm_class"),
        pl.sum_horizontal(names).alias("rfm_total"),
    )


def _tier_shares(settings: Rfm) -> tuple[float, float, float]:
    lower, upper = settings.at_risk_share, 1 - settings.loyal_share
    return lower, (lower + upper) / 2, upper


def _tier_cuts(scored: pl.DataFrame, settings: Rfm) -> list[float]:
    others = scored.filter(pl.col("rfm_total") < 3 * settings.bins - 2)
    # A shop of champions alone has nobody to place: any cut point will do.
    return quantiles(_floats(others, "rfm_total"), _tier_shares(settings)).tolist() if others.height else [0.0] * 3


def _floats(frame: pl.DataFrame, column: str) -> np.ndarray:
    return frame[column].cast(pl.Float64).to_numpy()


def _interpretation(bins: int) -> pl.Expr:
    frequency, recency = pl.col("frequency"), pl.col("recency_days")
    times = pl.when(frequency == 1).then(pl.lit("once")).otherwise(pl.format("{} times", frequency))
    last = (
        pl.when(recency == 0).then(pl.lit("today"))
        .when(recency == 1).then(pl.lit("yesterday"))
        .otherwise(pl.format("{} days ago", recency))
    )  # fmt: skip
    names = {"recency_score": "recency", "frequency_score": "frequency", "monetary_score": "spend"}
    lowest, highest = pl.min_horizontal(*names), pl.max_horizontal(*names)
    weakest = pl.coalesce(pl.when(pl.col(score) == lowest).then(pl.lit(name)) for score, name in names.items())
    strongest = pl.coalesce(pl.when(pl.col(score) == highest).then(pl.lit(name)) for score, name in names.items())
    balance = (
        pl.when(lowest == highest).then(pl.format("{} of {} in all three scores", lowest, pl.lit(bins)))
        .otherwise(
            pl.format("strongest in {} ({} of {}), weakest in {} ({})", strongest, highest, pl.lit(bins), weakest, lowest)
        )
    )  # fmt: skip
    total = pl.col("monetary_total").round(2).cast(pl.Decimal(18, 2))
    bought = (
        pl.when(frequency == 0).then(pl.lit("no purchase in the observation window"))
        .otherwise(pl.format("bought {} for {} in total", times, total))
    )  # fmt: skip
    return pl.format("{}: {}, last {}; {}.", "rfm_tier", bought, last, balance).alias("interpretation")
