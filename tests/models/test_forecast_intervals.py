"""Intervals hold what they promise: on errors of a known law, and over series of every nature against days not yet seen."""

import datetime as dt
import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from forecast_world import AS_OF, NATURES, drawn, series

from lifecycle_assets.models import forecast_evaluation as evaluations
from lifecycle_assets.models.forecast_calendar import calendar
from lifecycle_assets.models.forecast_candidates import CANDIDATES
from lifecycle_assets.models.forecast_choice import Folds
from lifecycle_assets.models.forecast_daily import forecast_daily
from lifecycle_assets.models.forecast_evaluation import forecast_evaluation
from lifecycle_assets.models.forecast_intervals import LEVELS, Widths, growth_of, widths
from lifecycle_assets.models.forecast_months import forecast_months
from lifecycle_assets.models.forecast_race import Budget
from lifecycle_assets.settings import Shop

SHOP = Shop(name="a", timezone="UTC", currency="EUR", country="ES", input="x")


HORIZON = 56


def _folds(n: int) -> Folds:
    weekdays = np.arange(4 * HORIZON).reshape(4, HORIZON) % 7 < 5
    return Folds(HORIZON, np.ones((n, 4, HORIZON)), weekdays, np.ones((n, 4)))


def _errors(n: int, folds: int, seed: int) -> np.ndarray:
    """Every month is off by one normal number, every day by another, in units of the series' own."""
    rng = np.random.default_rng(seed)
    of_months = np.repeat(rng.normal(0, 1, (n, folds, 2)), HORIZON // 2, axis=2)
    return (of_months + rng.normal(0, 2, (n, folds, HORIZON))) * rng.uniform(1, 50, (n, 1, 1))


def _all_left(errors: np.ndarray) -> np.ndarray:
    return np.broadcast_to(errors, (errors.shape[1], *errors.shape))


def _within(made: Widths, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of days and of months of new errors within the bounds of both levels, where errors do not grow."""
    half = np.hypot(made.day, made.month)[:, :, None, None]
    months = new.reshape(*new.shape[:2], 2, HORIZON // 2).mean(axis=3)
    return (np.abs(new) <= half).mean(axis=(1, 2, 3)), (np.abs(months) <= made.month[:, :, None, None]).mean(
        axis=(1, 2, 3)
    )


def test_new_errors_of_the_same_law_fall_within() -> None:
    known, new = np.split(_errors(400, 8, seed=1), 2, axis=1)
    made = widths(_folds(400), known, _all_left(known), np.zeros(400))
    of_days, of_months = _within(made, new)
    assert of_days == pytest.approx(LEVELS, abs=0.02)
    assert of_months == pytest.approx(LEVELS, abs=0.02)
    assert made.covered.mean(axis=(1, 2)) == pytest.approx(LEVELS, abs=0.02)


def test_a_series_that_stands_alone_has_honest_bounds_too() -> None:
    shares = []
    for seed in range(200):
        known, new = np.split(_errors(1, 8, seed=seed), 2, axis=1)
        shares.append(np.concatenate(_within(widths(_folds(1), known, _all_left(known), np.zeros(1)), new)))
    assert np.mean(shares, axis=0) == pytest.approx(np.tile(LEVELS, 2), abs=0.03)


def test_errors_grow_as_those_of_the_folds_and_the_spans_of_the_series_do() -> None:
    rng = np.random.default_rng(4)
    still, wandering = rng.normal(0, 1, (100, 800)), np.cumsum(rng.normal(0, 1, (100, 800)), axis=1)
    errors = rng.normal(0, 1, (100, 4, HORIZON)) * np.arange(1.0, HORIZON + 1) ** 0.3
    assert growth_of(errors, still).mean() == pytest.approx(0.15, abs=0.05)
    assert growth_of(errors, wandering).mean() == pytest.approx((0.3 + 0.5) / 2, abs=0.07)
    season = np.sin(2 * np.pi * np.arange(400) / 365.25)[None, :] + 0.1 * still[:, :400]
    assert (growth_of(errors, season) > 0.4).all()
    short = growth_of(errors, still[:, :90])
    assert short == pytest.approx(np.full(100, 0.3), abs=0.03)


def test_a_series_without_errors_has_no_width_and_does_not_disturb_the_others() -> None:
    errors = _errors(50, 4, seed=3)
    with_none = np.concatenate([errors, np.zeros((1, 4, HORIZON)), np.full((1, 4, HORIZON), np.nan)])
    alone = widths(_folds(50), errors, _all_left(errors), np.zeros(50))
    made = widths(_folds(52), with_none, _all_left(with_none), np.zeros(52))
    for ours, theirs in ((made.day, alone.day), (made.month, alone.month), (made.business, alone.business)):
        assert np.allclose(ours[:, :50], theirs)
        assert (ours[:, 50] == 0).all()
        assert np.isnan(ours[:, 51]).all()


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("seasonal_naive", "aggregation", "mean", "zero", "sba", "tsb", "theta", "ets", "stl_ets")
    monkeypatch.setattr(evaluations, "CANDIDATES", {name: CANDIDATES[name] for name in quick})


def _coverage(rows: pl.DataFrame, *by: str) -> pl.DataFrame:
    shares = [pl.col("actual").is_between(f"lo{level}", f"hi{level}").mean().alias(level) for level in ("80", "95")]
    return rows.group_by(*by).agg(shares).sort(*by)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_days_and_months_to_come_fall_within_as_often_as_said(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pl.concat(_foretold(history, seed, each=30) for history in (200, 400, 800) for seed in range(20, 23))
    with capsys.disabled(), pl.Config(tbl_rows=60, tbl_hide_dataframe_shape=True, float_precision=3):
        print("\n", _coverage(rows, "basis", "history"), _coverage(rows, "basis", "nature"))
    for basis, of_80, of_95 in _coverage(rows, "basis").rows():
        assert of_80 == pytest.approx(0.80, abs=0.03), basis
        assert of_95 == pytest.approx(0.95, abs=0.02), basis


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_so_they_do_where_a_shop_has_one_series(capsys: pytest.CaptureFixture[str]) -> None:
    """Series of every nature, each raced alone. Of so few series the share is known to a few percent only."""
    alone = [[nature] for nature in NATURES if nature != "intermittent"]
    rows = pl.concat(_foretold(400, seed, each=1, natures=nature) for seed in range(30, 45) for nature in alone)
    with capsys.disabled():
        print("\n", _coverage(rows, "basis"))
    for basis, of_80, of_95 in _coverage(rows, "basis").rows():
        assert of_80 == pytest.approx(0.80, abs=0.10), basis
        assert of_95 == pytest.approx(0.95, abs=0.04), basis


def _foretold(history: int, seed: int, each: int, natures: Sequence[str] = NATURES) -> pl.DataFrame:
    """Days and months of half a year to come beside their intervals, for series of every nature raced together."""
    ahead = 183
    rng = np.random.default_rng(seed)
    values = np.vstack([drawn(nature, rng, each, history, ahead) for nature in natures])
    names = [f"{nature}-{i:03d}" for nature in natures for i in range(each)]
    known = series("units", values[:, :history], names=names)
    rows = forecast_evaluation(
        [known], None, None, shop="s", as_of=AS_OF, settings=SHOP, budget=Budget(0.0, itertools.count().__next__)
    )
    path = forecast_daily([known], rows, None, shop="s", as_of=AS_OF, settings=SHOP)
    months = forecast_months(known, path, rows, shop="s", as_of=AS_OF, settings=SHOP)
    last = AS_OF + dt.timedelta(days=ahead)
    came = series("units", values[:, history:], as_of=last, names=names).long().rename({"value": "actual"})
    business = calendar(AS_OF + dt.timedelta(days=1), last, "ES", ()).is_business
    of_days = pl.DataFrame({"date": came["date"][:ahead], "business": business.tolist()})
    sums = came.join(of_days, on="date").group_by("series", month=pl.col("date").dt.truncate("1mo"))
    both = sums.agg(calendar=pl.col("actual").sum(), business=pl.col("actual").filter("business").sum())
    both = both.unpivot(index=["series", "month"], variable_name="basis", value_name="actual")
    bounds = ["actual", "lo80", "hi80", "lo95", "hi95"]
    frames = [
        path.join(came, on=["series", "date"]).with_columns(basis=pl.lit("day")),
        months.join(both, on=["series", "month", "basis"]),
    ]
    return pl.concat(frame.select("series", "basis", pl.col(bounds).cast(pl.Float64)) for frame in frames).with_columns(
        history=pl.lit(history), nature=pl.col("series").str.split("-").list.first()
    )
