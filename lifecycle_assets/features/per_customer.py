"""The key of every table with one row per customer."""

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, key, shop_key

KEY = ["shop_id", "as_of", "customer_id"]


class PerCustomer(dy.Schema):
    """One row per customer with at least one purchase on or before as_of."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer: anyone with at least one purchase on or before as_of.")
