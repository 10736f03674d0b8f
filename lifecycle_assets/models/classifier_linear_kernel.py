"""Coordinate descent on a quadratic with an elastic-net penalty, compiled by numba. Import it inside the function that
needs it."""

import numpy as np
from numba import njit

TOLERANCE = 1e-9
ROUNDS = 1_000


@njit(cache=True, nogil=True)
def descend(curvature: np.ndarray, gradient: np.ndarray, start: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """The minimum over b of (b - start)' curvature (b - start) / 2 - gradient' (b - start) + l1 |b| + l2 b'b / 2.

    Coefficient 0, the intercept, is not penalised.
    """
    b = start.copy()
    left = gradient.copy()
    for _ in range(ROUNDS):
        largest = 0.0
        for j in range(b.size):
            steep = curvature[j, j]
            if steep <= 0.0:
                continue
            pull = left[j] + steep * b[j]
            new = pull / steep if j == 0 else np.sign(pull) * max(abs(pull) - l1, 0.0) / (steep + l2)
            step = new - b[j]
            if step != 0.0:
                b[j] = new
                for k in range(b.size):
                    left[k] -= curvature[k, j] * step
                largest = max(largest, steep * step * step)
        if largest < TOLERANCE * TOLERANCE:
            break
    return b
