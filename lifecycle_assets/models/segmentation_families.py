"""The four ways of cutting customers into segments, each fitted for several numbers of segments at once.

    KMeans            Lloyd's algorithm (1982) from ten k-means++ starts (Arthur and Vassilvitskii, 2007)
    GaussianMixture   full covariances by EM (Dempster, Laird and Rubin, 1977)
    Agglomerative     Ward's tree (1963), cut into k
    DBSCAN            dense crowds (Ester et al., 1996), for a distance eps instead of k

All take points sorted by value, so that the order and the names of the customers have no influence, and say of any other
point to which segment it belongs: that of the nearest centroid, the likeliest one, or the nearest core point within eps.
Call them inside `one_thread`.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from lifecycle_assets.models.dbscan import dbscan, distinct, k_distances, knee
from lifecycle_assets.settings import Segmentation

# A grid of DBSCAN has too many neighbouring cells in more dimensions.
DBSCAN_FEATURES = 4
# On scaled features: without it a component collapses onto one whole number and its likelihood has no bound.
LEAST_VARIANCE = 1e-3
N_STARTS = 10
KNEE = "eps at the knee"


class Candidate(NamedTuple):
    """One member of a family: its number of segments, or its distance."""

    parameter: str
    k: int | None = None
    eps: float | None = None


class Fit(NamedTuple):
    """The segment of each point fitted on, and the one of any points; -1 is none."""

    labels: np.ndarray
    assign: Callable[[np.ndarray], np.ndarray]


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold scikit-learn to one thread: sums over several threads depend on which of them ends first."""
    # Only libraries that are loaded can be held.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def fit_rows(family: str, shape: tuple[int, int], settings: Segmentation) -> int:
    """On how many of the points the family can be fitted; the others are assigned."""
    n, features = shape
    if family == "KMeans" or (family == "DBSCAN" and features <= DBSCAN_FEATURES):
        return n
    return min(n, settings.exact_up_to if family == "Agglomerative" else settings.sample_rows)


def candidates(family: str, points: np.ndarray, settings: Segmentation) -> list[Candidate]:
    """What competes for the points: every k below the number of different ones, or the set eps and the knee's."""
    if family == "DBSCAN":
        found = knee(k_distances(points, settings.dbscan_min_samples))
        given = Candidate(f"eps {settings.dbscan_eps:g}", eps=settings.dbscan_eps)
        return [given] if found is None else [given, Candidate(KNEE, eps=found)]
    fewest, most = settings.k_range
    n_different = len(distinct(points)[0])
    return [Candidate(f"k {k}", k=k) for k in range(fewest, min(most, n_different - 1) + 1)]


def fit(
    family: str,
    points: np.ndarray,
    chosen: Sequence[Candidate],
    settings: Segmentation,
    seed: int,
) -> list[Fit]:
    """The fit of each candidate on all the points."""
    from sklearn.exceptions import ConvergenceWarning

    ks = [c.k for c in chosen if c.k is not None]
    with warnings.catch_warnings():
        # A fit that was still improving, or met fewer different points than k, shows in its figures.
        warnings.simplefilter("ignore", ConvergenceWarning)
        match family:
            case "KMeans":
                return [_kmeans(points, k, settings.sample_rows, seed) for k in ks]
            case "GaussianMixture":
                return [_mixture(points, k, seed) for k in ks]
            case "Agglomerative":
                return _ward(points, ks)
            case _:
                return _dbscan(points, [c.eps for c in chosen if c.eps is not None], settings.dbscan_min_samples)


def centroids_of(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean point of each label 0 .. k-1; a label without points is left out, negative labels do not count."""
    inside = labels >= 0
    own, n = labels[inside], np.bincount(labels[inside])
    sums = np.column_stack([np.bincount(own, column) for column in points[inside].T])
    return sums[n > 0] / n[n > 0, None]


def nearest_centroid(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The number of the nearest centroid of each point, the first of equally near ones."""
    best, nearest = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    for number, centroid in enumerate(centroids):
        distance = ((points - centroid) ** 2).sum(axis=1)
        nearest[distance < best] = number
        best = np.minimum(best, distance)
    return nearest


def _kmeans(points: np.ndarray, k: int, start_rows: int, seed: int) -> Fit:
    from sklearn.cluster import KMeans

    # The best of several starts is found on a sample; the fit itself is on all points.
    start = KMeans(k, n_init=N_STARTS, random_state=seed).fit(_every(points, start_rows)).cluster_centers_
    model = KMeans(k, init=start, n_init=1).fit(points)
    centroids = model.cluster_centers_
    return Fit(nearest_centroid(points, centroids), lambda others: nearest_centroid(others, centroids))


def _mixture(points: np.ndarray, k: int, seed: int) -> Fit:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(k, reg_covar=LEAST_VARIANCE, random_state=seed).fit(points)
    return Fit(model.predict(points), model.predict)


def _ward(points: np.ndarray, ks: Sequence[int]) -> list[Fit]:
    from lifecycle_assets.models.ward import cut, linkage

    tree = linkage(points)
    fits = []
    for k in ks:
        labels = cut(tree, k)
        centroids = centroids_of(points, labels)
        fits.append(Fit(labels, lambda others, centroids=centroids: nearest_centroid(others, centroids)))
    return fits


def _dbscan(points: np.ndarray, radii: Sequence[float], min_samples: int) -> list[Fit]:
    core_distances = k_distances(points, min_samples)
    crowds = [dbscan(points, core_distances, eps) for eps in radii]
    return [Fit(crowd.assign(points), crowd.assign) for crowd in crowds]


def _every(points: np.ndarray, n: int) -> np.ndarray:
    """At most n of the points, evenly from the first to the last."""
    return points if len(points) <= n else points[np.linspace(0, len(points) - 1, n).astype(np.int64)]
