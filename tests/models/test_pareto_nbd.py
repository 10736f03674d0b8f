"""Pareto/NBD: published figures, the independent package lifetimes, adaptive integration, and customers with known truth."""

# ruff: noqa: N803, N806 - T is the models' own name of the time observed

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifetimes import ParetoNBDFitter
from scipy.integrate import quad
from scipy.special import logit

from lifecycle_assets.models import pareto_nbd
from lifecycle_assets.models.btyd import Fitted, histories
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.pareto_nbd import ParetoNbd
from tests.models import cdnow
from tests.models.simulated_buyers import simulate_pareto_nbd, standard_errors

KNOWN = Fitted(0.0, 0.0, converged=True, n_customers=1, note="")
TRUTH = ParetoNbd(0.6, 60.0, 0.6, 80.0, KNOWN)
SPEND = GammaGamma(6.0, 4.0, 15.0, 30.0, KNOWN)
parameter = st.floats(-2.0, 2.0)


def test_the_published_fit_of_cdnow():
    x, tx, T, _ = cdnow.calibration()
    model = ParetoNbd.fit(x, tx, T)
    assert [round(value, 3) for value in (model.r, model.s)] == [0.553, 0.606]
    assert (model.alpha, model.beta) == (pytest.approx(10.578, abs=0.002), pytest.approx(11.669, abs=0.003))
    assert round(model.fitted.log_likelihood, 1) == -9595.0
    assert model.fitted.converged
    assert model.fitted.gradient_norm <= 1e-6


def test_predictions_and_likelihood_agree_with_lifetimes():
    x, tx, T, _ = cdnow.calibration()
    other = ParetoNBDFitter()
    other.params_ = {"r": 0.55, "alpha": 10.5, "s": 0.6, "beta": 11.5}
    other._unload_params = lambda *names: [other.params_[name] for name in names]
    model = ParetoNbd(0.55, 10.5, 0.6, 11.5, KNOWN)
    np.testing.assert_allclose(
        model.probability_alive(x, tx, T), other.conditional_probability_alive(x, tx, T), atol=1e-6
    )
    weeks = [1.0, 39.0]
    made = model.expected_purchases(x, tx, T, weeks)
    for column, t in enumerate(weeks):
        theirs = other.conditional_expected_number_of_purchases_up_to_time(t, x, tx, T)
        np.testing.assert_allclose(made[:, column], theirs, rtol=2e-6, atol=1e-6)
    theirs = other._conditional_log_likelihood([0.55, 10.5, 0.6, 11.5], x, tx, T).sum()
    ours = pareto_nbd._log_likelihood(histories(x, tx, T), 1.0)(np.log([0.55, 10.5, 0.6, 11.5]))[0]
    assert ours == pytest.approx(theirs, rel=1e-8)


@given(st.tuples(parameter, parameter, parameter, parameter))
@settings(max_examples=20, deadline=None)
def test_the_gradient_is_the_derivative_of_the_likelihood(theta):
    x, tx, T, _ = cdnow.calibration()
    likelihood = pareto_nbd._log_likelihood(histories(x, tx, T), 30.0)
    value, gradient = likelihood(np.array(theta))
    steps = 1e-4 * np.eye(4)
    difference = [(likelihood(theta + step)[0] - likelihood(theta - step)[0]) / 2e-4 for step in steps]
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, difference, atol=1e-6 * (1 + np.abs(gradient).max()))


@pytest.mark.parametrize(
    "parameters",
    [
        (0.5, 10.0, 0.6, 12.0),
        (2.0, 100.0, 0.1, 5.0),
        (0.1, 5.0, 3.0, 2000.0),
        (0.8, 30.0, 0.6, 200.0),
        (0.8, 500.0, 0.5, 0.01),
    ],
)
@pytest.mark.parametrize(
    ("x", "tx", "T"),
    [
        (0.0, 0.0, 700.0),
        (4.0, 80.0, 90.0),
        (5.0, 10.0, 700.0),
        (20.0, 60.0, 700.0),
        (30.0, 400.0, 3000.0),
        (300.0, 9000.0, 10_000.0),
    ],
)
def test_the_odds_of_having_left_equal_the_adaptive_integral(parameters, x, tx, T):
    r, alpha, s, beta = parameters

    def integrand(t):
        return s * np.exp(-(r + x) * np.log((alpha + t) / (alpha + tx)) - (s + 1) * np.log((beta + t) / (beta + tx)))

    edges = tx + (T - tx) * np.linspace(0, 1, 41) ** 3
    total = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in itertools.pairwise(edges))
    odds = (
        np.log(total / (beta + tx))
        + (r + x) * np.log((alpha + T) / (alpha + tx))
        + s * np.log((beta + T) / (beta + tx))
    )
    alive = ParetoNbd(*parameters, KNOWN).probability_alive(np.array([x]), np.array([tx]), np.array([T]))
    assert -logit(alive[0]) == pytest.approx(odds, abs=1e-7) or odds > 20


@pytest.mark.parametrize("truth", [(0.6, 60.0, 0.6, 80.0), (0.8, 30.0, 0.6, 200.0), (1.5, 20.0, 1.2, 400.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shops_as_the_model_says_converge(truth, seed):
    buyers = simulate_pareto_nbd(ParetoNbd(*truth, KNOWN), SPEND, 2000, np.random.default_rng(seed))
    model = ParetoNbd.fit(buyers.frequency, np.ceil(buyers.recency), buyers.T + 1)
    assert model.fitted.converged
    assert model.fitted.note == ""


@pytest.mark.parametrize("s", [0.3, 1.0, 1.0 + 1e-10, 2.5])
def test_the_distribution_of_purchases_has_the_expectation_as_its_mean(s):
    """Also at s = 1, where the published formula divides by zero."""
    model, n = ParetoNbd(0.6, 60.0, s, 80.0, KNOWN), np.arange(1.0, 3001.0)
    T, days = np.array([30.0, 300.0]), np.array([90.0, 365.0])
    for x in (0.0, 4.0, 60.0):
        total = model.at_least_if_alive(n, x, T, days).sum(axis=-1)
        np.testing.assert_allclose(total, model.expected_if_alive(x, T, days), rtol=1e-3)


def test_parameters_are_recovered_within_their_standard_errors():
    buyers = simulate_pareto_nbd(TRUTH, SPEND, 20_000, np.random.default_rng(11))
    model = ParetoNbd.fit(buyers.frequency, np.ceil(buyers.recency), buyers.T + 1)
    errors = standard_errors(
        pareto_nbd._log_likelihood(histories(buyers.frequency, np.ceil(buyers.recency), buyers.T + 1), 1.0),
        np.log([model.r, model.alpha, model.s, model.beta]),
    )
    distance = np.log([model.r, model.alpha, model.s, model.beta]) - np.log([0.6, 60.0, 0.6, 80.0])
    assert (np.abs(distance) < 3 * errors).all(), (distance, errors)
    assert (errors < 0.3).all()


def test_the_probability_of_being_alive_is_calibrated():
    buyers = simulate_pareto_nbd(TRUTH, SPEND, 60_000, np.random.default_rng(13))
    stated = TRUTH.probability_alive(buyers.frequency, buyers.recency, buyers.T)
    bins = np.minimum((stated * 10).astype(int), 9)
    for i in np.unique(bins):
        inside = bins == i
        error = 4 * np.sqrt(0.25 / inside.sum())
        assert abs(buyers.alive[inside].mean() - stated[inside].mean()) < error


def test_the_order_of_customers_changes_no_bit():
    x, tx, T, _ = cdnow.calibration()
    order = np.random.default_rng(5).permutation(x.size)
    assert ParetoNbd.fit(x, tx, T) == ParetoNbd.fit(x[order], tx[order], T[order])


@pytest.mark.parametrize("n", [0, 1, 40])
def test_without_repeat_customers_the_priors_answer(n):
    model = ParetoNbd.fit(np.zeros(n), np.zeros(n), np.full(n, 50.0))
    assert model.fitted.note == "pooled priors"
    assert model.fitted.pooled
    purchases = model.expected_purchases(np.zeros(n), np.zeros(n), np.full(n, 50.0), [182.0])
    assert purchases.shape == (n, 1)
    assert np.isfinite(purchases).all()


def test_a_shops_first_day_does_not_promise_a_purchase_a_week():
    nothing = np.zeros(40)
    purchases = ParetoNbd.fit(nothing, nothing, nothing).expected_purchases(nothing, nothing, nothing, [365.0])
    assert (purchases < 52).all(), purchases[0]
