"""What is the persona of each segment: how often its customers buy, how much they spend, how many have lapsed?

Codes for each of the three, against the shop's average, so that a persona can be told in any language; and its name in
English. Personas that would be equal are told apart by their first category, else by their number. A persona claims
nothing about minds.
"""

from typing import Any

import polars as pl

HOW_OFTEN = {"one_time": "One-time", "less_frequent": "Less frequent", "regular": "Regular", "frequent": "Frequent"}
HOW_MUCH = {
    "no_net_spend": "buyers with no net spend",
    "low": "low spenders",
    "average": "average spenders",
    "high": "high spenders",
    "top": "top spenders",
}
LATELY = {"active": "mostly active", "partly_inactive": "partly inactive", "inactive": "mostly inactive"}
TOLD_APART_BY = ["category", "number", "category_and_number"]


def personas(figures: pl.DataFrame, shop: dict[str, Any]) -> list[pl.Series]:
    """The columns how_often, how_much, lately, told_apart_by and name, a row per row of `figures` (cluster_id, avg_spend,
    avg_frequency, n_customers, n_lapsed, top_category); `shop` holds avg_spend and avg_frequency of all customers."""
    coded = figures.with_columns(_how_often(shop), _how_much(shop), _lately())
    apart = pl.when(pl.col("cluster_id") == 0).then(pl.lit("Unlike the others: ")).otherwise(pl.lit(""))
    words = (
        pl.col(name).replace_strict(texts, return_dtype=pl.String)
        for name, texts in (("how_often", HOW_OFTEN), ("how_much", HOW_MUCH), ("lately", LATELY))
    )
    by_category = pl.col("name").is_duplicated() & pl.col("top_category").is_not_null()
    mainly = pl.when(by_category).then(pl.format("{}, mainly {}", "name", "top_category")).otherwise("name")
    numbered = pl.when("by_number").then(pl.format("{} ({})", "name", "cluster_id")).otherwise("name")
    told = (
        pl.when(pl.col("by_category") & pl.col("by_number")).then(pl.lit("category_and_number"))
        .when("by_category").then(pl.lit("category"))
        .when("by_number").then(pl.lit("number"))
    )  # fmt: skip
    named = (
        coded.with_columns(pl.format("{}{} {}, {}", apart, *words).alias("name"))
        .with_columns(mainly.alias("name"), by_category.alias("by_category"))
        .with_columns(pl.col("name").is_duplicated().alias("by_number"))
        .with_columns(numbered.alias("name"), told.alias("told_apart_by"))
    )
    return named.select("how_often", "how_much", "lately", "told_apart_by", "name").get_columns()


def _how_often(shop: dict[str, Any]) -> pl.Expr:
    frequency = pl.col("avg_frequency")
    return (
        # More than half of them bought once, and the others not much more often.
        pl.when(frequency < 1.5).then(pl.lit("one_time"))
        .when(frequency >= 1.5 * shop["avg_frequency"]).then(pl.lit("frequent"))
        .when(frequency <= shop["avg_frequency"] / 1.5).then(pl.lit("less_frequent"))
        .otherwise(pl.lit("regular"))
        .alias("how_often")
    )  # fmt: skip


def _how_much(shop: dict[str, Any]) -> pl.Expr:
    spend = pl.col("avg_spend")
    return (
        pl.when(spend <= 0).then(pl.lit("no_net_spend"))
        .when(spend >= 2 * shop["avg_spend"]).then(pl.lit("top"))
        .when(spend >= 1.2 * shop["avg_spend"]).then(pl.lit("high"))
        .when(spend >= 0.8 * shop["avg_spend"]).then(pl.lit("average"))
        .otherwise(pl.lit("low"))
        .alias("how_much")
    )  # fmt: skip


def _lately() -> pl.Expr:
    lapsed = pl.col("n_lapsed") / pl.col("n_customers")
    return (
        pl.when(lapsed >= 0.6).then(pl.lit("inactive"))
        .when(lapsed <= 0.3).then(pl.lit("active"))
        .otherwise(pl.lit("partly_inactive"))
        .alias("lately")
    )  # fmt: skip
