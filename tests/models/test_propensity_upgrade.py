"""Moves to a better plan foretold in a made service whose customers move at known rates."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from product_shop import AS_OF, SHOP, table

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.inputs.contracts import Customers, Subscriptions
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import Trained, TrainingSet, train
from lifecycle_assets.models.classifier_evaluation import figures
from lifecycle_assets.models.plan_ladders import plans_held
from lifecycle_assets.models.propensity_upgrade import (
    NUMBERS,
    UPGRADE_DAYS,
    PropensityUpgrade,
    newest_events,
    propensity_upgrade,
    training_set,
)
from lifecycle_assets.settings import Scores, Upsell

N = 3000
HISTORY = 900
PLANS = ["basic", "plus", "max"]
LADDER = Upsell.model_validate(
    {"plan_ladders": [[{"name": n, "price": p} for n, p in zip(PLANS, (10, 25, 60), strict=True)]]}
)
SETTINGS = Scores(candidates=("logistic", "xgboost"))
DAYS = [AS_OF - dt.timedelta(days=UPGRADE_DAYS * back) for back in range(4, 0, -1)]
NOBODY = Customers.empty().lazy()
World = tuple[pl.LazyFrame, TrainingSet, Trained]


def rate(plan: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Chance of moving to the next plan on a day: highest in the third to sixth month on a plan, never from the best one."""
    early = np.where((days >= 60) & (days < 180), 0.008, 0.0006)
    return np.select([plan == 0, plan == 1], [early, early / 2], 0.0)


def subscriptions(seed: int = 1) -> pl.LazyFrame:
    """Everyone begins with the basic plan on a random day and moves up day by day; a few cancel."""
    rng = np.random.default_rng(seed)
    began = rng.integers(0, HISTORY - 30, N)
    plan, since = np.zeros(N, dtype=int), began.copy()
    rows = [np.column_stack([np.arange(N), plan, began])]
    for day in range(HISTORY):
        moves = (began < day) & (rng.random(N) < rate(plan, day - since))
        plan[moves] += 1
        since[moves] = day
        rows.append(np.column_stack([np.flatnonzero(moves), plan[moves], np.full(moves.sum(), day)]))
    who, what, day = np.concatenate(rows).T
    at = pl.lit(AS_OF - dt.timedelta(days=HISTORY - 1)).cast(pl.Datetime("us", "UTC")) + pl.duration(
        days="day", hours=12
    )
    frame = pl.DataFrame({"who": who, "plan": pl.Series(PLANS).gather(what), "day": day})
    is_last = pl.col("day") == pl.col("day").max().over("who")
    quits = is_last & (pl.col("who") % 20 == 0)
    made = frame.select(
        "plan",
        subscription_id=pl.format("S{}", pl.int_range(pl.len())),
        customer_id=pl.format("C{}", "who"),
        started_at=at,
        cancelled_at=pl.when(quits).then(at + pl.duration(days=100)),
    )
    return table(Subscriptions, made)


def held(subscribed: pl.LazyFrame, as_of: dt.date = AS_OF) -> pl.DataFrame:
    return plans_held(subscribed, NOBODY, as_of, "UTC", LADDER)


def on(day: dt.date, orders: pl.DataFrame | None = None) -> Snapshot:
    return Snapshot(day, Orders.empty(), CustomerOrders.empty() if orders is None else orders)


@pytest.fixture(scope="module")
def world() -> World:
    subscribed = subscriptions()
    data = training_set(held(subscribed), [on(day) for day in DAYS], LADDER)
    return subscribed, data, train(data, SETTINGS, np.random.default_rng(0))


def true_chance(rows: pl.DataFrame) -> np.ndarray:
    """Chance to begin with the next plan within the window; two moves in one window are left out."""
    plan = rows["current_plan"].replace_strict(PLANS, [0, 1, 2], return_dtype=pl.Int64).to_numpy()
    days = rows["days_on_plan"].to_numpy()
    stays = np.ones(days.size)
    for ahead in range(1, UPGRADE_DAYS + 1):
        stays *= 1 - rate(plan, days + ahead)
    return np.where(rows["rungs"].to_numpy() == 1, 1 - stays, 0.0)


def test_it_orders_almost_as_well_as_one_who_knows_the_rates(world: World) -> None:
    _, data, trained = world
    rows = data.rows.filter(pl.col("snapshot") == DAYS[-1])
    best = figures(rows["label"].to_numpy(), true_chance(rows))
    made = trained.evaluation.filter(pl.col("chosen") & (pl.col("split") == "out_of_time"))
    overall = made.filter(pl.col("target") == "all").row(0, named=True)
    assert overall["is_used"]
    assert overall["roc_auc"] > best["roc_auc"] - 0.015
    assert overall["calibration_error"] < 0.02
    one_step = rows.filter(pl.col("target") == "basic to plus")
    alone = made.filter(pl.col("target") == "basic to plus").row(0, named=True)
    assert alone["roc_auc"] > figures(one_step["label"].to_numpy(), true_chance(one_step))["roc_auc"] - 0.02


def champion(trained: Trained) -> Champion:
    return Champion(trained.model, 2, AS_OF, is_used=trained.is_usable, note=trained.note)


def test_every_holder_of_a_plan_has_every_better_one(world: World) -> None:
    subscribed, _, trained = world
    plans = held(subscribed)
    made = propensity_upgrade(plans, on(AS_OF), champion(trained), SHOP, LADDER, SETTINGS).collect()
    PropensityUpgrade.require(made)
    assert made.equals(made.sort("customer_id", "current_plan", "target_plan"))
    pairs = set(made.select("current_plan", "target_plan").unique().rows())
    assert pairs == {("basic", "plus"), ("basic", "max"), ("plus", "max")}
    now = plans.filter(pl.col("ended").is_null() | (pl.col("ended") > AS_OF))["customer_id"].unique()
    assert made["customer_id"].is_in(now.implode()).all()
    assert made["top_factors"].null_count() == 0
    shuffled = plans.sample(fraction=1.0, shuffle=True, seed=1)
    again = propensity_upgrade(shuffled, on(AS_OF), champion(trained), SHOP, LADDER, SETTINGS).collect()
    assert again.equals(made)


def test_no_feature_knows_what_came_after_its_day(world: World) -> None:
    subscribed, data, _ = world
    day = DAYS[1]
    noon_after = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
    past = subscribed.filter(pl.col("started_at") < noon_after).with_columns(
        cancelled_at=pl.when(pl.col("cancelled_at") < noon_after).then("cancelled_at")
    )
    features = ["group", *NUMBERS, "current_plan", "target_plan"]
    then = training_set(held(past, day), [on(day)], LADDER).rows.select(features).sort(features)
    now = data.rows.filter(pl.col("snapshot") == day).select(features).sort(features)
    assert then.equals(now)
    assert then.height > 500


def test_the_newest_event_tells_of_plans_orders_and_behaviour(world: World) -> None:
    day, after = DAYS[1], DAYS[1] + dt.timedelta(days=2)
    data = world[1]
    known = newest_events(data, [on(day)], "UTC")[day]
    assert known is not None and known <= day
    moment = dt.datetime.combine(after, dt.time(), dt.UTC)
    bought = _as(pl.DataFrame({"last_purchase_date": [after]}), CustomerOrders)
    seen = _as(pl.DataFrame({"last_event_at": [moment]}), CustomerBehaviour)
    planned = TrainingSet(data.rows.with_columns(days_on_plan=pl.lit(-2.0)), data.numbers, data.categories, (), "moves")
    nothing = TrainingSet(data.rows.clear(), data.numbers, data.categories, (), "moves")
    assert newest_events(planned, [on(day)], "UTC") == {day: after}
    assert newest_events(data, [on(day, bought)], "UTC") == {day: after}
    assert newest_events(data, [Snapshot(day, Orders.empty(), CustomerOrders.empty(), seen)], "UTC") == {day: after}
    assert newest_events(nothing, [on(day)], "UTC") == {day: None}


def _as(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """One row of the table, null in all other columns."""
    return rows.select(
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in contract.polars_schema.items()
    )


def test_moves_by_hand() -> None:
    def at(days: int) -> dt.datetime:
        return dt.datetime.combine(AS_OF - dt.timedelta(days=days), dt.time(9), dt.UTC)

    rows = pl.DataFrame(
        [
            ("a", "basic", at(400), None),
            ("a", "plus", at(60), None),
            ("b", "basic", at(400), at(100)),
            ("c", "basic", at(90), None),
            ("c", "max", at(0), None),
            ("d", "basic", at(200), None),
        ],
        schema=["customer_id", "plan", "started_at", "cancelled_at"],
        orient="row",
    ).with_columns(subscription_id=pl.format("S{}", pl.int_range(pl.len())))
    plans = held(table(Subscriptions, rows))
    then = training_set(plans, [on(AS_OF - dt.timedelta(days=UPGRADE_DAYS))], LADDER).rows
    moved = {(group, target): label for group, target, label in then.select("group", "target", "label").rows()}
    assert moved == {
        ("a", "basic to plus"): True,
        ("a", "basic to max"): False,
        ("c", "basic to plus"): False,
        ("c", "basic to max"): True,
        ("d", "basic to plus"): False,
        ("d", "basic to max"): False,
    }
    assert then.filter(pl.col("group") == "a")["days_on_plan"].unique().to_list() == [310]
    tonight = training_set(plans, [on(AS_OF)], LADDER).rows.filter(pl.col("group") == "a").row(0, named=True)
    assert (tonight["target"], tonight["days_on_plan"], tonight["days_since_first_plan"]) == ("plus to max", 60, 400)
    assert (tonight["plans_before"], tonight["price_rise"]) == (1, 35)


def test_a_start_that_is_not_known_teaches_nothing() -> None:
    accounts = table(Customers, pl.DataFrame({"customer_id": ["x"], "plan": ["basic"]}))
    plans = plans_held(Subscriptions.empty().lazy(), accounts, AS_OF, "UTC", LADDER)
    assert training_set(plans, [on(day) for day in DAYS], LADDER).rows.is_empty()
    nobody = Champion(None, None, None, is_used=False, note="too little")
    made = propensity_upgrade(plans, on(AS_OF), nobody, SHOP, LADDER, SETTINGS).collect()
    assert made["target_plan"].to_list() == ["max", "plus"]
    assert made["probability"].is_null().all()


def test_who_moved_on_an_unknown_day_is_in_no_labelled_row() -> None:
    began = dt.datetime.combine(AS_OF - dt.timedelta(days=500), dt.time(9), dt.UTC)
    subscribed = pl.DataFrame({"customer_id": ["moved", "stayed"]}).with_columns(
        subscription_id=pl.format("S{}", "customer_id"), plan=pl.lit("basic"), started_at=pl.lit(began)
    )
    accounts = pl.DataFrame({"customer_id": ["moved", "stayed"], "plan": ["plus", "basic"]})
    plans = plans_held(table(Subscriptions, subscribed), table(Customers, accounts), AS_OF, "UTC", LADDER)
    learnt = training_set(plans, [on(day) for day in DAYS], LADDER).rows
    assert set(learnt["group"]) == {"stayed"}
    assert not learnt["label"].any()
    # Tonight they hold what their account says, and came so long ago.
    tonight = training_set(plans, [on(AS_OF)], LADDER).rows.filter(group="moved").row(0, named=True)
    assert (tonight["target"], tonight["days_on_plan"], tonight["days_since_first_plan"]) == ("plus to max", 0, 500)


def test_without_ladders_there_is_nothing() -> None:
    plans = plans_held(subscriptions(), NOBODY, AS_OF, "UTC", Upsell())
    data = training_set(plans, [on(day) for day in DAYS], Upsell())
    trained = train(data, SETTINGS, np.random.default_rng(0))
    assert data.rows.is_empty()
    assert trained.model is None
    made = propensity_upgrade(plans, on(AS_OF), champion(trained), SHOP, Upsell(), SETTINGS).collect()
    assert made.equals(PropensityUpgrade.empty())
