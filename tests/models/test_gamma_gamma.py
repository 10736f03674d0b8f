"""Gamma-gamma: published figures, the independent package lifetimes, and customers with known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifetimes import GammaGammaFitter
from scipy.optimize import check_grad

from lifecycle_assets.models import gamma_gamma
from lifecycle_assets.models.btyd import Fitted
from lifecycle_assets.models.gamma_gamma import GammaGamma, Spending
from tests.models import cdnow
from tests.models.simulated_buyers import standard_errors

KNOWN = Fitted(0.0, 0.0, converged=True, n_customers=1, note="")
parameter = st.floats(-2.5, 2.5)


def _spenders(n, rng, q=4.0):
    x = rng.geometric(0.3, n).astype(float)
    nu = rng.gamma(q, 1 / 15.0, n)
    return x, rng.gamma(6.0 * x, 1 / (nu * x)), 6.0 / nu


def test_the_published_fit_of_cdnow():
    x, _, _, m = cdnow.calibration()
    model = GammaGamma.fit(x, m)
    assert [round(value, 2) for value in (model.p, model.q, model.v)] == [6.25, 3.74, 15.45]
    assert model.fitted.converged
    assert model.fitted.gradient_norm <= 1e-6


def test_expected_spend_agrees_with_lifetimes():
    x, _, _, m = cdnow.calibration()
    other = GammaGammaFitter().fit(x[x > 0], m[x > 0])
    model = GammaGamma(*other.params_, m[x > 0].mean(), KNOWN)
    np.testing.assert_allclose(model.expected_spend(x, m), other.conditional_expected_average_profit(x, m), rtol=1e-9)


@given(st.tuples(parameter, parameter, parameter))
@settings(max_examples=30, deadline=None)
def test_the_gradient_is_the_derivative_of_the_likelihood(theta):
    x, _, _, m = cdnow.calibration()
    rows = Spending(x[x > 0], m[x > 0], np.ones(np.count_nonzero(x)))
    likelihood = gamma_gamma._log_likelihood(rows, 30.0)
    value, gradient = likelihood(np.array(theta))
    difference = check_grad(lambda t: likelihood(t)[0], lambda t: likelihood(t)[1], np.array(theta), epsilon=1e-6)
    assert np.isfinite(value)
    assert difference <= 1e-4 * (1 + np.abs(gradient).max())


def test_parameters_are_recovered_within_their_standard_errors():
    x, m, _ = _spenders(30_000, np.random.default_rng(1))
    model = GammaGamma.fit(x, m)
    rows = Spending(x[x > 0], m[x > 0], np.ones(np.count_nonzero(x)))
    errors = standard_errors(gamma_gamma._log_likelihood(rows, 1.0), np.log([model.p, model.q, model.v]))
    distance = np.log([model.p, model.q, model.v]) - np.log([6.0, 4.0, 15.0])
    assert (np.abs(distance) < 3 * errors).all(), (distance, errors)
    assert (errors < 0.05).all()


def test_expected_spend_is_nearer_to_the_true_mean_than_the_observed_mean():
    x, m, true = _spenders(30_000, np.random.default_rng(2))
    made = GammaGamma.fit(x, m).expected_spend(x, m)
    assert made.mean() == pytest.approx(true.mean(), rel=0.02)
    assert np.square(made - true).mean() < 0.9 * np.square(m - true).mean()


def test_scale_of_the_currency_does_not_matter():
    x, m, _ = _spenders(3000, np.random.default_rng(3))
    one, cents = GammaGamma.fit(x, m), GammaGamma.fit(x, m * 100)
    np.testing.assert_allclose(cents.expected_spend(x, m * 100), 100 * one.expected_spend(x, m), rtol=1e-5)


def test_customers_who_lose_money_are_not_expected_to_bring_any():
    x, m, _ = _spenders(500, np.random.default_rng(4))
    with_losses = GammaGamma.fit(np.append(x, [3.0, 9.0]), np.append(m, [-5.0, 0.0]))
    without = GammaGamma.fit(x, m)
    assert (with_losses.p, with_losses.q, with_losses.v) == (without.p, without.q, without.v)
    assert "2 customers" in with_losses.fitted.note
    one_timer, one_small_loss, nothing_often, loss_often = with_losses.expected_spend(
        np.array([0.0, 1.0, 60.0, 60.0]), np.array([0.0, -1.0, 0.0, -50.0])
    )
    assert one_timer > one_small_loss > nothing_often > loss_often == 0
    assert nothing_often < one_timer / 50


@pytest.mark.parametrize("seed", range(8))
def test_a_heavy_tail_does_not_inflate_what_one_timers_spend(seed):
    """Spend that is lognormal over customers, of mean 60: the fitted q is near 1, on either side of it."""
    rng = np.random.default_rng(seed)
    x = rng.geometric(0.4, 1500) - 1.0
    own = 60 * np.exp(rng.normal(0, 1.5, 1500) - 1.5**2 / 2)
    shape = 4 * np.maximum(x, 1)
    m = np.where(x > 0, own * rng.gamma(shape) / shape, 0.0)
    model = GammaGamma.fit(x, m)
    spend = model.expected_spend(x, m)
    assert model.q < 1.1
    assert "heavy tail" in model.fitted.note
    assert spend[x == 0] == pytest.approx(m[x > 0].mean())
    assert 60 / 1.5 < spend[x == 0][0] < 60 * 1.5
    assert spend[x > 0].mean() == pytest.approx(spend[x == 0][0], rel=0.1)


def test_a_tail_without_a_mean_falls_back_to_the_observed_one():
    x, m, _ = _spenders(5000, np.random.default_rng(5), q=0.6)
    model = GammaGamma.fit(x, m)
    assert model.q < 1
    spend = model.expected_spend(np.array([0.0, 8.0]), np.array([0.0, 20.0]))
    assert spend == pytest.approx([m.mean(), 20.0])


@pytest.mark.parametrize("n", [1, 30, 300])
def test_equal_spend_is_expected_again(n):
    x, m = np.full(n, 4.0), np.full(n, 25.0)
    model = GammaGamma.fit(x, m)
    assert model.expected_spend(x, m) == pytest.approx(m, rel=0.15 if n < 100 else 1e-3)


def test_without_repeat_purchases_spend_is_zero():
    for n in (0, 1, 7):
        model = GammaGamma.fit(np.zeros(n), np.zeros(n))
        assert model.expected_spend(np.zeros(n), np.zeros(n)).tolist() == [0.0] * n
        assert "no repeat purchase" in model.fitted.note
