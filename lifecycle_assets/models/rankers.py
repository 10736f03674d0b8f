"""In which order does each way of recommending put the items for a customer?

    popular    what the customer's segment buys: buyers, each weighted by how long ago their last purchase was
    content    cosine of an item's text with the texts of what the customer bought
    als        product of the customer's and the item's factors (see als.py); an item that hardly anybody bought yet stands
               where the ten known items that read most alike would put it, drawn to 0 by how unlike they are
    buy_again  the customer's own replenishable items that are due, by their purchase days, older ones weighing less
               (Hu et al., Modeling personalized item frequency information for next-basket recommendation, 2020)
    blend      mean of als and buy_again

Scores are 0..1, comparable within one way. Whatever the way, an item that the customer has is closed to them unless it is due
again. A way that has nothing to go by is not there; popular always is.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models.als import Factors, fit, is_enough, unit_length
from lifecycle_assets.models.blocks import one_blas_thread
from lifecycle_assets.models.item_text import WORDS, Texts, most_alike, read_texts
from lifecycle_assets.models.purchases import Purchases
from lifecycle_assets.settings import Recommendations

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WAYS = ["popular", "content", "buy_again", "als", "blend"]
NEIGHBOURS = 10
# Items of fewer buyers count as new to als.
LEAST_BUYERS = 3
# A core holds this many scores at a time, whatever the number of customers: few enough to stay near it.
BLOCK_SCORES = 1 << 22


@dataclass(frozen=True)
class Rankers:
    """What was learnt from purchases, ready to score any of their customers; items that are new to als go by their texts.

    The factors cost more than all else: they are fitted when a way first asks for them.
    """

    bought: Purchases
    segment: np.ndarray
    popularity: np.ndarray
    texts: "csr_matrix"
    profiles: "csr_matrix"
    again: "csr_matrix"
    closed: "csr_matrix"
    has_als: bool
    is_new: np.ndarray
    fit_als: Callable[[], Factors]

    @cached_property
    def als(self) -> Factors:
        return self.fit_als()

    @property
    def ways(self) -> list[str]:
        there = {
            "popular": True,
            "content": self.texts.nnz > 0 and self.profiles.nnz > 0,
            "buy_again": self.again.nnz > 0,
            "als": self.has_als,
            "blend": self.has_als and self.again.nnz > 0,
        }
        return [way for way in WAYS if there[way]]

    def scorer(self, way: str) -> Callable[[np.ndarray], np.ndarray]:
        """What gives a score for each of some customers (positions) and every item, on any thread."""
        if way == "popular":
            return lambda customers: self.popularity[self.segment[customers]]
        if way == "content":
            return self._content
        if way == "buy_again":
            return lambda customers: self.again[customers].toarray()
        # Fitted before any thread scores, so that it is done once.
        factors = self.als
        if way == "als":
            return factors.scores
        return lambda customers: self._blend(factors, customers)

    def _blend(self, factors: Factors, customers: np.ndarray) -> np.ndarray:
        scores = factors.scores(customers)
        np.clip(scores, 0, 1, out=scores)
        own = self.again[customers].tocoo()
        scores[own.row, own.col] += own.data
        scores /= 2
        return scores

    def _content(self, customers: np.ndarray) -> np.ndarray:
        from lifecycle_assets.models.topk_kernel import profile_scores

        profiles = (self.profiles[customers] @ self.texts).toarray()
        return profile_scores(unit_length(profiles), (self.texts.indptr, self.texts.indices, self.texts.data))


class Groups(NamedTuple):
    """A number for each item's name and category; -1 where it is not known."""

    name: np.ndarray
    category: np.ndarray


@dataclass(frozen=True)
class Lists:
    """One row per customer: item positions, best first (-1 where a list ends), their scores 0..1, and which of the ways put
    each there, as a position in WAYS."""

    items: np.ndarray
    scores: np.ndarray
    ways: np.ndarray


def learn(
    bought: Purchases, segments: pl.Series, catalogue: pl.DataFrame, settings: Recommendations, rng: np.random.Generator
) -> Rankers:
    """Learn from purchases; `segments` names each customer's segment, `catalogue` has product_id, name, category, brand and
    metadata of some of the items."""
    pairs = bought.pairs
    counts = bought.matrix(pairs["days"])
    is_new = counts.getnnz(axis=0) < LEAST_BUYERS
    texts = read_texts(
        bought.items.to_frame().join(catalogue, on="product_id", how="left", maintain_order="left").select(WORDS)
    )

    def fit_als() -> Factors:
        counts = bought.matrix(pairs["days"])
        factors = fit(counts, settings.factors, settings.iterations, LEAST_BUYERS, rng)
        return _with_new_items(factors, is_new, texts)

    due = pairs["is_due"].cast(pl.Int8)
    again, closed = bought.matrix(pairs["weight"] * due), bought.matrix(1 - due)
    again.eliminate_zeros()
    closed.eliminate_zeros()
    most = again.max(axis=1).toarray()
    return Rankers(
        bought=bought,
        segment=segments.rank("dense").to_numpy().astype(np.int64) - 1,
        popularity=_popularity(bought, segments),
        texts=texts.rows,
        profiles=bought.matrix(pairs["weight"]),
        again=again.multiply(1 / np.maximum(most, 1)).tocsr().astype(np.float32),
        closed=closed,
        has_als=is_enough(counts, settings),
        is_new=is_new,
        fit_als=fit_als,
    )


def top_lists(
    rankers: Rankers,
    ways: list[str],
    customers: np.ndarray,
    k: int,
    groups: Groups,
    most: int,
    is_open: np.ndarray,
) -> Lists:
    """The `k` best items for each of `customers` by the first of the ways; where it has too few, the next ones go on.

    A list has at most one item of a name and `most` of a category; only items that are `is_open` are listed.
    """
    from lifecycle_assets.models.topk_kernel import NOTHING

    lists = no_lists(customers.size, k)
    closed = rankers.closed[customers]
    for way in ways:
        if (lists.items[:, -1] != NOTHING).all():
            break
        scores = rankers.scorer(way)
        extend(lists, lambda rows, scores=scores: scores(customers[rows]), closed, groups, most, is_open)
        lists.ways[(lists.items != NOTHING) & (lists.ways == NOTHING)] = WAYS.index(way)
    np.minimum(lists.scores, 1, out=lists.scores)
    return lists


def no_lists(customers: int, k: int) -> Lists:
    """Lists of `k` empty places."""
    from lifecycle_assets.models.topk_kernel import NOTHING

    shape = (customers, k)
    return Lists(np.full(shape, NOTHING, np.int32), np.zeros(shape, np.float32), np.full(shape, NOTHING, np.int8))


def extend(
    lists: Lists,
    scores: Callable[[np.ndarray], np.ndarray],
    closed: "csr_matrix",
    groups: Groups,
    most: int,
    is_open: np.ndarray,
) -> None:
    """Fill the empty places with the items of the highest scores above 0, as `top_lists` says; what stands there stays.

    `scores` gives a row for each of some lists (positions) and a column for each item; `closed` flags what is not for a list.
    Each core takes a block of lists from the scores to the items: threads within the matrix product would wait for each
    other and for those that select.
    """
    import numba

    from lifecycle_assets.models.topk_kernel import NOTHING, extend_lists

    def fill(rows: np.ndarray) -> None:
        extend_lists(
            scores(rows), rows, closed.indptr, closed.indices, is_open, *groups, most, lists.items, lists.scores
        )

    short = np.flatnonzero(lists.items[:, -1] == NOTHING)
    size = max(1, BLOCK_SCORES // max(1, is_open.size))
    blocks = [short[start : start + size] for start in range(0, short.size, size)]
    with one_blas_thread(), ThreadPoolExecutor(numba.get_num_threads()) as cores:
        list(cores.map(fill, blocks))


def groups(catalogue: pl.DataFrame, items: pl.Series) -> Groups:
    """Which items have a name or a category in common."""
    known = items.alias("product_id").to_frame().join(catalogue, on="product_id", how="left", maintain_order="left")
    # Things of one name in two categories are two things.
    name = pl.concat_str(pl.col("category").fill_null(""), "name", separator="\x1f").alias("name")
    numbers = known.select(name, "category").select(pl.all().rank("dense").cast(pl.Int64).fill_null(0) - 1)
    return Groups(*numbers.to_numpy().T.copy())


def _popularity(bought: Purchases, segments: pl.Series) -> np.ndarray:
    """Segment x item, as shares of the segment's most popular item."""
    codes = (segments.rank("dense").cast(pl.Int64) - 1).alias("segment")
    sums = (
        bought.pairs.with_columns(codes.gather(bought.pairs["customer"]))
        .group_by("segment", "item")
        .agg(pl.col("last_weight").sum())
    )
    popularity = np.zeros((segments.n_unique(), bought.items.len()), np.float32)
    popularity[sums["segment"].to_numpy(), sums["item"].to_numpy()] = sums["last_weight"].to_numpy()
    return popularity / np.maximum(popularity.max(axis=1, keepdims=True, initial=0), 1)


def _with_new_items(factors: Factors, is_new: np.ndarray, texts: Texts) -> Factors:
    """The factors with those of new items, which have none of their own, out of the bought items that read most alike."""
    from scipy.sparse import csr_matrix

    if not is_new.any():
        return factors
    new = np.flatnonzero(is_new)
    near, cosines = most_alike(texts, new, ~is_new, NEIGHBOURS, factors.items[:, :0], 0.0)
    starts = np.arange(0, near.size + 1, NEIGHBOURS)
    # A place without a neighbour has the cosine 0, whatever the item it names.
    mix = csr_matrix((cosines.ravel() / NEIGHBOURS, np.maximum(near, 0).ravel(), starts), shape=(new.size, is_new.size))
    items = factors.items.copy()
    items[new] = mix @ factors.items
    return Factors(factors.customers, items)
