"""Which points lie in a dense crowd, and which crowd?

DBSCAN (Ester, Kriegel, Sander and Xu, 1996): a point with at least `min_samples` points within `eps`, itself included, is
a core point; core points within eps of each other are of one cluster; a point within eps of a core point is of the nearest
one's cluster (the paper takes the first one found, which depends on the order of the points); the others are noise.
Exact without the quadratic neighbour lists: equal points are counted once with their number, core points come from one
search of nearest neighbours, and the core points of one grid cell of side eps / sqrt(features) are one cluster by
construction, so that only cells are joined (Gunawan, 2013; Gan and Tao, 2015). Meant for few features: with many, a cell
has too many neighbours.
"""

from typing import NamedTuple

import numpy as np

NOISE = -1


class Crowds(NamedTuple):
    """The core points, each once, and the cluster of each, numbered from 0 in the order of their first point."""

    core: np.ndarray
    cluster: np.ndarray
    eps: float

    def assign(self, points: np.ndarray) -> np.ndarray:
        """The cluster of the nearest core point within eps of each point, else NOISE."""
        from scipy.spatial import KDTree

        if not len(self.core):
            return np.full(len(points), NOISE)
        rows, _, which = distinct(points)
        _, nearest = KDTree(self.core).query(rows, distance_upper_bound=np.nextafter(self.eps, np.inf))
        return np.append(self.cluster, NOISE)[nearest][which]


def dbscan(points: np.ndarray, core_distances: np.ndarray, eps: float) -> Crowds:
    """The clusters of points that are sorted by value; `core_distances` is `k_distances` of them."""
    core, _, _ = distinct(points[core_distances <= eps])
    return Crowds(core, _clusters(core, eps), eps) if len(core) else Crowds(core, np.empty(0, np.int64), eps)


def k_distances(points: np.ndarray, k: int) -> np.ndarray:
    """The distance from each point to its k-th nearest one, itself the first; infinite with fewer than k points."""
    from scipy.spatial import KDTree

    rows, weights, which = distinct(points)
    distances, nearest = KDTree(rows).query(rows, k=list(range(1, k + 1)))
    reached = np.append(weights, 0)[nearest].cumsum(axis=1)
    # Of equal points each counts: the first neighbour by which k points are reached.
    first = (reached >= k).argmax(axis=1)
    return np.where(reached[:, -1] >= k, distances[np.arange(len(rows)), first], np.inf)[which]


def knee(distances: np.ndarray) -> float | None:
    """Where the sorted distances turn up: farthest below the line from the first to the last (Kneedle, Satopaa et al., 2011).

    None when there is no such place above 0.
    """
    heights = np.sort(distances[np.isfinite(distances)])
    if heights.size < 3 or heights[0] == heights[-1]:
        return None
    line = np.linspace(heights[0], heights[-1], heights.size)
    found = float(heights[np.argmax(line - heights)])
    return found if found > 0 else None


def distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The different points in the order given, how often each is there, and which of them each point is.

    Equal points must follow each other, as they do when sorted by value.
    """
    if not len(points):
        return points, np.empty(0, np.int64), np.empty(0, np.int64)
    is_new = np.append(True, (points[1:] != points[:-1]).any(axis=1))
    which = np.cumsum(is_new) - 1
    return points[is_new], np.bincount(which), which


def _clusters(core: np.ndarray, eps: float) -> np.ndarray:
    from scipy.spatial import KDTree

    from lifecycle_assets.models.dbscan_kernel import joined

    features = core.shape[1]
    # A hair smaller, so that rounding does not put two points farther apart than eps into one cell.
    side = eps / np.sqrt(features) * (1 - 1e-9)
    cells, cell = np.unique(np.floor(core / side).astype(np.int64), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    pairs = KDTree(cells).query_pairs(2 * np.sqrt(features) + 1e-6, output_type="ndarray")
    order = np.argsort(cell, kind="stable")
    root = joined(core[order], np.cumsum(np.bincount(cell)), pairs, eps)[cell]
    _, first, number = np.unique(root, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.reshape(-1)]
