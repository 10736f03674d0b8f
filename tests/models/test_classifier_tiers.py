"""Tiers by thresholds and by ranks."""

import polars as pl

from lifecycle_assets.models.classifier_tiers import tiers
from lifecycle_assets.settings import Scores


def test_a_threshold_belongs_to_the_higher_tier_and_missing_is_very_low() -> None:
    probability = pl.Series([0.95, 0.9, 0.8999, 0.7, 0.4, 0.2, 0.1999, None])
    made = tiers(probability, Scores())
    assert made.to_list() == ["Very High", "Very High", "High", "High", "Medium", "Low", "Very Low", "Very Low"]


def test_by_ranks_tiers_are_shares_whatever_the_probabilities() -> None:
    probability = pl.Series([number / 100_000 for number in range(1_000)])
    made = tiers(probability.shuffle(1), Scores(tier_quantiles=True))
    counts = dict(made.value_counts().iter_rows())
    assert counts == {"Very High": 100, "High": 200, "Medium": 300, "Low": 200, "Very Low": 200}


def test_by_ranks_equal_probabilities_are_of_one_tier() -> None:
    made = tiers(pl.Series([0.3] * 50 + [None]), Scores(tier_quantiles=True))
    assert made.to_list() == ["Medium"] * 50 + ["Very Low"]
