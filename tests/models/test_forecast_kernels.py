"""The kernels of forecasting do what statsmodels and statsforecast do with the same parameters."""

import numpy as np
import pytest
from forecast_panels import intermittent, wandering

from lifecycle_assets.models import forecast_croston_kernel as croston_kernel
from lifecycle_assets.models import forecast_smoothing_kernel as smoothing_kernel
from lifecycle_assets.models import forecast_stl_kernel as stl_kernel

FROM_THE_START = np.zeros(1, np.int64)


@pytest.mark.parametrize("trended", [False, True])
@pytest.mark.parametrize("kind", [0, smoothing_kernel.ADDITIVE, smoothing_kernel.MULTIPLICATIVE])
def test_each_form_of_exponential_smoothing_is_that_of_statsmodels(kind: int, trended: bool) -> None:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    y = wandering(3, 120)[2]
    # statsmodels moves a multiplicative season by the new level, the taxonomy by the old one: there the season stands still.
    x = np.array([-1.0, -2.0, -40.0 if kind == smoothing_kernel.MULTIPLICATIVE else -1.5, 0.5])
    alpha, beta, gamma, damping = smoothing_kernel._weights(x)
    season = smoothing_kernel._season_of(y, 7, kind) if kind else np.zeros(7)
    around = np.resize(season, y.size)
    plain = y / around if kind == smoothing_kernel.MULTIPLICATIVE else y - around
    path = np.empty(30)
    sums = np.concatenate([[0.0], np.cumsum(plain)])
    cost = smoothing_kernel._smooth(y, sums, x, trended, kind, season.copy(), path)

    model = ETSModel(
        y,
        error="mul" if kind == smoothing_kernel.MULTIPLICATIVE else "add",
        trend="add" if trended else None,
        damped_trend=trended,
        seasonal=[None, "add", "mul"][kind],
        seasonal_periods=7 if kind else None,
        initialization_method="known",
        initial_level=plain[: max(7, int(2 / alpha))].mean(),
        initial_trend=0.0 if trended else None,
        initial_seasonal=season if kind else None,
    )
    parameters = [alpha, *([beta] if trended else []), *([gamma] if kind else []), *([damping] if trended else [])]
    fitted = model.smooth(np.array(parameters))
    np.testing.assert_allclose(path, fitted.forecast(30), rtol=1e-9)
    assert cost == pytest.approx(-2 * fitted.llf - y.size * (1 + np.log(2 * np.pi)), rel=1e-9)


def test_the_season_by_loess_is_that_of_statsmodels() -> None:
    from statsmodels.tsa.seasonal import STL

    y = wandering(1, 300)[0]
    ours = stl_kernel.seasons(y[None, :], FROM_THE_START, 7)[0]
    # Their least span of the low pass is 9, not 7.
    model = STL(y, period=7, seasonal=stl_kernel.SEASON_SPAN, seasonal_deg=0, low_pass=9)
    theirs = model.fit(inner_iter=stl_kernel.ROUNDS).seasonal
    assert np.abs(ours - theirs).max() < 0.01 * np.ptp(theirs)


@pytest.mark.parametrize("unbiased", [False, True])
def test_croston_is_that_of_statsforecast(unbiased: bool) -> None:
    from statsforecast.models import CrostonClassic, CrostonSBA

    for series in intermittent(5, 200, chance=0.3, size=4):
        y = series[np.flatnonzero(series)[0] :]
        theirs = (CrostonSBA() if unbiased else CrostonClassic()).forecast(y, 1)["mean"][0]
        # They smooth by .1.
        assert croston_kernel._croston(y, 0.1, unbiased)[0] == pytest.approx(theirs, rel=1e-6)


def test_tsb_is_that_of_statsforecast_once_the_start_is_forgotten() -> None:
    from statsforecast.models import TSB

    for series in intermittent(5, 600, chance=0.5, size=4):
        theirs = TSB(alpha_d=0.2, alpha_p=0.1).forecast(series, 1)["mean"][0]
        assert croston_kernel._tsb(series, 0.2, 0.1)[0] == pytest.approx(theirs, rel=1e-6)


def test_the_best_smoothing_of_the_grid_is_taken() -> None:
    values = intermittent(4, 200, chance=0.3, size=4)
    made = croston_kernel.rates(values, np.zeros(4, np.int64), croston_kernel.SBA)
    for series, rate in zip(values, made, strict=True):
        tried = [croston_kernel._croston(series, alpha, True) for alpha in croston_kernel.SIZE_WEIGHTS]
        assert rate == min(tried, key=lambda found: found[1])[0]


def test_theta_finds_the_least_squares_of_its_two_free_numbers() -> None:
    from scipy.optimize import minimize

    y = wandering(1, 150)[0]
    drift = np.array([y.mean() - 0.2 * 76, 0.2])
    squares, last, weight, _ = smoothing_kernel._theta_fit(y, drift, 0.2)

    def by_hand(first_level: float, share: float) -> float:
        level, total = first_level, 0.0
        for t, value in enumerate(y):
            left = 0.8**t
            total += (value - level - share * (left * drift[0] + drift[1] * (1 - left * 0.8) / 0.2)) ** 2
            level = 0.2 * value + 0.8 * level
        return total

    best = minimize(lambda p: by_hand(p[0], p[1]), [y[0], 0.5], bounds=[(None, None), (0, 1)], method="L-BFGS-B")
    assert squares == pytest.approx(best.fun, rel=1e-5)
    assert 0 <= weight <= 1
    assert np.isfinite(last)
