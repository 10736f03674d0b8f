"""Scores become the probabilities they were drawn with."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lifecycle_assets.models.classifier_calibration import Calibration


@pytest.mark.parametrize(("rows", "method", "near"), [(1_500, "platt", 0.03), (30_000, "isotonic", 0.02)])
def test_a_distorted_score_is_set_right(rows: int, method: str, near: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 1.2, rows)
    label = rng.random(rows) < expit(true)
    calibration = Calibration.fit(2.5 * true + 1, label)
    assert calibration.method == method
    new = rng.normal(-1, 1.2, 20_000)
    off = np.abs(calibration.probability(2.5 * new + 1) - expit(new))
    assert off.mean() < near < np.abs(expit(2.5 * new + 1) - expit(new)).mean()


def test_isotonic_follows_a_shape_that_a_logistic_curve_cannot() -> None:
    rng = np.random.default_rng(1)
    score = rng.uniform(-3, 3, 40_000)
    true = np.where(score < 0, 0.1, 0.6)
    calibration = Calibration.fit(score, rng.random(score.size) < true)
    assert np.abs(calibration.probability(score) - true).mean() < 0.01


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([60, 5_000]), st.floats(-2, 4), st.booleans())
def test_the_order_stays_and_nobody_is_certain(seed: int, rows: int, slope: float, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=rows)
    score = np.round(score, 1) if rounded else score
    label = rng.random(rows) < expit(slope * score)
    label[:2] = True, False
    calibration = Calibration.fit(score, label)
    probability = calibration.probability(np.sort(np.append(score, [-50, 50])))
    assert (np.diff(probability) >= 0).all()
    assert probability.min() > 0 and probability.max() < 1
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert np.array_equal(again.probability(score), calibration.probability(score))


def test_a_score_in_the_wrong_order_gives_everybody_the_rate_of_all() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(-2, 1, 2_000)
    label = rng.random(score.size) < expit(-0.5 * score - 3)
    probability = Calibration.fit(score, label).probability(score)
    assert probability == pytest.approx(label.mean(), abs=0.001)


def test_a_perfect_score_of_few_rows_stays_finite() -> None:
    label = np.arange(60) >= 30
    probability = Calibration.fit(np.where(label, 5.0, -5.0), label).probability(np.array([-5.0, 5.0]))
    assert probability == pytest.approx([1 / 32, 31 / 32], abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_log_odds_of_rare_positives_that_are_true_stay_as_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keen = rng.random(15_000) < 0.02
    log_odds = np.where(keen, np.log(0.25 / 0.75), np.log(0.001 / 0.999)) + rng.normal(0, 0.3, keen.size)
    label = rng.random(keen.size) < 1 / (1 + np.exp(-log_odds))
    made = Calibration.fit(log_odds, label)
    assert made.method == "platt"
    assert made.value[0] == pytest.approx(1.0, abs=0.2)
    assert made.probability(np.log([0.25 / 0.75]))[0] == pytest.approx(0.25, abs=0.1)
    assert made.probability(log_odds).mean() == pytest.approx(label.mean(), rel=0.1)
