"""What is a message worth, by the truth that no shop knows?

Expected margin that a message causes, of what the simulator will draw of it (day.py):

    persuadable   P(click) * conversion * (margin of an order - its discount): the order is one more
    sure thing    - P(click) * conversion * discount: the order takes the place of one that comes anyway
    sleeping dog  - LEAVES * margin of the orders of the next HORIZON days, which are lost when the dog is driven away
    everyone      - cost of the message - P(unsubscribing) * what an unsubscribed customer costs

An unsubscribed customer is valued as in the shops' settings: at the margin of one order, where nothing else is given. Those
who have left for good order nothing; they still click, unsubscribe and cost. What a message does to the answers to later ones
(tiredness) is not part of its worth: it shows in theirs.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle_assets.simulator.baskets import expected_order
from lifecycle_assets.simulator.day import PERSUADABLE, SLEEPING_DOG, SURE_THING, Sends, State, clicking, unsubscribing
from lifecycle_assets.simulator.people import LEAVES, People
from lifecycle_assets.simulator.world import CHANNELS, SEND_HOURS, TIERS, World

HORIZON = 365


@dataclass(frozen=True)
class Costs:
    """In currency: `message`, of one per channel of CHANNELS; `unsubscribed`, of a customer who leaves a channel, the margin of
    an order where it is None."""

    message: np.ndarray
    unsubscribed: float | None = None


@dataclass(frozen=True)
class Worth:
    """Of each message, in currency: margin of orders that it adds, discount given away on orders that come anyway, margin of
    the dogs that it drives away, cost of unsubscribing, and its own cost. All but `added` are losses, written positive."""

    added: np.ndarray
    given_away: np.ndarray
    driven_away: np.ndarray
    unsubscribed: np.ndarray
    cost: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.added - self.given_away - self.driven_away - self.unsubscribed - self.cost


def worth(world: World, people: People, state: State, day: int, sends: Sends, costs: Costs) -> Worth:
    """The worth of each message of a day, as the day begins."""
    amount, margin = expected_order(world, people, day)
    who, kind = sends.who, people.persuasion[sends.who]
    discount = amount[who] * sends.pct / 100
    leaving = margin[who] if costs.unsubscribed is None else costs.unsubscribed
    alive = state.alive[who]
    orders = clicking(world, people, state, day, sends) * people.conversion[who] * alive
    return Worth(
        added=np.where(kind == PERSUADABLE, orders * (margin[who] - discount), 0.0),
        given_away=np.where(kind == SURE_THING, orders * discount, 0.0),
        driven_away=np.where((kind == SLEEPING_DOG) & alive, LEAVES * remaining_orders(people)[who] * margin[who], 0.0),
        unsubscribed=unsubscribing(people, state, who) * leaving,
        cost=costs.message[sends.channel],
    )


def remaining_orders(people: People) -> np.ndarray:
    """Expected own orders of each customer, who has not left, in the next HORIZON days of average season."""
    daily = -np.expm1(-people.purchase_rate)
    return -np.expm1(-daily * people.dropout * HORIZON) / people.dropout


def best(world: World, people: People, state: State, day: int, who: np.ndarray, costs: Costs) -> tuple[Sends, Worth]:
    """What an oracle would send on that day to some of the customers `who`: to each the message of the highest worth, of
    their channels, hours, tiers and contents, and silence where none is worth more than nothing."""
    hours = np.stack([people.by_hour(who, np.full(who.size, hour)) for hour in SEND_HOURS])
    hour, content = np.asarray(SEND_HOURS)[hours.argmax(axis=0)], people.contents[who].argmax(axis=1)
    open_to = people.consents[who] & ~state.unsubscribed[who]
    # The best hour and content are those of the highest response; channel and tier also cost and are tried out.
    ways = [(channel, pct) for channel in range(len(CHANNELS)) for pct in TIERS]

    def sends(of: np.ndarray, channel: np.ndarray, pct: np.ndarray) -> Sends:
        return Sends(who[of], channel, hour[of], pct, content[of], np.ones(of.size))

    everyone = np.arange(who.size)
    values = np.stack(
        [
            np.where(
                open_to[:, channel],
                worth(
                    world,
                    people,
                    state,
                    day,
                    sends(everyone, np.full(who.size, channel), np.full(who.size, pct)),
                    costs,
                ).total,
                -np.inf,
            )
            for channel, pct in ways
        ]
    )
    pays = np.flatnonzero(values.max(axis=0) > 0)
    way = np.asarray(ways)[values[:, pays].argmax(axis=0)]
    chosen = sends(pays, way[:, 0].astype(np.int64), way[:, 1])
    return chosen, worth(world, people, state, day, chosen, costs)
