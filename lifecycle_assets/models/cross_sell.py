"""What is bought together more often than chance would have it?

Association of items and of categories over baskets (Agrawal, Imielinski and Swami, Mining association rules, 1993):
confidence(i -> j) is the share of the baskets with i that hold j too, lift is that share over j's share of all baskets. The
95 % interval of the lift is that of its logarithm by the delta method on multinomial counts,

    var(log lift) = 1 / n_ij - 1 / n_i - 1 / n_j + (2 lift - 1) / n,

which covers the truth in 94 to 96 of 100 shops once the pair is expected in ten baskets or more. A pair whose lower bound is
above 1 is significant, one by one: of many pairs that have nothing to do with each other, some three in a hundred are.
Sold lines count, an item once per basket; a guest's order is a basket as well. Pairs below `min_support` are left out, items
below it too. Without baskets, or without categories, the level has no rows.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import as_of_column, count, flag, number, shop_key, table
from lifecycle_assets.contracts import key as key_column
from lifecycle_assets.hashing import SEPARATOR
from lifecycle_assets.settings import CrossSell

LEVELS = ["category", "item"]


@table("models.cross_sell_matrix")
class CrossSellMatrix(dy.Schema):
    """Which items, and which categories, stand in the same baskets: every ordered pair with enough support."""

    shop_id = shop_key()
    as_of = as_of_column()
    level = dy.String(
        primary_key=True, check=lambda column: column.is_in(LEVELS), description=f"One of: {', '.join(LEVELS)}."
    )
    item_i = key_column("The product or category that is in the basket.")
    item_j = key_column("The one that goes with it; item_i itself on the diagonal.")
    support_i = count("Baskets with item_i.", "baskets", minimum=1)
    support_j = count("Baskets with item_j.", "baskets", minimum=1)
    support_ij = count("Baskets with both.", "baskets", minimum=1)
    confidence = number(
        "support_ij / support_i; in the symmetric variant the mean of both directions; 1 on the diagonal.",
        "share 0..1",
        minimum=0,
        maximum=1,
    )
    lift = number("support_ij over what it would be if the two had nothing to do with each other.", "ratio", minimum=0)
    lift_lo = number("Lower end of the lift's 95 % interval; null on the diagonal.", "ratio", nullable=True, minimum=0)
    lift_hi = number("Upper end of the lift's 95 % interval; null on the diagonal.", "ratio", nullable=True, minimum=0)
    significant = flag("lift_lo is above 1.")


def cross_sell_matrix(
    order_lines: pl.LazyFrame, products: pl.LazyFrame, shop: str, as_of: dt.date, settings: CrossSell
) -> pl.DataFrame:
    """The pairs of both levels, the most supported item_i first and within it the most frequent companion.

    `order_lines` and `products` are raw.order_lines and raw.products; a line's category is its own, else its product's.
    """
    sold = (pl.col("status") == "completed") & (pl.col("quantity") > 0) & (pl.col("order_date") <= as_of)
    if settings.window_days is not None:
        sold &= pl.col("order_date") > as_of - dt.timedelta(days=settings.window_days)
    # An order is unique within its customer only.
    basket = ["customer_id"] if settings.basket == "customer" else ["customer_id", "order_id"]
    lines = (
        order_lines.filter(sold)
        .filter(pl.col("customer_id").is_not_null() | pl.lit(settings.basket == "order"))
        .join(products.select("product_id", of_product="category"), on="product_id", how="left")
        .select(
            pl.concat_str(pl.col(basket).fill_null(""), separator=SEPARATOR).cast(pl.Categorical).alias("basket"),
            pl.col("product_id").alias("item"),
            pl.coalesce("category", "of_product").alias("category"),
        )
        .collect()
    )
    levels = [_pairs(lines.select("basket", item=level).drop_nulls(), level, settings) for level in LEVELS]
    frame = pl.concat(levels)
    order = {"level": False, "support_i": True, "item_i": False, "support_ij": True, "item_j": False}
    return frame.sort(list(order), descending=list(order.values())).select(
        pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.all()
    )


def strongest(matrix: pl.DataFrame, level: str, n: int) -> pl.DataFrame:
    """The `n` significant pairs of a level with the highest lower bound of lift, each pair once, with a sentence."""
    return (
        matrix.filter((pl.col("level") == level) & pl.col("significant") & (pl.col("item_i") < pl.col("item_j")))
        .sort("lift_lo", "item_i", "item_j", descending=[True, False, False])
        .head(n)
        .with_columns(
            pl.format(
                "{} and {} are bought together {} times as often as chance would have it (at least {} times), in {} baskets.",
                "item_i", "item_j", pl.col("lift").round(1), pl.col("lift_lo").round(1), "support_ij",
            ).alias("interpretation")
        )
    )  # fmt: skip


def _pairs(lines: pl.DataFrame, level: str, settings: CrossSell) -> pl.DataFrame:
    """The rows of one level from lines (basket, item) without nulls."""
    if lines.is_empty():
        return CrossSellMatrix.empty().drop("shop_id", "as_of")
    # Numba takes a third of a second to import and most processes never count a pair.
    from lifecycle_assets.models.cross_sell_kernel import pair_counts

    names = lines["item"].unique().sort()
    items = lines["item"].cast(pl.Enum(names)).to_physical().to_numpy()
    n, support, (larger, smaller, both) = pair_counts(
        lines["basket"].to_physical().to_numpy(), items, names.len(), settings.min_support
    )
    kept = np.flatnonzero(support >= settings.min_support)
    # Each pair in both directions, and the diagonal.
    i, j = np.concatenate([larger, smaller, kept]), np.concatenate([smaller, larger, kept])
    n_i, n_j, n_ij = support[i], support[j], np.concatenate([both, both, support[kept]])
    confidence = (n_ij / n_i + n_ij / n_j) / 2 if settings.symmetric else n_ij / n_i
    lift = n_ij * n / (n_i * n_j)
    variance = 1 / n_ij - 1 / n_i - 1 / n_j + (2 * lift - 1) / n
    spread = np.exp(Z * np.sqrt(np.maximum(variance, 0)))
    is_pair = pl.Series(i != j)
    frame = pl.DataFrame(
        {
            "level": pl.repeat(level, i.size, eager=True),
            "item_i": names.gather(i),
            "item_j": names.gather(j),
            "support_i": n_i,
            "support_j": n_j,
            "support_ij": n_ij,
            "confidence": confidence,
            "lift": lift,
            "lift_lo": lift / spread,
            "lift_hi": lift * spread,
        }
    )
    bounds = pl.when(is_pair).then(pl.col("lift_lo", "lift_hi"))
    return frame.with_columns(bounds).with_columns(significant=(pl.col("lift_lo") > 1).fill_null(value=False))
