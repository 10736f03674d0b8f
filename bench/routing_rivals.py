"""Nights of a simulated shop under rivals of the product's routing.

All policies begin with the same past and write to whom the same contact rules leave free: at most 4 messages in 7 days and none
within 3 days of a purchase. Customers buy by the same random numbers as long as they are in the same state.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl

from bench.routing_judge import Shop, judged, may_be_written_to
from lifecycle_assets.hashing import generator
from lifecycle_assets.simulator.day import Sends, State, live, policy
from lifecycle_assets.simulator.people import People, people
from lifecycle_assets.simulator.simulation import chance_of_night, chance_of_past, past_days
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, SEND_HOURS, TIERS, World


@dataclass(frozen=True)
class Known:
    """What a rival may go by: how often each customer was written to and clicked, by channel, hour, tier and content."""

    sent: tuple[np.ndarray, ...]
    clicked: tuple[np.ndarray, ...]

    @classmethod
    def nothing(cls, n: int) -> "Known":
        sizes = (len(CHANNELS), len(SEND_HOURS), len(TIERS), len(CONTENTS))
        return cls(*(tuple(np.zeros((n, size)) for size in sizes) for _ in range(2)))

    def add(self, sends: Sends, clicked: np.ndarray) -> None:
        parts = (sends.channel, sends.hour - SEND_HOURS[0], (sends.pct / 5).astype(np.int64), sends.content)
        for k, part in enumerate(parts):
            np.add.at(self.sent[k], (sends.who, part), 1.0)
            np.add.at(self.clicked[k], (sends.who, part), clicked)

    def best(self, part: int, who: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
        """The part's value of the customer's highest raw rate; what they never got has the shop's rate."""
        sent, clicked = self.sent[part], self.clicked[part]
        shop = clicked.sum(axis=0) / np.maximum(sent.sum(axis=0), 1)
        rate = np.where(sent[who] > 0, clicked[who] / np.maximum(sent[who], 1), shop)
        return (rate if allowed is None else np.where(allowed, rate, -1.0)).argmax(axis=1)


Rival = Callable[[World, People, State, int, np.ndarray, Known, np.random.Generator], Sends]


def mail_at_nine(
    _world: World, who: People, state: State, _day: int, free: np.ndarray, _known: Known, _rng: np.random.Generator
) -> Sends:
    """The news by e-mail at nine, to everyone who may be written to."""
    email = CHANNELS.index("email")
    to = free[who.consents[free, email] & ~state.unsubscribed[free, email]]
    n = to.size
    return Sends(to, np.full(n, email), np.full(n, 9), np.zeros(n), np.zeros(n, np.int64), np.ones(n))


def greedy(
    _world: World, who: People, state: State, _day: int, free: np.ndarray, known: Known, _rng: np.random.Generator
) -> Sends:
    """To everyone the channel, hour, tier and content of their own highest raw rate of clicks."""
    allowed = who.consents & ~state.unsubscribed
    to = free[allowed[free].any(axis=1)]
    hour = known.best(1, to) + SEND_HOURS[0]
    pct = np.asarray(TIERS)[known.best(2, to)]
    return Sends(to, known.best(0, to, allowed[to]), hour, pct, known.best(3, to), np.ones(to.size))


def at_random(
    world: World, who: People, state: State, day: int, free: np.ndarray, _known: Known, rng: np.random.Generator
) -> Sends:
    """To everyone any channel that they allow, any hour, tier and content."""
    sends = policy(replace(world, messages_per_month=30.0), who, state, day, rng)
    kept = np.isin(sends.who, free)
    return Sends(**{part.name: getattr(sends, part.name)[kept] for part in fields(Sends)})


RIVALS: dict[str, Rival] = {"e-mail to all at nine": mail_at_nine, "greedy on raw rates": greedy, "random": at_random}


def rivals(shop: Shop, nights: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """The nights after the shop's past under each rival, as routing_judge tells them."""
    world = shop.world
    who = people(world, 0, world.customers)
    for name, rival in RIVALS.items():
        state, known, bought = State.fresh(who), Known.nothing(who.size), np.full(who.size, -1)
        for day, lived in past_days(world, who, state, chance_of_past(world, 0)):
            known.add(lived.sends, lived.clicked)
            bought[lived.buyer] = day
        rng = generator(world.shop, f"rival {name}", world.seed)
        rows = []
        for day in range(world.days, world.days + nights):
            free = np.flatnonzero(may_be_written_to(state, bought, day))
            sends = rival(world, who, state, day, free, known, rng)
            rows.append(judged(shop, who, state, day, free, sends))
            lived = live(world, who, state, day, sends, chance_of_night(world, 0, day))
            known.add(sends, lived.clicked)
            bought[lived.buyer] = day
        yield name, pl.concat(rows)
