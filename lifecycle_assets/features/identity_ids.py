"""Under which ids does the shop know anyone?

Every customer id that a raw table names up to as_of, and every visitor id of the web events together with each customer
who was signed in under it. Whose they are is told by features.identity_map.
"""

import datetime as dt

import dataframely as dy

from lifecycle_assets.contracts import as_of_column, key, shop_key, table
from lifecycle_assets.days import end_of
from lifecycle_assets.sql import Sql, load

ID_TYPES = ["customer_id", "anonymous_id"]


@table("features.identity_ids")
class IdentityIds(dy.Schema):
    """Every id that the raw tables name up to as_of, before any of them are linked."""

    shop_id = shop_key()
    as_of = as_of_column()
    id_type = dy.String(
        primary_key=True, check=lambda column: column.is_in(ID_TYPES), description=f"One of: {', '.join(ID_TYPES)}."
    )
    id = key("The id.")
    customer_id = key("The customer id itself; for a visitor id, a customer who was signed in under it.")


def identity_ids(shop: str, as_of: dt.date, timezone: str) -> Sql:
    """The ids known at the end of `as_of` in `timezone` (an IANA zone): a statement for IdentityIds."""
    return load("lifecycle_assets.features", "identity_ids", shop=shop, as_of=as_of, until=end_of(as_of, timezone))
