"""Who are the customers of each segment, what are they worth, and what should be done about them?

Means and shares per segment. The most telling categories are those with the highest mean TF-IDF weight (Salton and Buckley,
1988): each customer's categories are a document, counts of lines times ln((1 + customers) / (1 + buyers)) + 1, scaled to
length 1; of equal weights the category bought first comes first. The persona is that of models/segment_personas.py. The
churn risk is the share that counts as churned today, of those of whom that is known. Customers in no segment make a profile
of their own, number 0. Without customers the table is empty.
"""

import math

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, number, share, shop_key, table, text
from lifecycle_assets.features.stage import STAGES
from lifecycle_assets.models.segment_personas import HOW_MUCH, HOW_OFTEN, LATELY, TOLD_APART_BY, personas
from lifecycle_assets.settings import Segmentation

TOP_CATEGORIES = 5
CLV_MONTHS = 12


@table("models.segment_profiles")
class SegmentProfiles(dy.Schema):
    """One row per segment: a persona, its figures, and what to do."""

    shop_id = shop_key()
    as_of = as_of_column()
    cluster_id = dy.Int64(
        primary_key=True, min=0, description="The segment's number: 1 .. by mean spend, ascending; 0 is in no segment."
    )
    segment_id = text("The segment's identity from night to night.", nullable=False)
    name = text("Persona: what sets the segment apart, in words; no two segments share one.", nullable=False)
    how_often = text("How often they buy, against the shop's average.", nullable=False, values=list(HOW_OFTEN))
    how_much = text("How much they have spent, against the shop's average.", nullable=False, values=list(HOW_MUCH))
    lately = text("How many have lapsed: up to 30 %, below 60 %, or more.", nullable=False, values=list(LATELY))
    told_apart_by = text("What the name adds where segments are alike; null where none is.", values=TOLD_APART_BY)
    n_customers = count("Customers in the segment.", "customers", minimum=1)
    share_of_customers = share("Of all customers.")
    avg_spend = number("Mean spend per customer.", "currency")
    median_spend = number("Half of the customers spent at most this.", "currency")
    avg_frequency = number("Mean purchases per customer.", "orders", minimum=0)
    median_frequency = number("Half of the customers bought at most this often.", "orders", minimum=0)
    median_recency_days = number("Half of the customers bought at most this long ago.", "days", minimum=0)
    top_categories = text("Up to five categories by TF-IDF, the most telling first; null where no category is known.")
    top_category = text("The most telling one; null where no category is known.")
    share_of_revenue_pct = number("Of all customers' spend; null when that is not above 0.", "percent", nullable=True)
    churn_risk = share(
        "Share that counts as churned today, of the customers with a churn label; null without any.", nullable=True
    )
    avg_clv_12m = number(
        "Mean expected value of the next 12 months; null without forecasts.", "currency", nullable=True
    )
    avg_margin = number("Mean margin per customer; null when any is unknown.", "currency", nullable=True)
    stage_mix = text("Shares of the life stages, the largest first; below half a percent left out.", nullable=False)
    n_new = count("Customers in the life stage new.", "customers")
    n_active = count("Customers in the life stage active.", "customers")
    n_won_back = count("Customers in the life stage won_back.", "customers")
    n_at_risk = count("Customers in the life stage at_risk.", "customers")
    n_lapsed = count("Customers in the life stage lapsed.", "customers")
    best_channel = text("The favourite sales channel of most of the customers; null where unknown.")
    best_channel_share = share(
        "Of the customers whose favourite sales channel is known, those with this one; null where unknown.",
        nullable=True,
    )
    insight = text("What to do about the segment.", nullable=False)


def segment_profiles(
    segmentation_labels: pl.LazyFrame,
    customer_features: pl.LazyFrame,
    customer_clv_inputs: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    customer_categories: pl.LazyFrame,
    clv_forecast: pl.LazyFrame,
    settings: Segmentation,
) -> pl.DataFrame:
    """The profile of each segment of the labels, ordered by number; the other tables hold the same customers."""
    forecast = clv_forecast.filter(pl.col("horizon_months") == CLV_MONTHS).select("customer_id", "expected_value")
    people = (
        segmentation_labels.select(
            "shop_id", "as_of", "customer_id", "segment_id", pl.col("segment").alias("cluster_id")
        )
        .join(customer_features.select(pl.exclude("shop_id", "as_of")), on="customer_id")
        .join(customer_clv_inputs.select("customer_id", "churned"), on="customer_id")
        .join(lifecycle_stage.select("customer_id", "stage"), on="customer_id")
        .join(forecast, on="customer_id", how="left")
        .collect()
    )
    if people.is_empty():
        return SegmentProfiles.empty()
    frame = (
        _figures(people)
        .join(top_categories(people, customer_categories), on="cluster_id", how="left")
        .join(_mix(people), on="cluster_id", how="left")
        .join(_best_channel(people), on="cluster_id", how="left")
        .sort("cluster_id")
    )
    shop = _figures(people.with_columns(cluster_id=pl.lit(0), segment_id=pl.lit(""))).row(0, named=True)
    return SegmentProfiles.conform(frame.with_columns(*personas(frame, shop), _insight(settings)).lazy()).collect()


def _figures(people: pl.DataFrame) -> pl.DataFrame:
    revenue = people["purchase_total"].sum()
    # Amounts are summed as exact decimals, forecasts as whole ten-thousandths: no sum depends on the order of the rows.
    spend, margin = pl.col("purchase_total"), pl.col("margin_total")
    forecast = (pl.col("expected_value") * 10_000).round().cast(pl.Int64)
    n = pl.len().cast(pl.Float64)
    percent = 100 * spend.sum().cast(pl.Float64) / float(revenue) if revenue > 0 else pl.lit(None, pl.Float64)
    return people.group_by("shop_id", "as_of", "cluster_id", "segment_id").agg(
        pl.len().cast(pl.Int64).alias("n_customers"),
        (n / people.height).alias("share_of_customers"),
        (spend.sum().cast(pl.Float64) / n).alias("avg_spend"),
        spend.cast(pl.Float64).median().alias("median_spend"),
        (pl.col("visit_frequency").sum() / n).alias("avg_frequency"),
        pl.col("visit_frequency").median().alias("median_frequency"),
        pl.col("recency_days").median().alias("median_recency_days"),
        percent.alias("share_of_revenue_pct"),
        pl.col("churned").mean().alias("churn_risk"),
        *((pl.col("stage") == stage).sum().cast(pl.Int64).alias(f"n_{stage}") for stage in STAGES),
        pl.when(forecast.count() == pl.len()).then(forecast.sum() / (10_000 * n)).alias("avg_clv_12m"),
        pl.when(margin.count() == pl.len()).then(margin.sum().cast(pl.Float64) / n).alias("avg_margin"),
    )


def top_categories(people: pl.DataFrame, customer_categories: pl.LazyFrame) -> pl.DataFrame:
    """The most telling categories of each cluster_id among the people (customer_id, cluster_id), as one text, and the first
    of them, top_category."""
    bought = customer_categories.select("customer_id", "category", "lines", "first_date").join(
        people.lazy().select("customer_id", "cluster_id"), on="customer_id"
    )
    known = bought.select(pl.col("customer_id").n_unique()).collect().item()
    by_category = bought.group_by("category").agg(
        (((1 + known) / (1 + pl.len())).log() + 1).alias("rarity"), pl.col("first_date").min().alias("first_seen")
    )
    weighed = (
        bought.join(by_category, on="category")
        .with_columns((pl.col("lines") * pl.col("rarity")).alias("weight"))
        .sort("customer_id", "category")
        .with_columns(pl.col("weight") / pl.col("weight").pow(2).sum().sqrt().over("customer_id"))
    )
    return (
        weighed.group_by("cluster_id", "category")
        # Whole billionths: their sum does not depend on the order of the rows.
        .agg((pl.col("weight") * 1e9).round().cast(pl.Int64).sum(), pl.col("first_seen").first())
        .sort("cluster_id", "weight", "first_seen", "category", descending=[False, True, False, False])
        .group_by("cluster_id", maintain_order=True)
        .agg(
            pl.col("category").head(TOP_CATEGORIES).str.join(", ").alias("top_categories"),
            pl.col("category").first().alias("top_category"),
        )
        .collect()
    )


def _mix(people: pl.DataFrame) -> pl.DataFrame:
    shares = (
        people.group_by("cluster_id", "stage")
        .len("n")
        .sort("cluster_id", "n", "stage", descending=[False, True, False])
    )
    percent = (100 * pl.col("n") / pl.col("n").sum().over("cluster_id")).round().cast(pl.Int64)
    return (
        shares.with_columns(percent.alias("percent"))
        .filter(pl.col("percent") > 0)
        .select("cluster_id", pl.format("{} {} %", "stage", "percent").alias("stage_mix"))
        .group_by("cluster_id", maintain_order=True)
        .agg(pl.col("stage_mix").str.join(", "))
    )


def _best_channel(people: pl.DataFrame) -> pl.DataFrame:
    return (
        people.drop_nulls("favourite_channel")
        .group_by("cluster_id", "favourite_channel")
        .len("n")
        .sort("cluster_id", "n", "favourite_channel", descending=[False, True, False])
        .group_by("cluster_id", maintain_order=True)
        .agg(
            pl.col("favourite_channel").first().alias("best_channel"),
            (pl.col("n").first() / pl.col("n").sum()).alias("best_channel_share"),
        )
    )


def _insight(settings: Segmentation) -> pl.Expr:
    said = [
        pl.when(
            pl.col(rule.measure).is_between(
                -math.inf if rule.at_least is None else rule.at_least,
                math.inf if rule.at_most is None else rule.at_most,
            )
        ).then(pl.lit(rule.insight))
        for rule in settings.insights
    ]
    return pl.coalesce(*said, pl.lit(settings.otherwise)).alias("insight")
