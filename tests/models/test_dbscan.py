"""DBSCAN finds what scikit-learn's finds, and the same for any order of the points."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from lifecycle_assets.models.dbscan import dbscan, k_distances, knee


def _crowds(seed: int) -> np.ndarray:
    """Crowds and strays in 1 to 4 dimensions; every other time on a coarse grid, full of equal points."""
    rng = np.random.default_rng(seed)
    features = 1 + seed % 4
    crowds = [rng.normal(rng.normal(0, 3, features), 0.5, (150, features)) for _ in range(4)]
    points = np.vstack([*crowds, rng.uniform(-6, 6, (60, features))])
    points = np.round(points * 2) / 2 if seed % 2 else points
    return points[np.lexsort(points.T[::-1])]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("eps", [0.25, 0.5, 0.55, 1.0])
@pytest.mark.parametrize("min_samples", [1, 5])
def test_core_points_clusters_and_noise_are_those_of_scikit_learn(seed: int, eps: float, min_samples: int) -> None:
    points = _crowds(seed)
    other = DBSCAN(eps=eps, min_samples=min_samples).fit(points)
    distances = k_distances(points, min_samples)
    labels = dbscan(points, distances, eps).assign(points)
    is_core = np.isin(np.arange(len(points)), other.core_sample_indices_)
    assert np.array_equal(distances <= eps, is_core)
    assert np.array_equal(labels == -1, other.labels_ == -1)
    # A border point may be of several clusters: scikit-learn takes the first one found, this project the nearest.
    if is_core.any():
        assert adjusted_rand_score(other.labels_[is_core], labels[is_core]) == 1


def test_no_crowd_is_all_noise() -> None:
    points = np.arange(20.0)[:, None] * 10
    assert (dbscan(points, k_distances(points, 3), 1.0).assign(points) == -1).all()
    assert np.isinf(k_distances(points[:2], 3)).all()


def test_the_knee_is_where_the_crowd_ends() -> None:
    distances = np.concatenate([np.linspace(0.1, 0.2, 900), np.linspace(0.2, 8, 100)])
    assert knee(np.random.default_rng(1).permutation(distances)) == pytest.approx(0.2, abs=0.01)
    assert knee(np.zeros(50)) is None
    assert knee(np.full(5, np.inf)) is None
