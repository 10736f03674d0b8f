"""What did each customer buy, on how many days, and which of it is bought again and again?

Completed lines up to a day, guests and charges left out. A return is taken off: a pair of customer and product counts while
more units were bought than brought back. Lines of one day are one occasion. A product is replenishable when a fair share of
its buyers came back for it on another day; its re-buy gap is the median of those buyers' mean gaps. It is due again for a
customer when that gap will have passed since their last purchase before the horizon ends. Without purchases all is empty.
"""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from lifecycle_assets.settings import Recommendations

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Weights are whole numbers, so that their sums do not depend on the order of the rows.
WEIGHT_UNIT = 1 << 20
UNITS = 10_000


@dataclass(frozen=True)
class Purchases:
    """`customers` and `items` in order; `pairs` has a row for each customer and item bought, ordered by both:

    customer, item       positions in `customers` and `items`
    days                 days with a purchase
    first_date, last_date
    weight               the days' weights, halved for every half-life that has passed since
    last_weight          the weight of the last day
    gap_days             the item's re-buy gap; null where nobody bought it again
    is_due               the item is replenishable and due again
    """

    customers: pl.Series
    items: pl.Series
    pairs: pl.DataFrame

    def matrix(self, values: pl.Series) -> "csr_matrix":
        """Customers x items, one value for each pair, as float32."""
        from scipy.sparse import csr_matrix

        at = (self.pairs["customer"].to_numpy(), self.pairs["item"].to_numpy())
        shape = (self.customers.len(), self.items.len())
        return csr_matrix((values.to_numpy().astype(np.float32), at), shape=shape)


def purchases(
    order_lines: pl.LazyFrame,
    customers: pl.Series,
    catalogue: pl.Series,
    as_of: dt.date,
    settings: Recommendations,
) -> Purchases:
    """The purchases up to `as_of` of these customers (in order), out of raw.order_lines; items are those of the `catalogue`
    and all that were bought."""
    pairs = _pairs(order_lines, as_of, settings.half_life_days)
    pairs = pairs.join(customers.alias("customer_id").to_frame().with_row_index("customer"), on="customer_id")
    items = pl.concat([catalogue.alias("product_id"), pairs["product_id"]]).unique().sort()
    pairs = pairs.join(items.to_frame().with_row_index("item"), on="product_id").drop("customer_id", "product_id")
    # One number is sorted by in half the time of two.
    pairs = pairs.sort(pl.col("customer").cast(pl.UInt64) * items.len() + pl.col("item"))
    again = _rebuying(pairs, settings.rebuy_share)
    age = (pl.lit(as_of) - pl.col("last_date")).dt.total_days()
    is_due = pl.col("is_replenishable") & (age + settings.horizon_days >= pl.col("gap_days"))
    pairs = pairs.join(again, on="item", how="left", maintain_order="left").with_columns(
        is_due=is_due.fill_null(value=False)
    )
    columns = ["customer", "item", "days", "first_date", "last_date", "weight", "last_weight", "gap_days", "is_due"]
    return Purchases(customers, items, pairs.select(columns))


def catalogue(products: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.date) -> pl.DataFrame:
    """What is known of the products on sale by `as_of`: product_id, name, category, brand, metadata, inventory_level, ordered.

    Out of raw.products, and for products or categories that it lacks the lines' own category (of several the first in the
    alphabet).
    """
    launched = pl.col("launched_at").is_null() | (pl.col("launched_at").dt.date() <= as_of)
    of_lines = (
        order_lines.filter((pl.col("order_date") <= as_of) & pl.col("product_id").is_not_null())
        .group_by("product_id")
        .agg(pl.col("category").min().alias("category_of_lines"))
    )
    known = products.filter(launched).select("product_id", "name", "category", "brand", "metadata", "inventory_level")
    return (
        known.join(of_lines, on="product_id", how="full", coalesce=True)
        .with_columns(pl.coalesce("category", "category_of_lines").alias("category"))
        .drop("category_of_lines")
        .sort("product_id")
        .collect()
    )


def holdout(order_lines: pl.LazyFrame, split: dt.date, as_of: dt.date) -> pl.DataFrame:
    """Distinct customer_id and product_id bought after `split`, up to `as_of`."""
    later = order_lines.filter(pl.col("order_date") > split)
    return _pairs(later, as_of, half_life_days=1).select("customer_id", "product_id").sort(pl.all())


def _pairs(order_lines: pl.LazyFrame, as_of: dt.date, half_life_days: int) -> pl.DataFrame:
    age = (pl.lit(as_of) - pl.col("order_date")).dt.total_days()
    weight = (WEIGHT_UNIT * 0.5 ** (age / half_life_days)).round().cast(pl.Int64)
    is_sale = pl.col("units") > 0
    return (
        order_lines.filter(
            (pl.col("status") == "completed")
            & (pl.col("order_date") <= as_of)
            & pl.col("customer_id").is_not_null()
            & pl.col("product_id").is_not_null()
        )
        .group_by("customer_id", "product_id", "order_date")
        .agg((pl.col("quantity") * UNITS).round().cast(pl.Int64).sum().alias("units"))
        .with_columns(pl.when(is_sale).then("order_date").alias("day"), pl.when(is_sale).then(weight).alias("weight"))
        .group_by("customer_id", "product_id")
        .agg(
            pl.col("units").sum(),
            pl.col("day").count().cast(pl.Int64).alias("days"),
            pl.col("day").min().alias("first_date"),
            pl.col("day").max().alias("last_date"),
            pl.col("weight").sum(),
            pl.col("weight").max().alias("last_weight"),
        )
        .filter((pl.col("units") > 0) & (pl.col("days") > 0))
        .drop("units")
        .collect()
    )


def _rebuying(pairs: pl.DataFrame, least_share: float) -> pl.DataFrame:
    """For each item bought: is_replenishable and gap_days."""
    came_back = pl.col("days") > 1
    gap = (pl.col("last_date") - pl.col("first_date")).dt.total_days() / (pl.col("days") - 1)
    return pairs.group_by("item").agg(
        gap.filter(came_back).median().alias("gap_days"),
        (came_back.mean() >= least_share).alias("is_replenishable"),
    )
