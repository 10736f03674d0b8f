"""Folds share no customer and are alike."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models.classifier_race import group_folds


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(20, 300), st.integers(2, 6))
def test_no_group_is_in_two_folds_and_positives_are_spread_evenly(seed: int, groups: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rng.integers(1, 5, groups))
    label = rng.random(group.size) < 0.2
    fold = group_folds(label, group, folds, rng)
    assert all(np.unique(fold[group == number]).size == 1 for number in range(groups))
    positives = np.bincount(fold, weights=label, minlength=folds)
    most = np.bincount(group, weights=label).max()
    assert np.ptp(positives) <= most
    assert np.ptp(np.bincount(np.array([fold[group == number][0] for number in range(groups)]), minlength=folds)) <= 1
