"""The model tables as Dagster assets: wiring only.

Here belong the inputs and outputs of each table. What a table holds and how it is computed stands in its own module.
"""

import time

import dagster as dg
import polars as pl

from lifecycle_assets.features.clv_inputs import CustomerClvInputs, value_basis
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.customer_categories import CustomerCategories
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import Customers, OrderLines, PriceHistory, Products, Subscriptions, WebEvents
from lifecycle_assets.models import clv_evaluation as clv_race
from lifecycle_assets.models import clv_forecast as clv_scores
from lifecycle_assets.models import cross_sell as baskets
from lifecycle_assets.models import dendrogram as ward_tree
from lifecycle_assets.models import dendrogram_figure, hierarchy, product_charts
from lifecycle_assets.models import prices as pricing
from lifecycle_assets.models import recommendation_evaluation as recommendation_race
from lifecycle_assets.models import recommendations as recommending
from lifecycle_assets.models import segment_drift as drifts
from lifecycle_assets.models import segment_profiles as segments
from lifecycle_assets.models import segmentation as segment_race
from lifecycle_assets.models import segmentation_centroids as centroids
from lifecycle_assets.models import segmentation_labels as segment_labels
from lifecycle_assets.models import similar_items as alike_items
from lifecycle_assets.models import subsegment_profiles as subsegment_legend
from lifecycle_assets.models import subsegments as cuts
from lifecycle_assets.models import upsell as upselling
from lifecycle_assets.models.clv_candidates import buyers, outcome
from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.cross_sell import CrossSellMatrix
from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramBenchmark, DendrogramLeaves, DendrogramLegend
from lifecycle_assets.models.hierarchy import SegmentHierarchyLinks, SegmentHierarchyNodes
from lifecycle_assets.models.price_outcomes import PriceOutcomes
from lifecycle_assets.models.prices import PriceRecommendations
from lifecycle_assets.models.recommendation_evaluation import RecommendationEvaluation
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.models.segment_drift import SegmentDrift
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import LastNight, SegmentationBenchmark
from lifecycle_assets.models.segmentation_centroids import SegmentationCentroids
from lifecycle_assets.models.segmentation_features import feature_matrix
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.models.similar_items import SimilarItems
from lifecycle_assets.models.subsegment_profiles import SubsegmentProfiles
from lifecycle_assets.models.subsegments import SubsegmentBenchmark, Subsegments
from lifecycle_assets.models.upsell import UpsellSuggestions
from lifecycle_assets.night import Night, night_of
from lifecycle_assets.wiring import SHOPS, picture, reads, table_asset, table_out

# What an asset needs that looks at the shop as of past days.
PAST = ("snapshots",)


@dg.asset(**table_asset(ClvEvaluation, "scikit-learn", resources=PAST), ins=reads(Orders, CustomerOrders))
def clv_evaluation(
    context: dg.AssetExecutionContext, orders: pl.LazyFrame, customer_orders: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    raced = clv_race.raced(customer_orders, night.shop, night.settings)
    cut = clv_race.split(customer_orders, night.as_of)
    snapshots = None
    if cut is not None:
        take = context.resources.snapshots.take
        train, test = (take(night.shop, day, night.settings.customer, raced) for day in (cut.train, cut.test))
        snapshots = (train, test, Snapshot(night.as_of, orders.collect(), customer_orders.collect()))
    rows = clv_race.clv_evaluation(
        cut,
        snapshots,
        value_basis(customer_orders, night.settings.customer.clv_inputs),
        shop_id=night.shop,
        as_of=night.as_of,
        settings=night.settings,
    )
    context.add_output_metadata({"race": dg.MetadataValue.md(clv_race.shown(rows))})
    return rows


@dg.asset(**table_asset(ClvForecast, "polars", resources=PAST), ins=reads(Orders, CustomerOrders, ClvEvaluation))
def clv_forecast(
    context: dg.AssetExecutionContext,
    orders: pl.LazyFrame,
    customer_orders: pl.LazyFrame,
    clv_evaluation: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    settings = night.settings.customer
    basis = value_basis(customer_orders, settings.clv_inputs)
    tonight = Snapshot(night.as_of, orders.collect(), customer_orders.collect())
    cut = clv_race.split(customer_orders, night.as_of)
    past = None
    if cut is not None:
        raced = clv_race.raced(customer_orders, night.shop, night.settings)
        then = context.resources.snapshots.take(night.shop, cut.test, settings, raced)
        past = clv_race.learnable(outcome(buyers(then, basis, settings), tonight, cut.test, cut.months, basis))
    return clv_scores.clv_forecast(
        buyers(tonight, basis, settings),
        past,
        clv_scores.chosen_of(clv_evaluation),
        basis,
        shop_id=night.shop,
        as_of=night.as_of,
        settings=night.settings,
    )


@dg.asset(**table_asset(SegmentationBenchmark, "scikit-learn", resources=["lake"]), ins=reads(CustomerFeatures))
def segmentation_benchmark(context: dg.AssetExecutionContext, customer_features: pl.LazyFrame) -> pl.DataFrame:
    night = night_of(context)
    settings, last = night.settings.segmentation, _last_segmentation(context, night)
    these = segment_race.points(feature_matrix(customer_features, settings), last)
    scored, seconds = [], {}
    for family in settings.families:
        started = time.perf_counter()
        scored.append(segment_race.score(family, these, night.shop, night.as_of, settings, night.settings.seed))
        seconds[f"seconds: {family}"] = round(time.perf_counter() - started, 3)
    rows = segment_race.segmentation_benchmark(pl.concat(scored), len(these.rows), night.shop, night.as_of, settings)
    context.add_output_metadata({"race": dg.MetadataValue.md(segment_race.shown(rows)), **seconds})
    return rows


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


@dg.asset(**table_asset(CrossSellMatrix, "numba"), ins=reads(OrderLines, Products, IdentityMap))
def cross_sell_matrix(
    context: dg.AssetExecutionContext, order_lines: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    lines, settings = resolved(order_lines, identity_map), night.settings.products.cross_sell
    matrix = baskets.cross_sell_matrix(lines, products, night.shop, night.as_of, settings)
    sentences = baskets.strongest(matrix, "category", 10)["interpretation"].to_list()
    context.add_output_metadata(
        {"strongest": dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences))}
    )
    if heat_map := product_charts.category_heat_map(matrix):
        context.add_output_metadata({"chart": picture(heat_map, "Lift between the most bought categories")})
    return matrix


@dg.asset(**table_asset(RecommendationEvaluation, "numba"), ins=reads(OrderLines, Products, IdentityMap))
def recommendation_evaluation(
    context: dg.AssetExecutionContext, order_lines: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    lines, settings = resolved(order_lines, identity_map), night.settings.products.recommendations
    return recommendation_race.recommendation_evaluation(
        lines, products, night.shop, night.as_of, settings, night.settings.seed
    )


@dg.asset(
    **table_asset(UserRecommendations, "numba"),
    ins=reads(OrderLines, Products, IdentityMap, CustomerRfm, RecommendationEvaluation),
)
def user_recommendations(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    identity_map: pl.LazyFrame,
    customer_rfm: pl.LazyFrame,
    recommendation_evaluation: pl.LazyFrame,
) -> pl.LazyFrame:
    night = night_of(context)
    return recommending.user_recommendations(
        resolved(order_lines, identity_map),
        products,
        customer_rfm,
        recommendation_evaluation,
        shop=night.shop,
        as_of=night.as_of,
        settings=night.settings.products.recommendations,
        seed=night.settings.seed,
    )


@dg.asset(**table_asset(SimilarItems, "numba"), ins=reads(OrderLines, Products, IdentityMap))
def similar_items(
    context: dg.AssetExecutionContext, order_lines: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    lines, settings = resolved(order_lines, identity_map), night.settings.products
    return alike_items.similar_items(lines, products, night.shop, night.as_of, settings, night.settings.seed)


@dg.asset(
    **table_asset(UpsellSuggestions, "polars"),
    ins=reads(OrderLines, WebEvents, Products, SimilarItems, Subscriptions, Customers, IdentityMap),
)
def upsell_suggestions(
    context: dg.AssetExecutionContext,
    order_lines: pl.LazyFrame,
    web_events: pl.LazyFrame,
    products: pl.LazyFrame,
    similar_items: pl.LazyFrame,
    subscriptions: pl.LazyFrame,
    customers: pl.LazyFrame,
    identity_map: pl.LazyFrame,
) -> pl.DataFrame:
    night = night_of(context)
    return upselling.upsell_suggestions(
        resolved(order_lines, identity_map),
        resolved(web_events, identity_map),
        products,
        similar_items,
        resolved(subscriptions, identity_map),
        resolved(customers, identity_map),
        shop=night.shop,
        as_of=night.as_of,
        timezone=night.settings.timezone,
        settings=night.settings.products.upsell,
    )


@dg.multi_asset(
    name="prices",
    outs={contract.table: table_out(contract, "xgboost") for contract in (PriceRecommendations, PriceOutcomes)},
    ins=reads(PriceHistory, OrderLines, Products),
    partitions_def=SHOPS,
    required_resource_keys={"nights"},
)
def prices(
    context: dg.AssetExecutionContext, price_history: pl.LazyFrame, order_lines: pl.LazyFrame, products: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    night = night_of(context)
    recommendations, outcomes = pricing.prices(
        price_history,
        order_lines,
        products,
        shop=night.shop,
        country=night.settings.country,
        as_of=night.as_of,
        settings=night.settings.products.prices,
        seed=night.settings.seed,
    )
    advised = recommendations.drop_nulls("gain_pct").sort("gain_pct", "product_id", descending=[True, False]).head(1)
    for product_id, optimize_for in advised.select("product_id", "optimize_for").rows():
        ladder = product_charts.price_ladder(outcomes, product_id, optimize_for)
        context.add_output_metadata({"chart": picture(ladder, product_id)}, output_name=PriceOutcomes.table)
    return recommendations, outcomes
