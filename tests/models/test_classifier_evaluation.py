"""The figures against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lifecycle_assets.models.classifier_evaluation import figures, over_folds


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 300), st.integers(1, 50))
def test_the_figures_are_scikit_learns(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.integers(1, levels + 1, n) / (levels + 1)
    label = rng.random(n) < probability
    label[:2] = True, False
    ours = figures(label, probability)
    assert ours["roc_auc"] == pytest.approx(metrics.roc_auc_score(label, probability))
    assert ours["pr_auc"] == pytest.approx(metrics.average_precision_score(label, probability))
    assert ours["log_loss"] == pytest.approx(metrics.log_loss(label, probability))
    assert ours["brier"] == pytest.approx(metrics.brier_score_loss(label, probability))
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(label, probability >= 0.5))


def test_f1_and_lift_of_a_hand_made_order() -> None:
    """The probabilities add up to 4: the four likeliest of twenty are called, three of them and one other are positive. Of the
    likeliest tenth, two rows, all are positive: five times the rate of a fifth."""
    probability = np.array([0.9, 0.8, 0.7, 0.6] + [0.0625] * 16)
    label = np.array([True, True, False, True] + [True] + [False] * 15)
    ours = figures(label, probability)
    assert ours["f1"] == pytest.approx(metrics.f1_score(label, np.arange(20) < 4)) == pytest.approx(0.75)
    assert ours["top_decile_lift"] == pytest.approx(5)
    # Ten bins of two rows: distances .3, .3, and .0625 * 2 - 1 once, .0625 * 2 seven times, each over 20 rows.
    assert ours["calibration_error"] == pytest.approx((0.3 + 0.3 + 0.875 + 7 * 0.125) / 20)


def test_ties_are_no_luck() -> None:
    label = np.array([True] * 10 + [False] * 90)
    for order in (label, label[::-1]):
        same = figures(order, np.full(100, 0.1))
        assert same["top_decile_lift"] == pytest.approx(1)
        assert same["f1"] == pytest.approx(0.1)


def test_one_class_leaves_out_what_needs_two() -> None:
    ours = figures(np.zeros(30, bool), np.full(30, 0.2))
    assert ours["roc_auc"] is None and ours["top_decile_lift"] is None
    assert ours["brier"] == pytest.approx(0.04)
    both = over_folds([ours, figures(np.arange(30) < 10, np.linspace(0.9, 0.1, 30))])
    assert both["roc_auc"] == 1 and both["roc_auc_sd"] is None
    assert both["brier_sd"] > 0
