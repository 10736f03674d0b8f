"""A block of customers from the first day to the last, and on from there night by night.

Blocks are independent of each other, so that any number of customers is simulated in bounded memory. A state holds all that is
needed to go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator
from lifecycle_assets.simulator import service, telling
from lifecycle_assets.simulator.day import Day, Sends, State, live, policy
from lifecycle_assets.simulator.people import People, people
from lifecycle_assets.simulator.world import CHANNELS, CONTENTS, World

BLOCK = 50_000


@dataclass(frozen=True)
class Block:
    """Input tables by name, the truth of each customer, and the state that the next night goes on from."""

    tables: Mapping[str, pl.DataFrame]
    truth: pl.DataFrame
    state: State


def blocks(world: World) -> list[tuple[int, int]]:
    """First and last (exclusive) customer number of each block."""
    return [(first, min(first + BLOCK, world.customers)) for first in range(0, world.customers, BLOCK)]


def past(world: World, first: int, last: int) -> Block:
    """The block's whole past under the random policy."""
    who = people(world, first, last)
    rng = chance_of_past(world, first)
    state = State.fresh(who)
    days = past_days(world, who, state, rng)
    prefix = f"b{first // BLOCK}"
    tables = {
        "customers": telling.customers(world, who),
        "order_lines": telling.order_lines(world, who, days, prefix, rng),
        "engagement": telling.engagement(world, who, days, prefix, rng),
        **service.tables(world, who, state, prefix, rng),
    }
    return Block(tables, _truth(world, who, state), state)


def past_days(world: World, who: People, state: State, rng: np.random.Generator) -> list[tuple[int, Day]]:
    """Each day of the past under the random policy; `state` is changed."""
    return [(day, live(world, who, state, day, policy(world, who, state, day, rng), rng)) for day in range(world.days)]


def chance_of_past(world: World, first: int) -> np.random.Generator:
    """The random numbers of the past of the block that begins with this customer."""
    return generator(world.shop, f"simulator past from {first}", world.seed)


def chance_of_night(world: World, first: int, day: int) -> np.random.Generator:
    """The random numbers of a day after the past."""
    return generator(world.shop, f"simulator night {day} from {first}", world.seed)


def night(world: World, first: int, last: int, state: State, day: int, messages: pl.DataFrame) -> Block:
    """One more day of the block after the past, with the messages that were dispatched for it.

    `messages` has message_id, customer_id, channel, content_type, hour (local), discount_pct and propensity, of any customers;
    those of the block's are received unless the channel was left or never allowed.
    """
    who = people(world, first, last)
    rng = chance_of_night(world, first, day)
    sends, received = arriving(who, state, messages)
    happened = live(world, who, state, day, sends, rng)
    prefix = f"b{first // BLOCK}-d{day}"
    told = telling.engagement(world, who, [(day, happened)], prefix, rng)
    lines = telling.order_lines(world, who, [(day, happened)], prefix, rng)
    if told.height:
        sent_as = pl.DataFrame({"message_id": told["message_id"], "sent_as": received["message_id"]})
        told = told.with_columns(received["message_id"], received["content_type"])
        lines = lines.join(sent_as, on="message_id", how="left", maintain_order="left").with_columns(
            pl.col("sent_as").alias("message_id")
        )
    return Block(
        {"order_lines": lines.drop("sent_as", strict=False), "engagement": told}, _truth(world, who, state), state
    )


def arriving(who: People, state: State, messages: pl.DataFrame) -> tuple[Sends, pl.DataFrame]:
    """The messages (see night) that reach these customers, and the rows of `messages` that they are of."""
    rows = messages.join(pl.DataFrame({"customer_id": who.ids()}).with_row_index("who"), on="customer_id").sort(
        "message_id"
    )
    rows = rows.filter(pl.col("channel").is_in(CHANNELS))
    channel = rows["channel"].replace_strict({name: k for k, name in enumerate(CHANNELS)}, return_dtype=pl.Int64)
    at = rows["who"].cast(pl.Int64).to_numpy()
    allowed = who.consents[at, channel.to_numpy()] & ~state.unsubscribed[at, channel.to_numpy()]
    rows, channel = rows.filter(pl.Series(allowed)), channel.filter(pl.Series(allowed))
    content = rows["content_type"].replace_strict(
        {name: k for k, name in enumerate(CONTENTS)}, default=-1, return_dtype=pl.Int64
    )
    sends = Sends(
        rows["who"].cast(pl.Int64).to_numpy(),
        channel.to_numpy(),
        rows["hour"].cast(pl.Int64).to_numpy(),
        rows["discount_pct"].cast(pl.Float64).fill_null(0.0).to_numpy(),
        content.to_numpy(),
        rows["propensity"].cast(pl.Float64).fill_null(1.0).to_numpy(),
    )
    return sends, rows


def _truth(world: World, who: People, state: State) -> pl.DataFrame:
    died = [world.date(int(day)) if day >= 0 else None for day in state.died]
    return who.truth().with_columns(pl.Series("is_alive", state.alive), pl.Series("left_on", died, dtype=pl.Date))
