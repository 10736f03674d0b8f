"""Which dense cells touch, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit


@njit(cache=True)
def joined(points: np.ndarray, ends: np.ndarray, pairs: np.ndarray, reach: float) -> np.ndarray:
    """The number of the cluster of each cell: cells are joined when a point of one lies within `reach` of one of the other.

    The points of cell c lie at ends[c-1] .. ends[c]-1; `pairs` holds the cells that may touch.
    """
    parent = np.arange(ends.size)
    for pair in range(pairs.shape[0]):
        one, other = _root(parent, pairs[pair, 0]), _root(parent, pairs[pair, 1])
        if one != other and _touch(points, ends, pairs[pair, 0], pairs[pair, 1], reach * reach):
            parent[max(one, other)] = min(one, other)
    for cell in range(ends.size):
        parent[cell] = _root(parent, cell)
    return parent


@njit(cache=True)
def _root(parent: np.ndarray, cell: int) -> int:
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell


@njit(cache=True)
def _touch(points: np.ndarray, ends: np.ndarray, one: int, other: int, reach_squared: float) -> bool:
    n_features = points.shape[1]
    start, end = ends[other - 1] if other else 0, ends[other]
    low, high = points[start].copy(), points[start].copy()
    for j in range(start + 1, end):
        for feature in range(n_features):
            low[feature] = min(low[feature], points[j, feature])
            high[feature] = max(high[feature], points[j, feature])
    for i in range(ends[one - 1] if one else 0, ends[one]):
        # Most points are too far from the other cell as a whole.
        squared = 0.0
        for feature in range(n_features):
            squared += max(low[feature] - points[i, feature], points[i, feature] - high[feature], 0.0) ** 2
        if squared > reach_squared:
            continue
        for j in range(start, end):
            squared = 0.0
            for feature in range(n_features):
                squared += (points[i, feature] - points[j, feature]) ** 2
            if squared <= reach_squared:
                return True
    return False
