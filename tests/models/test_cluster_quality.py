"""The cluster figures against scikit-learn's, and what holds by their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.cluster import DBSCAN, KMeans
from sklearn.datasets import make_blobs

from lifecycle_assets.models import cluster_quality
from lifecycle_assets.models.cluster_quality import calinski_harabasz, davies_bouldin, quality, silhouettes

THEIRS = (metrics.silhouette_score, metrics.davies_bouldin_score, metrics.calinski_harabasz_score)


def _compare(points: np.ndarray, labelings: list[np.ndarray]) -> None:
    for labels, figures in zip(labelings, quality(points, labelings, np.random.default_rng(0)), strict=True):
        kept = labels != -1
        theirs = [score(points[kept], labels[kept]) for score in THEIRS]
        assert [figures.silhouette, figures.davies_bouldin, figures.calinski_harabasz] == pytest.approx(
            theirs, rel=1e-9
        )
        assert figures.n_clusters == np.unique(labels[kept]).size
        assert figures.silhouette_rows == len(points)


def test_many_labelings_at_once_agree_with_scikit_learn() -> None:
    points = make_blobs(1_500, n_features=4, centers=6, random_state=1)[0]
    labelings = [KMeans(k, n_init=1, random_state=k).fit_predict(points) for k in range(2, 11)]
    labelings.append(DBSCAN(0.9, min_samples=5).fit_predict(points))
    assert -1 in labelings[-1]
    _compare(points, labelings)


def test_far_from_the_origin_no_digits_are_lost() -> None:
    points, labels = make_blobs(500, centers=4, random_state=1)
    points = np.round(points * 1024) / 1024
    near, far = (quality(at, [labels], np.random.default_rng(0))[0] for at in (points, points + 2.0**30))
    assert far == pytest.approx(near, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 40), st.integers(1, 4), st.integers(2, 4))
def test_small_points_with_duplicates_and_lone_clusters_agree_too(seed: int, n: int, width: int, k: int) -> None:
    random = np.random.default_rng(seed)
    points = random.integers(0, 4, (n, width)).astype(float)
    labels = np.append(np.arange(k), random.integers(0, k, n - k)) * 7
    centroids = [points[labels == label].mean(axis=0) for label in np.unique(labels)]
    ours = silhouettes(points, [labels], np.arange(n))[0]
    assert ours == pytest.approx(metrics.silhouette_score(points, labels), rel=1e-9, abs=1e-12)
    if np.unique(np.round(centroids, 9), axis=0).shape[0] == k:
        assert davies_bouldin(points, labels) == pytest.approx(metrics.davies_bouldin_score(points, labels), rel=1e-9)
    assert calinski_harabasz(points, labels) == pytest.approx(metrics.calinski_harabasz_score(points, labels), rel=1e-9)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [-1, -1, -1, -1], [-1, 5, 5, 5], [-1, -1, 0, 1]])
def test_without_two_clusters_to_compare_nothing_is_said(labels: list[int]) -> None:
    points = np.array([[0.0], [1.0], [5.0], [6.0]])
    figures = quality(points, [np.array(labels)], np.random.default_rng(0))[0]
    assert (figures.silhouette, figures.davies_bouldin, figures.calinski_harabasz) == (None, None, None)
    assert quality(np.empty((0, 2)), [np.empty(0, int)], np.random.default_rng(0))[0].silhouette is None


def test_a_large_table_is_sampled_and_says_so() -> None:
    points, labels = make_blobs(cluster_quality.EXACT_UP_TO + 5_000, centers=3, random_state=4)
    once, again = (quality(points, [labels], np.random.default_rng(3))[0] for _ in range(2))
    assert once == again
    assert once.silhouette_rows == cluster_quality.EXACT_UP_TO
    assert once.silhouette == pytest.approx(silhouettes(points, [labels], np.arange(len(points)))[0], abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_a_lone_point_is_never_missed_by_the_sample(seed: int) -> None:
    points = np.random.default_rng(1).normal(size=(30_000, 2))
    points[17] = [5_000, 5_000]
    labels = (np.arange(30_000) == 17).astype(int)
    noisy = np.where(np.arange(30_000) == 18, -1, labels)
    for figures in quality(points, [labels, noisy], np.random.default_rng(seed)):
        assert figures.n_clusters == 2
        assert figures.silhouette == pytest.approx(1, abs=1e-3)


def test_clusters_count_by_their_size_however_many_of_them_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    crowds = np.vstack([random.normal(0, 1, (1_200, 2)), random.normal(1.5, 1, (1_200, 2))])
    tight = np.repeat(random.uniform(20, 400, (60, 2)), 10, axis=0) + random.normal(0, 0.01, (600, 2))
    points, labels = np.vstack([crowds, tight]), np.repeat(np.arange(62), [1_200] * 2 + [10] * 60)
    exact = silhouettes(points, [labels], np.arange(3_000))[0]
    monkeypatch.setattr(cluster_quality, "EXACT_UP_TO", 300)
    sampled = quality(points, [labels], np.random.default_rng(0))[0]
    assert sampled.silhouette_rows < 1_000
    assert sampled.silhouette == pytest.approx(exact, abs=0.03)
