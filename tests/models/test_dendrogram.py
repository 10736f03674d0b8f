"""The dendrogram tables on groups of customers that are known, exact and over micro-clusters."""

import dataclasses
import datetime as dt
import re

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import adjusted_rand_score

from lifecycle_assets.models import dendrogram as ward_tree
from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramBenchmark, DendrogramLeaves, DendrogramLegend
from lifecycle_assets.models.dendrogram_figure import cut_of, dendrogram_svg, icicle_svg
from lifecycle_assets.models.segmentation_features import Features
from lifecycle_assets.settings import Segmentation

SHOP, AS_OF = "books", dt.date(2024, 6, 30)
SETTINGS = Segmentation()


def _features(n: int, seed: int = 0) -> tuple[Features, np.ndarray]:
    """Four groups of customers far apart; those of group 3 spend most, those of group 0 least."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 4, n)
    centres = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 20.0]])
    points = centres[group] + random.normal(size=(n, 3))
    customers = pl.Series([f"c{i:06d}" for i in range(n)], dtype=pl.String)
    spend = 100.0 * group + random.uniform(0, 10, n)
    return Features(customers, spend, ["a", "b", "c"], points, points, np.zeros(3), np.ones(3)), group


def _tables(features: Features, settings: Segmentation) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    leaves = ward_tree.leaves_of(features, settings)
    merges = ward_tree.dendrogram(leaves, SHOP, AS_OF)
    tree = ward_tree.tree_of(merges.lazy())
    benchmark = ward_tree.dendrogram_benchmark(features, leaves, tree, SHOP, AS_OF, settings, seed=0)
    k = ward_tree.chosen_k(benchmark.lazy())
    placed = ward_tree.dendrogram_leaves(features, leaves, tree, k, SHOP, AS_OF)
    for contract, frame in ((Dendrogram, merges), (DendrogramBenchmark, benchmark), (DendrogramLeaves, placed)):
        contract.require(frame)
    return merges, benchmark, placed


@pytest.mark.parametrize("exact_up_to", [200_000, 1_000])
def test_four_planted_groups_are_found_and_numbered_by_spend(exact_up_to: int) -> None:
    features, group = _features(3_000)
    settings = Segmentation(exact_up_to=exact_up_to)
    merges, benchmark, leaves = _tables(features, settings)
    assert benchmark.filter("chosen")["k"].to_list() == [4]
    assert benchmark["k"].to_list() == list(range(2, 11))
    by_customer = leaves.sort("customer_id")
    assert by_customer["customer_id"].equals(features.customers)
    assert (by_customer["cluster_id"].to_numpy() == group + 1).mean() > 0.999
    assert merges["sample_count"][-1] == 3_000
    is_exact = exact_up_to > 3_000
    assert benchmark["fitted_on"][0].startswith("exact") == is_exact
    n_leaves = leaves["leaf"].n_unique()
    assert merges.height == n_leaves - 1
    assert n_leaves == 3_000 if is_exact else n_leaves <= 1_000
    # A cluster lies in one piece in the order of the drawing.
    assert leaves["cluster_id"].rle().len() == 4
    assert leaves["position"].is_sorted()


def test_micro_clusters_tell_much_the_same_as_the_exact_tree() -> None:
    random = np.random.default_rng(9)
    features, _ = _features(4_000)
    points = np.exp(random.normal(size=(4_000, 3)))
    features = dataclasses.replace(features, scaled=points)
    labels = []
    for settings in (SETTINGS, Segmentation(exact_up_to=1_000)):
        leaves = ward_tree.leaves_of(features, settings)
        tree = ward_tree.tree_of(ward_tree.dendrogram(leaves, SHOP, AS_OF).lazy())
        labels.append(ward_tree.cut(tree, 2)[leaves.leaf])
    assert adjusted_rand_score(*labels) > 0.7
    np.testing.assert_array_equal(np.bincount(leaves.leaf), leaves.weights)
    assert leaves.weights.sum() == 4_000


def test_a_handful_of_outliers_is_parted_off_and_told() -> None:
    features, _ = _features(600)
    points = features.scaled.copy()
    points[:3] += 300  # three customers beyond all others
    features = dataclasses.replace(features, scaled=points)
    _, benchmark, leaves = _tables(features, SETTINGS)
    assert benchmark["smallest_share"].max() == 3 / 600
    assert benchmark.filter("chosen")["k"].to_list() == [2]
    assert leaves.group_by("cluster_id").len()["len"].min() == 3


def test_what_customers_are_called_changes_no_figure() -> None:
    n = 24_000
    random = np.random.default_rng(4)
    points = np.round(np.exp(random.normal(size=(n, 3))), 1)  # many of them equal
    spend = points[:, 0] * 100
    names = pl.Series([f"c{i:06d}" for i in range(n)])
    settings = Segmentation(k_range=(2, 4))
    tables = []
    for rows in (np.arange(n), random.permutation(n)):
        features = Features(names, spend[rows], ["a", "b", "c"], points[rows], points[rows], np.zeros(3), np.ones(3))
        _, benchmark, leaves = _tables(features, settings)
        clusters = np.empty(n, int)
        clusters[rows] = leaves.sort("customer_id")["cluster_id"].to_numpy()
        tables.append((benchmark, clusters))
    assert_frame_equal(tables[0][0], tables[1][0], check_exact=True)
    np.testing.assert_array_equal(tables[0][1], tables[1][1])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_few_customers_make_small_tables(n: int) -> None:
    merges, benchmark, leaves = _tables(_features(n)[0], SETTINGS)
    assert (merges.height, leaves.height) == (max(0, n - 1), n)
    assert benchmark.height == max(0, n - 2)
    if n in (1, 2):
        assert leaves["cluster_id"].to_list() == [1] * n


def test_customers_who_are_all_alike_make_one_cluster() -> None:
    features, _ = _features(50)
    alike = dataclasses.replace(features, scaled=np.ones((50, 3)))
    merges, benchmark, leaves = _tables(alike, SETTINGS)
    assert merges["distance"].max() == 0
    assert benchmark.is_empty()
    assert leaves["cluster_id"].unique().to_list() == [1]


def test_the_legend_counts_what_the_leaves_say() -> None:
    leaves = pl.LazyFrame({
        "shop_id": SHOP, "as_of": AS_OF, "position": [0, 1, 2], "customer_id": ["a", "b", "c"], "leaf": [0, 1, 2],
        "cluster_id": [1, 1, 2],
    })  # fmt: skip
    features = pl.LazyFrame({
        "customer_id": ["a", "b", "c", "elsewhere"], "visit_frequency": [1, 4, 6, 9],
        "purchase_total": pl.Series([10, 30, 90, 999], dtype=pl.Decimal(18, 4)),
    })  # fmt: skip
    bought = pl.LazyFrame({
        "customer_id": ["a", "b", "c"], "category": ["tea", "tea", "books"], "lines": [2, 1, 5],
        "first_date": [AS_OF, AS_OF, AS_OF],
    })  # fmt: skip
    legend = ward_tree.dendrogram_legend(leaves, features, bought)
    DendrogramLegend.require(legend)
    assert legend.drop("shop_id", "as_of").rows() == [(1, 2, 20.0, 2.5, "tea"), (2, 1, 90.0, 6.0, "books")]


@pytest.mark.parametrize("n", [2, 3, 40, 2_000])
def test_the_drawings_hold_every_customer(n: int) -> None:
    features, _ = _features(n)
    merges, benchmark, leaves = _tables(features, SETTINGS)
    cut = cut_of(ward_tree.tree_of(merges.lazy()), leaves)
    k = ward_tree.chosen_k(benchmark.lazy())
    picture = dendrogram_svg(cut)
    assert sum(int(size.replace(",", "")) for size in re.findall(r">\(([\d,]+)\)<", picture)) == n
    assert (f"cut into {k} clusters" in picture) == (k > 1)
    assert "100%" in icicle_svg(cut, 6)
    assert "nan" not in picture
