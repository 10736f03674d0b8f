"""The race of customer values and the forecast: against customers whose future is known."""

import datetime as dt
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from clv_world import AS_OF, SHOP, START, order_lines, snapshot
from threadpoolctl import threadpool_limits

from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models import clv_evaluation as race
from lifecycle_assets.models.bg_nbd import POOLED, BgNbd
from lifecycle_assets.models.clv_candidates import Buyers, Outcome, buyers, forecasts, outcome
from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import HORIZONS, Chosen, ClvForecast, clv_forecast
from lifecycle_assets.settings import Shop

SETTINGS = Shop(name="Planted", timezone="UTC", currency="EUR", country="ES", input="orders")
ROWS = {"shop_id": SHOP, "as_of": AS_OF, "settings": SETTINGS}


@cache
def world(returned: float = 0.0) -> tuple[race.Split, tuple[Snapshot, Snapshot, Snapshot]]:
    lines = order_lines(seed=11, n=5000, returned=returned)
    tonight = snapshot(lines, AS_OF)
    cut = race.split(tonight.customer_orders.lazy(), AS_OF)
    assert cut is not None
    return cut, (snapshot(lines, cut.train), snapshot(lines, cut.test), tonight)


@cache
def evaluation() -> pl.DataFrame:
    cut, snapshots = world()
    rows = race.clv_evaluation(cut, snapshots, "amount", **ROWS)
    ClvEvaluation.require(rows)
    return rows


def overall(candidate: str) -> dict[str, object]:
    return evaluation().filter(candidate=candidate, bin="all").row(0, named=True)


def learnt() -> tuple[Buyers, Outcome]:
    cut, (_, test, tonight) = world()
    past = outcome(buyers(test, "amount", SETTINGS.customer), tonight, cut.test, cut.months, "amount")
    return buyers(tonight, "amount", SETTINGS.customer), past


def test_the_history_is_cut_into_whole_months_and_never_reaches_back_beyond_it() -> None:
    first = pl.LazyFrame({"first_purchase_date": [START]})
    assert race.split(first, START + dt.timedelta(days=80)) is None
    assert race.split(pl.LazyFrame({"first_purchase_date": []}, schema={"first_purchase_date": pl.Date}), AS_OF) is None
    for days in (92, 400, 730, 4000):
        cut = race.split(first, START + dt.timedelta(days=days))
        assert cut is not None
        assert START < cut.train < cut.test
        assert (cut.test - cut.train) == (START + dt.timedelta(days=days) - cut.test)
        assert cut.months == min(12, max(1, int((days + 1.5) / 30.4375 / 4)))
    year = race.split(first, dt.date(2022, 12, 31))
    assert year is not None and year.months == 3


def test_on_customers_drawn_from_the_model_the_btyd_forecast_wins_and_is_right() -> None:
    chosen = evaluation().filter("chosen")
    assert chosen.height == 1 and chosen["candidate"][0] in {"bg_nbd", "pareto_nbd", "blend"}
    for name in ("bg_nbd", "pareto_nbd", "blend", "gradient_boosting"):
        row = overall(name)
        assert abs(row["total_error_pct"]) < 12, name
        assert row["mae"] < 0.75 * overall("past_rate")["mae"], name
        assert row["interval_coverage_active"] == pytest.approx(
            0.80, abs=0.05 if name == "gradient_boosting" else 0.03
        ), name
        assert row["spearman"] > 0.4 and row["top_decile_capture"] > 0.3, name
    assert overall("bg_nbd")["converged"] and overall("bg_nbd")["gradient_norm"] < 1e-5
    assert overall("past_rate")["interval_coverage"] is None


def test_the_scores_are_those_of_the_rows() -> None:
    cut, (_, test, tonight) = world()
    then = buyers(test, "amount", SETTINGS.customer)
    spent: dict[str, float] = {}
    for customer, day, amount in tonight.orders.select("customer_id", "order_date", "amount").iter_rows():
        if day > cut.test:
            spent[customer] = spent.get(customer, 0.0) + float(amount)
    came = np.array([spent.get(customer, 0.0) for customer in then.features["customer_id"]])
    value = forecasts(["bg_nbd"], then, None, [cut.months], SETTINGS.customer, 0)["bg_nbd"].value[:, 0]
    row = overall("bg_nbd")
    assert row["mae"] == pytest.approx(np.mean(np.abs(value - came)))
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean((value - came) ** 2)))
    assert row["bias"] == pytest.approx(np.mean(value) - np.mean(came))
    assert row["mean_outcome"] == pytest.approx(np.mean(came))
    best = sorted(range(len(value)), key=lambda i: -value[i])[: -(-len(value) // 10)]
    assert row["top_decile_capture"] == pytest.approx(sum(came[i] for i in best) / came.sum())


def test_the_calibration_rows_partition_the_customers() -> None:
    for name in ("bg_nbd", "blend"):
        bins = evaluation().filter(pl.col("candidate") == name, pl.col("bin") != "all")
        assert bins["bin"].to_list() == ["0", "1", "2", "3", "4", "5", "6", "7+"]
        assert bins["n_customers"].sum() == overall(name)["n_customers"]
        weights = bins["n_customers"] / bins["n_customers"].sum()
        assert (bins["actual_purchases"] * weights).sum() == pytest.approx(overall(name)["actual_purchases"])
        # Those drawn from the model lie near the diagonal.
        off = (bins["predicted_purchases"] - bins["actual_purchases"]).abs() / (0.1 + bins["actual_purchases"])
        assert off.max() < 0.25


def test_what_came_after_the_split_changes_no_forecast() -> None:
    cut, (train, test, tonight) = world()
    later = tonight.orders.with_columns(
        pl.when(pl.col("order_date") > cut.test).then(pl.col("amount") * 3).otherwise("amount").alias("amount")
    )
    tripled = (train, test, Snapshot(AS_OF, later, tonight.customer_orders))
    rows = race.clv_evaluation(cut, tripled, "amount", **ROWS).filter(bin="all").sort("candidate")
    before = evaluation().filter(bin="all").sort("candidate")
    assert rows["mean_forecast"].to_list() == before["mean_forecast"].to_list()
    assert rows["mean_outcome"][0] == pytest.approx(3 * before["mean_outcome"][0])


def test_months_that_brought_nothing_but_losses_have_no_error_in_percent() -> None:
    cut, (train, test, tonight) = world()
    later = pl.when(pl.col("order_date") > cut.test).then(-pl.col("amount")).otherwise("amount").alias("amount")
    lost = (train, test, Snapshot(AS_OF, tonight.orders.with_columns(later), tonight.customer_orders))
    rows = race.clv_evaluation(cut, lost, "amount", **ROWS)
    ClvEvaluation.require(rows)
    assert rows["total_error_pct"].null_count() == rows.height
    assert rows.filter("chosen").height == 1 and rows.filter(bin="all")["mean_outcome"].max() < 0


def test_returns_are_taken_off_what_is_forecast() -> None:
    cut, (_, test, tonight) = world(returned=0.25)
    then = buyers(test, "amount", SETTINGS.customer)
    assert then.kept == pytest.approx(1.0)  # returned under the same order: the order's amount has it already
    value = forecasts(["bg_nbd"], then, None, [cut.months], SETTINGS.customer, 0)["bg_nbd"].value
    came = outcome(then, tonight, cut.test, cut.months, "amount").value
    assert value.sum() == pytest.approx(came.sum(), rel=0.12)
    apart = test.orders.with_columns(is_purchase=pl.col("order_id").hash(7) % 4 > 0)
    half = Snapshot(
        test.as_of,
        apart.with_columns(pl.when("is_purchase").then("amount").otherwise(-pl.col("amount"))),
        test.customer_orders,
    )
    assert 0.4 < buyers(half, "amount", SETTINGS.customer).kept < 0.8


def test_too_little_history_takes_bg_nbd_and_says_so() -> None:
    rows = race.clv_evaluation(None, None, "amount", **ROWS)
    ClvEvaluation.require(rows)
    assert rows.select("candidate", "bin", "chosen").rows() == [("bg_nbd", "all", True)]
    assert "history" in rows["note"][0] and rows["mae"][0] is None

    lines = order_lines(seed=3, n=60)
    tonight = snapshot(lines, AS_OF)
    cut = race.split(tonight.customer_orders.lazy(), AS_OF)
    assert cut is not None
    few = (snapshot(lines, cut.train), snapshot(lines, cut.test), tonight)
    rows = race.clv_evaluation(cut, few, "amount", **ROWS)
    assert rows["candidate"].to_list() == ["bg_nbd"] and "repeat customers" in rows["note"][0]
    people = buyers(tonight, "amount", SETTINGS.customer)
    made = clv_forecast(people, None, Chosen("bg_nbd", 5.0, 0.8), "amount", **ROWS)
    ClvForecast.require(made)
    assert made.height == 3 * people.frequency.size


@pytest.mark.parametrize("algorithm", ["bg_nbd", "blend", "gradient_boosting"])
def test_the_forecast_grows_with_the_horizon_and_holds_together(algorithm: str) -> None:
    people, past = learnt()
    made = clv_forecast(people, past, Chosen(algorithm, 5.0, 0.8), "amount", **ROWS)
    ClvForecast.require(made)
    assert made["algorithm_used"].unique().to_list() == [algorithm]
    assert made.height == len(HORIZONS) * people.frequency.size
    assert made.select("customer_id", "horizon_months").equals(
        made.select("customer_id", "horizon_months").sort("customer_id", "horizon_months")
    )
    of = pl.col("expected_value").over("customer_id")
    assert made.select((pl.col("expected_value") >= of.shift(1).over("customer_id").fill_null(0)).all()).item()
    assert (made["discounted_value"] <= made["expected_value"] + 1e-9).all()
    assert (made["expected_value_low"] <= made["expected_value_high"]).all()
    longer = made.filter(horizon_months=36)
    assert longer["extrapolated"].all() and not made.filter(horizon_months=12)["extrapolated"].any()
    year = made.filter(horizon_months=12)
    for tier, share in (("High", 0.3), ("Low", 0.3)):
        assert year.filter(clv_tier=tier).height == pytest.approx(share * year.height, rel=0.02)
    assert (
        year.filter(clv_tier="High")["expected_value"].min() >= year.filter(clv_tier="Medium")["expected_value"].max()
    )
    # At 10 % a year what comes over one year is worth a twentieth less, what comes over three about an eighth.
    for months, low, high in ((12, 0.93, 0.97), (36, 0.85, 0.91)):
        some = made.filter(horizon_months=months)
        assert low < some["discounted_value"].sum() / some["expected_value"].sum() < high


def test_the_forecast_comes_true_on_the_customers_own_future() -> None:
    lines = order_lines(seed=5, n=8000)
    until = AS_OF - dt.timedelta(days=183)
    people = buyers(snapshot(lines, until), "amount", SETTINGS.customer)
    made = clv_forecast(people, None, Chosen("bg_nbd", 5.0, 0.8), "amount", **{**ROWS, "as_of": until}).filter(
        horizon_months=6
    )
    came = outcome(people, snapshot(lines, AS_OF), until, 6, "amount")
    value = made["expected_value"].to_numpy()
    assert value.sum() == pytest.approx(came.value.sum(), rel=0.08)
    assert made["expected_purchases"].sum() == pytest.approx(came.purchases.sum(), rel=0.06)
    low, high = made["expected_value_low"].to_numpy(), made["expected_value_high"].to_numpy()
    inside, stated = (low <= came.value) & (came.value <= high), high > 0
    assert inside[stated].mean() == pytest.approx(0.80, abs=0.02)
    assert inside.mean() >= 0.79


@cache
def drawn(leaving_rate: float, *, alike: bool = False, n: int = 5000, seed: int = 0) -> Buyers:
    """Customers who buy at random until they leave at this rate (per day); all at the same buying rate, or at their own."""
    rng = np.random.default_rng(seed)
    observed = rng.integers(1, 729, n).astype(float)
    rate = np.full(n, 0.02) if alike else rng.gamma(0.8, 1 / 45, n)
    until = np.minimum(observed, rng.exponential(1 / leaving_rate, n)) if leaving_rate else observed
    frequency = rng.poisson(rate * until).astype(float)
    recency = np.where(frequency > 0, np.floor(until * rng.random(n) ** (1 / np.maximum(frequency, 1))), 0.0)
    value = np.where(frequency > 0, rng.gamma(4.0, 10.0, n), 0.0)
    people = pl.DataFrame({"customer_id": [f"C{i:04d}" for i in range(n)], "recency_days": observed - recency})
    return Buyers(people.cast({"recency_days": pl.Int64}), frequency, recency, observed, value, value, 1.0)


@pytest.mark.parametrize("algorithm", ["bg_nbd", "pareto_nbd"])
def test_where_nobody_is_seen_to_leave_the_probability_is_null_and_the_values_are_there(algorithm: str) -> None:
    people = drawn(0.0)
    made = clv_forecast(people, None, Chosen(algorithm, None, None), "amount", **ROWS)
    ClvForecast.require(made)
    assert made["p_alive"].null_count() == made.height
    assert made["explanations"].str.contains("cannot be told from this shop's orders").all()
    # All stay, at the rate they had.
    rate = people.frequency.sum() / people.T.sum()
    half_year = made.filter(horizon_months=6)["expected_purchases"].mean()
    assert half_year == pytest.approx(rate * 182.6, rel=0.03)


def test_a_fit_made_again_with_priors_does_not_tell_who_has_left_either() -> None:
    """Of these customers the likelihood is so flat that its fit stops short; the prior alone puts some well below 1."""
    people = drawn(0.0, n=300, seed=25)
    made = forecasts(["bg_nbd"], people, None, [12], SETTINGS.customer, 0)["bg_nbd"]
    guess = BgNbd.fit(people.frequency, people.recency, people.T, prior=POOLED)
    assert guess.probability_alive(people.frequency, people.recency, people.T).min() < 0.95
    assert made.p_alive is None


def test_a_bound_that_says_nothing_of_leaving_hides_nobody() -> None:
    """All buy and leave at the same rates: parameters run to their bounds, yet the long silent are known to have left."""
    people = drawn(0.003, alike=True)
    made = forecasts(["pareto_nbd"], people, None, [12], SETTINGS.customer, 0)["pareto_nbd"]
    assert "bound" in made.note
    assert made.p_alive is not None
    silent = (people.T - people.recency > 300) & (people.frequency > 0)
    assert made.p_alive[silent].max() < 0.1
    rows = clv_forecast(people, None, Chosen("pareto_nbd", None, None), "amount", **ROWS)
    assert rows["p_alive"].null_count() == 0 and rows["explanations"].str.contains("likely not to have left").any()
    assert not rows["explanations"].str.contains("cannot be told").any()


def test_the_order_of_the_rows_does_not_matter() -> None:
    cut, (_, test, tonight) = world()
    shuffled = Snapshot(
        AS_OF, tonight.orders.sample(fraction=1, shuffle=True, seed=1), tonight.customer_orders.reverse()
    )
    made = [
        clv_forecast(buyers(s, "amount", SETTINGS.customer), None, Chosen("bg_nbd", None, None), "amount", **ROWS)
        for s in (tonight, shuffled)
    ]
    assert made[0].equals(made[1])
    then = buyers(test, "amount", SETTINGS.customer)
    came = [outcome(then, later, cut.test, cut.months, "amount").value.tolist() for later in (tonight, shuffled)]
    assert came[0] == came[1]


def test_the_threads_of_blas_leave_no_trace() -> None:
    rng = np.random.default_rng(3)
    n = 40_000  # BLAS adds up less than that on one thread anyway.
    observed = rng.integers(30, 900, n).astype(float)
    frequency = rng.poisson(observed / 200).astype(float)
    recency = np.where(frequency > 0, np.floor(observed * rng.random(n)), 0.0)
    value = np.where(frequency > 0, np.round(rng.gamma(4.0, 10.0, n), 2), 0.0)
    seen = Buyers(pl.DataFrame(), frequency, recency, observed, value, value, 1.0)

    def made(threads: int) -> bytes:
        with threadpool_limits(threads, "blas"):
            return forecasts(["bg_nbd"], seen, None, [12], SETTINGS.customer, 0)["bg_nbd"].value.tobytes()

    assert made(1) == made(2)


def test_a_race_of_many_customers_is_run_on_some_of_them_drawn_alike_every_night() -> None:
    ids = pl.LazyFrame({"customer_id": [f"c{i}" for i in range(5000)]})
    some = SETTINGS.model_copy(
        update={
            "customer": SETTINGS.customer.model_copy(
                update={"clv": SETTINGS.customer.clv.model_copy(update={"raced_customers": 1000})}
            )
        }
    )
    drawn = race.raced(ids, SHOP, some)
    assert drawn is not None and drawn.n_unique() == 1000
    again = race.raced(ids.reverse(), SHOP, some)
    assert again is not None and drawn.to_list() == again.to_list()
    assert race.raced(ids, SHOP, SETTINGS) is None


def test_nobody_is_high_where_all_are_alike_or_worth_nothing() -> None:
    people, _ = learnt()
    alike = replace(
        people,
        frequency=np.full_like(people.frequency, 2.0),
        recency=np.full_like(people.recency, 50.0),
        T=np.full_like(people.T, 100.0),
        monetary_value=np.full_like(people.monetary_value, 30.0),
    )
    made = clv_forecast(alike, None, Chosen("bg_nbd", None, None), "amount", **ROWS)
    assert made["clv_tier"].unique().to_list() == ["Medium"]
    nothing = replace(people, kept=0.0)
    made = clv_forecast(nothing, None, Chosen("bg_nbd", None, None), "amount", **ROWS)
    assert made["expected_value"].max() == 0
    assert made["clv_tier"].unique().to_list() == ["Low"]


def test_a_shop_that_shrinks_gets_no_interval_below_its_forecast() -> None:
    """Of those for whom more than 0 is stated, the forecast lies in the interval of nearly all."""
    people, past = learnt()
    shrunk = replace(past, value=past.value * (np.arange(past.value.size) % 4 == 0))
    for algorithm in ("bg_nbd", "blend"):
        made = clv_forecast(people, shrunk, Chosen(algorithm, None, None), "amount", **ROWS)
        stated = made.filter(pl.col("expected_value_high") > 0)
        inside = stated.filter(pl.col("expected_value").is_between("expected_value_low", "expected_value_high"))
        assert inside.height > 0.95 * stated.height, algorithm
