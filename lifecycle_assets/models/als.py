"""What would a customer like, going by who bought what?

Alternating least squares for implicit feedback (Hu, Koren and Volinsky, Collaborative filtering for implicit feedback
datasets, 2008): having bought is a preference of 1 with confidence 1 + days of purchase, not having bought one of 0 with
confidence 1. The equations are solved by a few steps of conjugate gradients (als_kernel.py). A score is the product of a
customer's and an item's factors, about 0..1. With too few users, items or interactions there are no factors: no columns.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lifecycle_assets.models.blocks import one_blas_thread
from lifecycle_assets.settings import Recommendations

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# As in the library implicit.
REGULARISATION, START = 0.01, 0.01
REGISTER = 8
# Rows that a core takes at a time.
CHUNK = 1024


class Factors(NamedTuple):
    """Float32, one row per customer and per item; zero for one without interactions."""

    customers: np.ndarray
    items: np.ndarray

    def scores(self, customers: np.ndarray) -> np.ndarray:
        """A score for each of these customers (positions) and every item."""
        return self.customers[customers] @ self.items.T


def is_enough(counts: "csr_matrix", settings: Recommendations) -> bool:
    """Whether there are users, items and interactions enough to learn from."""
    users, items = (int((counts.getnnz(axis=axis) > 0).sum()) for axis in (1, 0))
    return users >= settings.min_users and items >= settings.min_items and counts.nnz >= settings.min_interactions


def fit(counts: "csr_matrix", factors: int, iterations: int, least_buyers: int, rng: np.random.Generator) -> Factors:
    """Factors of the customers and items of `counts` (customers x items, purchase days).

    Items of fewer than `least_buyers` customers get none: so few say more of those customers than of the item.
    """
    import numba

    taken = np.flatnonzero(counts.getnnz(axis=0) >= least_buyers)
    by_customer = counts[:, taken]
    by_item = by_customer.T.tocsr()
    # Columns of zeros up to whole vector registers stay zeros.
    width = -(-factors // REGISTER) * REGISTER
    customers, items = (np.zeros((n, width), np.float32) for n in by_customer.shape)
    for side in (customers, items):
        side[:, :factors] = START * rng.random((len(side), factors), np.float32)
    customers[by_customer.getnnz(axis=1) == 0] = 0
    ridge = np.float32(REGULARISATION) * np.eye(width, dtype=np.float32)
    # Each core solves a chunk of rows; the threads of BLAS beside them only get in the way.
    with one_blas_thread(), ThreadPoolExecutor(numba.get_num_threads()) as cores:
        for _ in range(iterations):
            for matrix, fixed, rows in ((by_customer, items, customers), (by_item, customers, items)):
                half = partial(_solve_chunk, matrix, fixed, fixed.T @ fixed + ridge, rows)
                list(cores.map(half, range(0, len(rows), CHUNK)))
    all_items = np.zeros((counts.shape[1], factors), np.float32)
    all_items[taken] = items[:, :factors]
    return Factors(np.ascontiguousarray(customers[:, :factors]), all_items)


def _solve_chunk(matrix: "csr_matrix", fixed: np.ndarray, gram: np.ndarray, rows: np.ndarray, first: int) -> None:
    from lifecycle_assets.models.als_kernel import solve

    last = min(first + CHUNK, len(rows))
    solve(matrix.indptr[first : last + 1], matrix.indices, matrix.data, fixed, gram, rows[first:last])


def nothing(counts: "csr_matrix") -> Factors:
    """The factors where there is too little to learn from."""
    n_users, n_items = counts.shape
    return Factors(np.zeros((n_users, 0), np.float32), np.zeros((n_items, 0), np.float32))


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Each row divided by its length; rows of zeros stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
