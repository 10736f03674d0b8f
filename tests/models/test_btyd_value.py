"""Values and their intervals, against the futures of customers with known truth and against direct simulation."""

# ruff: noqa: N806 - T is the models' own name of the time observed

import numpy as np
import pytest
from lifetimes import BetaGeoFitter, GammaGammaFitter

from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.btyd import Fitted
from lifecycle_assets.models.btyd_value import DAYS_PER_MONTH, value_forecast
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.pareto_nbd import ParetoNbd
from tests.models.simulated_buyers import MONTHS, simulate_bg_nbd, simulate_pareto_nbd

KNOWN = Fitted(0.0, 0.0, converged=True, n_customers=1, note="")
BG_NBD = BgNbd(0.9, 60.0, 0.8, 2.5, KNOWN)
PARETO_NBD = ParetoNbd(0.6, 60.0, 0.6, 80.0, KNOWN)
FREQUENT = BgNbd(2.0, 8.0, 0.6, 30.0, KNOWN)
SPEND = GammaGamma(6.0, 4.0, 15.0, 30.0, KNOWN)
UNEVEN = GammaGamma(0.8, 2.5, 60.0, 30.0, KNOWN)
MODELS = {
    "bg_nbd": (BG_NBD, SPEND, simulate_bg_nbd),
    "pareto_nbd": (PARETO_NBD, SPEND, simulate_pareto_nbd),
    "frequent": (FREQUENT, SPEND, simulate_bg_nbd),
    "uneven_spend": (BG_NBD, UNEVEN, simulate_bg_nbd),
}


def _forecast(model, spend, buyers, **options):
    return value_forecast(model, spend, buyers.frequency, buyers.recency, buyers.T, buyers.monetary_value, **options)


@pytest.mark.parametrize("name", MODELS)
def test_intervals_hold_what_they_state(name):
    """Known parameters, so that nothing but the computation is tested. Where 0 alone has more than 80 % the interval is 0
    and holds the share that 0 has; elsewhere it holds 80 %."""
    model, spend, simulate = MODELS[name]
    buyers = simulate(model, spend, 30_000, np.random.default_rng(21))
    made = _forecast(model, spend, buyers)
    rate = np.divide(made.discounted, made.value, out=np.ones_like(made.value), where=made.value > 0)
    for low, high, truth in (
        (made.low, made.high, buyers.value),
        (made.low * rate, made.high * rate, buyers.discounted),
    ):
        # Bounds of discounted values are in proportion to the others, which holds nearly.
        tolerance = 0.015 if truth is buyers.value else 0.025
        for h in range(len(MONTHS)):
            inside = (low[:, h] <= truth[:, h]) & (truth[:, h] <= high[:, h])
            stated, two_sided = high[:, h] > 0, low[:, h] > 0
            content = np.where(stated, 0.80, 1 - (buyers.value[~stated, h] > 0).mean() if (~stated).any() else 0.8)
            print(
                f"{name} {MONTHS[h]} months: coverage {inside.mean():.4f}, where above 0 {inside[stated].mean():.4f} "
                f"({stated.mean():.2f} of customers), two-sided {inside[two_sided].mean():.4f} ({two_sided.mean():.2f})"
            )
            assert inside[stated].mean() == pytest.approx(0.80, abs=tolerance)
            assert inside.mean() == pytest.approx(content.mean(), abs=tolerance)
            assert inside.mean() > 0.785
            if two_sided.sum() > 1000:
                below = (truth[two_sided, h] < low[two_sided, h]).mean()
                assert below == pytest.approx(0.10, abs=0.01 + 4 * np.sqrt(0.09 / two_sided.sum()))


@pytest.mark.parametrize("name", MODELS)
def test_the_means_are_those_of_the_future(name):
    model, spend, simulate = MODELS[name]
    buyers = simulate(model, spend, 30_000, np.random.default_rng(22))
    made = _forecast(model, spend, buyers)
    for ours, truth in (
        (made.purchases, buyers.purchases),
        (made.value, buyers.value),
        (made.discounted, buyers.discounted),
    ):
        error = (ours - truth).std(axis=0) / np.sqrt(len(truth))
        assert (np.abs((ours - truth).mean(axis=0)) < 4 * error).all()
        # The better half by forecast as well, so that no two errors cancel.
        half = np.argsort(ours[:, 1])[len(truth) // 2 :]
        assert (
            np.abs((ours - truth)[half].mean(axis=0)) < 4 * (ours - truth)[half].std(axis=0) / np.sqrt(half.size)
        ).all()


@pytest.mark.parametrize(("x", "first"), [(0, 0), (7, 0), (41, 0), (260, 0), (0, 1), (2, 1), (41, 1)])
def test_bounds_equal_the_quantiles_of_a_direct_simulation(x, first):
    """One customer, drawn from their posterior: rate, leaving probability, purchases, spend. 41 and 260 lie between nodes.
    With the first purchase's value or without."""
    rng, n = np.random.default_rng(23), 400_000
    T, recency, mean = 300.0, 299.0 if x else 0.0, 33.0 if x + first else 0.0
    one = [np.array([value]) for value in (float(x), recency, T, mean)]
    made = value_forecast(BG_NBD, SPEND, *one, occasions=one[0] + first)
    alive = rng.random(n) < made.p_alive[0]
    rate = rng.gamma(BG_NBD.r + x, 1 / (BG_NBD.alpha + T), n)
    leaves_after = rng.geometric(rng.beta(BG_NBD.a, BG_NBD.b + x, n))
    shape, scale = SPEND.q + SPEND.p * (x + first), SPEND.v + (x + first) * mean
    nu = rng.gamma(shape, 1 / scale, n)
    for h, months in enumerate(MONTHS):
        bought = np.minimum(rng.poisson(rate * months * DAYS_PER_MONTH), leaves_after) * alive
        value = np.where(bought > 0, rng.gamma(SPEND.p * np.maximum(bought, 1), 1 / nu), 0.0)
        expected = made.purchases[0, h] * SPEND.p * scale / (shape - 1)
        assert made.value[0, h] == pytest.approx(expected, rel=1e-9)
        if (value == 0).mean() >= 0.1:
            assert made.low[0, h] == 0
            assert (value <= made.high[0, h]).mean() == pytest.approx(0.8, abs=0.004)
        else:
            assert (value < made.low[0, h]).mean() == pytest.approx(0.1, abs=0.004)
            assert (value > made.high[0, h]).mean() == pytest.approx(0.1, abs=0.004)


def test_discounting_is_by_month():
    """Against the sum over months of lifetimes' own expected purchases."""
    x, recency, T, mean = (
        np.array([0.0, 3.0, 12.0]),
        np.array([0.0, 200.0, 310.0]),
        np.full(3, 320.0),
        np.array([0.0, 30, 55]),
    )
    made = value_forecast(BG_NBD, SPEND, x, recency, T, mean, annual_discount_rate=0.25)
    other, other_spend = BetaGeoFitter(), GammaGammaFitter()
    other.params_ = {"r": 0.9, "alpha": 60.0, "a": 0.8, "b": 2.5}
    other._unload_params = lambda *names: [other.params_[name] for name in names]
    other_spend.params_ = {"p": 6.0, "q": 4.0, "v": 15.0}
    other_spend._unload_params = lambda *names: [other_spend.params_[name] for name in names]
    spend = other_spend.conditional_expected_average_profit(x, mean)
    until = np.array(
        [
            other.conditional_expected_number_of_purchases_up_to_time(m * DAYS_PER_MONTH, x, recency, T)
            for m in range(37)
        ]
    )
    months = np.arange(1, 37)
    for h, horizon in enumerate(MONTHS):
        worth = np.where(months <= horizon, 1.25 ** (-months / 12), 0)
        np.testing.assert_allclose(made.discounted[:, h], worth @ np.diff(until, axis=0) * spend, rtol=1e-6)
        np.testing.assert_allclose(made.value[:, h], until[horizon] * spend, rtol=1e-6)


def test_horizons_come_back_in_the_order_asked_for():
    buyers = simulate_bg_nbd(BG_NBD, SPEND, 500, np.random.default_rng(24))
    plain = _forecast(BG_NBD, SPEND, buyers)
    mixed = _forecast(BG_NBD, SPEND, buyers, months=(36, 9, 6, 6))
    for name in ("purchases", "value", "discounted", "low", "high"):
        one, other = getattr(plain, name), getattr(mixed, name)
        np.testing.assert_allclose(other[:, [2, 3, 0]], one[:, [0, 0, 2]], rtol=0.02)


def test_a_wider_level_gives_wider_bounds():
    buyers = simulate_bg_nbd(BG_NBD, SPEND, 2000, np.random.default_rng(25))
    narrow, wide = (_forecast(BG_NBD, SPEND, buyers, level=level) for level in (0.5, 0.9))
    assert (wide.high >= narrow.high).all()
    assert wide.high.sum() > 1.2 * narrow.high.sum()


def test_the_order_of_customers_changes_no_bit():
    buyers = simulate_bg_nbd(BG_NBD, SPEND, 3000, np.random.default_rng(26))
    order = np.random.default_rng(5).permutation(3000)
    columns = (buyers.frequency, buyers.recency, buyers.T, buyers.monetary_value)
    one = value_forecast(BG_NBD, SPEND, *columns)
    other = value_forecast(BG_NBD, SPEND, *(column[order] for column in columns))
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values[order], getattr(other, name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "longest"), [("uneven_spend", 90), ("bg_nbd", 90), ("bg_nbd", 730)])
def test_intervals_of_small_shops_are_wide_enough(name, longest):
    """Shops of 20 to 80 repeat customers, each fitted anew, in their first three months or two years."""
    truth, spend, simulate = MODELS[name]
    rng, inside, stated = np.random.default_rng(27), [], []
    for n in rng.integers(50, 120, 20):
        buyers = simulate(truth, spend, int(n), rng, rng.integers(5, longest, n).astype(float))
        columns = (buyers.frequency, buyers.recency, buyers.T, buyers.monetary_value)
        model = type(truth).fit(*columns[:3])
        fitted_spend = GammaGamma.fit(buyers.frequency, buyers.monetary_value)
        made = value_forecast(model, fitted_spend, *columns)
        inside.append((made.low <= buyers.value) & (buyers.value <= made.high))
        stated.append(made.high > 0)
    covered, shown = np.concatenate(inside), np.concatenate(stated)
    held = [covered[shown[:, h], h].mean() for h in range(len(MONTHS))]
    print(f"{name} small shops of up to {longest} days: held where above 0 {np.round(held, 3)}")
    assert min(held) > 0.80
    assert max(held) < 0.95


def test_losses_bring_nothing():
    columns = [np.array([value]) for value in (60.0, 290.0, 300.0, -50.0)]
    made = value_forecast(BG_NBD, SPEND, *columns)
    assert made.purchases[0, 0] > 10
    for values in (made.value, made.low, made.high):
        assert (values == 0).all()


@pytest.mark.parametrize("model", [BgNbd, ParetoNbd])
def test_hardly_any_data_is_answered_with_finite_numbers(model):
    empty, five = np.zeros(0), np.zeros(5)
    for columns in (
        (empty, empty, empty, empty),
        (five, five, five, five),
        (np.zeros(1), np.zeros(1), np.full(1, 9.0), np.zeros(1)),
        (np.full(1, 3.0), np.full(1, 9.0), np.full(1, 30.0), np.full(1, -4.0)),
        (np.full(5, 3.0), np.full(5, 9.0), np.full(5, 30.0), np.full(5, 7.0)),
        (np.tile([400.0, 0.0], 200), np.tile([9990.0, 0.0], 200), np.full(400, 10_000.0), np.tile([7.0, 0.0], 200)),
    ):
        frequency, recency, T, mean = columns
        made = value_forecast(model.fit(frequency, recency, T), GammaGamma.fit(frequency, mean), *columns)
        assert made.value.shape == (frequency.size, 3)
        for values in vars(made).values():
            assert np.isfinite(values).all()
            assert (values >= 0).all()
        assert (made.low <= made.high).all()
