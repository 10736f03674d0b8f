"""Anonymous visitors: against chances that are known, by hand, and with other futures."""

import dataclasses
import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visitor_world import AS_OF, ZONE, auc, filled, in_session, in_seven_days, visitors

from lifecycle_assets.contracts import registry
from lifecycle_assets.days import end_of
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.contracts import Products, WebEvents
from lifecycle_assets.models.assets import scores as scores_assets
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier import Trained, TrainingSet, train
from lifecycle_assets.models.score_training import audit
from lifecycle_assets.models.score_training import learnt as learnt_and_audited
from lifecycle_assets.models.visitor_intent import WORDS, VisitorIntent, visitor_intent
from lifecycle_assets.models.visitor_intent_evaluation import (
    FEATURES,
    LABEL_DAYS,
    VisitorIntentEvaluation,
    latest,
    session_rows,
    seven_days_rows,
)
from lifecycle_assets.models.visitor_sessions import CATEGORIES, NUMBERS, moments, purchases
from lifecycle_assets.settings import Scores
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.model_store import ModelStore
from resources.nights import Nights
from resources.warehouse.lake import Lake

UNTIL = end_of(AS_OF, ZONE)
TESTED = 2
FAST = Scores(candidates=("xgboost",), folds=2, training_rows=20_000)
DAY = dt.timedelta(days=1)
NOBODY = IdentityMap.empty().lazy()
COUNTS = ("views", "searches", "carts")


def seen(events: pl.DataFrame, weeks: int = 6) -> pl.DataFrame:
    return moments(events.lazy(), Products.empty().lazy(), AS_OF, ZONE, weeks)


@cache
def world() -> pl.DataFrame:
    return visitors(40_000, 49, seed=3).filter(pl.col("occurred_at") < UNTIL)


@cache
def rows_of(target: str) -> TrainingSet:
    states = seen(world(), 7)
    if target == "session":
        return session_rows(states, AS_OF, ZONE)[0]
    return seven_days_rows(states, purchases(world().lazy(), NOBODY, UNTIL), AS_OF, ZONE)[0]


@cache
def learnt(target: str) -> Trained:
    """From all weeks but the last ones, which are left to compare with the truth."""
    rows = rows_of(target)
    past = rows.rows.filter(pl.col("snapshot") < AS_OF - dt.timedelta(weeks=TESTED))
    return train(dataclasses.replace(rows, rows=past), FAST, np.random.default_rng(0))


@cache
def truth(target: str) -> tuple[pl.DataFrame, np.ndarray]:
    """The rows of the last weeks and the chance of each."""
    ahead = rows_of(target).rows.filter(pl.col("snapshot") >= AS_OF - dt.timedelta(weeks=TESTED))
    if target == "session":
        # What a second visit tells of the first is more than the columns hold; in silence nobody buys here.
        ahead = ahead.filter((pl.col("earlier_visits") == 0) & (pl.col("minutes_silent") == 0))
        return ahead, in_session(*(ahead[name].to_numpy() for name in COUNTS))
    counts = [ahead[name].to_numpy() for name in (*COUNTS, "silent_days")]
    return ahead, in_seven_days(*counts, (ahead["earlier_visits"] > 0).to_numpy())


@pytest.mark.parametrize(("target", "apart"), [("session", 0.01), ("7_days", 0.02)])
def test_visitors_are_told_apart_as_well_as_can_be(target: str, apart: float) -> None:
    ahead, chance = truth(target)
    found = learnt(target)
    assert found.model is not None
    assert found.is_usable, found.note
    best = auc(ahead["label"], chance)
    assert best > 0.7
    assert auc(ahead["label"], found.model.probability(ahead)) > best - apart
    assert best - auc(ahead["label"], ahead["carts"].to_numpy()) > 0.02


@pytest.mark.parametrize("target", ["session", "7_days"])
def test_probabilities_are_shares_of_visitors_who_buy(target: str) -> None:
    ahead, chance = truth(target)
    found = learnt(target)
    assert found.model is not None
    probability = found.model.probability(ahead)
    assert ahead["label"].mean() == pytest.approx(chance.mean(), rel=0.1), "the rows are those of the world"
    for tenth in np.array_split(np.argsort(probability), 10):
        assert probability[tenth].mean() == pytest.approx(chance[tenth].mean(), abs=0.02 + 0.1 * chance[tenth].mean())


def test_at_any_moment_that_a_visit_counts_as_open_the_probability_is_the_share_who_buy() -> None:
    """Most of the time that a visit counts as open it has ended already."""
    states = seen(world(), TESTED)
    follows = (pl.col("at").shift(-1).over("visit") - pl.col("at")).dt.total_seconds().fill_null(1800)
    lasts = pl.min_horizontal(follows, pl.lit(1800)) / 60
    states = states.with_columns(label=(pl.col("purchases").max() > 0).over("visit"), lasts=lasts)
    states = states.filter(~pl.col("is_known") & (pl.col("purchases") == 0))
    moments_of_each = (np.arange(20) + 0.5) / 20
    asked = states.join(pl.DataFrame({"part": moments_of_each}), how="cross")
    asked = asked.with_columns(minutes_silent=pl.col("part") * pl.col("lasts"))
    found = learnt("session")
    assert found.model is not None
    probability, lasts_for = found.model.probability(asked), asked["lasts"].to_numpy()
    truth = np.average(asked["label"].to_numpy(), weights=lasts_for)
    assert truth < 0.02
    assert np.average(probability, weights=lasts_for) == pytest.approx(truth, rel=0.25)


def event(at: float, kind: str = "view", **columns: Any) -> dict[str, Any]:
    """An event so many minutes before the end of AS_OF."""
    return {"anonymous_id": "v", "event_type": kind, "occurred_at": UNTIL - dt.timedelta(minutes=at), **columns}


def told(*events: dict[str, Any]) -> pl.DataFrame:
    rows = [{"event_id": f"e{position:02d}", **row} for position, row in enumerate(events)]
    return filled(WebEvents, pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col("occurred_at")))


def test_no_row_knows_of_a_later_day() -> None:
    states = seen(world())
    bought = purchases(world().lazy(), NOBODY, UNTIL)
    for rows, newest in (session_rows(states, AS_OF, ZONE), seven_days_rows(states, bought, AS_OF, ZONE)):
        found = audit(rows, newest, LABEL_DAYS, AS_OF, FAST)
        assert not found["problems"]
        assert not found["suspected"]
        assert len(found["snapshots"]) == 5


def test_the_state_of_a_visit_by_hand() -> None:
    day = 1440
    states = seen(
        told(
            event(3 * day, "add_to_cart", session_id="a", value=7.0),
            event(
                90, session_id="b", product_id="p", device="tv", referrer="https://www.Shop.example/x?y", category="k"
            ),
            event(85, "search", session_id="b", seconds_on_page=10.0, scroll_depth=0.5, device="mobile"),
            event(
                80, "add_to_cart", session_id="b", product_id="p", value=20.0, seconds_on_page=30.0, referrer="/here"
            ),
            event(78, "remove_from_cart", session_id="b", product_id="q", value=-5.0, category="k"),
        )
    )
    last = states.row(-1, named=True)
    expected = {
        "events": 4, "views": 1, "searches": 1, "carts": 1, "removals": 1, "checkouts": 0, "products": 2,
        "categories": 1, "cart_value": 15.0, "minutes": 12.0, "seconds_per_page": 20.0, "scroll_depth": 0.5, "hour": 22,
        "weekday": "Sunday", "device": "tv", "referrer": "shop.example", "earlier_visits": 1, "earlier_carts": 1,
        "earlier_purchases": 0, "days_since_last_visit": pytest.approx(3 - 90 / day), "silent_days": pytest.approx(78 / day),
        "week": 0, "purchases": 0, "is_known": False,
    }  # fmt: skip
    assert {name: last[name] for name in expected} == expected
    # What a page came to is known when the next one is opened.
    assert states["seconds_per_page"].to_list() == [None, None, None, 10.0, 20.0]
    assert states["events"].to_list() == [1, 1, 2, 3, 4]


def test_visits_without_an_id_end_with_half_an_hour_of_silence() -> None:
    states = seen(told(*(event(at) for at in (200, 171, 141, 110, 109)), event(115, session_id="s")))
    assert states["events"].to_list() == [1, 2, 3, 1, 1, 2]
    assert states["earlier_visits"].to_list() == [0, 0, 0, 1, 2, 2]


def test_who_signs_in_to_buy_has_bought_and_is_a_customer_from_then_on() -> None:
    week = 7 * 1440
    signed_in = {"anonymous_id": None, "customer_id": "c", "session_id": "s"}
    story = told(
        event(week + 50, session_id="s"),
        event(week + 40, "add_to_cart", session_id="s"),
        {**event(week + 30, "purchase"), **signed_in},
        {**event(week + 20), **signed_in},
        event(week + 10, session_id="t"),
    )
    states = seen(story)
    assert states["is_known"].to_list() == [False, False, True, True, True]
    rows = session_rows(states, AS_OF, ZONE)[0].rows
    assert rows.filter(minutes_silent=0).select("events", "label").rows() == [(1, True), (2, True)]
    assert rows["snapshot"].unique().to_list() == [AS_OF - dt.timedelta(weeks=1)]


def test_after_a_purchase_a_visit_has_nothing_more_to_tell() -> None:
    week = 7 * 1440
    story = told(
        *(event(week + 60 - i, kind) for i, kind in enumerate(["view", "purchase", "view", "view", "purchase"]))
    )
    assert session_rows(seen(story), AS_OF, ZONE)[0].rows.select("events", "label").rows() == [(1, True)]
    assert latest(seen(story)).is_empty()


def test_a_visit_is_asked_about_again_while_nothing_comes() -> None:
    week = 7 * 1440

    def silences(*minutes: float) -> dict[int, list[float]]:
        """Of the same visit of six visitors, by the number of its events."""
        story = told(*(event(week + at, anonymous_id=f"v{k}") for k in range(6) for at in minutes), event(30))
        rows = session_rows(seen(story), AS_OF, ZONE)[0].rows.sort("events", "minutes_silent")
        asked = rows.filter(pl.col("minutes_silent") > 0).group_by("events", maintain_order=True).agg("minutes_silent")
        return dict(asked.rows())

    assert silences(60, 50, 48) == {1: [0.5, 1, 2, 5], 2: [0.5, 1], 3: [0.5, 1, 2, 5, 10, 20]}
    # What the end of the night cuts off is not known on it.
    assert silences(4) == {1: [0.5, 1, 2]}


def test_a_purchase_counts_in_the_seven_days_after_the_night_whoever_the_visitor_turns_out_to_be() -> None:
    week = 7 * 1440
    names = {"directly": week, "later": 0, "elsewhere": week, "before": 2 * week, "never": None}
    events = [event(week + 100, anonymous_id=name) for name in names]
    events += [
        event(at - 60, "purchase", anonymous_id=name) for name, at in names.items() if at and name != "elsewhere"
    ]
    events += [event(week - 60, "purchase", anonymous_id=None, customer_id="c2", session_id="shop")]
    known = [
        {"id_type": "customer_id", "id": "c2", "customer_id": "c1"},
        {"id_type": "anonymous_id", "id": "elsewhere", "customer_id": "c1"},
        {"id_type": "anonymous_id", "id": "never", "customer_id": None},
    ]
    map_ = filled(IdentityMap, pl.DataFrame(known)).lazy()
    story = told(*events)
    rows = seven_days_rows(seen(story), purchases(story.lazy(), map_, UNTIL), AS_OF, ZONE)[0].rows
    bought = rows.filter(pl.col("snapshot") == AS_OF - dt.timedelta(weeks=1)).select("group", "label").rows()
    assert dict(bought) == {"directly": True, "elsewhere": True, "before": False, "later": False, "never": False}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30 * 1440))
def test_what_comes_later_changes_no_state(seed: int, cut: int) -> None:
    events = awkward(seed)
    then = UNTIL - dt.timedelta(minutes=cut)
    past = seen(events.filter(pl.col("occurred_at") <= then).sample(fraction=1, shuffle=True, seed=seed))
    states = seen(events).filter(pl.col("at") <= then)
    columns = ["anonymous_id", "at", "week", "is_known", "purchases", *NUMBERS, *CATEGORIES]
    assert past.select(columns).equals(states.select(columns))


def awkward(seed: int) -> pl.DataFrame:
    """Visits that overlap, events of one moment, sessions of several visitors, events that lack one id or the other."""
    rng = np.random.default_rng(seed)
    n = 120

    def some(*values: Any) -> list[Any]:
        return [values[k] for k in rng.integers(0, len(values), n)]

    events = pl.DataFrame(
        {
            "event_id": [f"e{k}" for k in rng.permutation(n)],
            "anonymous_id": some("u", "v", "w", None),
            "customer_id": some(*[None] * 8, "c"),
            "session_id": some("1", "2", "3", None),
            "event_type": some("view", "view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase"),
            "product_id": some("p", "q", None),
            "category": some("k", None),
            "device": some("tv", None),
            "referrer": some("a.example", None),
            "scroll_depth": some(0.5, 1.0, None),
            "seconds_on_page": some(3.0, None),
            "value": some(9.99, 0.1, None),
            "minutes": rng.choice([*range(30), 100, 2000, 20_000, 30_000], n).tolist(),
        },
        strict=False,
    )
    at = pl.lit(UNTIL) - pl.duration(minutes=pl.col("minutes") + 1)
    return filled(WebEvents, events.with_columns(occurred_at=at))


def champion(target: str) -> Champion:
    found = learnt(target)
    return Champion(found.model, 3, AS_OF, is_used=found.is_usable, note=found.note)


def scores(events: pl.DataFrame, identity_map: pl.LazyFrame = NOBODY, **champions: Champion) -> pl.DataFrame:
    evaluation = learnt("7_days").evaluation.with_columns(target=pl.lit("7_days")).lazy()
    table = visitor_intent(
        seen(events, 1),
        identity_map,
        evaluation,
        in_seven_days=champions.get("in_seven_days", champion("7_days")),
        in_session=champions.get("in_session", champion("session")),
        until=UNTIL,
        shop="s",
        as_of=AS_OF,
    )
    VisitorIntent.require(VisitorIntent.conform(table.lazy()).collect())
    return table


def test_whoever_came_in_the_last_week_and_is_nobody_known_has_a_row() -> None:
    day = 1440
    events = told(
        event(10, anonymous_id="here"), event(40, anonymous_id="gone"), event(8 * day, anonymous_id="old"),
        event(6 * day, anonymous_id="silent"), event(50, anonymous_id="resolved"),
        event(20, anonymous_id="signed in", customer_id="c"), event(20, "purchase", anonymous_id="bought"),
    )  # fmt: skip
    map_ = filled(IdentityMap, pl.DataFrame([{"id_type": "anonymous_id", "id": "resolved", "customer_id": "c"}])).lazy()
    table = scores(events, map_)
    assert table["anonymous_id"].to_list() == ["gone", "here", "silent"]
    assert table["probability"].null_count() == 0
    assert table["probability_session"].is_not_null().to_list() == [False, True, False]


def test_the_longer_the_silence_the_less_is_to_be_hoped_for_of_the_visit() -> None:
    here, silent = (
        scores(told(event(at + 1, "add_to_cart"), event(at)))["probability_session"].item() for at in (0.1, 15)
    )
    assert here > 0.2
    assert silent < 0.02


def test_bands_compare_with_the_share_of_visitors_who_buy() -> None:
    table = scores(world())
    rate = learnt("7_days").evaluation.filter(split="out_of_time")["positive_rate"][0]
    lift = pl.col("probability") / rate
    ends = table.group_by("intent_band").agg(low=lift.min(), high=lift.max()).sort("low", descending=True)
    assert ends["intent_band"].to_list() == ["Hot", "Warm", "Cold"]
    assert ends["low"][0] >= 3 > ends["high"][1]
    assert ends["low"][1] >= 1 > ends["high"][2]
    assert table["top_factors"].str.contains(r"\((raises|lowers) it by").all()
    assert table["is_used"].all()


def test_rows_in_any_order_give_the_same_table() -> None:
    assert scores(world().sample(fraction=1, shuffle=True, seed=5)).equals(scores(world()))


def test_a_device_never_seen_is_another_device() -> None:
    known, new = (scores(told(event(10, device=device)))["probability"].item() for device in ("mobile", "fridge"))
    assert new == pytest.approx(known, abs=0.02)


def test_every_feature_has_words() -> None:
    assert set(WORDS) == {*FEATURES["session"], *FEATURES["7_days"]}


def test_without_web_events_there_are_no_rows_and_nothing_is_learnt() -> None:
    none = WebEvents.empty()
    assert scores(none).equals(VisitorIntent.empty())
    bought = purchases(none.lazy(), NOBODY, UNTIL)
    for nothing in (session_rows(seen(none), AS_OF, ZONE), seven_days_rows(seen(none), bought, AS_OF, ZONE)):
        found = learnt_and_audited(*nothing, LABEL_DAYS, AS_OF, FAST, np.random.default_rng(0))
        assert found.model is None
        assert "Nothing was learnt" in found.note


def test_where_nothing_was_learnt_the_rows_say_so() -> None:
    nothing = Champion(None, None, None, is_used=False, note="Nothing was learnt.")
    table = scores(told(event(10), event(50, anonymous_id="w")), in_seven_days=nothing, in_session=nothing)
    row = table.row(0, named=True)
    assert (row["probability"], row["probability_session"], row["top_factors"]) == (None, None, None)
    assert (row["intent_band"], row["is_used"], row["note"]) == ("Cold", False, "Nothing was learnt.")


@pytest.mark.slow
def test_a_night_trains_once_and_scores_with_what_is_in_force(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("s").parent.mkdir()
    home.shop_file("s").write_text(
        f"{{name: S, timezone: {ZONE}, currency: EUR, country: ES, input: none, "
        "scores: {candidates: [xgboost], folds: 2, training_rows: 4000}}"
    )
    lake, nights = Lake(home.warehouse, list(registry().values())), Nights(home)
    given = {WebEvents: world(), Products: Products.empty(), IdentityMap: IdentityMap.empty()}
    resources = {
        "nights": nights,
        "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
        "model_store": ModelStore(home.models),
    }

    made = [scores_assets.visitor_intent_evaluation, scores_assets.visitor_intent]

    def night(as_of: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
        for contract, table in given.items():
            lake.write(contract, "s", as_of, table.with_columns(as_of=pl.lit(as_of)))
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("shops", ["s"])
            result = dg.materialize(
                [*made, *(dg.AssetSpec(contract.key) for contract in given)],
                selection=made,
                partition_key="s", tags={"lifecycle/as_of": str(as_of)}, instance=instance, resources=resources,
            )  # fmt: skip
        assert result.success
        evaluation, table = (lake.scan(c, "s").collect() for c in (VisitorIntentEvaluation, VisitorIntent))
        return evaluation, table

    first, again, next_day = night(AS_OF - DAY), night(AS_OF - DAY), night(AS_OF)
    for one, other in zip(first, again, strict=True):
        assert one.equals(other)
    evaluation, table = next_day
    assert set(evaluation["target"]) == {"session", "7_days"}
    assert evaluation["trained_as_of"].unique().to_list() == table["trained_as_of"].unique().to_list() == [AS_OF - DAY]
    assert table["probability"].null_count() == 0
    is_open = UNTIL - pl.col("last_seen_at") <= dt.timedelta(minutes=30)
    assert 0 < table.filter(is_open).height < 0.01 * table.height
    assert table.select((is_open == pl.col("probability_session").is_not_null()).all()).item()
