"""Rates of many units of a few groups: planted parameters, exact derivatives, and full MCMC."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

from lifecycle_assets.models.beta_binomial import HIGHEST, KAPPA, Hierarchy, fit, quantile

MEANS, KAPPAS = np.array([0.04, 0.08, 0.06, 0.15]), np.array([20.0, 30.0, 12.0, 40.0])


def planted(units: int, messages: float, seed: int, lift: float = 1.0) -> tuple[np.ndarray, ...]:
    """Trials, responses, group, favourable; a tenth of the units are favourable, with `lift` times the mean."""
    rng = np.random.default_rng(seed)
    group, favourable = rng.integers(0, MEANS.size, units), rng.random(units) < 0.1
    mean = MEANS[group] * np.where(favourable, lift, 1.0)
    n = rng.poisson(messages, units)
    x = rng.binomial(n, rng.beta(KAPPAS[group] * mean, KAPPAS[group] * (1 - mean)))
    return n.astype(float), x.astype(float), group, favourable


def test_planted_groups_and_lift_come_back() -> None:
    found = fit(*planted(120_000, 15, seed=1, lift=1.8), MEANS.size, 5.0)
    assert found.mean == pytest.approx(MEANS, rel=0.03)
    assert found.kappa == pytest.approx(KAPPAS, rel=0.08)
    assert found.lift == pytest.approx(1.8, rel=0.04)


def test_agrees_with_markov_chain_monte_carlo() -> None:
    """The recorded figures are those of bench/posteriors_mcmc.py, which has the same hierarchy and priors."""
    recorded = json.loads((Path(__file__).parent / "beta_binomial_mcmc.json").read_text("utf-8"))
    n, x, group = (np.asarray(recorded[name]) for name in ("trials", "responses", "group"))
    nobody = np.zeros(n.size, bool)
    found = fit(n.astype(float), x.astype(float), group, nobody, group.max() + 1, 0.0)
    mean, kappa = found.prior(group, nobody)
    shown = np.asarray(recorded["units"])
    alpha, beta = (kappa * mean + x)[shown], (kappa * (1 - mean) + n - x)[shown]
    assert recorded["worst_r_hat"] < 1.01
    assert alpha / (alpha + beta) == pytest.approx(recorded["mean"], abs=0.006)
    assert quantile(alpha, beta, 0.05) == pytest.approx(recorded["lo"], abs=0.006)
    assert quantile(alpha, beta, 0.95) == pytest.approx(recorded["hi"], abs=0.012)
    assert found.mean == pytest.approx(recorded["group_mean"], rel=0.04)
    assert np.all(found.kappa > recorded["kappa_lo"])
    assert np.all(found.kappa < recorded["kappa_hi"])


def test_a_group_without_units_is_near_the_others_and_wide() -> None:
    n, x, group, favourable = planted(20_000, 15, seed=3)
    seen = group > 0
    found = fit(n[seen], x[seen], group[seen], favourable[seen], MEANS.size, 5.0)
    assert MEANS.min() < found.mean[0] < MEANS.max()
    assert found.kappa[0] < np.median(found.kappa[1:])


def test_without_any_unit_the_prior_stands() -> None:
    nothing = np.zeros(3)
    found = fit(nothing, nothing, np.arange(3), np.zeros(3, bool), 3, 5.0)
    assert found.mean == pytest.approx(0.05, abs=0.001)
    assert np.all(found.kappa < 10)


def test_a_mark_is_worth_its_prior_responses_until_there_is_evidence_of_it() -> None:
    n, x, group, favourable = planted(40_000, 15, seed=4, lift=1.0)
    unmarked = fit(n[~favourable], x[~favourable], group[~favourable], favourable[~favourable], MEANS.size, 5.0)
    assert unmarked.lift > 2
    assert fit(n, x, group, favourable, MEANS.size, 5.0).lift == pytest.approx(1.0, abs=0.06)
    ignored = fit(n[~favourable], x[~favourable], group[~favourable], favourable[~favourable], MEANS.size, 0.0)
    assert ignored.lift == 1.0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1), st.integers(0, 2), st.booleans()), max_size=40),
    st.sampled_from([0.0, 5.0, 1e3]),
)
def test_whatever_the_evidence_the_prior_is_a_prior(units: list[tuple[float, float, int, bool]], weight: float) -> None:
    n = np.array([unit[0] for unit in units])
    x = n * np.array([unit[1] for unit in units])
    group = np.array([unit[2] for unit in units], dtype=np.int64)
    favourable = np.array([unit[3] for unit in units], dtype=bool)
    found = fit(n, x, group, favourable, 3, weight)
    mean, kappa = found.prior(group, favourable)
    assert np.all((found.mean > 0) & (found.mean < 1))
    assert np.all((mean > 0) & (mean < 1))
    assert np.all(mean[favourable] <= HIGHEST)
    assert np.all((kappa >= KAPPA[0]) & (kappa <= KAPPA[1]))
    assert found.lift >= 0


@pytest.mark.parametrize("probability", [0.05, 0.95])
def test_quantiles_have_their_probability(probability: float) -> None:
    rng = np.random.default_rng(5)
    alpha, beta = (np.exp(rng.uniform(np.log(low), np.log(4_000), 3_000)) for low in (0.05, 0.5))
    assert betainc(alpha, beta, quantile(alpha, beta, probability)) == pytest.approx(probability, abs=5e-4)


def test_units_without_a_mark_keep_their_rate_where_almost_all_evidence_is_of_marked_ones() -> None:
    rng = np.random.default_rng(7)
    units, marked = 900, 600
    favourable = np.arange(units) < marked
    n, rate = np.ones(units), np.where(favourable, 0.12, 0.05)
    found = fit(n, rng.binomial(1, rate).astype(float), np.zeros(units, int), favourable, 1, 5.0)
    # 300 trials tell 5 % within a standard error of 1.3 %; 600 of 12 %, of 1.3 %.
    assert found.mean[0] == pytest.approx(0.05, abs=0.03)
    assert found.mean[0] * found.lift == pytest.approx(0.12, abs=0.04)


def test_a_prior_is_lifted_for_the_favourable_alone() -> None:
    mean, kappa = Hierarchy(np.array([0.1, 0.6]), np.array([20.0, 30.0]), 2.0).prior(
        np.array([0, 0, 1]), np.array([False, True, True])
    )
    assert mean.tolist() == [0.1, 0.2, HIGHEST]
    assert kappa.tolist() == [20.0, 20.0, 30.0]
