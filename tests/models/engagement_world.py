"""The raw tables of a simulated shop's past, and who its customers truly are."""

import datetime as dt
from functools import cache
from typing import NamedTuple

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.inputs.contracts import Customers, Engagement, OrderLines
from lifecycle_assets.models.message_evidence import message_evidence
from lifecycle_assets.settings import Shop
from lifecycle_assets.simulator.people import People, people
from lifecycle_assets.simulator.simulation import past
from lifecycle_assets.simulator.world import World

START = dt.date(2025, 1, 1)
SHOP = Shop.model_validate(
    {
        "name": "Simulated",
        "timezone": "America/New_York",
        "currency": "USD",
        "country": "US",
        "input": "x",
        "routing": {"channels": {"sms": {"enabled": True}, "push": {"enabled": True}}},
    }
)


class Lived(NamedTuple):
    """The raw tables of a simulated past, its last day and who the customers are."""

    engagement: pl.LazyFrame
    order_lines: pl.LazyFrame
    customers: pl.LazyFrame
    as_of: dt.date
    people: People
    truth: pl.DataFrame

    def slice(self, as_of: dt.date | None = None, after: dt.date | None = None) -> pl.DataFrame:
        """The evidence of one night."""
        return message_evidence(
            self.engagement,
            self.order_lines,
            self.customers,
            shop_id="sim",
            as_of=as_of or self.as_of,
            shop=SHOP,
            after=after,
        ).collect()

    def segments(self) -> pl.LazyFrame:
        """The kinds of people, in the place of loyalty segments."""
        return self.truth.select("customer_id", segment=pl.format("group {}", "group")).sort("customer_id").lazy()


def raw(contract: Contract, frame: pl.DataFrame) -> pl.LazyFrame:
    """Rows under a raw table's contract; columns not given are null."""
    given = frame.columns
    return frame.lazy().select(
        (pl.col(name) if name in given else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in contract.polars_schema.items()
    )


@cache
def lived(customers: int = 3_000, days: int = 240, seed: int = 1, messages_per_month: float = 4.0) -> Lived:
    world = World("sim", START, days, customers, seed=seed, messages_per_month=messages_per_month)
    block = past(world, 0, customers)
    lines = block.tables["order_lines"].with_columns(status=pl.lit("completed"))
    return Lived(
        raw(Engagement, block.tables["engagement"]),
        raw(OrderLines, lines),
        raw(Customers, block.tables["customers"]),
        world.date(days - 1),
        people(world, 0, customers),
        block.truth,
    )
