"""Groups planted inside a segment are found; small and uniform segments are left whole."""

import json

import numpy as np
import polars as pl
import pytest
from segment_shop import AS_OF, SHOP, customers, table
from sklearn.metrics import adjusted_rand_score

from lifecycle_assets.models.segmentation_features import Features, feature_matrix
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.models.subsegment_profiles import SubsegmentProfiles, subsegment_profiles
from lifecycle_assets.models.subsegments import SubsegmentBenchmark, Subsegments, subsegment_benchmark, subsegments
from lifecycle_assets.settings import Segmentation


def _shop() -> tuple[Features, pl.DataFrame, np.ndarray]:
    """Segment 1 of two groups, 2 of three, 3 of three customers, 4 of equal ones; 0 is nobody's. With the groups."""
    rng = np.random.default_rng(2)
    means = [(1, [5, 100, 2]), (1, [25, 300, 8]), (2, [30, 2000, 5]), (2, [60, 2500, 5]), (2, [30, 3000, 25])]
    sizes = [40, 60, 50, 50, 50]
    values = np.vstack([rng.normal(mean, [1, 10, 0.5], (n, 3)) for (_, mean), n in zip(means, sizes, strict=True)])
    segment = np.repeat([1, 1, 2, 2, 2], sizes)
    values = np.vstack([np.maximum(values, 1), rng.normal([80, 5000, 9], 1, (3, 3)), np.full((20, 3), 90), [[1, 1, 1]]])
    segment = np.concatenate([segment, [3] * 3, [4] * 20, [0]])
    group = np.concatenate([np.repeat([1, 2, 1, 2, 3], sizes), np.ones(24, int)])
    shuffled = rng.permutation(len(values))
    frame = customers(values[shuffled])
    labels = table(SegmentationLabels, customer_id=frame["customer_id"], segment=segment[shuffled], segment_id="x")
    return feature_matrix(frame.lazy(), Segmentation()), labels, group[shuffled]


def test_planted_groups_are_found_and_others_left_whole() -> None:
    features, labels, group = _shop()
    benchmark = subsegment_benchmark(features, labels, SHOP, AS_OF, Segmentation(), 0)
    made = subsegments(features, labels, benchmark, Segmentation(), 0)
    SubsegmentBenchmark.require(benchmark)
    Subsegments.require(made)
    assert dict(benchmark.filter("chosen").select("segment", "k").rows()) == {1: 2, 2: 3, 3: 1, 4: 1}
    notes = dict(benchmark.filter("chosen").select("segment", "note").rows())
    assert notes[1].startswith("2 sub-segments: silhouette 0.")
    assert "against 0." in notes[1]
    assert notes[3] == "left whole: fewer than 4 customers"
    assert notes[4] == "left whole: no more than 2 different customers"
    assert made.height == labels.height - 1  # nobody's customer has no sub-segment
    joined = labels.with_columns(pl.Series("group", group)).join(made, on="customer_id")
    for segment in (1, 2, 3, 4):
        part = joined.filter(pl.col("segment") == segment)
        assert adjusted_rand_score(part["group"], part["subsegment"]) == 1
    first = joined.filter(pl.col("code") == "1.1")
    assert first["group"].unique().to_list() == [1]  # the one that spends less


def test_a_profile_names_what_sets_a_group_apart() -> None:
    features, labels, _ = _shop()
    benchmark = subsegment_benchmark(features, labels, SHOP, AS_OF, Segmentation(), 0)
    made = subsegments(features, labels, benchmark, Segmentation(), 0)
    told = subsegment_profiles(features, made)
    SubsegmentProfiles.require(told)
    assert told["n_customers"].sum() == made.height
    assert told.group_by("segment").agg(pl.col("share_of_segment").sum())["share_of_segment"].to_list() == [1.0] * 4
    said = dict(told.select("code", "interpretation").rows())
    assert "higher category diversity" in said["2.3"]
    assert said["3.1"] == "Segment 3 as a whole."
    whole = features.original[(labels["segment"] == 2).to_numpy(), 2].mean()
    assert (
        f"than the segment as a whole: 25.{said['2.3'].split('25.')[1][:2]} on average against {whole:,.2f}."
        in said["2.3"]
    )
    centroid = json.loads(told.filter(pl.col("code") == "2.3")["centroid"].item())
    assert centroid["category_diversity"] == pytest.approx(25, abs=0.5)
    assert centroid["purchase_total"] == pytest.approx(
        told.filter(pl.col("code") == "2.3")["avg_spend"].item(), abs=1e-3
    )


def test_a_lone_customer_in_a_large_segment_is_a_subsegment() -> None:
    values = np.random.default_rng(6).normal([20, 300, 6], [3, 40, 1], (21_000, 3))
    values[9] = [20, 5e6, 6]
    frame = customers(np.maximum(values, 1))
    labels = table(SegmentationLabels, customer_id=frame["customer_id"], segment=1, segment_id="x")
    features = feature_matrix(frame.lazy(), Segmentation())
    benchmark = subsegment_benchmark(features, labels, SHOP, AS_OF, Segmentation(), 0)
    SubsegmentBenchmark.require(benchmark)
    assert benchmark["silhouette"].null_count() == 0
    assert benchmark.filter("chosen")["k"].to_list() == [2]


def test_nobody_has_no_subsegments() -> None:
    features = feature_matrix(customers(np.empty((0, 3))).lazy(), Segmentation())
    benchmark = subsegment_benchmark(features, SegmentationLabels.empty(), SHOP, AS_OF, Segmentation(), 0)
    made = subsegments(features, SegmentationLabels.empty(), benchmark, Segmentation(), 0)
    assert benchmark.is_empty()
    assert made.is_empty()
    assert subsegment_profiles(features, made).is_empty()
