"""One half-step of alternating least squares, compiled by numba. Import it inside the function that needs it.

Every row's equations are solved by one thread, so the factors are the same on any number of threads. Sums are reordered for
speed (fastmath), which is the same in every process only within one compiled function: so there is no prange, and what is
called is inlined before it is compiled.
"""

import numpy as np
from numba import njit

# The factors of the last round are near the solution: a few steps on are as good as an exact one (Takács, Pilászy and
# Tikk, Applications of the conjugate gradient method for implicit feedback collaborative filtering, 2011).
STEPS = 3
SOLVED = np.float32(1e-20)
ONE = np.float32(1)
# Rows taken at a time: their common matrix is then multiplied by a block and not by single vectors.
BLOCK = 64


@njit(inline="always", fastmath=True)
def _add_own(
    starts: np.ndarray,
    columns: np.ndarray,
    counts: np.ndarray,
    fixed: np.ndarray,
    vectors: np.ndarray,
    products: np.ndarray,
) -> None:
    """Add each row's own sum of count * f f' over its columns' factors f, times its vector."""
    for r in range(vectors.shape[0]):
        vector, product = vectors[r], products[r]
        for q in range(starts[r], starts[r + 1]):
            factors = fixed[columns[q]]
            dot = np.float32(0)
            for h in range(vector.size):
                dot += factors[h] * vector[h]
            dot *= counts[q]
            for h in range(vector.size):
                product[h] += dot * factors[h]


@njit(cache=True, fastmath=True, nogil=True)
def solve(
    starts: np.ndarray, columns: np.ndarray, counts: np.ndarray, fixed: np.ndarray, gram: np.ndarray, rows: np.ndarray
) -> None:
    """Bring each of `rows` nearer to the factors that fit its preferences best, given the `fixed` ones of the other side.

    `starts`, `columns` and `counts` are the preferences as compressed rows; `gram` is fixed' fixed with the regularisation on
    its diagonal. A preference of 1 has the confidence 1 + count.
    """
    for first in range(0, rows.shape[0], BLOCK):
        x = rows[first : first + BLOCK]
        begin = starts[first : first + BLOCK + 1]
        product = np.dot(x, gram)
        _add_own(begin, columns, counts, fixed, x, product)
        residual = -product
        errors = np.empty(x.shape[0], np.float32)
        for r in range(x.shape[0]):
            for q in range(begin[r], begin[r + 1]):
                factors, confidence = fixed[columns[q]], ONE + counts[q]
                for h in range(x.shape[1]):
                    residual[r, h] += confidence * factors[h]
            errors[r] = np.dot(residual[r], residual[r])
        direction = residual.copy()
        for _ in range(STEPS):
            np.dot(direction, gram, product)
            _add_own(begin, columns, counts, fixed, direction, product)
            for r in range(x.shape[0]):
                if errors[r] < SOLVED:
                    continue
                step = errors[r] / np.dot(direction[r], product[r])
                error = np.float32(0)
                for h in range(x.shape[1]):
                    x[r, h] += step * direction[r, h]
                    residual[r, h] -= step * product[r, h]
                    error += residual[r, h] * residual[r, h]
                for h in range(x.shape[1]):
                    direction[r, h] = residual[r, h] + error / errors[r] * direction[r, h]
                errors[r] = error
