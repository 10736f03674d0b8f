"""How likely is likely? Five tiers of a probability.

By the thresholds of `scores.tiers`, or, with `scores.tier_quantiles`, by rank: the same numbers are then shares of the rows,
so that .90 makes the likeliest tenth Very High. Equal probabilities are of one tier. A missing probability is Very Low.
"""

import polars as pl

from lifecycle_assets.settings import Scores

TIERS = ["Very High", "High", "Medium", "Low", "Very Low"]


def tiers(probability: pl.Series, settings: Scores) -> pl.Series:
    """The tier of each probability (0..1, null where there is none), as text."""
    limits = settings.tiers
    score = pl.col("probability")
    if settings.tier_quantiles:
        score = (score.rank("average") - 0.5) / score.count()
    ladder = pl.lit(TIERS[4])
    for tier, least in zip(
        reversed(TIERS[:4]), (limits.low, limits.medium, limits.high, limits.very_high), strict=True
    ):
        ladder = pl.when(score >= least).then(pl.lit(tier)).otherwise(ladder)
    return probability.alias("probability").to_frame().select(ladder.alias("tier")).to_series()
