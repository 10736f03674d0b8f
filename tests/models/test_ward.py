"""Ward's tree against SciPy's, and what must hold whatever the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy as scipy_hierarchy
from sklearn.datasets import make_blobs

from lifecycle_assets.models.ward import LinkageError, cut, leaf_order, linkage


def _assert_same_tree(points: np.ndarray) -> None:
    ours, theirs = linkage(points), scipy_hierarchy.linkage(points, "ward")
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], rtol=1e-9)
    np.testing.assert_array_equal(ours[:, [0, 1, 3]], theirs[:, [0, 1, 3]])


def _assert_is_tree_of(tree: np.ndarray, n: int) -> None:
    assert scipy_hierarchy.is_valid_linkage(tree)
    assert (np.diff(tree[:, 2]) >= 0).all()
    assert (tree[:, 0] < tree[:, 1]).all()
    assert tree[-1, 3] == n


@pytest.mark.parametrize(("n", "width"), [(2, 1), (3, 2), (500, 1), (2_000, 3), (700, 12), (400, 53)])
def test_random_points_make_scipys_tree(n: int, width: int) -> None:
    _assert_same_tree(np.random.default_rng(n).normal(size=(n, width)))


def test_clusters_skewed_values_and_one_hot_columns_make_scipys_tree() -> None:
    random = np.random.default_rng(8)
    _assert_same_tree(make_blobs(1_500, n_features=3, centers=9, random_state=2)[0])
    _assert_same_tree(np.exp(3 * random.normal(size=(1_500, 3))))
    _assert_same_tree(np.column_stack([random.normal(size=(800, 3)), np.eye(50)[random.integers(0, 50, 800)]]))


@pytest.mark.slow
def test_five_thousand_points_make_scipys_tree() -> None:
    _assert_same_tree(np.random.default_rng(0).normal(size=(5_000, 3)))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 60),
    st.integers(1, 5),
    st.sampled_from([0.0, 1e6]),
    st.sampled_from([1e-150, 1.0, 1e150]),
)
def test_any_random_points_make_scipys_heights(seed: int, n: int, width: int, offset: float, scale: float) -> None:
    points = np.random.default_rng(seed).normal(size=(n, width))
    expected = scipy_hierarchy.linkage(points, "ward")
    np.testing.assert_allclose(
        linkage((points + offset) * scale)[:, 2] / scale, expected[:, 2], rtol=1e-9, atol=1e-9 * (offset > 0)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 300), st.integers(1, 3), st.integers(1, 8))
def test_of_tied_whole_numbers_no_merge_is_dearer_than_it_says(seed: int, n: int, width: int, values: int) -> None:
    """With ties many trees are right. Each merge has the Ward distance of its parts, the cheapest that was to be had."""
    points = np.random.default_rng(seed).integers(0, values, (n, width)).astype(float)
    tree = linkage(points)
    _assert_is_tree_of(tree, n)
    centres, sizes = dict(enumerate(points)), dict.fromkeys(range(n), 1)
    for i, (a, b, height, size) in enumerate(tree):
        names = list(centres)
        at, weight = np.array([centres[name] for name in names]), np.array([sizes[name] for name in names])
        squared = ((at[:, None] - at) ** 2).sum(axis=2) * 2 / (1 / weight[:, None] + 1 / weight)
        np.fill_diagonal(squared, np.inf)
        assert height == pytest.approx(np.sqrt(squared.min()), rel=1e-9, abs=1e-12)
        one, two = names.index(a), names.index(b)
        assert height == pytest.approx(np.sqrt(squared[one, two]), rel=1e-9, abs=1e-12)
        total = sizes[a] + sizes[b]
        centres[n + i] = (centres.pop(a) * sizes[a] + centres.pop(b) * sizes[b]) / total
        sizes[n + i] = sizes.pop(a) + sizes.pop(b)
        assert total == size


def _members(tree: np.ndarray, points: np.ndarray) -> list[tuple[float, bytes]]:
    """The height of each merge and the values of the rows below it."""
    below = {i: [i] for i in range(len(points))}
    found = []
    for i, (a, b, height, _) in enumerate(tree):
        rows = below.pop(a) + below.pop(b)
        values = points[rows]
        found.append((height, values[np.lexsort(values.T)].tobytes()))
        below[len(points) + i] = rows
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200), st.integers(1, 3), st.integers(1, 6))
def test_the_order_of_the_rows_changes_nothing(seed: int, n: int, width: int, values: int) -> None:
    random = np.random.default_rng(seed)
    points = random.integers(0, values, (n, width)).astype(float)
    order = random.permutation(n)
    assert _members(linkage(points), points) == _members(linkage(points[order]), points[order])


def test_of_equal_distances_the_lowest_pair_goes_first() -> None:
    points = np.array([[3.0], [2.0], [1.0], [0.0]])
    np.testing.assert_array_equal(linkage(points)[:2, :2], [[2, 3], [0, 1]])


def test_weights_stand_for_as_many_equal_rows() -> None:
    random = np.random.default_rng(5)
    points, weights = random.normal(size=(200, 3)), random.integers(1, 9, 200)
    every = linkage(np.repeat(points, weights, axis=0))
    once = linkage(points, weights)
    np.testing.assert_allclose(every[-len(once) :, 2:], once[:, 2:], rtol=1e-12)
    assert (every[: -len(once), 2] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("points", [
    np.arange(30_000.0)[:, None],
    np.cumsum(np.linspace(2, 1, 30_000))[:, None],
    np.stack(np.meshgrid(np.arange(170.0), np.arange(170.0)), axis=-1).reshape(-1, 2),
    np.zeros((200_000, 2)),
], ids=["line", "ever closer", "lattice", "all equal"])  # fmt: skip
def test_adversarial_data_stays_a_tree(points: np.ndarray) -> None:
    tree = linkage(points)
    _assert_is_tree_of(tree, len(points))
    assert sorted(leaf_order(tree)) == list(range(len(points)))


def test_cut_and_leaf_order_are_scipys() -> None:
    points = np.random.default_rng(3).normal(size=(300, 2))
    tree = linkage(points)
    order = np.empty(300, int)
    order[leaf_order(tree)] = np.arange(300)
    np.testing.assert_array_equal(order, scipy_hierarchy.leaves_list(tree))
    for k in (1, 2, 7, 300):
        theirs = scipy_hierarchy.fcluster(tree, k, "maxclust")
        pairs = set(zip(cut(tree, k).tolist(), theirs.tolist(), strict=True))
        assert len(pairs) == k == len(set(theirs))


@pytest.mark.parametrize(("points", "weights", "said"), [
    ([[1.0, 2.0]], None, r"shape \(1, 2\)"),
    ([1.0, 2.0, 3.0], None, r"shape \(3,\)"),
    (np.empty((4, 0)), None, r"shape \(4, 0\)"),
    ([[1.0], [np.nan], [2.0]], None, "1 rows .* row 1"),
    ([[1.0], [np.inf]], None, "row 1"),
    ([[1.0], [2.0]], [1.0, 0.0], "above 0"),
    ([[1.0], [2.0]], [1.0], "2 finite numbers"),
])  # fmt: skip
def test_what_makes_no_tree_is_refused(points: object, weights: object, said: str) -> None:
    with pytest.raises(LinkageError, match=said):
        linkage(np.array(points), None if weights is None else np.array(weights))
