"""What did the shop know of its customers at the end of a past day?

The statements of the nightly roll-ups, run again as of that day, from the raw lines up: an order's later return, or anything
else that came after, is not in them. Models are trained and backtested on such snapshots.

Subscriptions are the slice that the night of that day left, where there was one. Else they are told from tonight's rows by
their dates: what began later is not there, what was cancelled later was running. Plan, usage, quota, balance and a top-up
that came later are then unknown, since the input keeps the latest alone.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.days import end_of
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.customer_orders import CustomerOrders, customer_orders
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.settings import Customer
from lifecycle_assets.sql import Sql

# What the input knows of a subscription tonight alone.
LATEST_ALONE = ("plan", "balance", "quota", "used")


@dataclass(frozen=True)
class Snapshot:
    """features.orders and features.customer_orders as they would have been at the end of `as_of`, and, where they were asked
    for, features.customer_behaviour and raw.subscriptions (of profiles)."""

    as_of: dt.date
    orders: pl.DataFrame
    customer_orders: pl.DataFrame
    customer_behaviour: pl.DataFrame | None = None
    subscriptions: pl.DataFrame | None = None


def statements(
    shop: str, as_of: dt.date, settings: Customer, timezone: str | None = None
) -> Sequence[tuple[Contract, Sql]]:
    """The roll-ups of a snapshot in the order in which they are run; each may read the ones before it. With `timezone`,
    whose days they go by, visits, messages and the like as well."""
    rolled = [(Orders, orders(shop, as_of)), (CustomerOrders, customer_orders(shop, as_of, settings))]
    if timezone is not None:
        rolled.append((CustomerBehaviour, customer_behaviour(shop, as_of, timezone, settings.nps.question)))
    return rolled


def subscriptions_at(tonight: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """What `tonight`, raw.subscriptions of a later night, still tells of the end of `as_of`."""
    end = end_of(as_of, timezone)
    later = [pl.when(pl.col(name) < end).then(pl.col(name)).alias(name) for name in ("cancelled_at", "topped_up_at")]
    return tonight.filter(pl.col("started_at") < end).with_columns(
        *later, *(pl.lit(None, dtype=Subscriptions.polars_schema[name]).alias(name) for name in LATEST_ALONE)
    )
