"""The candidates of the forecast race: what each must find in planted series, how it stands beside an independent library,
and that no series, however awkward, brings it down."""

import datetime as dt
import logging
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from forecast_panels import MONDAY, WEEK_SHAPE, awkward, departments, intermittent, panel, wandering, weekly
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifecycle_assets.models.forecast_candidates import CANDIDATES, Panel

LIBRARIES = ["prophet", "arima", "tbats"]
TREES = ["gradient_boosting", "random_forest"]
BATCHED = [name for name in CANDIDATES if name not in LIBRARIES + TREES]
SEASONAL = [name for name in CANDIDATES if name not in ("mean", "zero", "croston", "sba", "tsb")]


def forecast(name: str, data: Panel, horizon: int = 28, seed: int = 7) -> np.ndarray:
    return CANDIDATES[name].forecast(data, horizon, seed)


def scaled_error(made: np.ndarray, actual: np.ndarray, past: np.ndarray) -> float:
    """Mean over series of the mean absolute error over that of seasonal naive in the past (MASE)."""
    naive = np.abs(past[:, 7:] - past[:, :-7]).mean(axis=1)
    return float((np.abs(made - actual).mean(axis=1) / naive).mean())


def test_every_candidate_of_the_specification_is_there_the_cheap_ones_first() -> None:
    assert set(CANDIDATES) == {
        *("arima", "stl_ets", "prophet", "tbats", "theta", "seasonal_naive", "aggregation", "random_forest"),
        *("gradient_boosting", "croston", "sba", "tsb", "ets", "mean", "zero"),
    }
    assert all(name == candidate.name for name, candidate in CANDIDATES.items())
    costs = [candidate.cost for candidate in CANDIDATES.values()]
    assert costs == sorted(costs)


# --- planted truth ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEASONAL)
def test_a_weekly_season_is_found_and_carried_on(name: str) -> None:
    values, _ = weekly(3, 210)
    made = forecast(name, panel(values))
    truth = 100 + WEEK_SHAPE[np.arange(28) % 7]
    noise_left = 1.2 if name == "seasonal_naive" else 0.7
    assert np.abs(made - truth).mean() < noise_left * 5


@pytest.mark.parametrize("name", ["ets", "theta", "stl_ets", "arima", "tbats", "prophet"])
def test_the_yearly_season_of_two_years_is_found(name: str) -> None:
    days = np.arange(1100)
    truth = 100 + 30 * np.sin(2 * np.pi * days / 365.25) + WEEK_SHAPE[days % 7]
    values = truth + np.random.default_rng(1).normal(0, 5, days.size)
    made = forecast(name, panel(values[:800]), 300)
    without_a_year = np.abs(forecast("mean", panel(values[:800]), 300) - truth[800:]).mean()
    assert np.abs(made - truth[800:]).mean() < 0.4 * without_a_year


@pytest.mark.parametrize("name", ["ets", "stl_ets", "arima", "tbats", "croston", "tsb"])
def test_a_new_level_is_followed(name: str) -> None:
    values = np.where(np.arange(200) < 120, 100.0, 300.0) + np.random.default_rng(5).normal(0, 5, 200)
    values = np.where(np.arange(200) % 2 == 0, values, 0.0) if name in ("croston", "tsb") else values
    expected = 150 if name in ("croston", "tsb") else 300
    assert forecast(name, panel(values)).mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", ["theta", "ets", "prophet"])
def test_a_steady_rise_goes_on(name: str) -> None:
    values = 100 + np.arange(200) + np.random.default_rng(6).normal(0, 2, 200)
    made = forecast(name, panel(values))[0]
    assert 300 < made[-1] < 335
    assert made[-1] > made[0]


def test_aggregation_knows_the_month_and_falls_back_on_the_weekday() -> None:
    days = np.datetime64(MONDAY) + np.arange(366 + 365)
    december = days.astype("datetime64[M]").astype(int) % 12 == 11
    values = np.where(december, 300.0, 100.0) + WEEK_SHAPE[np.arange(days.size) % 7]
    year = forecast("aggregation", panel(values[:366]), 365)[0]
    assert year[december[366:]].mean() > 1.5 * year[~december[366:]].mean()
    assert np.abs(year - values[366:]).mean() < 0.5 * np.abs(values[:366].mean() - values[366:]).mean()
    before_december = forecast("aggregation", panel(values[:300]), 66)[0]
    never_seen = before_december[december[300:366]]
    assert never_seen == pytest.approx((100 + WEEK_SHAPE[np.arange(366) % 7])[december[:366]], abs=0.5)


@pytest.mark.parametrize("name", ["croston", "sba", "tsb", "mean"])
def test_the_rate_of_intermittent_demand_is_found(name: str) -> None:
    values = intermittent(40, 400, chance=0.25, size=4)
    made = forecast(name, panel(values))
    assert made.mean() == pytest.approx(1.0, rel=0.12)
    assert (np.ptp(made, axis=1) == 0).all()


def test_tsb_lets_go_of_what_is_no_longer_asked_for() -> None:
    values = intermittent(10, 400, chance=0.4, size=4)
    values[:, 250:] = 0.0
    tsb, croston = (forecast(name, panel(values)).mean() for name in ("tsb", "croston"))
    assert tsb < 0.3 * croston


@pytest.mark.parametrize("name", [*TREES, "arima", "prophet"])
def test_regressors_known_ahead_are_used(name: str) -> None:
    rng = np.random.default_rng(8)
    promotion = (rng.random(300 + 28) < 0.25).astype(np.float64)
    values = 100 + 100 * promotion[:300] + rng.normal(0, 5, (4, 300))
    made = forecast(name, panel(values, regressors=promotion[:, None]))
    on, off = made[:, promotion[300:] == 1].mean(), made[:, promotion[300:] == 0].mean()
    assert on == pytest.approx(200, rel=0.12)
    assert off == pytest.approx(100, rel=0.12)


def test_trees_lend_to_a_young_series_what_the_others_know() -> None:
    values, _ = weekly(30, 300)
    values[0, :-45] = np.nan
    made = forecast("gradient_boosting", panel(values))[0]
    assert np.abs(made - (100 + WEEK_SHAPE[(300 + np.arange(28)) % 7])).mean() < 5


# --- beside an independent library ------------------------------------------------------------------------------------


def by_statsforecast(model: Callable[[], object], past: np.ndarray, horizon: int = 28) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([model().forecast(np.ascontiguousarray(series), horizon)["mean"] for series in past])  # ty: ignore


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rival", "margin"), [("ets", "AutoETS", 1.02), ("theta", "AutoTheta", 1.02)])
def test_errors_are_those_of_the_automatic_methods(name: str, rival: str, margin: float) -> None:
    from statsforecast import models

    sets = [wandering(20, 320), departments(8)[0][:, :320], intermittent(12, 320, chance=0.7, size=5)]
    ours, theirs = [], []
    for values in sets:
        past, actual = values[:, :-28], values[:, -28:]
        ours.append(scaled_error(forecast(name, panel(past)), actual, past))
        made = by_statsforecast(lambda: getattr(models, rival)(season_length=7), past)
        theirs.append(scaled_error(made, actual, past))
    assert np.mean(ours) <= margin * np.mean(theirs), (ours, theirs)


def test_stl_ets_is_as_good_as_mstl() -> None:
    from statsforecast.models import MSTL

    values = np.vstack([wandering(12, 320), departments(6)[0][:, :320]])
    past, actual = values[:, :-28], values[:, -28:]
    theirs = scaled_error(by_statsforecast(lambda: MSTL(season_length=7), past), actual, past)
    assert scaled_error(forecast("stl_ets", panel(past)), actual, past) <= 1.02 * theirs


def test_on_a_real_shop_smoothing_beats_the_last_week() -> None:
    values, start = departments(8)
    errors: dict[str, list[float]] = {}
    for end in (254, 282, 310, 338):
        past, actual = values[:, :end], values[:, end : end + 28]
        for name in ("seasonal_naive", "ets", "theta", "stl_ets"):
            errors.setdefault(name, []).append(scaled_error(forecast(name, panel(past, start=start)), actual, past))
    naive = np.mean(errors.pop("seasonal_naive"))
    assert all(np.mean(found) < 0.95 * naive for found in errors.values()), errors


# --- whatever comes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("name", CANDIDATES)
def test_awkward_series_give_numbers_or_nothing(name: str, nonnegative: bool) -> None:
    series = awkward()
    data = panel(np.array(list(series.values())), nonnegative=nonnegative)
    made = forecast(name, data, 40)
    assert made.shape == (len(series), 40)
    finite = np.isfinite(made)
    assert (finite.all(axis=1) | np.isnan(made).all(axis=1)).all()
    assert not finite[~CANDIDATES[name].applies(data.values)].any()
    of = dict(zip(series, made, strict=True))
    assert np.isnan(of["no day"]).all()
    if name in SEASONAL:
        assert (of["constant"] == 5.0).all()
        assert (of["all zero"] == 0.0).all()
    if nonnegative:
        assert (made[finite] >= 0).all()


def test_two_days_are_enough_for_an_average() -> None:
    data = panel([[2.0, 4.0]])
    for name in ("mean", "aggregation"):
        assert forecast(name, data).mean() == pytest.approx(3.0, abs=0.5)
    assert [name for name in CANDIDATES if np.isfinite(forecast(name, data)).all()] == ["aggregation", "mean"]


def test_negative_days_go_on_where_they_may() -> None:
    costs = -weekly(1, 120)[0]
    for name in SEASONAL:
        made = forecast(name, panel(costs, nonnegative=False))
        assert made.mean() == pytest.approx(-100, rel=0.1), name


@pytest.mark.parametrize("name", ["prophet", "arima", "tbats"])
def test_libraries_keep_quiet(name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        forecast(name, panel(wandering(2, 120)))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 60)), elements=st.floats(-1e6, 1e6) | st.just(0.0)),
    st.integers(1, 20),
)
def test_any_numbers_are_taken(values: np.ndarray, horizon: int) -> None:
    for name in BATCHED:
        made = forecast(name, panel(values, nonnegative=False), horizon)
        assert made.shape == (values.shape[0], horizon)
        assert not np.isinf(made).any()


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_currency_does_not_matter(name: str) -> None:
    values = np.vstack([wandering(3, 150), intermittent(2, 150, chance=0.3, size=3)])
    one, thousand = forecast(name, panel(values)), forecast(name, panel(1024 * values))
    np.testing.assert_array_equal(1024 * one, thousand)


@pytest.mark.parametrize("name", [name for name in CANDIDATES if name not in TREES])
def test_a_series_does_not_depend_on_its_neighbours_nor_on_days_before_its_first(name: str) -> None:
    values = np.vstack([wandering(2, 150), intermittent(2, 150, chance=0.3, size=3)])
    together = forecast(name, panel(values))
    longer = np.hstack([np.full((4, 21), np.nan), values])[::-1]
    with_lead = forecast(name, panel(longer, start=MONDAY - dt.timedelta(days=21)))[::-1]
    np.testing.assert_allclose(with_lead, together, rtol=1e-9)


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_rerun_on_another_number_of_threads_is_the_same(name: str) -> None:
    import numba

    data = panel(np.vstack([wandering(3, 150), intermittent(2, 150, chance=0.3, size=3)]))
    before = numba.get_num_threads()
    try:
        made = []
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            made.append(forecast(name, data))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(*made)


def test_intermittent_methods_are_for_intermittent_series_only() -> None:
    values = np.vstack(
        [weekly(1, 100)[0], intermittent(1, 100, chance=0.3, size=3), -intermittent(1, 100, chance=0.3, size=3)]
    )
    for name in ("croston", "sba", "tsb", "zero"):
        assert CANDIDATES[name].applies(values).tolist() == [False, True, False]
