"""What did the shop know of its customers at the end of a past day?

The statements of the nightly roll-ups, run again as of that day, from the raw lines up: an order's later return, or anything
else that came after, is not in them. Models are trained and backtested on such snapshots.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.customer_orders import CustomerOrders, customer_orders
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.settings import Customer
from lifecycle_assets.sql import Sql


@dataclass(frozen=True)
class Snapshot:
    """features.orders and features.customer_orders as they would have been at the end of `as_of`."""

    as_of: dt.date
    orders: pl.DataFrame
    customer_orders: pl.DataFrame


def statements(shop: str, as_of: dt.date, settings: Customer) -> Sequence[tuple[Contract, Sql]]:
    """The roll-ups of a snapshot in the order in which they are run; each may read the ones before it."""
    return [(Orders, orders(shop, as_of)), (CustomerOrders, customer_orders(shop, as_of, settings))]
