"""Which products should be shown to each customer next?

The way of recommending that foretold the last weeks' purchases best (models.recommendation_evaluation) fills the list; where
it has too few items, als, then the texts of the products, then what the customer's RFM tier buys go on. What a customer has is
left out unless the product is replenishable and due again (see purchases.py); so is what is out of stock, and what has the
name of a better one. Each row names the purchase that it follows from: the customer's own item that is most alike to the
listed one. The table is made in blocks of customers as it is written, so that it is never there at once. Without customers or
products it is empty.
"""

import datetime as dt
from collections.abc import Iterator

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.blocks import one_after_another
from lifecycle_assets.contracts import as_of_column, key, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.als import unit_length
from lifecycle_assets.models.purchases import catalogue, purchases
from lifecycle_assets.models.rankers import WAYS, Lists, Rankers, groups, learn, top_lists
from lifecycle_assets.settings import Recommendations

SOURCES = ["als", "content", "popular", "buy_again"]
GO_ON = ["als", "content", "popular"]
BLOCK_CUSTOMERS = 50_000


@table("models.user_recommendations")
class UserRecommendations(dy.Schema):
    """The products to show to each customer, best first, each with the purchase that it follows from."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    rank = dy.Int64(primary_key=True, min=1, max=100, description="Place in the customer's list, from 1.")
    item_id = text("The product.", nullable=False)
    score = share("How strongly its way of recommending is for it; comparable between lists of one source only.")
    source = text("Where it comes from.", nullable=False, values=SOURCES)
    because_id = text("The product bought that it follows from; null where it follows from none.")
    explanation = text("The reason in words.", nullable=False)


def user_recommendations(
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    customer_rfm: pl.LazyFrame,
    recommendation_evaluation: pl.LazyFrame,
    shop: str,
    as_of: dt.date,
    settings: Recommendations,
    seed: int,
) -> pl.LazyFrame:
    """At most `settings.k` rows for each customer of features.customer_rfm, ordered by customer_id and rank."""
    segments = customer_rfm.select("customer_id", "rfm_tier").sort("customer_id").collect()
    on_sale = catalogue(products, order_lines, as_of)
    bought = purchases(order_lines, segments["customer_id"], on_sale["product_id"], as_of, settings)
    if segments.is_empty() or bought.items.is_empty():
        return UserRecommendations.empty().lazy()
    rankers = learn(bought, segments["rfm_tier"], on_sale, settings, generator(shop, UserRecommendations.name, seed))
    chosen = recommendation_evaluation.filter("chosen").select("model").collect()["model"].to_list()
    ways = [way for way in dict.fromkeys([*chosen, *GO_ON]) if way in rankers.ways]
    shelf = (
        bought.items.alias("product_id").to_frame().join(on_sale, on="product_id", how="left", maintain_order="left")
    )
    is_open = (shelf["inventory_level"].fill_null(1) > 0).to_numpy()
    kinds = groups(on_sale, bought.items)
    names = shelf.select(pl.coalesce("name", "product_id")).to_series()
    stamp = [pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of")]

    def blocks() -> Iterator[pl.DataFrame]:
        for first in range(0, segments.height, BLOCK_CUSTOMERS):
            block = segments[first : first + BLOCK_CUSTOMERS]
            customers = np.arange(first, first + block.height)
            lists = top_lists(rankers, ways, customers, settings.k, kinds, settings.max_per_category, is_open)
            own = bought.pairs.filter(pl.col("customer").is_between(first, first + block.height - 1))
            own = own.with_columns(pl.col("customer") - first)
            yield _rows(rankers, lists, own, block, names).select(*stamp, pl.all())

    return one_after_another(blocks, UserRecommendations.polars_schema)


def _rows(rankers: Rankers, lists: Lists, own: pl.DataFrame, segments: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    """The rows of some customers: their lists, their own purchases, and their segments, each counted from 0."""
    items = rankers.bought.items
    customer, place = np.nonzero(lists.items >= 0)
    listed = pl.DataFrame(
        {
            "customer": customer.astype(np.uint32),
            "rank": place + 1,
            "item": lists.items[customer, place].astype(np.uint32),
            "score": lists.scores[customer, place].astype(np.float64),
            "way": lists.ways[customer, place],
        }
    )
    known = own.select("customer", "item", "days", "last_date", "gap_days")
    listed = listed.join(known, on=["customer", "item"], how="left", maintain_order="left")
    is_new = pl.Series(rankers.is_new).gather(listed["item"])
    way = pl.col("way").replace_strict(dict(enumerate(WAYS)), return_dtype=pl.String)
    source = (
        pl.when(pl.col("days").is_not_null()).then(pl.lit("buy_again"))
        .when(way.is_in(["als", "blend"]) & is_new).then(pl.lit("content"))
        .when(way == "blend").then(pl.lit("als"))
        .otherwise(way)
    )  # fmt: skip
    listed = listed.with_columns(source.alias("source"))
    followed = pl.Series(_followed(rankers, own, lists.items.shape, listed)).replace(-1, None)
    because = pl.when(pl.col("source") == "buy_again").then("item").otherwise(followed)
    listed = listed.with_columns(because.cast(pl.UInt32).alias("because"))
    texts = listed.select(
        names.gather(listed["item"]).alias("name"),
        names.gather(listed["because"]).alias("because_name"),
        segments["rfm_tier"].gather(listed["customer"]).alias("tier"),
        "source", "days", "last_date", "gap_days",
    )  # fmt: skip
    return listed.select(
        segments["customer_id"].gather(listed["customer"]).alias("customer_id"),
        pl.col("rank"),
        items.gather(listed["item"]).alias("item_id"),
        pl.col("score"),
        pl.col("source"),
        items.gather(listed["because"]).alias("because_id"),
        texts.select(_explanation()).to_series(),
    )


def _followed(rankers: Rankers, own: pl.DataFrame, shape: tuple[int, ...], listed: pl.DataFrame) -> np.ndarray:
    """For each row the position of the bought item that is most alike by what its source goes by; -1 where there is none."""
    from lifecycle_assets.models import topk_kernel

    owned = own["item"].to_numpy()
    starts = np.searchsorted(own["customer"].to_numpy(), np.arange(shape[0] + 1))
    at = (listed["customer"].to_numpy(), listed["rank"].to_numpy() - 1)
    followed = np.full(listed.height, topk_kernel.NOTHING, np.int32)
    for source in ("als", "content"):
        rows = (listed["source"] == source).to_numpy()
        if not rows.any():
            continue
        items = np.full(shape, topk_kernel.NOTHING, np.int32)
        items[at[0][rows], at[1][rows]] = listed["item"].to_numpy()[rows]
        if source == "als":
            found = topk_kernel.most_alike_bought(unit_length(rankers.als.items), starts, owned, items)
        else:
            texts = (rankers.texts.indptr, rankers.texts.indices, rankers.texts.data)
            found = topk_kernel.most_alike_in_words(texts, starts, owned, items)
        followed[rows] = found[at[0][rows], at[1][rows]]
    return followed


def _explanation() -> pl.Expr:
    times = pl.when(pl.col("days") == 1).then(pl.lit("once")).otherwise(pl.format("on {} days", "days"))
    source, because = pl.col("source"), pl.col("because_name")
    return (
        pl.when(source == "buy_again")
        .then(
            pl.format(
                "Bought {} {}, last on {}; those who buy it again do so after about {} days.",
                because, times, "last_date", pl.col("gap_days").round().cast(pl.Int64),
            )
        )
        .when(source == "popular").then(pl.format("Popular with {} customers.", "tier"))
        .when((source == "als") & because.is_null()).then(pl.lit("Bought by customers who buy alike."))
        .when(source == "als").then(pl.format("Goes with {}: the same customers buy both.", because))
        .when(because.is_null()).then(pl.lit("Reads like what the customer bought."))
        .otherwise(pl.format("Reads like {}, which the customer bought.", because))
        .alias("explanation")
    )  # fmt: skip
