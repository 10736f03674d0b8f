"""Which categories does each customer buy from, and how often?

Set-based roll-up of the completed lines sold, of all history. Lines without a category count nowhere, so that a customer
of such lines alone has no row.
"""

import datetime as dt

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, count, date, key, shop_key, table
from lifecycle_assets.sql import Sql, load


@table("features.customer_categories")
class CustomerCategories(dy.Schema):
    """One row per customer and category of which they bought a line on or before as_of."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    category = key("Product category, of the line or else of the product.")
    lines = count("Lines bought.", "lines", minimum=1)
    first_date = date("Date of the first of them.")


def customer_categories(shop: str, as_of: dt.date) -> Sql:
    """What each customer bought from each category as of `as_of`: a statement for CustomerCategories."""
    return load("lifecycle_assets.features", "customer_categories", shop=shop, as_of=as_of)
