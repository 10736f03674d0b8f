"""Which products are like this one?

blend_cf * cosine of the products' ALS factors + (1 - blend_cf) * cosine of their TF-IDF texts (see als.py and item_text.py):
who buys them, and what the catalogue says of them. A product with few buyers, and every product of a shop with too few
interactions, has no factors: its cosine counts as 0. A cosine below 0 counts as 0 as well. A product that is like no other has
no row.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.als import fit, is_enough, nothing, unit_length
from lifecycle_assets.models.item_text import WORDS, most_alike, read_texts
from lifecycle_assets.models.purchases import Purchases, catalogue, purchases
from lifecycle_assets.settings import Products

SOURCES = ["cf", "content", "blend"]


@table("models.similar_items")
class SimilarItems(dy.Schema):
    """The products most like each product, by who buys them and by what the catalogue says of them."""

    shop_id = shop_key()
    as_of = as_of_column()
    product_id = key("The product.")
    rank = dy.Int64(primary_key=True, min=1, max=100, description="Place among the products like it, from 1.")
    item_id = text("The product that is like it.", nullable=False)
    score = share("blend_cf * cf_similarity + (1 - blend_cf) * text_similarity.")
    cf_similarity = share("Cosine of the two products' factors: how alike their buyers are.")
    text_similarity = share("Cosine of the two products' texts.")
    source = text("Which of the two similarities there is.", nullable=False, values=SOURCES)
    explanation = text("The reason in words.", nullable=False)


def similar_items(
    order_lines: pl.LazyFrame, products: pl.LazyFrame, shop: str, as_of: dt.date, settings: Products, seed: int
) -> pl.DataFrame:
    """At most `settings.similar_items.k` rows per product of raw.products or raw.order_lines, ordered by product_id and
    rank."""
    on_sale = catalogue(products, order_lines, as_of)
    past = order_lines.filter(pl.col("order_date") <= as_of)
    buyers = past.select(pl.col("customer_id").drop_nulls().unique()).collect().to_series().sort()
    bought = purchases(past, buyers, on_sale["product_id"], as_of, settings.recommendations)
    if bought.items.is_empty():
        return SimilarItems.empty()
    known = bought.items.to_frame().join(on_sale, on="product_id", how="left", maintain_order="left")
    texts = read_texts(known.select(WORDS))
    vectors = _vectors(bought, settings, generator(shop, SimilarItems.name, seed))
    all_items, blend = np.arange(bought.items.len()), settings.similar_items.blend_cf
    codes, scores = most_alike(
        texts, all_items, np.ones(all_items.size, bool), settings.similar_items.k, vectors, blend
    )
    item, place = np.nonzero(codes >= 0)
    other = codes[item, place]
    cf = np.clip(np.einsum("ij,ij->i", vectors[item], vectors[other]), 0, 1).round(6)
    alike = np.clip(texts.rows[item].multiply(texts.rows[other]).sum(axis=1).A1, 0, 1).round(6)
    names = known.select(pl.coalesce("name", "product_id")).to_series()
    return pl.DataFrame(
        {
            "product_id": bought.items.gather(item),
            "rank": place + 1,
            "item_id": bought.items.gather(other),
            "score": np.minimum(scores[item, place], 1).astype(np.float64),
            "cf_similarity": cf.astype(np.float64),
            "text_similarity": alike.astype(np.float64),
            "name": names.gather(item),
        }
    ).select(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.exclude("name"), _source(), _explanation())


def _vectors(bought: Purchases, settings: Products, rng: np.random.Generator) -> np.ndarray:
    """One row of length 1 per item; 0 for one without enough buyers."""
    counts = bought.matrix(bought.pairs["days"])
    if not is_enough(counts, settings.recommendations):
        return nothing(counts).items
    similar = settings.similar_items
    return unit_length(fit(counts, similar.factors, similar.iterations, similar.min_buyers, rng).items)


def _has(similarity: str) -> pl.Expr:
    return pl.col(similarity) > 0


def _source() -> pl.Expr:
    both = _has("cf_similarity") & _has("text_similarity")
    one = pl.when(_has("cf_similarity")).then(pl.lit("cf")).otherwise(pl.lit("content"))
    return pl.when(both).then(pl.lit("blend")).otherwise(one).alias("source")


def _explanation() -> pl.Expr:
    buyers = pl.format("its buyers are like those of {}", "name")
    words = pl.format("it reads like {}", "name")
    both = pl.format("its buyers are like those of {} and it reads like it", "name")
    reason = (
        pl.when(_has("cf_similarity") & _has("text_similarity")).then(both)
        .when(_has("cf_similarity")).then(buyers)
        .otherwise(words)
    )  # fmt: skip
    return pl.format("Suggested because {}.", reason).alias("explanation")
