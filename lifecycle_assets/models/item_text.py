"""Which products read alike?

TF-IDF of what the catalogue says of a product - name, category, brand and free text -, word uni- and bigrams with smooth idf,
each product a row of length 1 (Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, ch. 6), compared
by the cosine. A product without any word is a row of zeros.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.models.blocks import one_blas_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WORDS = ["name", "category", "brand", "metadata"]
# A word in more products than this tells none of them from the others: it counts in the cosine, but products that share no
# rarer word are not compared. It bounds the work for a large catalogue.
COMMON = 2_000
# At most this many collaborative values are held at a time.
BLOCK_VALUES = 1 << 24


class Texts(NamedTuple):
    """One float32 row of length 1 (or 0) per product, and the number of its text: the same for all products of one text."""

    rows: "csr_matrix"
    number: np.ndarray


def read_texts(catalogue: pl.DataFrame) -> Texts:
    """The texts of the rows of `catalogue` (name, category, brand, metadata), in the order given."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    texts = catalogue.select(pl.concat_str(WORDS, separator=" ", ignore_nulls=True).alias("text"))["text"]
    if not texts.str.contains(r"\w\w").any():
        return Texts(csr_matrix((texts.len(), 0), dtype=np.float32), np.zeros(texts.len(), np.int64))
    distinct = texts.unique().sort()
    number = distinct.search_sorted(texts).to_numpy()
    words = CountVectorizer(ngram_range=(1, 2), strip_accents="unicode", dtype=np.float32).fit_transform(
        distinct.to_list()
    )
    rows = TfidfTransformer().fit_transform(words[number])
    rows.sort_indices()
    return Texts(rows, number)


def most_alike(
    texts: Texts,
    items: np.ndarray,
    among: np.ndarray,
    k: int,
    vectors: np.ndarray,
    blend: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` others most alike to each of `items` and how much, best first; -1 and 0 where there are fewer.

    Alike is (1 - blend) * cosine of the texts + blend * cosine of `vectors` (a row of length 1 or 0 for every product, below 0
    counts as 0). `among` flags the products that may be found.
    """
    from lifecycle_assets.models import topk_kernel

    rows = texts.rows
    is_common = rows.getnnz(axis=0) > COMMON
    rare, common = rows[:, ~is_common], rows[:, is_common]
    postings = rare.multiply(among[:, None]).tocsc()
    postings.eliminate_zeros()
    length = np.sqrt(common.multiply(common).sum(axis=1)).A1.astype(np.float32)
    known = np.flatnonzero(among & vectors.any(axis=1))
    column = np.full(rows.shape[0], -1, np.int64)
    column[known] = np.arange(known.size)

    def nearest(asked: np.ndarray, collaborative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return topk_kernel.alike(
            asked,
            _arrays(rare),
            _arrays(common),
            _arrays(postings),
            length,
            collaborative,
            column,
            known,
            1 - blend,
            k + 1,
        )

    codes, values = np.empty((items.size, k + 1), np.int32), np.empty((items.size, k + 1), np.float32)
    has_vector = vectors[items].any(axis=1)
    # Products of one text and without vectors are like the same others.
    alone = np.flatnonzero(~has_vector)
    _, first, which = np.unique(texts.number[items[alone]], return_index=True, return_inverse=True)
    of_text = nearest(items[alone[first]], np.zeros((0, known.size), np.float32))
    codes[alone], values[alone] = (found[which] for found in of_text)
    together = np.flatnonzero(has_vector)
    size = max(1, BLOCK_VALUES // max(1, known.size))
    for start in range(0, together.size, size):
        block = together[start : start + size]
        with one_blas_thread():
            collaborative = np.float32(blend) * vectors[items[block]] @ vectors[known].T
        codes[block], values[block] = nearest(items[block], collaborative)
    is_other = codes != items[:, None]
    # The product itself is in the list, or so many are as much like it that the last one may go.
    is_other[is_other.all(axis=1), -1] = False
    return codes[is_other].reshape(-1, k), values[is_other].reshape(-1, k)


def _arrays(matrix: "csr_matrix") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return matrix.indptr, matrix.indices, matrix.data
