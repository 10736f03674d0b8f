"""Nodes and links of a tree: their numbers, what they add up to, and what is refused."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models.dendrogram import Dendrogram
from lifecycle_assets.models.hierarchy import (
    SegmentHierarchyLinks,
    SegmentHierarchyNodes,
    nested,
    require_tree,
    segment_hierarchy_links,
    segment_hierarchy_nodes,
)
from lifecycle_assets.models.ward import LinkageError, linkage

KEYS = {"shop_id": "books", "as_of": dt.date(2024, 6, 30)}


def _leaves(sizes: np.ndarray) -> pl.LazyFrame:
    leaf = np.repeat(np.arange(sizes.size), sizes)
    customers = [f"c{i:04d}" for i in range(leaf.size)]
    return pl.LazyFrame({"leaf": leaf, "customer_id": customers}).select(
        *(pl.lit(value).alias(name) for name, value in KEYS.items()), "leaf", "customer_id"
    )


def _merges(tree: np.ndarray) -> pl.LazyFrame:
    frame = pl.LazyFrame(tree, schema=["child1", "child2", "distance", "sample_count"]).with_row_index("merge")
    return Dendrogram.conform(frame.with_columns(**{name: pl.lit(value) for name, value in KEYS.items()}))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1_000), st.integers(2, 60))
def test_every_tree_of_n_leaves_has_its_nodes_and_links(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 4, n)
    tree = linkage(random.integers(0, 5, (n, 2)).astype(float), sizes)
    nodes, links = segment_hierarchy_nodes(tree, _leaves(sizes)), segment_hierarchy_links(_merges(tree))
    SegmentHierarchyNodes.require(nodes)
    SegmentHierarchyLinks.require(links)
    assert (nodes.height, links.height) == (2 * n - 1, 2 * (n - 1))
    assert nodes["is_leaf"].sum() == n
    assert nodes["id"].to_list() == list(range(2 * n - 1))
    # All but the topmost are the target of one link, and a node holds what its children hold, at their distance or above.
    assert links["target"].sort().to_list() == list(range(2 * n - 2))
    below = (
        links.join(nodes, left_on="target", right_on="id", suffix="_below")
        .group_by("source")
        .agg(pl.col("size").sum(), pl.col("distance_below").max(), pl.col("distance").first())
    )
    joined = below.join(nodes, left_on="source", right_on="id", suffix="_own")
    assert (joined["size"] == joined["size_own"]).all()
    assert (joined["distance"] == joined["distance_own"]).all()
    assert (joined["distance_below"] <= joined["distance_own"]).all()


def test_a_leaf_is_named_after_its_customer_and_a_crowd_after_its_size() -> None:
    sizes = np.array([1, 3])
    nodes = segment_hierarchy_nodes(linkage(np.array([[0.0], [1.0]]), sizes), _leaves(sizes))
    assert nodes["label"].to_list() == ["c0000", "3 customers", "4 customers"]


def test_one_customer_is_a_node_without_links_and_none_is_nothing() -> None:
    none = np.empty((0, 4))
    assert segment_hierarchy_nodes(none, _leaves(np.array([1])))["label"].to_list() == ["c0000"]
    assert segment_hierarchy_nodes(none, _leaves(np.array([], dtype=int))).is_empty()
    assert segment_hierarchy_links(_merges(none)).is_empty()


GOOD = [[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 3.0, 4]]


@pytest.mark.parametrize(("row", "column", "value", "said"), [
    (1, 0, 1, "row 1 has a child that is used twice"),
    (2, 0, 5, "row 2 has a child that is used twice"),
    (0, 0, 4, "row 0 has a child that is neither a leaf nor an earlier merge"),
    (1, 1, 99, "row 1 has a child that is neither"),
    (1, 1, -1, "row 1 has a child that is neither"),
    (1, 1, 2.5, "row 1 has a child that is neither"),
    (1, 1, np.nan, "row 1 has a child that is neither"),
    (2, 2, -1.0, "row 2 has a distance"),
    (1, 2, np.inf, "row 1 has a distance"),
    (1, 2, 0.5, "row 1 has a distance below that of the row before"),
    (1, 3, 3, "row 1 has a size that is not that of its children together"),
    (2, 3, 5, "row 2 has a size"),
])  # fmt: skip
def test_what_is_no_tree_is_refused_with_its_row(row: int, column: int, value: float, said: str) -> None:
    tree = np.array(GOOD, dtype=float)
    require_tree(tree, np.ones(4))
    tree[row, column] = value
    with pytest.raises(LinkageError, match=said):
        require_tree(tree, np.ones(4))


@pytest.mark.parametrize("wrong", [np.array(GOOD)[:, :3], np.array(GOOD)[0]])
def test_the_wrong_width_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(LinkageError, match="4 columns"):
        require_tree(wrong, np.ones(4))


def test_a_tree_of_another_number_of_leaves_is_refused() -> None:
    with pytest.raises(LinkageError, match="a tree of 5 leaves has 4 merges, not 3 rows"):
        require_tree(np.array(GOOD, dtype=float), np.ones(5))


def _depth(node: dict[str, Any]) -> int:
    children = node.get("children", [])
    assert not children or sum(child["value"] for child in children) == node["value"]
    return 1 + max((_depth(child) for child in children), default=-1)


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_the_nested_tree_ends_at_its_depth_and_adds_up(depth: int) -> None:
    sizes = np.random.default_rng(1).integers(1, 5, 200)
    top = nested(linkage(np.random.default_rng(2).normal(size=(200, 2)), sizes), sizes, depth)
    assert top["value"] == sizes.sum()
    assert _depth(top) == depth


def test_a_tree_as_deep_as_it_has_leaves_is_no_trouble() -> None:
    tree = linkage(np.zeros((50_000, 1)))
    assert nested(tree, np.ones(50_000), 3)["value"] == 50_000
