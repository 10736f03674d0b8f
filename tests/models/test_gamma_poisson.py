"""The dispersion of multipliers: planted, of nothing, of yes-or-no answers in short rows."""

import numpy as np
import pytest
from scipy import stats

from lifecycle_assets.models.gamma_poisson import dispersion, dispersion_within, gamma_interval


@pytest.mark.parametrize("k", [0.5, 3.0, 20.0])
def test_the_dispersion_of_many_units_is_found(k: float) -> None:
    rng = np.random.default_rng(1)
    expected = rng.gamma(1.0, 1.0, 60_000)
    y = rng.poisson(expected * rng.gamma(k, 1 / k, expected.size))
    # Five standard errors of the estimate (by repetition) are below a tenth.
    assert dispersion(y.astype(float), expected) == pytest.approx(k, rel=0.1)


def test_units_that_do_not_differ_have_a_large_k_and_few_units_the_priors() -> None:
    rng = np.random.default_rng(2)
    expected = np.full(20_000, 2.0)
    assert dispersion(rng.poisson(expected).astype(float), expected) > 100
    assert dispersion(np.zeros(0), np.zeros(0)) == pytest.approx(10)
    assert 5 < dispersion(np.array([3.0]), np.array([1.0])) < 15


@pytest.mark.parametrize("k", [4.0, 10.0])
def test_the_dispersion_within_rows_is_found_from_a_few_answers_each(k: float) -> None:
    """Whatever the rows' levels: rates from 2 to 30 %, eight messages of each of four contents."""
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows, messages, cells = 6_000, 8, 4
        multiplier = rng.gamma(k, 1 / k, (rows, cells))
        multiplier /= multiplier.mean(axis=1, keepdims=True)
        rate = rng.uniform(0.02, 0.3, (rows, 1))
        y = rng.binomial(messages, np.minimum(rate * multiplier, 1)).astype(float)
        expected = np.full((rows, cells), messages * 0.1)
        found.append(1 / dispersion_within(y, y, expected, np.full_like(expected, messages * 0.01)))
    # The average of a Dirichlet's multipliers takes 1 / (cells k + 1) of their variance.
    truth = 4 / (4 * k + 1)
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(len(found)) + 0.002)


def test_rows_without_pairs_say_nothing_of_the_dispersion() -> None:
    one = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    expected = np.full_like(one, 0.5)
    assert dispersion_within(one, one, expected, expected**2 / 5) == pytest.approx(10)
    assert dispersion_within(one[:0], one[:0], expected[:0], expected[:0]) == pytest.approx(10)


@pytest.mark.parametrize("cv", [0.05, 0.3, 0.7])
def test_the_interval_is_that_of_a_gamma_distribution(cv: float) -> None:
    low, high = gamma_interval(np.array([2.0]), np.array([cv]))
    shape = 1 / cv**2
    assert [low.item(), high.item()] == pytest.approx(stats.gamma(shape, scale=2 / shape).ppf([0.05, 0.95]), rel=0.03)
