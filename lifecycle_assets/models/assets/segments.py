"""The segmentation tables as Dagster assets: wiring only."""

import time

import dagster as dg
import polars as pl

from lifecycle_assets.features.clv_inputs import CustomerClvInputs
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.customer_categories import CustomerCategories
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.models import dendrogram as ward_tree
from lifecycle_assets.models import dendrogram_figure, hierarchy
from lifecycle_assets.models import segment_drift as drifts
from lifecycle_assets.models import segment_profiles as segments
from lifecycle_assets.models import segmentation as segment_race
from lifecycle_assets.models import segmentation_centroids as centroids
from lifecycle_assets.models import segmentation_labels as segment_labels
from lifecycle_assets.models import subsegment_profiles as subsegment_legend
from lifecycle_assets.models import subsegments as cuts
from lifecycle_assets.models.assets.training import last_race, raced_tonight
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramBenchmark, DendrogramLeaves, DendrogramLegend
from lifecycle_assets.models.hierarchy import SegmentHierarchyLinks, SegmentHierarchyNodes
from lifecycle_assets.models.segment_drift import SegmentDrift
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import LastNight, SegmentationBenchmark
from lifecycle_assets.models.segmentation_centroids import SegmentationCentroids
from lifecycle_assets.models.segmentation_features import feature_matrix
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.models.subsegment_profiles import SubsegmentProfiles
from lifecycle_assets.models.subsegments import SubsegmentBenchmark, Subsegments
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import HEAVY, picture, reads, table_asset


@dg.asset(
    **table_asset(SegmentationBenchmark, "scikit-learn", resources=["lake"]), pool=HEAVY, ins=reads(CustomerFeatures)
)
def segmentation_benchmark(context: dg.AssetExecutionContext, customer_features: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    settings, last = night.settings.segmentation, _last_segmentation(context, night)
    these = segment_race.points(feature_matrix(customer_features, settings), last)
    if (standing := last_race(context, SegmentationBenchmark, settings)) is not None:
        kept = segment_race.between_races(standing, these, night.shop, night.as_of, settings, night.settings.seed)
        if kept is not None:
            context.add_output_metadata({"race": dg.MetadataValue.md(segment_race.shown(kept))})
            return kept
    scored, seconds = [], {}
    for family in settings.families:
        started = time.perf_counter()
        scored.append(segment_race.score(family, these, night.shop, night.as_of, settings, night.settings.seed))
        seconds[f"seconds: {family}"] = round(time.perf_counter() - started, 3)
    rows = segment_race.segmentation_benchmark(pl.concat(scored), len(these.rows), night.shop, night.as_of, settings)
    context.add_output_metadata({"race": dg.MetadataValue.md(segment_race.shown(rows)), **seconds})
    was_raced = rows.filter("chosen")["family"].to_list() != [segment_race.ONE_SEGMENT]
    return raced_tonight(context, rows, settings) if was_raced else rows


@dg.asset(
    **table_asset(SegmentationLabels, "scikit-learn", resources=["lake"]),
    ins=reads(CustomerFeatures, SegmentationBenchmark),
)
def segmentation_labels(
    context: dg.AssetExecutionContext, customer_features: pl.LazyFrame, segmentation_benchmark: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    settings, last = night.settings.segmentation, _last_segmentation(context, night)
    features = feature_matrix(customer_features, settings)
    these = segment_race.points(features, last)
    labels = segment_race.labels_of(segmentation_benchmark.collect(), these, night.shop, settings, night.settings.seed)
    return segment_labels.segmentation_labels(labels, these, features, night.shop, night.as_of, last)


@dg.asset(**table_asset(SegmentationCentroids, "polars"), ins=reads(CustomerFeatures, SegmentationLabels))
def segmentation_centroids(
    context: dg.AssetExecutionContext, customer_features: pl.LazyFrame, segmentation_labels: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    features = feature_matrix(customer_features, night.settings.segmentation)
    return centroids.segmentation_centroids(features, segmentation_labels.collect(), night.shop, night.as_of)


@dg.asset(**table_asset(SegmentDrift, "polars", resources=["lake"]), ins=reads(SegmentationLabels))
def segment_drift(context: dg.AssetExecutionContext, segmentation_labels: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    before = context.resources.lake.scan_before(SegmentationLabels, night.shop, night.as_of)
    moved = drifts.segment_drift(segmentation_labels, before)
    n_customers = segmentation_labels.select(pl.len()).collect().item()
    context.add_output_metadata({"moves": dg.MetadataValue.md(drifts.flows(moved, n_customers))})
    return moved


@dg.asset(
    **table_asset(SegmentProfiles, "polars"),
    ins=reads(SegmentationLabels, CustomerFeatures, CustomerClvInputs, LifecycleStage, CustomerCategories, ClvForecast),
)
def segment_profiles(
    context: dg.AssetExecutionContext,
    segmentation_labels: pl.LazyFrame,
    customer_features: pl.LazyFrame,
    customer_clv_inputs: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    customer_categories: pl.LazyFrame,
    clv_forecast: pl.LazyFrame,
) -> pl.DataFrame:
    return segments.segment_profiles(
        segmentation_labels,
        customer_features,
        customer_clv_inputs,
        lifecycle_stage,
        customer_categories,
        clv_forecast,
        night_of(context).settings.segmentation,
    )


@dg.asset(**table_asset(SubsegmentBenchmark, "scikit-learn"), ins=reads(CustomerFeatures, SegmentationLabels))
def subsegment_benchmark(
    context: dg.AssetExecutionContext, customer_features: pl.LazyFrame, segmentation_labels: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    settings = night.settings.segmentation
    features = feature_matrix(customer_features, settings)
    labels = segmentation_labels.collect()
    return cuts.subsegment_benchmark(features, labels, night.shop, night.as_of, settings, night.settings.seed)


@dg.asset(
    **table_asset(Subsegments, "scikit-learn"),
    ins=reads(CustomerFeatures, SegmentationLabels, SubsegmentBenchmark),
)
def subsegments(
    context: dg.AssetExecutionContext,
    customer_features: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    subsegment_benchmark: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings = night.settings.segmentation
    features = feature_matrix(customer_features, settings)
    return cuts.subsegments(
        features, segmentation_labels.collect(), subsegment_benchmark.collect(), settings, night.settings.seed
    )


@dg.asset(**table_asset(SubsegmentProfiles, "polars"), ins=reads(CustomerFeatures, Subsegments))
def subsegment_profiles(
    context: dg.AssetExecutionContext, customer_features: pl.LazyFrame, subsegments: pl.LazyFrame
) -> pl.DataFrame:
    features = feature_matrix(customer_features, night_of(context).settings.segmentation)
    return subsegment_legend.subsegment_profiles(features, subsegments.collect())


@dg.asset(**table_asset(Dendrogram, "numba"), ins=reads(CustomerFeatures))
def dendrogram(context: dg.AssetExecutionContext, customer_features: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    leaves = ward_tree.leaves_of(
        feature_matrix(customer_features, night.settings.segmentation), night.settings.segmentation
    )
    context.add_output_metadata({"fitted on": leaves.fitted_on})
    return ward_tree.dendrogram(leaves, night.shop, night.as_of)


@dg.asset(**table_asset(DendrogramBenchmark, "numba"), ins=reads(CustomerFeatures, Dendrogram))
def dendrogram_benchmark(
    context: dg.AssetExecutionContext, customer_features: pl.LazyFrame, dendrogram: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    settings = night.settings.segmentation
    features = feature_matrix(customer_features, settings)
    leaves, tree = ward_tree.leaves_of(features, settings), ward_tree.tree_of(dendrogram)
    return ward_tree.dendrogram_benchmark(
        features, leaves, tree, night.shop, night.as_of, settings, night.settings.seed
    )


@dg.asset(
    **table_asset(DendrogramLeaves, "numba"),
    ins=reads(CustomerFeatures, Dendrogram, DendrogramBenchmark),
)
def dendrogram_leaves(
    context: dg.AssetExecutionContext,
    customer_features: pl.LazyFrame,
    dendrogram: pl.LazyFrame,
    dendrogram_benchmark: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    features = feature_matrix(customer_features, night.settings.segmentation)
    leaves, tree = ward_tree.leaves_of(features, night.settings.segmentation), ward_tree.tree_of(dendrogram)
    k = ward_tree.chosen_k(dendrogram_benchmark)
    rows = ward_tree.dendrogram_leaves(features, leaves, tree, k, night.shop, night.as_of)
    if len(tree):
        drawing = dendrogram_figure.dendrogram_svg(dendrogram_figure.cut_of(tree, rows))
        context.add_output_metadata({"chart": picture(drawing, "Dendrogram")})
    return rows


@dg.asset(**table_asset(DendrogramLegend, "polars"), ins=reads(DendrogramLeaves, CustomerFeatures, CustomerCategories))
def dendrogram_legend(
    dendrogram_leaves: pl.LazyFrame, customer_features: pl.LazyFrame, customer_categories: pl.LazyFrame
) -> pl.DataFrame:
    return ward_tree.dendrogram_legend(dendrogram_leaves, customer_features, customer_categories)


@dg.asset(**table_asset(SegmentHierarchyNodes, "polars"), ins=reads(Dendrogram, DendrogramLeaves))
def segment_hierarchy_nodes(
    context: dg.AssetExecutionContext, dendrogram: pl.LazyFrame, dendrogram_leaves: pl.LazyFrame
) -> pl.DataFrame:
    tree = ward_tree.tree_of(dendrogram)
    if len(tree):
        cut = dendrogram_figure.cut_of(tree, dendrogram_leaves.collect())
        drawing = dendrogram_figure.icicle_svg(cut, hierarchy.SHOWN_DEPTH)
        shown = dg.MetadataValue.json(hierarchy.nested(tree, cut.sizes, hierarchy.SHOWN_DEPTH))
        context.add_output_metadata({"top of the tree": shown, "chart": picture(drawing, "Hierarchy")})
    return hierarchy.segment_hierarchy_nodes(tree, dendrogram_leaves)


@dg.asset(**table_asset(SegmentHierarchyLinks, "polars"), ins=reads(Dendrogram))
def segment_hierarchy_links(dendrogram: pl.LazyFrame) -> pl.DataFrame:
    return hierarchy.segment_hierarchy_links(dendrogram)


def _last_segmentation(context: dg.AssetExecutionContext, night: Night) -> LastNight | None:
    """The segmentation in use on the latest night before this one."""
    labels = context.resources.lake.scan_before(SegmentationLabels, night.shop, night.as_of)
    benchmark = context.resources.lake.scan_before(SegmentationBenchmark, night.shop, night.as_of)
    if labels is None or benchmark is None:
        return None
    as_of, family, parameter = benchmark.filter("chosen").select("as_of", "family", "parameter").collect().row(0)
    return LastNight(
        as_of, family, parameter, labels.select("customer_id", "segment", "segment_id", "distance").collect()
    )
