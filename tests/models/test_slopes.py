"""Slopes of the response along a scale: planted ones are found, levels do not matter, little evidence leaves the prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models import slopes

X = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
MEANS = np.array([0.4, 1.2])
SHAPE = 3.0


def planted(customers: int, messages: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Responses, expected responses (of a level that is wrong for everyone), segments and true slopes."""
    rng = np.random.default_rng(seed)
    segment = rng.integers(0, 2, customers)
    slope = rng.gamma(SHAPE, MEANS[segment] / SHAPE)
    sent = rng.poisson(messages, (customers, X.size)) * 1.0
    level = rng.gamma(2.0, 0.5, (customers, 1))
    curve = np.exp(slope[:, None] * X)
    y = rng.poisson(sent * level * curve / curve.mean(axis=1, keepdims=True)).astype(float)
    return y, sent * rng.uniform(0.2, 5.0, (customers, 1)) + 1e-9, segment, slope


def middle(segment: np.ndarray) -> np.ndarray:
    """The group of the segment's customers who respond neither seldom nor often."""
    return segment * slopes.LEVELS + slopes.LEVELS // 2


@pytest.mark.parametrize(("messages", "band"), [(1.0, 0.05), (6.0, 0.03)])
def test_intervals_cover_the_customers_own_slopes(messages: float, band: float) -> None:
    covered, error, spread, means = [], [], [], []
    for seed in range(6):
        y, expected, segment, slope = planted(3_000, messages, seed)
        prior = slopes.prior(slopes.fit(y, expected, X, middle(segment), 2, 0.5))
        masses = slopes.posterior(y, expected, X, prior[middle(segment)])
        low, high = (slopes.quantile(masses, share) for share in (0.05, 0.95))
        covered.append(((low <= slope) & (slope <= high)).mean())
        error.append(((masses @ slopes.SLOPES - slope) ** 2).mean())
        spread.append(((MEANS[segment] - slope) ** 2).mean())
        means.append((prior @ slopes.SLOPES)[middle(np.arange(2))])
    # Of five messages each, the spread of the slopes is known from the prior more than from the answers.
    assert np.mean(covered) == pytest.approx(0.9, abs=band)
    assert np.mean(error) < np.mean(spread)
    assert np.mean(means, axis=0) == pytest.approx(MEANS, rel=0.1)


@given(st.lists(st.floats(0.01, 100), min_size=5, max_size=5), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_levels_say_nothing_and_masses_add_up(levels: list[float], seed: int) -> None:
    """How much was expected of a customer altogether does not matter, only in which cells."""
    y, expected, segment, _ = planted(5, 3.0, seed)
    prior = slopes.prior(slopes.fit(y, expected, X, middle(segment), 2, 0.5))[middle(segment)]
    masses = slopes.posterior(y, expected, X, prior)
    assert masses.sum(axis=1) == pytest.approx(1)
    scaled = slopes.posterior(y, expected * np.array(levels)[:, None], X, prior)
    assert scaled == pytest.approx(masses, abs=1e-9)


def test_without_evidence_the_prior_stays() -> None:
    nothing = np.zeros((0, X.size))
    prior = slopes.prior(slopes.fit(nothing, nothing, X, np.zeros(0, np.int64), 2, 0.5))
    assert prior[: slopes.LEVELS] == pytest.approx(prior[slopes.LEVELS :])
    low, high = slopes.quantile(prior, 0.05), slopes.quantile(prior, 0.95)
    assert (low < 0.1).all()
    assert (high > 1).all()
    # One response tells of no slope.
    one = np.eye(1, X.size)
    assert slopes.posterior(one, one, X, prior[:1]) == pytest.approx(prior[:1])


def test_a_new_segment_has_the_shops_prior_and_a_small_one_is_drawn_to_it() -> None:
    y, expected, segment, _ = planted(3_000, 6.0, 1)
    rows = np.r_[np.flatnonzero(segment == 1), np.flatnonzero(segment == 0)[:5]]
    weights = slopes.fit(y[rows], expected[rows], X, middle(np.where(segment[rows] == 1, 0, 1)), 3, 0.5)
    large, small, new = (slopes.prior(weights) @ slopes.SLOPES)[middle(np.arange(3))]
    assert large == pytest.approx(MEANS[1], rel=0.1)
    assert MEANS[0] < small < large
    assert abs(new - large) < abs(MEANS[0] - large)


def test_those_who_respond_seldom_are_known_by_the_trend_of_all_segments() -> None:
    """The slopes fall by level, and the level of the steepest hardly responds at all."""
    rng = np.random.default_rng(2)
    segment, level = rng.integers(0, 3, 6_000), rng.integers(0, slopes.LEVELS, 6_000)
    means = 0.8 * np.exp(-0.3 * (np.arange(slopes.LEVELS) - slopes.LEVELS // 2))
    slope = rng.gamma(SHAPE, means[level] / SHAPE)
    sent = rng.poisson(4.0, (6_000, X.size)) * 1.0
    curve = np.exp(slope[:, None] * X)
    y = rng.poisson(sent * 0.05 * 2.0 ** level[:, None] * curve / curve.mean(axis=1, keepdims=True)).astype(float)
    found = slopes.prior(slopes.fit(y, sent + 1e-9, X, segment * slopes.LEVELS + level, 3, 0.5)) @ slopes.SLOPES
    assert found.reshape(3, -1) == pytest.approx(np.tile(means, (3, 1)), rel=0.2)
