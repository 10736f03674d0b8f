"""The tree of customers as nodes and links, ready for D3, Plotly or ECharts.

A tree of n leaves has 2n - 1 nodes and 2(n - 1) links: leaves 0 .. n-1, then a node per merge, and a link from every merge to
each of its two children. What is no tree is refused with the row that breaks it. A tree of one leaf has one node and no link;
without customers the tables are empty.
"""

from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, number, shop_key, table, text
from lifecycle_assets.models.ward import LinkageError

# Levels of the nested tree that the asset shows.
SHOWN_DEPTH = 6


@table("models.segment_hierarchy_nodes")
class SegmentHierarchyNodes(dy.Schema):
    """The nodes of the customers' tree: the leaves of models.dendrogram_leaves, then its merges."""

    shop_id = shop_key()
    as_of = as_of_column()
    id = dy.Int64(primary_key=True, min=0, description="Leaf, or number of leaves + merge.")
    label = text("The customer, or how many customers the node holds.", nullable=False)
    is_leaf = flag("Whether nothing is below the node.")
    distance = number("Ward distance at which it was merged, in units of the scaled features; 0 for a leaf.", minimum=0)
    size = count("Customers in the node.", "customers", minimum=1)


@table("models.segment_hierarchy_links")
class SegmentHierarchyLinks(dy.Schema):
    """The links of the customers' tree, two per merge."""

    shop_id = shop_key()
    as_of = as_of_column()
    source = dy.Int64(primary_key=True, min=0, description="The merge's node.")
    target = dy.Int64(primary_key=True, min=0, description="The child's node.")
    distance = number("Ward distance of the merge, in units of the scaled features.", minimum=0)


def segment_hierarchy_nodes(tree: np.ndarray, dendrogram_leaves: pl.LazyFrame) -> pl.DataFrame:
    """The nodes of a linkage, by id; `dendrogram_leaves` has the customers of each leaf."""
    named = pl.when(pl.len() == 1).then(pl.col("customer_id").first()).otherwise(pl.format("{} customers", pl.len()))
    leaves = (
        dendrogram_leaves.group_by("shop_id", "as_of", pl.col("leaf").alias("id"))
        .agg(named.alias("label"), pl.len().cast(pl.Int64).alias("size"))
        .with_columns(is_leaf=pl.lit(value=True), distance=pl.lit(0.0))
        .sort("id")
        .collect()
    )
    if leaves.is_empty():
        return SegmentHierarchyNodes.empty()
    require_tree(tree, leaves["size"].to_numpy())
    merges = pl.DataFrame({"distance": tree[:, 2], "size": tree[:, 3].astype(np.int64)}).with_columns(
        shop_id=pl.lit(leaves["shop_id"][0]),
        as_of=pl.lit(leaves["as_of"][0]),
        id=pl.int_range(pl.len()) + leaves.height,
        label=pl.format("{} customers", "size"),
        is_leaf=pl.lit(value=False),
    )
    return SegmentHierarchyNodes.conform(pl.concat([leaves, merges], how="diagonal").lazy()).collect()


def segment_hierarchy_links(dendrogram: pl.LazyFrame) -> pl.DataFrame:
    """From each merge of models.dendrogram to its two children, by merge."""
    node = pl.col("merge") + pl.len() + 1
    links = [
        dendrogram.select("shop_id", "as_of", node.alias("source"), pl.col(child).alias("target"), "distance")
        for child in ("child1", "child2")
    ]
    return SegmentHierarchyLinks.conform(pl.concat(links).sort("source", "target")).collect()


def require_tree(tree: np.ndarray, sizes: np.ndarray) -> None:
    """Raises LinkageError, naming the first row that breaks it, unless the rows are a linkage of the leaves with these sizes:
    child, child, distance, size, where children are leaves or earlier merges and each is used once, distances never fall, and
    a merge is as large as its children together."""
    if tree.ndim != 2 or tree.shape[1] != 4:
        raise LinkageError(f"a linkage has 4 columns (child, child, distance, size), not the shape {tree.shape}")
    n = len(sizes)
    if len(tree) != n - 1:
        raise LinkageError(f"a tree of {n} leaves has {n - 1} merges, not {len(tree)} rows")
    children, own = tree[:, :2], n + np.arange(n - 1)[:, None]
    known = (children >= 0) & (children < own) & (children == np.floor(children))
    _refuse(~known.all(axis=1), tree, "a child that is neither a leaf nor an earlier merge")
    is_first_use = np.zeros(children.shape, dtype=bool)
    is_first_use.flat[np.unique(children, return_index=True)[1]] = True
    _refuse(~(is_first_use[:, 0] & is_first_use[:, 1]), tree, "a child that is used twice")
    _refuse(~((tree[:, 2] >= 0) & np.isfinite(tree[:, 2])), tree, "a distance that is negative or not finite")
    _refuse(np.diff(tree[:, 2], prepend=0) < 0, tree, "a distance below that of the row before")
    below = np.append(sizes, tree[:, 3])[children.astype(np.int64)].sum(axis=1)
    _refuse(tree[:, 3] != below, tree, "a size that is not that of its children together")


def nested(tree: np.ndarray, sizes: np.ndarray, depth: int) -> dict[str, Any]:
    """The tree from its top down to `depth` merges below it, as sunbursts take it: name, id, value (customers), distance
    and, where the tree goes on, children. `sizes` is the number of customers of each leaf."""
    require_tree(tree, sizes)
    n = len(sizes)

    def node(at: int, below: int) -> dict[str, Any]:
        if at < n:
            return {"id": at, "name": f"{sizes[at]:,.0f} customers", "value": int(sizes[at]), "distance": 0.0}
        child1, child2, distance, size = tree[at - n].tolist()
        shown = {"id": at, "name": f"{size:,.0f} customers", "value": int(size), "distance": distance}
        if below:
            shown["children"] = [node(int(child), below - 1) for child in (child1, child2)]
        return shown

    return node(n + len(tree) - 1, depth)


def _refuse(broken: np.ndarray, tree: np.ndarray, what: str) -> None:
    if broken.any():
        row = int(broken.argmax())
        raise LinkageError(f"no tree: row {row} has {what}: {tree[row].tolist()}")
