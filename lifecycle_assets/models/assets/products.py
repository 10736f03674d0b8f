"""The product tables as Dagster assets: wiring only."""

import dagster as dg
import polars as pl

from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.inputs.contracts import Customers, OrderLines, PriceHistory, Products, Subscriptions, WebEvents
from lifecycle_assets.models import cross_sell as baskets
from lifecycle_assets.models import prices as pricing
from lifecycle_assets.models import product_charts
from lifecycle_assets.models import recommendation_evaluation as recommendation_race
from lifecycle_assets.models import recommendations as recommending
from lifecycle_assets.models import similar_items as alike_items
from lifecycle_assets.models import upsell as upselling
from lifecycle_assets.models.assets.training import STORE, last_race, learnt, raced_tonight
from lifecycle_assets.models.cross_sell import CrossSellMatrix
from lifecycle_assets.models.price_outcomes import PriceOutcomes
from lifecycle_assets.models.prices import PriceRecommendations
from lifecycle_assets.models.recommendation_evaluation import RecommendationEvaluation
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.models.similar_items import SimilarItems
from lifecycle_assets.models.upsell import UpsellSuggestions
from lifecycle_assets.night import night_of
from lifecycle_assets.wiring import HEAVY, SHOPS, picture, reads, table_asset, table_out


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


@dg.asset(
    **table_asset(RecommendationEvaluation, "numba", resources=["lake"]), ins=reads(OrderLines, Products, IdentityMap)
)
def recommendation_evaluation(
    context: dg.AssetExecutionContext, order_lines: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    lines, settings = resolved(order_lines, identity_map), night.settings.products.recommendations
    if (standing := last_race(context, RecommendationEvaluation, settings)) is not None:
        return standing
    rows = recommendation_race.recommendation_evaluation(
        lines, products, night.shop, night.as_of, settings, night.settings.seed
    )
    was_raced = rows["ndcg_at_10"].count() > 0
    return raced_tonight(context, rows, settings) if was_raced else rows


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


@dg.asset(**table_asset(SimilarItems, "numba", resources=(STORE,)), ins=reads(OrderLines, Products, IdentityMap))
def similar_items(
    context: dg.AssetExecutionContext, order_lines: pl.LazyFrame, products: pl.LazyFrame, identity_map: pl.LazyFrame
) -> pl.DataFrame:
    night = night_of(context)
    lines, settings = resolved(order_lines, identity_map), night.settings.products

    def make() -> pl.DataFrame:
        return alike_items.item_factors(lines, night.shop, night.as_of, settings, night.settings.seed)

    factors = learnt(context, SimilarItems.table, "als", settings, make)
    return alike_items.similar_items(lines, products, factors, night.shop, night.as_of, settings)


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
    required_resource_keys={"nights", STORE},
    pool=HEAVY,
)
def prices(
    context: dg.AssetExecutionContext, price_history: pl.LazyFrame, order_lines: pl.LazyFrame, products: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    night = night_of(context)
    country, settings, seed = night.settings.country, night.settings.products.prices, night.settings.seed
    days = pricing.demand_days(price_history, order_lines, country, night.as_of, settings)

    def make() -> pl.DataFrame:
        return pricing.demand_races(days, night.shop, seed)

    races = learnt(context, PriceRecommendations.table, "demand", settings, make)
    recommendations, outcomes = pricing.prices(
        days,
        races,
        order_lines,
        products,
        shop=night.shop,
        country=country,
        as_of=night.as_of,
        settings=settings,
        seed=seed,
    )
    advised = recommendations.drop_nulls("gain_pct").sort("gain_pct", "product_id", descending=[True, False]).head(1)
    for product_id, optimize_for in advised.select("product_id", "optimize_for").rows():
        ladder = product_charts.price_ladder(outcomes, product_id, optimize_for)
        context.add_output_metadata({"chart": picture(ladder, product_id)}, output_name=PriceOutcomes.table)
    return recommendations, outcomes
