"""Messages to the simulator's customers as models.message_evidence tells of them, and what their customers truly are."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator
from lifecycle_assets.models import cadence_posteriors as cadences
from lifecycle_assets.models import channel_posteriors as channels
from lifecycle_assets.models import discount_posteriors as discounts
from lifecycle_assets.models import nba_scores as contents
from lifecycle_assets.models.evidence import Evidence, gathered
from lifecycle_assets.models.response_cells import Rates, expected_rates
from lifecycle_assets.settings import Routing, Shop
from lifecycle_assets.simulator.day import Sends, State, live, policy
from lifecycle_assets.simulator.people import People, people
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, World

START = dt.date(2024, 1, 1)
SHOP = "messages"
TICKET, MARGIN = 60.0, 0.4
Policy = Callable[[World, People, State, int, np.random.Generator], Sends]


@dataclass(frozen=True)
class Messages:
    """`who`, `channel` and so on of each message in `sends`; `load` and `clicked` beside it."""

    people: People
    as_of: dt.date
    evidence: pl.LazyFrame
    segments: pl.LazyFrame
    who: np.ndarray
    channel: np.ndarray

    def rates(self) -> np.ndarray:
        """The true response rate of each customer, on average over the channels of the messages that they got."""
        sent = np.bincount(self.who, minlength=self.people.size)
        total = np.bincount(self.who, self.people.rates[self.who, self.channel], minlength=self.people.size)
        return total / np.maximum(sent, 1)


def messages(customers: int, days: int, seed: int, chosen: Policy = policy, **world: Any) -> Messages:
    """The past of a simulated shop. Segments go by how often one buys, blurred."""
    simulated = World(SHOP, START, days, customers, seed=seed, joining=1.0, **world)
    who, rng = people(simulated, 0, customers), generator(SHOP, "past", seed)
    state = State.fresh(who)
    parts = []
    for day in range(days):
        sends = chosen(simulated, who, state, day, rng)
        load = state.sent[sends.who].sum(axis=1)
        happened = live(simulated, who, state, day, sends, rng)
        # Nobody stays away, so that what customers do is known of everyone.
        state.unsubscribed[:] = False
        parts.append((day, sends, load, happened))
    number, channel, hour, pct, content, propensity = (
        np.concatenate([getattr(sends, name) for _, sends, _, _ in parts])
        for name in ("who", "channel", "hour", "pct", "content", "propensity")
    )
    day = np.concatenate([np.full(sends.who.size, day) for day, sends, _, _ in parts])
    weekday = (START.weekday() + day) % 7
    evidence = pl.DataFrame(
        {
            "message_id": pl.select(pl.format("M{}", pl.int_range(day.size))).to_series(),
            "customer_id": who.ids().gather(number),
            "channel": np.asarray(CHANNELS)[channel],
            "content_type": np.asarray(CONTENTS)[content],
            "discount_pct": pct,
            "sent_on": pl.Series(day).cast(pl.Int64),
            "hour_of_week": weekday * 24 + hour,
            "messages_7d": np.concatenate([load for _, _, load, _ in parts]).astype(np.int64),
            "responded": np.concatenate([happened.clicked for *_, happened in parts]),
            "ordered": np.concatenate([happened.converted for *_, happened in parts]),
            "unsubscribed": np.concatenate([happened.left for *_, happened in parts]),
            "propensity": propensity,
        }
    ).with_columns(sent_on=pl.lit(START) + pl.duration(days="sent_on"))
    blurred = np.log(who.purchase_rate) + rng.normal(0, 0.8, customers)
    place = np.argsort(np.argsort(blurred)) * 3 // customers
    segments = pl.DataFrame({"customer_id": who.ids(), "segment": np.asarray(["low", "middle", "high"])[place]})
    as_of = START + dt.timedelta(days=days)
    return Messages(who, as_of, evidence.lazy(), segments.lazy(), number, channel)


def shop(half_life_days: float = 90.0, **posteriors: Any) -> Shop:
    """The shop of these messages: all its channels are in use."""
    enabled: dict[str, Any] = {name: {"enabled": True} for name in CHANNELS}
    enabled["whatsapp"]["approved_templates"] = {"winback": "winback_1"}
    chosen = {"half_life_days": half_life_days, **posteriors}
    routing = Routing.model_validate({"channels": enabled, "posteriors": chosen})
    return Shop(name="Messages", timezone="UTC", currency="EUR", country="ES", input="orders", routing=routing)


# What customers are does not change in these worlds, and no message is forgotten.
SETTINGS = shop(half_life_days=100_000)


def orders(world: Messages, margin: float = MARGIN) -> pl.LazyFrame:
    """What the tables read of features.customer_orders: everyone's average order and margin are the same."""
    total = pl.lit(10 * TICKET)
    return world.segments.select(
        "customer_id", avg_ticket=pl.lit(TICKET), purchase_total=total, margin_total=total * margin
    )


def channel_posteriors(world: Messages, of: Shop) -> pl.LazyFrame:
    """models.channel_posteriors of these messages."""
    nobody = pl.LazyFrame(schema={"customer_id": pl.String, "preferred_channel": pl.String, "reachable_by": pl.String})
    return channels.channel_posteriors(
        _gathered(world, of), orders(world), nobody, nobody, shop_id=SHOP, as_of=world.as_of, shop=of
    ).lazy()


def discount_posteriors(
    world: Messages, evidence: pl.LazyFrame | None = None, margin: float = MARGIN, **settings: Any
) -> pl.DataFrame:
    """models.discount_posteriors of these messages, or of other `evidence` with the same channels' rates."""
    of = shop(100_000, **settings)
    found = discounts.discount_posteriors(
        _gathered(world, of, evidence),
        _rates(world),
        orders(world, margin),
        shop_id=SHOP,
        as_of=world.as_of,
        routing=of.routing,
    )
    discounts.DiscountPosteriors.require(found)
    return found


def nba_scores(world: Messages, evidence: pl.LazyFrame | None = None) -> pl.DataFrame:
    """models.nba_scores, likewise."""
    told = _gathered(world, SETTINGS, evidence)
    found = contents.nba_scores(told, _rates(world), shop_id=SHOP, as_of=world.as_of, routing=SETTINGS.routing)
    contents.NbaScores.require(found)
    return found


def cadence_posteriors(
    world: Messages, evidence: pl.LazyFrame | None = None, routing: Routing = SETTINGS.routing
) -> pl.DataFrame:
    """models.cadence_posteriors, likewise."""
    told = _gathered(world, SETTINGS, evidence)
    found = cadences.cadence_posteriors(told, _rates(world), shop_id=SHOP, as_of=world.as_of, routing=routing)
    cadences.CadencePosteriors.require(found)
    return found


def _gathered(world: Messages, of: Shop, evidence: pl.LazyFrame | None = None) -> Evidence:
    half_life_days = of.routing.posteriors.half_life_days
    return gathered(world.evidence if evidence is None else evidence, world.segments, world.as_of, half_life_days)


def _rates(world: Messages) -> Rates | None:
    customers = world.segments.select("customer_id", "segment").collect().sort("customer_id")
    return expected_rates(channel_posteriors(world, SETTINGS), customers)
