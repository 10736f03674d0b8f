"""The area, its interval and the difference of two areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from lifecycle_assets.models.classifier_auc import auc, standard_error


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.integers(1, 20))
def test_the_area_is_scikit_learns_and_the_error_delongs(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.append([True, True, False, False], rng.random(n) < 0.4)
    score = rng.integers(0, levels, label.size).astype(float)
    ours = auc(label, score, np.arange(label.size))
    assert ours.value == pytest.approx(roc_auc_score(label, score))
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    # DeLong's own words: every pair, then the variances of the means by positive and by negative.
    pairs = np.where(
        score[label][:, None] > score[~label], 1.0, np.where(score[label][:, None] == score[~label], 0.5, 0)
    )
    delong = pairs.mean(axis=1).var() / label.sum() + pairs.mean(axis=0).var() / (~label).sum()
    assert standard_error(ours.moved, np.arange(label.size)) ** 2 == pytest.approx(
        delong * label.size / (label.size - 1), abs=1e-12
    )


@pytest.mark.parametrize(("rows_each", "noise"), [(1, 0.0), (5, 1.0)])
def test_the_interval_covers_the_true_area_95_times_in_100(rows_each: int, noise: float) -> None:
    """Positives score one standard deviation higher. With several rows per customer, rows of a customer are alike."""
    rng, covered, rounds = np.random.default_rng(0), 0, 800
    customers = 300 // rows_each
    true = norm.cdf(1 / np.sqrt(2 * (1 + noise**2)))
    for _ in range(rounds):
        own = rng.normal(size=customers)
        group = np.repeat(np.arange(customers), rows_each)
        label = rng.random(group.size) < expit(own)[group]
        score = label + rng.normal(size=group.size) + noise * rng.normal(size=customers)[group]
        made = auc(label, score, group)
        covered += made.low <= true <= made.high
    assert covered / rounds == pytest.approx(0.95, abs=0.025)


def test_without_regard_to_customers_the_interval_would_be_too_narrow() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(100), 10)
    own = rng.normal(size=100)[group]
    label, score = own + 0.1 * rng.normal(size=1_000) > 0, own + rng.normal(size=100)[group]
    moved = auc(label, score, group).moved
    assert standard_error(moved, group) > 2 * standard_error(moved, np.arange(1_000))


def test_the_error_of_a_difference_is_that_of_many_draws() -> None:
    rng, gains, errors = np.random.default_rng(2), [], []
    for _ in range(400):
        label = rng.random(400) < 0.3
        seen = label + rng.normal(size=400)
        one, other = (auc(label, seen + noise * rng.normal(size=400), np.arange(400)) for noise in (0.3, 1.0))
        gains.append(one.value - other.value)
        errors.append(standard_error(one.moved - other.moved, np.arange(400)))
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.1)


def test_a_perfect_order_of_few_rows_is_not_called_certain() -> None:
    made = auc(np.array([False] * 30 + [True] * 20), np.arange(50.0), np.arange(50))
    assert made.value == 1 and made.high == 1 and 0.8 < made.low < 0.9
