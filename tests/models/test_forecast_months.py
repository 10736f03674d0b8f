"""The tables of a night: days come to months, parts to the whole; alerts where what came left what was forecast."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from forecast_world import AS_OF, drawn, series
from polars.testing import assert_frame_equal

from lifecycle_assets.models import forecast_evaluation as evaluations
from lifecycle_assets.models.forecast_alerts import ForecastAlerts, forecast_alerts
from lifecycle_assets.models.forecast_candidates import CANDIDATES
from lifecycle_assets.models.forecast_chart import fan_chart
from lifecycle_assets.models.forecast_daily import ForecastDaily, forecast_daily, in_decimals, last_day
from lifecycle_assets.models.forecast_evaluation import forecast_evaluation
from lifecycle_assets.models.forecast_months import forecast_months
from lifecycle_assets.models.forecast_race import Budget
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_series import DailySeries
from lifecycle_assets.settings import Shop

SHOP = Shop(name="a", timezone="UTC", currency="EUR", country="ES", input="x")
PARTS = ["channel:app", "channel:web", "country:ES", "country:FR", "country:other"]
Night = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def _night(known: DailySeries, as_of: dt.date) -> Night:
    rows = forecast_evaluation([known], None, None, shop="s", as_of=as_of, settings=SHOP, budget=Budget(1, lambda: 0.0))
    path = forecast_daily([known], rows, None, shop="s", as_of=as_of, settings=SHOP)
    return rows, path, forecast_months(known, path, rows, shop="s", as_of=as_of, settings=SHOP)


def _shop(as_of: dt.date, days: int = 450) -> DailySeries:
    parts = drawn("trend", np.random.default_rng(0), 3, days, 0)
    share = np.array([[0.7], [0.3]])
    values = np.vstack([parts.sum(axis=0), share * parts.sum(axis=0), parts])
    return series("revenue", values, as_of=as_of, names=["shop", *PARTS])


@pytest.fixture(autouse=True)
def _cheap_only(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = ("seasonal_naive", "aggregation", "mean", "theta", "ets")
    monkeypatch.setattr(evaluations, "CANDIDATES", {name: CANDIDATES[name] for name in cheap})


@pytest.fixture
def mid_month() -> tuple[DailySeries, Night]:
    as_of = dt.date(2024, 5, 20)
    known = _shop(as_of)
    return known, _night(known, as_of)


def test_parts_come_to_the_shop_and_days_to_months_to_the_cent(mid_month: tuple[DailySeries, Night]) -> None:
    _, (_, path, months) = mid_month
    ForecastDaily.require(path)
    ForecastRevenue.require(months)
    for rows, key in ((path, ["date"]), (months, ["month", "basis"])):
        shop = rows.filter(pl.col("series") == "shop").select(*key, "value").sort(key)
        for dimension in ("channel", "country"):
            parts = rows.filter(pl.col("series").str.starts_with(dimension)).group_by(key).agg(pl.col("value").sum())
            assert_frame_equal(parts.sort(key), shop, check_dtypes=False)
    sums = path.group_by("series", pl.col("date").dt.truncate("1mo").alias("month")).agg(pl.col("value").sum())
    calendar = months.filter(pl.col("basis") == "calendar").select("series", "month", "value")
    assert_frame_equal(sums.sort("series", "month"), calendar.sort("series", "month"), check_dtypes=False)


def test_intervals_lie_around_the_value_and_nest(mid_month: tuple[DailySeries, Night]) -> None:
    _, (_, path, months) = mid_month
    for rows in (path, months):
        inside = rows.select(
            (pl.col("lo95") <= pl.col("lo80")) & (pl.col("lo80") <= pl.col("value"))
            & (pl.col("value") <= pl.col("hi80")) & (pl.col("hi80") <= pl.col("hi95")) & (pl.col("lo95") >= 0)
        )  # fmt: skip
        assert inside.to_series().all()


def test_the_rest_of_the_month_comes_first_then_twelve_whole_ones(mid_month: tuple[DailySeries, Night]) -> None:
    known, (_, path, months) = mid_month
    shop = months.filter((pl.col("series") == "shop") & (pl.col("basis") == "calendar"))
    assert shop["month"].to_list()[0] == dt.date(2024, 5, 1)
    assert shop["days"].to_list()[:3] == [11, 30, 31]
    assert shop["is_partial"].to_list() == [True] + [False] * 12
    assert path["date"].max() == dt.date(2025, 5, 31)
    business = months.filter((pl.col("series") == "shop") & (pl.col("basis") == "business"))
    # May 21 to 31: nine weekdays; August 2024: 22 weekdays less the 15th.
    assert business["days"].to_list()[0] == 9
    assert business.filter(pl.col("month") == dt.date(2024, 8, 1))["days"].item() == 21
    june = shop.row(1, named=True)
    past = known.long().filter((pl.col("series") == "shop") & pl.col("date").dt.strftime("%Y-%m").eq("2023-06"))
    assert june["year_on_year"] == pytest.approx(float(june["value"]) / sum(past["value"].to_list()) - 1)
    assert f"forecast by {june['best_algorithm']}" in june["interpretation"]
    assert "than the days of these dates a year before" in june["interpretation"]


@pytest.mark.parametrize(
    ("as_of", "last"),
    [
        (dt.date(2024, 5, 31), dt.date(2025, 5, 31)),
        (dt.date(2024, 5, 30), dt.date(2025, 5, 31)),
        (dt.date(2024, 2, 29), dt.date(2025, 2, 28)),
        (dt.date(2023, 12, 31), dt.date(2024, 12, 31)),
        (dt.date(2023, 12, 1), dt.date(2024, 12, 31)),
    ],
)
def test_the_last_day_is_that_of_the_twelfth_full_month(as_of: dt.date, last: dt.date) -> None:
    assert last_day(as_of, 12) == last


def test_a_repeated_night_is_the_same(mid_month: tuple[DailySeries, Night]) -> None:
    known, night = mid_month
    for one, again in zip(night, _night(known, dt.date(2024, 5, 20)), strict=True):
        assert_frame_equal(one, again, check_exact=True)


def test_cents_are_exact() -> None:
    assert [str(value) for value in in_decimals(np.array([0, 1, -5, 9_000_000_000_000_001]))] == [
        "0.0000", "0.0100", "-0.0500", "90000000000000.0100",
    ]  # fmt: skip


def test_two_weeks_outside_raise_an_alert_and_one_day_inside_does_not() -> None:
    then = AS_OF - dt.timedelta(days=14)
    before = drawn("trend", np.random.default_rng(1), 3, 400, 0)
    _, path, _ = _night(series("units", before, as_of=then), then)
    came = path.filter(pl.col("date") <= AS_OF).sort("series", "date")
    actual = came["value"].cast(pl.Float64).to_numpy().reshape(3, 14).copy()
    high = came["hi95"].cast(pl.Float64).to_numpy().reshape(3, 14)
    actual[0] = high[0] + 10
    actual[1, :13] = high[1, :13] + 10
    known = series("units", np.hstack([before, actual]))
    alerts = forecast_alerts([known], path.lazy(), shop="s", as_of=AS_OF)
    ForecastAlerts.require(alerts)
    assert alerts["days_outside"].to_list() == [14, 13, 0]
    assert alerts["is_alert"].to_list() == [True, False, False]
    assert alerts["direction"].to_list() == ["above", "above", None]
    assert forecast_alerts([known], None, shop="s", as_of=AS_OF).is_empty()


def test_a_shop_without_anything_has_empty_tables() -> None:
    nothing = series("revenue", np.zeros((0, 0)), names=[])
    rows, path, months = _night(nothing, AS_OF)
    assert rows.is_empty() and path.is_empty() and months.is_empty()
    assert fan_chart(nothing, months, "shop") == ""


def test_the_fan_chart_shows_past_and_future(mid_month: tuple[DailySeries, Night]) -> None:
    known, (_, _, months) = mid_month
    fan = fan_chart(known, months, "shop")
    assert fan.startswith("<svg")
    assert "revenue per month" in fan
