"""What did each known customer order, when, and what did it come to?

One row per order out of its completed lines. An order is dated by its first line; a return under the same order reduces
that order, a return under an order of its own is a row of negative amount. Orders that come to nothing or less are kept
but are no purchases. Guests are left out. A cost is the line's own, else the product's; one unknown cost makes the
order's margin unknown.
"""

import datetime as dt

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, money, shop_key, table, text
from lifecycle_assets.sql import Sql, load


@table("features.orders")
class Orders(dy.Schema):
    """Every order of a known customer up to as_of, one row each, made of its completed lines."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The buyer.")
    order_id = key("The order, unique within the customer.")
    order_date = date("Local date of the order's first line.")
    amount = money("Sum of the lines' amounts, returns under this order taken off.")
    margin = money("Amount less the cost of the units; null when the cost of any line is unknown.", nullable=True)
    units = dy.Float64(description="Units, returned ones taken off.", metadata={"unit": "units"})
    lines = count("Lines.", "lines", minimum=1)
    discount = money("Discounts on the lines.", minimum=0)
    is_purchase = flag("True when the order comes to more than 0: a purchase occasion.")
    sales_channel = text("Where the order came from; the first in the alphabet where its lines differ.")
    country = text("Country of the order; the first in the alphabet where its lines differ.")


def orders(shop: str, as_of: dt.date) -> Sql:
    """The orders of each known customer up to `as_of`, all history whatever the observation window: a statement for
    Orders."""
    return load("lifecycle_assets.features", "orders", shop=shop, as_of=as_of)
