"""Which customers are alike, which groups of them, and where is the tree best cut?

Ward's tree (models/ward.py) over the features of the segmentation. It is exact up to `exact_up_to` customers, each a leaf of
its own. Above, the leaves are micro-clusters: the customers in one cell of a grid over the scaled features, at their mean
and with their number as weight; the cells are the finest, by halves, of which there are at most `exact_up_to`.
`fitted_on` says which of the two.

The tree is cut into the number of clusters with the highest silhouette, then the lowest Davies-Bouldin index. That may part
off a handful of outliers, which is what a tree is looked at for: `smallest_share` tells. Clusters are numbered by mean
spend, ascending. Below three customers, or when all are alike, they make one cluster; without customers the tables are empty.
"""

import bisect
import datetime as dt
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract, as_of_column, count, flag, key, number, share, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.cluster_quality import quality
from lifecycle_assets.models.segment_profiles import top_categories
from lifecycle_assets.models.segmentation_features import Features
from lifecycle_assets.models.segmentation_labels import by_spend
from lifecycle_assets.models.ward import cut, leaf_order, linkage
from lifecycle_assets.settings import Segmentation

# Widths of the grid's cells, as powers of two: from where customers count as alike to where all of them fit into one.
CELL_EXPONENTS = range(-20, 1000)


@table("models.dendrogram")
class Dendrogram(dy.Schema):
    """Ward's tree of the customers, one row per merge, numbered as SciPy does: leaves from 0, then the merges."""

    shop_id = shop_key()
    as_of = as_of_column()
    merge = dy.Int64(primary_key=True, min=0, description="Number of the merge, by distance.")
    child1 = count("A leaf of models.dendrogram_leaves, or number of leaves + merge; the smaller of the two.", "node")
    child2 = count("The other one.", "node")
    distance = number("Ward distance of the two, in units of the scaled features.", minimum=0)
    sample_count = count("Customers below the merge.", "customers", minimum=2)


@table("models.dendrogram_benchmark")
class DendrogramBenchmark(dy.Schema):
    """How well the tree falls into 2 .. 10 clusters, and which number was chosen."""

    shop_id = shop_key()
    as_of = as_of_column()
    k = dy.Int64(primary_key=True, min=2, description="Number of clusters.")
    silhouette = number("Mean silhouette; more is better.", "-1..1", minimum=-1, maximum=1)
    davies_bouldin = number("Davies-Bouldin index; less is better.", minimum=0)
    calinski_harabasz = number("Calinski-Harabasz index; more is better.", minimum=0)
    silhouette_rows = count("Customers that the silhouette was taken on; a sample when these are not all.", "customers")
    smallest_share = share("Share of the customers in the smallest cluster.")
    chosen = flag(
        "The highest silhouette, then the lowest Davies-Bouldin index, then the fewest clusters; see smallest_share."
    )
    fitted_on = text("Whether the tree is exact or over micro-clusters.", nullable=False)


@table("models.dendrogram_leaves")
class DendrogramLeaves(dy.Schema):
    """Every customer's leaf in the order of the drawing, and the cluster of the chosen cut."""

    shop_id = shop_key()
    as_of = as_of_column()
    position = dy.Int64(primary_key=True, min=0, description="Place of the leaf from the left.")
    customer_id = key("The customer.")
    leaf = count("The leaf's number in models.dendrogram; customers in one micro-cluster share it.", "node")
    cluster_id = count("Cluster of the chosen cut, 1 .. by mean spend, ascending.", "cluster", minimum=1)


@table("models.dendrogram_legend")
class DendrogramLegend(dy.Schema):
    """What the clusters of the chosen cut are."""

    shop_id = shop_key()
    as_of = as_of_column()
    cluster_id = dy.Int64(primary_key=True, min=1, description="Cluster, 1 .. by mean spend, ascending.")
    n_customers = count("Customers in the cluster.", "customers", minimum=1)
    avg_spend = number("Mean spend per customer.", "currency")
    avg_frequency = number("Mean purchases per customer.", "orders", minimum=0)
    top_categories = text("Up to five categories by TF-IDF, the most telling first; null where no category is known.")


class Leaves(NamedTuple):
    """What the tree is made of: the leaf of each customer, and where and how heavy each leaf is."""

    leaf: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    fitted_on: str


def leaves_of(features: Features, settings: Segmentation) -> Leaves:
    """Each customer a leaf, or micro-clusters beyond `exact_up_to` customers."""
    n = len(features.customers)
    if n <= settings.exact_up_to:
        return Leaves(np.arange(n), features.scaled, np.ones(n), f"exact: each of the {n:,} customers is a leaf")
    # Sums of floats depend on the order of what is added.
    order = _by_value(features)
    values = features.scaled[order]
    finest = bisect.bisect_left(CELL_EXPONENTS, -settings.exact_up_to, key=lambda e: -_cells(values, 2.0**e).max() - 1)
    width = 2.0 ** CELL_EXPONENTS[finest]
    cell = _cells(values, width)
    weights = np.bincount(cell).astype(np.float64)
    points = np.column_stack([np.bincount(cell, column) for column in values.T]) / weights[:, None]
    leaf = np.empty(n, np.int64)
    leaf[order] = cell
    note = f"{len(weights):,} micro-clusters of {n:,} customers: grid cells {width:.2g} wide in scaled units, weighted"
    return Leaves(leaf, points, weights, note)


def dendrogram(leaves: Leaves, shop: str, as_of: dt.date) -> pl.DataFrame:
    """The merges of the leaves, by distance; empty below two leaves."""
    if len(leaves.points) < 2:
        return Dendrogram.empty()
    tree = linkage(leaves.points, leaves.weights)
    names = ["child1", "child2", "distance", "sample_count"]
    frame = pl.DataFrame(tree, schema=names).with_row_index("merge")
    return _conform(Dendrogram, frame, shop, as_of)


def dendrogram_benchmark(
    features: Features, leaves: Leaves, tree: np.ndarray, shop: str, as_of: dt.date, settings: Segmentation, seed: int
) -> pl.DataFrame:
    """A row per number of clusters in `k_range` that the customers can be told into; `tree` is the linkage of the leaves."""
    fewest, most = settings.k_range
    # Cutting below distance 0 would separate equal customers.
    n_different = np.count_nonzero(tree[:, 2]) + 1
    ks = range(fewest, min(most, n_different, len(features.customers) - 1) + 1)
    if not ks:
        return DendrogramBenchmark.empty()
    order = _by_value(features)
    labelings = [by_spend(cut(tree, k)[leaves.leaf][order], features.spend[order]) for k in ks]
    random = generator(shop, "models.dendrogram_benchmark", seed)
    figures = quality(features.scaled[order], labelings, random)
    frame = pl.DataFrame(figures, orient="row", schema=list(figures[0]._fields)).with_columns(
        k=pl.Series(ks),
        fitted_on=pl.lit(leaves.fitted_on),
        smallest_share=pl.Series([np.bincount(labels)[1:].min() / labels.size for labels in labelings]),
    )
    ranked = frame.sort("silhouette", "davies_bouldin", "k", descending=[True, False, False])
    best = ranked["k"].head(1)
    return _conform(DendrogramBenchmark, frame.with_columns(chosen=pl.col("k").is_in(best.implode())), shop, as_of)


def dendrogram_leaves(
    features: Features, leaves: Leaves, tree: np.ndarray, k: int, shop: str, as_of: dt.date
) -> pl.DataFrame:
    """The position, leaf and cluster of each customer when the tree is cut into `k`, in leaf order."""
    if not len(features.customers):
        return DendrogramLeaves.empty()
    order = _by_value(features)
    clusters = np.empty(len(order), np.int64)
    clusters[order] = by_spend(cut(tree, k)[leaves.leaf][order], features.spend[order])
    frame = pl.DataFrame(
        {
            "position": leaf_order(tree)[leaves.leaf],
            "customer_id": features.customers,
            "leaf": leaves.leaf,
            "cluster_id": clusters,
        }
    )
    return _conform(DendrogramLeaves, frame.sort("position", "customer_id"), shop, as_of)


def dendrogram_legend(
    dendrogram_leaves: pl.LazyFrame, customer_features: pl.LazyFrame, customer_categories: pl.LazyFrame
) -> pl.DataFrame:
    """What each cluster holds, by number."""
    people = dendrogram_leaves.join(
        customer_features.select("customer_id", "purchase_total", "visit_frequency"), on="customer_id"
    ).collect()
    n = pl.len().cast(pl.Float64)
    figures = people.group_by("shop_id", "as_of", "cluster_id").agg(
        pl.len().alias("n_customers"),
        # An exact sum of decimals: the order of the rows does not matter.
        (pl.col("purchase_total").sum().cast(pl.Float64) / n).alias("avg_spend"),
        (pl.col("visit_frequency").sum() / n).alias("avg_frequency"),
    )
    told = figures.join(top_categories(people, customer_categories), on="cluster_id", how="left")
    return DendrogramLegend.conform(told.sort("cluster_id").lazy()).collect()


def tree_of(dendrogram: pl.LazyFrame) -> np.ndarray:
    """The linkage matrix in models.dendrogram."""
    columns = pl.col("child1", "child2", "distance", "sample_count").cast(pl.Float64)
    return dendrogram.sort("merge").select(columns).collect().to_numpy()


def chosen_k(dendrogram_benchmark: pl.LazyFrame) -> int:
    """The number of clusters chosen; 1 where no cut was."""
    chosen = dendrogram_benchmark.filter("chosen").select("k").collect()
    return 1 if chosen.is_empty() else chosen.item()


def _by_value(features: Features) -> np.ndarray:
    """The places of the customers in the order of their values: what they are called has no influence."""
    return np.lexsort(np.column_stack([features.scaled, features.spend]).T[::-1])


def _cells(values: np.ndarray, width: float) -> np.ndarray:
    """The grid cell of each row, numbered in the order of the cells' corners."""
    corners = np.floor((values - values.min(axis=0)) / width)
    order = np.lexsort(corners.T[::-1])
    ordered = corners[order]
    is_new = np.append(False, (ordered[1:] != ordered[:-1]).any(axis=1))
    cell = np.empty(len(values), np.int64)
    cell[order] = np.cumsum(is_new)
    return cell


def _conform(contract: Contract, frame: pl.DataFrame, shop: str, as_of: dt.date) -> pl.DataFrame:
    keyed = frame.lazy().with_columns(shop_id=pl.lit(shop), as_of=pl.lit(as_of))
    return contract.conform(keyed).collect()
