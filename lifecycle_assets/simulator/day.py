"""One day of a block of customers: who buys of themselves, and what each message does.

A customer buys with probability 1 - exp(-purchase_rate * season) a day, and after each repeat purchase leaves for good with
probability dropout. A message is opened, clicked and converted by the customer's own response; a conversion is an order on the
same day. A persuadable's is one more order; a sure thing's takes the place of their next own purchase; the others' messages
never convert. A message may drive a sleeping dog away.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lifecycle_assets.simulator.people import LEAVES, PERSUASION, People
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, SEND_HOURS, TIERS, World

PERSUADABLE, SURE_THING, LOST_CAUSE, SLEEPING_DOG = range(len(PERSUASION))
MEMORY = 7
UNSUBSCRIBES = 0.002
NEVER = -1


@dataclass
class State:
    """What changes from day to day; one row per customer of the block."""

    alive: np.ndarray
    died: np.ndarray
    owed: np.ndarray
    unsubscribed: np.ndarray
    sent: np.ndarray

    @classmethod
    def fresh(cls, people: People) -> "State":
        n = people.size
        return cls(
            alive=np.ones(n, bool),
            died=np.full(n, NEVER),
            owed=np.zeros(n, np.int16),
            unsubscribed=np.zeros((n, len(CHANNELS)), bool),
            sent=np.zeros((n, MEMORY), np.int16),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """To keep until the next night."""
        return dict(vars(self))

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "State":
        return cls(**{name: np.array(arrays[name]) for name in ("alive", "died", "owed", "unsubscribed", "sent")})


@dataclass(frozen=True)
class Sends:
    """Messages of one day: rows of the block, and what each is. `propensity` is the logged probability of the choice."""

    who: np.ndarray
    channel: np.ndarray
    hour: np.ndarray
    pct: np.ndarray
    content: np.ndarray
    propensity: np.ndarray


@dataclass(frozen=True)
class Day:
    """What happened. Orders: `buyer`, `hour`, `pct` (discount), `message` (row of the sends, NEVER for none). Responses: per
    send whether it was opened by a person, clicked, converted, led to leaving the channel."""

    buyer: np.ndarray
    hour: np.ndarray
    pct: np.ndarray
    message: np.ndarray
    sends: Sends
    opened: np.ndarray
    clicked: np.ndarray
    converted: np.ndarray
    left: np.ndarray


def policy(world: World, people: People, state: State, day: int, rng: np.random.Generator) -> Sends:
    """The past's messages: to customers drawn at random, on a channel drawn from those they allow, at a random hour, tier and
    content; the propensity is that of channel, hour, tier and content together."""
    open_to = people.consents & ~state.unsubscribed
    ways = open_to.sum(axis=1)
    drawn = rng.random(people.size, np.float32) < world.messages_per_month / 30
    who = np.flatnonzero(drawn & (ways > 0) & (people.joined < day))
    nth = np.minimum((rng.random(who.size) * ways[who]).astype(np.int64), ways[who] - 1)
    channel = (np.cumsum(open_to[who], axis=1) > nth[:, None]).argmax(axis=1)
    return Sends(
        who,
        channel,
        rng.choice(np.asarray(SEND_HOURS), who.size),
        rng.choice(np.asarray(TIERS), who.size),
        rng.integers(0, len(CONTENTS), who.size),
        1.0 / (ways[who] * len(SEND_HOURS) * len(TIERS) * len(CONTENTS)),
    )


def live(world: World, people: People, state: State, day: int, sends: Sends, rng: np.random.Generator) -> Day:
    """Let the day happen; `state` is changed."""
    own = _own_purchases(world, people, state, day, rng)
    opened, clicked, converted = _responses(world, people, state, day, sends, rng)
    left = rng.random(sends.who.size) < unsubscribing(people, state, sends.who)
    state.unsubscribed[sends.who[left], sends.channel[left]] = True
    driven = (people.persuasion[sends.who] == SLEEPING_DOG) & (rng.random(sends.who.size) < LEAVES)
    _leave(state, sends.who[driven], day)
    state.owed[sends.who[converted & (people.persuasion[sends.who] == SURE_THING)]] += 1
    state.sent = np.roll(state.sent, 1, axis=1)
    state.sent[:, 0] = 0
    np.add.at(state.sent[:, 0], sends.who, 1)
    hour = np.round(people.peak_hour[own] + rng.normal(0, 3, own.size)).astype(np.int64)
    moved = np.flatnonzero(converted)
    return Day(
        buyer=np.concatenate([own, sends.who[moved]]),
        hour=np.concatenate([np.clip(hour, 6, 23), sends.hour[moved]]),
        pct=np.concatenate([np.zeros(own.size), sends.pct[moved]]),
        message=np.concatenate([np.full(own.size, NEVER), moved]),
        sends=sends,
        opened=opened,
        clicked=clicked,
        converted=converted,
        left=left,
    )


def clicking(world: World, people: People, state: State, day: int, sends: Sends) -> np.ndarray:
    """Probability that each message is clicked on."""
    load = state.sent[sends.who].sum(axis=1)
    weekday = world.date(day).weekday()
    return people.response(sends.who, sends.channel, weekday, sends.hour, sends.pct, sends.content, load)


def unsubscribing(people: People, state: State, who: np.ndarray) -> np.ndarray:
    """Probability that one more message makes each of these leave its channel."""
    often = np.where(people.persuasion[who] == SLEEPING_DOG, 10.0, 1.0)
    return UNSUBSCRIBES * often * (1 + state.sent[who].sum(axis=1))


def _own_purchases(world: World, people: People, state: State, day: int, rng: np.random.Generator) -> np.ndarray:
    """Everyone's first purchase is on the day they join."""
    first = people.joined == day
    chance = -np.expm1(-people.purchase_rate * world.season(day))
    again = state.alive & (people.joined < day) & (rng.random(people.size, np.float32) < chance)
    # A purchase that a message brought forward is not made again; whether it was the last one is still to be settled.
    settled = again & (state.owed > 0)
    state.owed[settled] -= 1
    repeat = np.flatnonzero(again)
    _leave(state, repeat[rng.random(repeat.size) < people.dropout[repeat]], day)
    return np.flatnonzero((again & ~settled) | first)


def _leave(state: State, who: np.ndarray, day: int) -> None:
    who = who[state.alive[who]]
    state.alive[who] = False
    state.died[who] = day


def _responses(
    world: World, people: People, state: State, day: int, sends: Sends, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    who = sends.who
    clicked = rng.random(who.size) < clicking(world, people, state, day, sends)
    opened = clicked | (rng.random(who.size) < people.opening[who])
    moves = np.isin(people.persuasion[who], (PERSUADABLE, SURE_THING))
    converted = clicked & moves & state.alive[who] & (rng.random(who.size) < people.conversion[who])
    return opened, clicked, converted
