"""What a night of messages was worth by the truth, customer by customer (simulator/worth.py).

All policies are judged alike: beside what was sent stands what an oracle would have sent to the same customers in the same
state. The difference is the policy's regret. Nobody can learn from responses what the oracle knows of persuasion, so that the
choice of the message is judged apart from whom it goes to: were all of those who are sent something persuadable, what would
their messages be worth, and what the best message to each of them?
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lifecycle_assets.settings import Routing
from lifecycle_assets.simulator.day import PERSUADABLE, SLEEPING_DOG, Sends, State, clicking
from lifecycle_assets.simulator.people import People
from lifecycle_assets.simulator.world import CHANNELS, World
from lifecycle_assets.simulator.worth import Costs, best, worth

RULES = Routing.model_validate({}).contact
COST = {"email": 0.001, "sms": 0.05, "push": 0.0, "whatsapp": 0.06}
PARTS = ("channel", "hour", "tier", "content")


@dataclass(frozen=True)
class Shop:
    """A simulated shop, and what a customer who leaves a channel costs it (the margin of an order where that is None)."""

    world: World
    unsubscribed: float | None

    @property
    def costs(self) -> Costs:
        return Costs(np.array([COST[channel] for channel in CHANNELS]), self.unsubscribed)


def may_be_written_to(state: State, bought: np.ndarray, day: int) -> np.ndarray:
    """Whom the contact rules leave free on that day; `bought` is the day of the last purchase, -1 for none."""
    load = state.sent[:, : RULES.cap.days - 1].sum(axis=1)
    return (load < RULES.cap.messages) & (bought >= 0) & (day - 1 - bought >= RULES.cooldown_purchase_days)


def judged(shop: Shop, who: People, state: State, day: int, free: np.ndarray, sends: Sends) -> pl.DataFrame:
    """A row per customer of `free`, who may be written to, or of `sends`, at most one message each: customer, day, is_dog,
    is_alive (has not left for good); oracle, the worth of the oracle's message; and of those who are sent something worth and
    driven_away, the margin of dogs that worth is less by.

    Of those to whom some message would be worth something, were they persuadable, also choice and best_choice (the worth
    of their message if they were, and of the best one), clicks and best_clicks (their chances), and for each of PARTS the
    part's factor of the response over that of the best message."""
    world, costs = shop.world, shop.costs
    oracle, oracle_worth = best(world, who, state, day, free, costs)
    movable = replace(who, persuasion=np.full(who.size, PERSUADABLE))
    ideal, ideal_worth = best(world, movable, state, day, sends.who, costs)
    value = worth(world, who, state, day, sends, costs)
    of_sends = pl.DataFrame(
        {
            "customer": sends.who,
            "worth": value.total,
            "driven_away": value.driven_away,
            "choice": worth(world, movable, state, day, sends, costs).total,
            "clicks": clicking(world, who, state, day, sends),
            **_factors(who, sends),
        }
    )
    of_ideal = pl.DataFrame(
        {
            "customer": ideal.who,
            "best_choice": ideal_worth.total,
            "best_clicks": clicking(world, who, state, day, ideal),
            **{f"best_{part}": factor for part, factor in _factors(who, ideal).items()},
        }
    )
    of_oracle = pl.DataFrame({"customer": oracle.who, "oracle": oracle_worth.total})
    rows = pl.DataFrame({"customer": np.union1d(free, sends.who)})
    everyone = rows["customer"].to_numpy()
    worthwhile = pl.col("best_choice").is_not_null()
    return (
        rows.with_columns(
            pl.lit(day).alias("day"),
            is_alive=pl.Series(state.alive[everyone]),
            is_dog=pl.Series(who.persuasion[everyone] == SLEEPING_DOG),
        )
        .join(of_oracle, on="customer", how="left")
        .join(of_sends, on="customer", how="left")
        .join(of_ideal, on="customer", how="left")
        .with_columns(
            pl.col("oracle").fill_null(0.0),
            *(pl.when(worthwhile).then(name) for name in ("choice", "clicks")),
            *((pl.col(part) / pl.col(f"best_{part}")).alias(part) for part in PARTS),
        )
        .drop(f"best_{part}" for part in PARTS)
    )


def _factors(who: People, sends: Sends) -> dict[str, np.ndarray]:
    """The factors of the response of each message, by PARTS."""
    return {
        "channel": who.rates[sends.who, sends.channel],
        "hour": who.by_hour(sends.who, sends.hour),
        "tier": who.by_discount(sends.who, sends.pct),
        "content": who.contents[sends.who, sends.content],
    }
