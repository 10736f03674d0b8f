"""The one pass down a merge tree, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit


@njit(cache=True)
def leaf_positions(children: np.ndarray) -> np.ndarray:
    """The place of each leaf when every merge (n-1 x 2) has its first child to the left of its second. Without recursion:
    a tree may be as deep as it has leaves."""
    n = children.shape[0] + 1
    leaves = np.ones(2 * n - 1, np.int64)
    for i in range(n - 1):
        leaves[n + i] = leaves[children[i, 0]] + leaves[children[i, 1]]
    start = np.zeros(2 * n - 1, np.int64)
    for i in range(n - 2, -1, -1):
        first, second = children[i]
        start[first] = start[n + i]
        start[second] = start[n + i] + leaves[first]
    return start[:n]
