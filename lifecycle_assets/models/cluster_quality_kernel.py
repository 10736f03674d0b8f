"""The distances behind the silhouette, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"reassoc", "nsz"})
def distance_sums(columns: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each point and group, the sum of the Euclidean distances from the point to the group's points.

    `columns` holds one row per feature and one column per point; the points of group g lie at ends[g-1] .. ends[g]-1.
    """
    n_features, n = columns.shape
    sums = np.zeros((n, ends.size))
    squared = np.empty(n)
    for i in range(n):
        squared[:] = 0.0
        for feature in range(n_features):
            column = columns[feature]
            here = column[i]
            for j in range(n):
                squared[j] += (column[j] - here) ** 2
        start = 0
        for group in range(ends.size):
            total = 0.0
            for j in range(start, ends[group]):
                total += np.sqrt(squared[j])
            sums[i, group] = total
            start = ends[group]
    return sums
