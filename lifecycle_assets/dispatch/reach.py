"""May each customer be reached, and how?

What contact.standing knows at the end of as_of of every channel, as a table: for people who ask, and for features.profiles.
Decisions and releases ask contact.standing themselves; a release by what is known by then.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.contracts import table
from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.contact import GIVEN, Contacts, standing
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.profiles import ReachColumns
from lifecycle_assets.settings import Shop


@table("dispatch.reach", needs=("raw.customers", "raw.consents"))
class Reach(PerCustomer, ReachColumns):
    """Consent of each customer per channel, and the channels that are open."""


def reach(customers: pl.LazyFrame, contacts: Contacts, *, as_of: dt.date, shop: Shop) -> pl.DataFrame:
    """One row of `Reach` per row of `customers` (columns of the key), sorted by customer_id."""
    channels = list(shop.routing.channels)
    known = standing(customers, contacts, shop.routing, channels, end_of(as_of, shop.timezone))
    is_open = [
        pl.when(
            pl.col(f"consent_{channel}").is_in(list(GIVEN))
            & ~pl.col(f"suppressed_{channel}")
            & ~pl.col("erased")
            & pl.col(f"address_{channel}").is_not_null()
        ).then(pl.lit(channel))
        for channel in channels
    ]
    return (
        customers.select(KEY)
        .join(known, on="customer_id", how="left")
        .with_columns(pl.concat_str(is_open, separator=",", ignore_nulls=True).alias("reachable_by"))
        .select(list(Reach.columns))
        .sort("customer_id")
        .collect()
    )
