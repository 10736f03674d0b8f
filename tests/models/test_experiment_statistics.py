"""The statistics of experiments agree with independent code and hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from lifecycle_assets.models.experiment_statistics import (
    Arm,
    cuped,
    detectable,
    difference,
    false_discovery,
    mismatch,
    power,
    ratio,
    relative,
    sequential,
    shrunk,
)


def _arms(rng: np.random.Generator, n1: int, n0: int, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Skewed revenue, orders and revenue before of two arms."""

    def draw(n: int, more: float) -> np.ndarray:
        keen = rng.gamma(1.0, 1.0, n)
        before = rng.poisson(2 * keen) * rng.gamma(4.0, 5.0, n)
        orders = rng.poisson(keen * (1 + more))
        return np.stack([orders * rng.gamma(4.0, 5.0, n), orders, before], axis=1)

    return draw(n1, lift), draw(n0, 0.0)


def test_the_difference_is_welchs() -> None:
    treated, control = _arms(np.random.default_rng(1), 700, 90, 0.2)
    ours = difference(Arm.of(treated), Arm.of(control))
    theirs = stats.ttest_ind(treated[:, 0], control[:, 0], equal_var=False)
    low, high = theirs.confidence_interval()
    assert (ours.p, ours.lo, ours.hi) == pytest.approx((theirs.pvalue, low, high))


def test_false_discovery_is_scipys() -> None:
    p = np.random.default_rng(2).random(50) ** 2
    assert false_discovery(p) == pytest.approx(stats.false_discovery_control(p))


def test_relative_and_ratio_intervals_agree_with_the_bootstrap() -> None:
    rng = np.random.default_rng(3)
    treated, control = _arms(rng, 4000, 3000, 0.1)

    def again(arm: np.ndarray) -> np.ndarray:
        means = [arm[rng.integers(0, len(arm), len(arm))].mean(axis=0) for _ in range(1500)]
        return np.array(means)

    a, b = again(treated), again(control)
    lift = relative(Arm.of(treated), Arm.of(control))
    per_order = ratio(Arm.of(treated), Arm.of(control), 0, 1)
    assert lift is not None and per_order is not None
    assert lift.error == pytest.approx((a[:, 0] / b[:, 0]).std(), rel=0.07)
    assert per_order.error == pytest.approx((a[:, 0] / a[:, 1] - b[:, 0] / b[:, 1]).std(), rel=0.07)


def test_cuped_narrows_by_what_theory_says_and_stays_honest() -> None:
    rng = np.random.default_rng(4)
    held, narrower, saved = 0, [], []
    correlation = []
    for _ in range(400):
        treated, control = _arms(rng, 600, 600)
        plain = difference(Arm.of(treated), Arm.of(control))
        adjusted, share = cuped(Arm.of(treated), Arm.of(control), 0, 2)
        held += adjusted.lo <= 0 <= adjusted.hi
        narrower.append((adjusted.error / plain.error) ** 2)
        saved.append(share)
        correlation.append(np.corrcoef(np.concatenate([treated, control])[:, [0, 2]], rowvar=False)[0, 1])
    assert np.mean(saved) == pytest.approx(np.mean(np.square(correlation)), abs=0.01)
    assert np.mean(narrower) == pytest.approx(1 - np.mean(saved), abs=0.005)
    assert held / 400 == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("keenness", [0.0, 1.0])
def test_daily_peeking_alarms_in_at_most_one_of_twenty(keenness: float) -> None:
    """1 000 A/A tests of 60 days each; customers alike, and customers who differ in how much they buy."""
    rng = np.random.default_rng(5)
    alarms = fixed_alarms = 0
    n, days = 300, 60
    for _ in range(1000):
        rate = 0.05 * (rng.gamma(1.0, 1.0, (2, n, 1)) if keenness else np.ones((2, n, 1)))
        revenue = np.cumsum(rng.poisson(rate, (2, n, days)), axis=2) * 20.0
        gap = revenue[0].mean(axis=0) - revenue[1].mean(axis=0)
        variance = (revenue.var(axis=1, ddof=1) / n).sum(axis=0)
        # What one knew before: the variance of 28 days.
        intervals = [sequential(g, v, variance[27]) for g, v in zip(gap[1:], variance[1:], strict=True)]
        alarms += any(low > 0 or high < 0 for low, high in intervals)
        fixed_alarms += bool((np.abs(gap[1:]) > 1.96 * np.sqrt(variance[1:])).any())
    assert alarms <= 50
    # The same looks with an interval for one look would have cried wolf far more often.
    assert fixed_alarms > 100


def test_an_effect_is_found_in_time_by_the_sequential_interval() -> None:
    low, high = sequential(5.0, 1.0, 1.0)
    assert low > 0 and high == pytest.approx(10.0 - low)


def test_power_is_the_share_of_experiments_that_find_the_effect() -> None:
    rng = np.random.default_rng(6)
    error, n = 0.1, 20_000
    effect = detectable(error)
    found = np.abs(rng.normal(effect, error, n)) > 1.959964 * error
    assert power(error, effect) == pytest.approx(0.8, abs=1e-3)
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_a_sample_ratio_mismatch_is_seen_and_an_even_split_is_not() -> None:
    assert mismatch([8_500, 1_500], [0.85, 0.15]) == pytest.approx(1.0)
    assert mismatch([8_300, 1_700], [0.85, 0.15]) < 0.001
    assert mismatch([10, 1], [1.0, 0.0]) == 0.0


def test_shrinking_takes_the_winners_curse_away() -> None:
    rng = np.random.default_rng(7)
    raw, drawn, held = [], [], 0
    for _ in range(600):
        truth = rng.normal(1.0, 0.5, 12)
        errors = rng.uniform(0.3, 1.2, 12)
        seen = rng.normal(truth, errors)
        values, uncertainty = shrunk(seen, errors)
        best, best_drawn = seen.argmax(), values.argmax()
        raw.append(seen[best] - truth[best])
        drawn.append(values[best_drawn] - truth[best_drawn])
        held += (np.abs(values - truth) <= 1.96 * uncertainty).sum()
    assert np.mean(raw) > 0.5
    assert abs(np.mean(drawn)) < 0.12
    assert held / (600 * 12) > 0.90
