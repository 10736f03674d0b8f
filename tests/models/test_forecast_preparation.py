"""What counts as known, what as missing, and what as odd."""

import datetime as dt

import numpy as np
import pytest
from forecast_world import series

from lifecycle_assets.models.forecast_calendar import calendar
from lifecycle_assets.models.forecast_preparation import GONE_DAYS, known, to_fit
from lifecycle_assets.settings import Promotion

NONE = np.nan


def test_days_before_the_first_row_and_a_silence_at_the_end_are_unknown() -> None:
    values = np.full((2, 60), 5.0)
    values[0, :10] = NONE
    values[0, 30:34] = NONE  # a gap of four days: no demand
    values[0, 45:] = NONE  # fifteen days of silence: longer than any before
    facts = known(series("revenue", values))
    assert np.isnan(facts.values[0, :10]).all()
    assert (facts.values[0, 30:34] == 0).all()
    assert np.isnan(facts.values[0, 45:]).all()
    assert facts.silent.tolist() == [15, 0]
    assert facts.filled.tolist() == [4, 0]
    fitted, _ = to_fit(facts.values, "revenue", np.zeros(60, dtype=bool))
    assert fitted[0, 45:] == pytest.approx(np.tile(fitted[0, 38:45], 3)[:15], abs=2.5)
    assert np.isfinite(fitted[0, 10:]).all()


def test_a_usual_pause_and_a_product_long_gone_are_no_demand() -> None:
    values = np.full((2, 300), NONE)
    values[0, ::20] = 3.0  # sold every 20 days: 19 days of silence at the end are usual
    values[1, : 300 - GONE_DAYS - 1] = 4.0
    facts = known(series("units", values))
    assert facts.silent.tolist() == [0, 0]
    assert (facts.values[:, -15:] == 0).all()


def test_an_export_that_stopped_is_missing_data_for_every_series() -> None:
    values = np.full((2, 100), 5.0)
    values[1, ::25] = NONE
    values[:, 80:] = NONE
    assert known(series("revenue", values)).silent.tolist() == [20, 20]


def test_a_missing_day_of_a_daily_cost_is_a_gap_and_one_of_a_monthly_cost_is_not() -> None:
    values = np.full((2, 90), NONE)
    values[0] = 10.0
    values[0, 50] = NONE
    values[1, ::30] = 900.0
    facts = known(series("cost", values))
    assert facts.values[0, 50] == 10.0
    assert facts.values[1, :60].sum() == 1800.0


@pytest.mark.parametrize("kind", ["revenue", "units"])
def test_a_single_odd_day_is_damped_and_a_weekend_or_a_promotion_is_not(kind: str) -> None:
    rng = np.random.default_rng(0)
    day = np.arange(210)
    values = (100 + 80 * (day % 7 == 5) + rng.normal(0, 5, (1, 210))).round()
    values[0, 100] = 2000.0
    values[0, 150] = 1500.0
    promotion = day == 150
    fitted, outlying = to_fit(values, kind, promotion)
    assert outlying[0].nonzero()[0].tolist() == [100]
    assert fitted[0, 100] < 250
    assert (fitted[0, day != 100] == values[0, day != 100]).all()


@pytest.mark.parametrize(
    ("country", "month", "days"),
    # Counted on printed calendars: weekdays less the national holidays that fall on one.
    [
        ("ES", dt.date(2024, 5, 1), 22),
        ("US", dt.date(2024, 11, 1), 19),
        ("DE", dt.date(2024, 12, 1), 20),
        ("GB", dt.date(2024, 3, 1), 20),
    ],
)
def test_business_days(country: str, month: dt.date, days: int) -> None:
    last = (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)
    assert calendar(month, last, country, ()).is_business.sum() == days


def test_what_is_known_ahead() -> None:
    promotion = Promotion(first=dt.date(2024, 11, 29), last=dt.date(2024, 12, 2))
    days = calendar(dt.date(2024, 11, 1), dt.date(2024, 12, 31), "ES", (promotion,))
    regressors = days.regressors(0, 61)
    assert regressors is not None
    assert regressors[:, 1].nonzero()[0].tolist() == [28, 29, 30, 31]
    christmas = (dt.date(2024, 12, 25) - dt.date(2024, 11, 1)).days
    assert regressors[christmas, 0] == 1
    nowhere = calendar(dt.date(2024, 11, 1), dt.date(2024, 12, 31), "XX", ())
    assert not nowhere.has_holidays
    assert nowhere.regressors(0, 61) is None
