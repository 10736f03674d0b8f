"""Who is each customer, in numbers: the one table of features as of a date.

The join of what the orders say, the loyalty score, and what is known beside the orders. Every column is point-in-time:
nothing after as_of enters, so the same table for a past date trains models without leaks.
"""

import polars as pl

from lifecycle_assets.contracts import share, table
from lifecycle_assets.features.behaviour import BehaviourColumns
from lifecycle_assets.features.customer_orders import OrderColumns
from lifecycle_assets.features.per_customer import KEY, PerCustomer


@table("features.customer_features", needs=("raw.web_events", "raw.engagement"))
class CustomerFeatures(PerCustomer, OrderColumns, BehaviourColumns):
    """One row per customer with at least one purchase: features as of as_of."""

    loyalty_score = share("How loyal the customer is among the shop's customers; see features.customer_loyalty.")


def customer_features(
    customer_orders: pl.LazyFrame, customer_loyalty: pl.LazyFrame, customer_behaviour: pl.LazyFrame
) -> pl.LazyFrame:
    """The features of each row of `customer_orders`, in its order; all three hold one row per shop, date and customer."""
    loyalty = customer_loyalty.select(*KEY, "loyalty_score")
    return customer_orders.join(loyalty, on=KEY, how="left", maintain_order="left").join(
        customer_behaviour, on=KEY, how="left", maintain_order="left"
    )
