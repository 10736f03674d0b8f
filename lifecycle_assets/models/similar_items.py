"""Which products are like this one?

blend_cf * cosine of the products' ALS factors + (1 - blend_cf) * cosine of their TF-IDF texts (see als.py and item_text.py):
who buys them, and what the catalogue says of them. A product with few buyers, and every product of a shop with too few
interactions, has no factors: its cosine counts as 0. A cosine below 0 counts as 0 as well. A product that is like no other has
no row. Factors are learnt as often as models are trained; a product that is new since then goes by its words.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.als import fit, is_enough, unit_length
from lifecycle_assets.models.item_text import WORDS, most_alike, read_texts
from lifecycle_assets.models.purchases import catalogue, purchases
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


def item_factors(order_lines: pl.LazyFrame, shop: str, as_of: dt.date, settings: Products, seed: int) -> pl.DataFrame:
    """Who buys each product of raw.order_lines: product_id and factors (array of float32, of length 1) of those with enough
    buyers; no rows where there is too little to learn from."""
    past = order_lines.filter(pl.col("order_date") <= as_of)
    buyers = past.select(pl.col("customer_id").drop_nulls().unique()).collect().to_series().sort()
    bought = purchases(past, buyers, pl.Series([], dtype=pl.String), as_of, settings.recommendations)
    counts, similar = bought.matrix(bought.pairs["days"]), settings.similar_items
    width = similar.factors if is_enough(counts, settings.recommendations) else 0
    vectors = np.zeros((bought.items.len(), width), np.float32)
    if width:
        rng = generator(shop, SimilarItems.name, seed)
        vectors = unit_length(fit(counts, width, similar.iterations, similar.min_buyers, rng).items)
    known = np.flatnonzero(vectors.any(axis=1))
    factors = pl.Series(vectors[known], dtype=pl.Array(pl.Float32, width))
    return pl.DataFrame({"product_id": bought.items.gather(known), "factors": factors})


def similar_items(
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    factors: pl.DataFrame,
    shop: str,
    as_of: dt.date,
    settings: Products,
) -> pl.DataFrame:
    """At most `settings.similar_items.k` rows per product of raw.products or raw.order_lines, ordered by product_id and
    rank. `factors`: of `item_factors`, of this night or an earlier one."""
    known = catalogue(products, order_lines, as_of)
    if known.is_empty():
        return SimilarItems.empty()
    items, texts, vectors = known["product_id"], read_texts(known.select(WORDS)), _vectors(known, factors)
    all_items, blend = np.arange(items.len()), settings.similar_items.blend_cf
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
            "product_id": items.gather(item),
            "rank": place + 1,
            "item_id": items.gather(other),
            "score": np.minimum(scores[item, place], 1).astype(np.float64),
            "cf_similarity": cf.astype(np.float64),
            "text_similarity": alike.astype(np.float64),
            "name": names.gather(item),
        }
    ).select(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"), pl.exclude("name"), _source(), _explanation())


def _vectors(known: pl.DataFrame, factors: pl.DataFrame) -> np.ndarray:
    """A row for each of the `known` products; 0 for one without factors."""
    there = known.select("product_id").with_row_index("at").join(factors, on="product_id")
    values = there["factors"].to_numpy()
    vectors = np.zeros((known.height, values.shape[1]), np.float32)
    vectors[there["at"].to_numpy()] = values
    return vectors


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
