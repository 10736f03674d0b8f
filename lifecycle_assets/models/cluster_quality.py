"""How well do clusters hold together and stand apart?

Silhouette (Rousseeuw, 1987), Davies-Bouldin index (Davies and Bouldin, 1979) and Calinski-Harabasz index (Calinski and
Harabasz, 1974), on Euclidean distances, as scikit-learn computes them. The label -1 marks noise, which is left out. With
fewer than two clusters, or as many clusters as points, nothing can be said: None.

The silhouette looks at every pair of points. It is exact up to EXACT_UP_TO points; beyond, it is that of a random sample of
as many. So that a small cluster is never missed, the sample is completed to LEAST_ROWS of every cluster of every labelling
compared, or to all where there are fewer; each cluster then counts by its true size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

EXACT_UP_TO = 20_000
LEAST_ROWS = 10
NOISE = -1


class Quality(NamedTuple):
    """The three figures of one labelling; `silhouette_rows` is the number of points that the silhouette was taken on."""

    n_clusters: int
    silhouette: float | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    silhouette_rows: int


def quality(points: np.ndarray, labelings: Sequence[np.ndarray], generator: np.random.Generator) -> list[Quality]:
    """The figures of each labelling of the points (n x features): a cluster number >= 0 for each point, or -1.

    The sample depends on the order of the points: give them in an order of their own, not of the input.
    """
    n = len(points)
    rows = np.arange(n) if n <= EXACT_UP_TO else _sample(labelings, generator.choice(n, EXACT_UP_TO, replace=False))
    measured = silhouettes(points, labelings, rows)
    return [
        Quality(
            np.unique(labels[labels != NOISE]).size,
            silhouette,
            davies_bouldin(points, labels),
            calinski_harabasz(points, labels),
            rows.size,
        )
        for labels, silhouette in zip(labelings, measured, strict=True)
    ]


def silhouettes(points: np.ndarray, labelings: Sequence[np.ndarray], rows: np.ndarray) -> list[float | None]:
    """The mean silhouette of each labelling from one pass over all pairs of the rows, which hold some of each cluster; alone
    in one's cluster counts 0. Exact when the rows are all.

    Points that no labelling tells apart form a group. The distances are summed by group once, and by cluster from there.
    """
    if not len(points) or not labelings:
        return [None for _ in labelings]
    from lifecycle_assets.models.cluster_quality_kernel import distance_sums

    groups, group = np.unique(np.column_stack([labels[rows] for labels in labelings]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    columns = np.ascontiguousarray(points[rows[order]].T, dtype=np.float64)
    sizes = np.bincount(group)
    sums = distance_sums(columns, np.cumsum(sizes))
    return [
        _silhouette(sums, sizes, group[order], of_group, np.unique(labels[labels != NOISE], return_counts=True)[1])
        for of_group, labels in zip(groups.T, labelings, strict=True)
    ]


def _sample(labelings: Sequence[np.ndarray], drawn: np.ndarray) -> np.ndarray:
    """The rows drawn, and the first rows of each cluster of which fewer than LEAST_ROWS are drawn."""
    rows = [drawn]
    for labels in labelings:
        in_all, in_drawn = (np.bincount(of[of != NOISE], minlength=labels.max() + 1) for of in (labels, labels[drawn]))
        small = np.flatnonzero((in_all > in_drawn) & (in_drawn < LEAST_ROWS))
        rows += [np.flatnonzero(labels == label)[:LEAST_ROWS] for label in small]
    return np.unique(np.concatenate(rows))


def _silhouette(
    sums: np.ndarray, sizes: np.ndarray, group: np.ndarray, label_of_group: np.ndarray, in_all: np.ndarray
) -> float | None:
    """`in_all` is the number of points in each cluster, of which the rows may be a sample."""
    names, cluster_of_group = np.unique(label_of_group, return_inverse=True)
    member = (cluster_of_group[:, None] == np.flatnonzero(names != NOISE)).astype(np.float64)
    n_in_cluster = sizes @ member
    kept = member.any(axis=1)[group]
    if not _comparable(n_in_cluster.size, int(kept.sum())):
        return None
    own = member.argmax(axis=1)[group[kept]]
    row = np.arange(own.size)
    totals = sums[kept] @ member
    others = n_in_cluster[own] - 1
    within = totals[row, own] / np.maximum(others, 1)
    means = totals / n_in_cluster
    means[row, own] = np.inf
    nearest = means.min(axis=1)
    longer = np.maximum(within, nearest)
    values = np.divide(nearest - within, longer, out=np.zeros_like(longer), where=(longer > 0) & (others > 0))
    return float(np.bincount(own, values) / n_in_cluster @ in_all / in_all.sum())


def davies_bouldin(points: np.ndarray, labels: np.ndarray) -> float | None:
    """The mean over clusters of the worst ratio of spreads to the distance of centroids; 0 is best. Pairs of clusters whose
    centroids coincide are left out."""
    clusters = _clusters(points, labels)
    if clusters is None:
        return None
    distance = np.sqrt(((clusters.centroids[:, None] - clusters.centroids) ** 2).sum(axis=2))
    spread = np.bincount(clusters.own, np.sqrt(clusters.squared)) / clusters.sizes
    ratio = np.divide(spread[:, None] + spread, distance, out=np.zeros_like(distance), where=distance > 0)
    return float(ratio.max(axis=1).mean())


def calinski_harabasz(points: np.ndarray, labels: np.ndarray) -> float | None:
    """Variance between the clusters over variance within, by degrees of freedom; more is better, 1 when all points lie on
    their centroids."""
    clusters = _clusters(points, labels)
    if clusters is None:
        return None
    k, n = clusters.sizes.size, clusters.own.size
    centre = clusters.sizes @ clusters.centroids / n
    between = float(clusters.sizes @ ((clusters.centroids - centre) ** 2).sum(axis=1))
    within = float(clusters.squared.sum())
    return between * (n - k) / (within * (k - 1)) if within > 0 else 1.0


class _Clusters(NamedTuple):
    """Noise left out: the cluster of each point, its squared distance to the centroid, and centroids and sizes."""

    own: np.ndarray
    squared: np.ndarray
    centroids: np.ndarray
    sizes: np.ndarray


def _clusters(points: np.ndarray, labels: np.ndarray) -> _Clusters | None:
    kept = labels != NOISE
    names, own = np.unique(labels[kept], return_inverse=True)
    if not _comparable(names.size, own.size):
        return None
    inside = points[kept] - points[kept].mean(axis=0)
    sizes = np.bincount(own)
    centroids = np.column_stack([np.bincount(own, column) for column in inside.T]) / sizes[:, None]
    return _Clusters(own, ((inside - centroids[own]) ** 2).sum(axis=1), centroids, sizes)


def _comparable(n_clusters: int, n: int) -> bool:
    return 2 <= n_clusters < n
