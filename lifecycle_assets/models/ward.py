"""Which customers belong together, from each on their own to all of them? Ward's tree, exact, beyond the usual sizes.

Ward's minimum variance method (Ward, 1963): of all pairs of clusters, merge the one that adds least to the sum of squared
distances to the centroids. Heights and numbering are SciPy's: the height of a merge is sqrt(2 a b / (a + b)) times the
distance of the centroids of a and b rows. The neighbours are found in a k-d tree (ward_kernel), so that memory grows with the
rows and time hardly faster. Equal rows are merged first, at height 0, and then count as one point of their number.

The result does not depend on the order of the rows: they are sorted by value first, and merged by a nearest-neighbour chain
over the distinct ones. Of several equally near clusters the chain takes the one whose first row is lowest in that order. Where
distances are equal the tree is therefore one of several that Ward's method allows, always the same one, not always the one
that comparing all pairs afresh at every merge would give. Heights never descend.
"""

import numpy as np

from lifecycle_assets.errors import LifecycleError


class LinkageError(LifecycleError, ValueError):
    """A matrix that no tree can be made of, or a linkage that is no tree."""


def linkage(points: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Ward's merges of the n rows (n x features): n - 1 rows of child, child, height, size, as of scipy.cluster.hierarchy.

    Children below n are rows, n + i is merge i; the smaller number comes first. Heights ascend, in the unit of the points.
    With weights (one above 0 per row) a row stands for as many rows in one place, and sizes are sums of weights. Raises
    LinkageError for less than two rows and for values that are not finite.
    """
    points, weights = _checked(points, weights)
    from lifecycle_assets.models.ward_kernel import merges

    n = len(points)
    order = np.lexsort(points.T[::-1])
    points, weights = points[order], weights[order]
    is_equal = np.append(False, (points[1:] == points[:-1]).all(axis=1))
    starts = np.flatnonzero(~is_equal)
    zero = _equal_rows(order, weights, is_equal, starts)

    distinct = points[starts]
    # Taking off a value of the data itself keeps whole numbers whole; a power of two changes no digit.
    distinct = distinct - distinct[len(distinct) // 2]
    scale = 2.0 ** (np.frexp(np.abs(distinct).max(initial=1e-300))[1] - 1)
    distinct = distinct / scale
    # The kernel's boxes are of the first features: those that spread most rule out most.
    by_spread = np.argsort(-distinct.var(axis=0), kind="stable")
    distinct = np.ascontiguousarray(distinct[:, by_spread])
    pairs, heights, sizes = merges(distinct, np.add.reduceat(weights, starts))

    # The points of the kernel are the tops of the groups of equal rows; its merges are ranked by height.
    ascending = np.argsort(heights, kind="stable")
    number = np.empty(n - 1 + len(starts), np.int64)
    n_equal = np.diff(np.append(starts, n)) - 1
    number[: len(starts)] = np.where(n_equal > 0, n + np.cumsum(n_equal) - 1, order[starts])
    number[len(starts) + ascending] = n + len(zero) + np.arange(len(ascending))
    children = np.sort(number[pairs[ascending]], axis=1)
    return np.vstack([zero, np.column_stack([children, heights[ascending] * scale, sizes[ascending]])])


def cut(tree: np.ndarray, k: int) -> np.ndarray:
    """The cluster 0 .. k-1 of each leaf (1 <= k <= n) before the last k - 1 merges of a linkage."""
    n = len(tree) + 1
    top = np.arange(2 * n - 1)
    merged = tree[: n - k, :2].astype(np.int64)
    top[merged] = np.arange(n, 2 * n - k)[:, None]
    # Every step doubles the distance to the ancestor looked at.
    while not np.array_equal(top, top[top]):
        top = top[top]
    return np.unique(top[:n], return_inverse=True)[1].reshape(-1)


def leaf_order(tree: np.ndarray) -> np.ndarray:
    """The position of each leaf, from the left, when every merge has its first child to the left of its second."""
    from lifecycle_assets.models.tree_kernel import leaf_positions

    return leaf_positions(np.ascontiguousarray(tree[:, :2], dtype=np.int64))


def _equal_rows(order: np.ndarray, weights: np.ndarray, is_equal: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The merges at height 0: within each group of equal rows the next row joins those before it."""
    n = len(order)
    joins = np.flatnonzero(is_equal)
    so_far = np.where(is_equal[joins - 1], n + np.arange(len(joins)) - 1, order[joins - 1])
    running = np.cumsum(weights)
    group_start = starts[np.searchsorted(starts, joins, side="right") - 1]
    size = running[joins] - running[group_start] + weights[group_start]
    children = np.sort(np.column_stack([so_far, order[joins]]), axis=1)
    return np.column_stack([children, np.zeros(len(joins)), size])


def _checked(points: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    points = np.asarray(points, dtype=np.float64) + 0.0  # makes -0.0 equal to 0.0 in every bit
    if points.ndim != 2 or len(points) < 2 or not points.shape[1]:
        raise LinkageError(
            f"a linkage needs a table of two rows or more and a column or more, not shape {points.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise LinkageError(f"{bad.size} rows hold NaN or infinity, the first is row {bad[0]}: {points[bad[0]]}")
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != (len(points),) or not np.isfinite(weights).all() or (weights <= 0).any():
        raise LinkageError(f"weights must be {len(points)} finite numbers above 0, one per row")
    return points, weights
