"""The worth of a message agrees with what the simulator makes of it, and the oracle with trying everything."""

import datetime as dt
import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.simulator.baskets import expected_order, lines
from lifecycle_assets.simulator.day import (
    PERSUADABLE,
    SLEEPING_DOG,
    SURE_THING,
    Sends,
    State,
    live,
)
from lifecycle_assets.simulator.people import LEAVES, People, people
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, SEND_HOURS, TIERS, World
from lifecycle_assets.simulator.worth import HORIZON, Costs, best, remaining_orders, worth

WORLD = World("shop", dt.date(2024, 1, 1), 30, 4_000, seed=5, joining=1.0, weekly=0, yearly=0)
COSTS = Costs(np.array([0.001, 0.05, 0.0, 0.06]))
DAY = 10
NOBODY = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def who() -> People:
    return people(WORLD, 0, WORLD.customers)


def _sends(who: np.ndarray, channel: int = 0, hour: int = 18, pct: float = 10.0, content: int = 1) -> Sends:
    n = who.size
    return Sends(who, np.full(n, channel), np.full(n, hour), np.full(n, pct), np.full(n, content), np.ones(n))


def test_an_order_is_expected_to_be_what_the_baskets_hold(who: People) -> None:
    rng = np.random.default_rng(1)
    buyer = np.repeat(np.arange(400), 100)
    drawn = lines(WORLD, who, np.full(buyer.size, DAY), buyer, np.zeros(buyer.size), rng)
    kept = drawn.filter(pl.col("returned_after").is_null())
    amount, margin = expected_order(WORLD, who, DAY)
    paid = (kept["quantity"] * kept["unit_price"]).sum() / buyer.size
    earned = (kept["quantity"] * (kept["unit_price"] - kept["unit_cost"])).sum() / buyer.size
    # 40 000 orders: the mean's standard error is 0.5 % of it.
    assert amount[:400].mean() == pytest.approx(paid, rel=0.02)
    assert margin[:400].mean() == pytest.approx(earned, rel=0.02)


def test_the_orders_that_messages_add_are_those_that_happen(who: People) -> None:
    everyone = np.arange(who.size)
    sends = _sends(everyone)
    persuadable = who.persuasion == PERSUADABLE
    amount, margin = expected_order(WORLD, who, DAY)
    expected = worth(WORLD, who, State.fresh(who), DAY, sends, COSTS)
    chance = expected.added[persuadable] / (margin - 0.1 * amount)[persuadable]
    rng = np.random.default_rng(2)
    n_nights = 60
    converted = np.zeros(who.size)
    for _ in range(n_nights):
        converted += live(WORLD, who, State.fresh(who), DAY, sends, rng).converted
    seen = converted[persuadable].sum()
    assert seen == pytest.approx(chance.sum() * n_nights, abs=4 * np.sqrt(seen))
    assert expected.given_away[who.persuasion != SURE_THING].sum() == 0
    assert (converted[who.persuasion == SURE_THING]).sum() == pytest.approx(
        (expected.given_away / (0.1 * amount))[who.persuasion == SURE_THING].sum() * n_nights, rel=0.1
    )


def test_a_dog_that_is_driven_away_takes_the_orders_of_a_year_along(who: People) -> None:
    dogs = who.persuasion == SLEEPING_DOG
    rng = np.random.default_rng(3)
    state = State.fresh(who)
    orders = np.zeros(who.size)
    for day in range(1, HORIZON + 1):
        np.add.at(orders, live(WORLD, who, state, day, _sends(NOBODY), rng).buyer, 1)
    expected = remaining_orders(who)[dogs]
    error = orders[dogs].std() / np.sqrt(dogs.sum())
    assert orders[dogs].mean() == pytest.approx(expected.mean(), abs=4 * error)
    _, margin = expected_order(WORLD, who, DAY)
    lost = worth(WORLD, who, State.fresh(who), DAY, _sends(np.arange(who.size)), COSTS).driven_away
    np.testing.assert_allclose(lost[dogs], LEAVES * expected * margin[dogs])
    assert not lost[~dogs].any()


def test_an_order_brought_forward_is_not_made_again_and_may_have_been_the_last(who: People) -> None:
    eager = replace(who, purchase_rate=np.full(who.size, 50.0))
    state = State.fresh(eager)
    state.owed[:] = 1
    first = live(WORLD, eager, state, DAY, _sends(NOBODY), np.random.default_rng(4))
    assert not first.buyer.size
    assert not state.owed.any()
    expected = eager.dropout.mean()
    assert (~state.alive).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / who.size))
    second = live(WORLD, eager, state, DAY + 1, _sends(NOBODY), np.random.default_rng(5))
    assert second.buyer.size > 0


def test_the_dead_add_nothing_and_tiredness_lowers_the_worth(who: People) -> None:
    sends = _sends(np.arange(who.size))
    rested, dead, tired = (State.fresh(who) for _ in range(3))
    dead.alive[:] = False
    tired.sent[:, 0] = 3
    worths = [worth(WORLD, who, state, DAY, sends, COSTS) for state in (rested, dead, tired)]
    assert not (worths[1].added.any() or worths[1].given_away.any() or worths[1].driven_away.any())
    assert (worths[2].added <= worths[0].added).all()
    assert (worths[2].unsubscribed > worths[0].unsubscribed).all()


def test_the_oracle_finds_what_trying_everything_finds(who: People) -> None:
    some = np.flatnonzero(who.persuasion == PERSUADABLE)[:40]
    some = np.concatenate([some, np.flatnonzero(who.persuasion != PERSUADABLE)[:10]])
    state = State.fresh(who)
    state.unsubscribed[some[::3], 0] = True
    highest = np.zeros(some.size)
    for channel, hour, pct, content in itertools.product(range(len(CHANNELS)), SEND_HOURS, TIERS, range(len(CONTENTS))):
        value = worth(WORLD, who, state, DAY, _sends(some, channel, hour, pct, content), COSTS).total
        allowed = who.consents[some, channel] & ~state.unsubscribed[some, channel]
        highest = np.maximum(highest, np.where(allowed, value, 0.0))
    sends, value = best(WORLD, who, state, DAY, some, COSTS)
    found = dict(zip(sends.who.tolist(), value.total.tolist(), strict=True))
    np.testing.assert_allclose([found.get(each, 0.0) for each in some.tolist()], highest)
    assert set(who.persuasion[sends.who]) == {PERSUADABLE}
