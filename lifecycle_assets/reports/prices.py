"""Which prices should move, what the moves are expected to bring, and how sure is that?

A product's expected gain is what its chosen demand model expects of the advised price less of today's (models.price_outcomes),
in profit, or in revenue where its cost is not known. Its range follows from the 95 % interval of its elasticity: with units
sold proportional to price ** elasticity, u units today at the price p and the cost c, the price q brings

    u * ((q - c) * (q / p) ** elasticity - (p - c))

more, and the range is what that is at the two ends of the interval, widened to hold the model's own expectation. A total's
ends are the sums of its products' ends: what would come if all of them reacted at that end. Demand is taken product by
product: what customers buy instead is in no table.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.contracts import MONEY
from lifecycle_assets.inputs.contracts import PriceHistory, Products
from lifecycle_assets.models.price_outcomes import CREDIBLE, PriceOutcomes, objective
from lifecycle_assets.models.prices import OBJECTIVES, PriceRecommendations
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.products import names_of
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

READS = (PriceRecommendations, PriceOutcomes, PriceHistory, Products)
LISTED = 10
# Why a product has no advice, in the order in which it is decided.
HINDRANCES = ("no_fall", "unclear", "beyond_belief", "no_model", "no_candidate")


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Facts `prices.days`, `.tested`, `.from_orders` (of these, products whose prices are those paid), `.advised`, `.lower`,
    `.higher`, `.kept`, `.changes`, `.clear` (changes whose gain's range is above zero), `.<objective>.gain` with its range and
    `.<objective>.today` (what the changed products bring at today's prices), `.listed` and `.listed_clear`; tables
    `price_changes` (name, objective, current, advised, change, gain, lo, hi, clear), the largest gains first, and
    `price_hindrances` (name, products)."""
    of_prices = settings.products.prices
    advice, outcomes = tables[PriceRecommendations].collect(), tables[PriceOutcomes]
    since = as_of - dt.timedelta(days=of_prices.window_days)
    history = tables[PriceHistory].filter(pl.col("price") > 0, pl.col("date") > since, pl.col("date") <= as_of)
    has_history = not history.limit(1).collect().is_empty()
    advised = advice.filter(pl.col("best_price").is_not_null())
    changes = _changes(advice, outcomes)
    hindered = _hindered(advice, outcomes)
    lower = changes.filter(pl.col("best_price") < pl.col("current_price")).height
    found = [
        Fact("prices.days", of_prices.horizon_days, "days"),
        Fact("prices.tested", advice.height, "products"),
        Fact("prices.from_orders", 0 if has_history else advice.height, "products"),
        Fact("prices.advised", advised.height, "products", advice.height),
        Fact("prices.lower", lower, "products", advised.height),
        Fact("prices.higher", changes.height - lower, "products", advised.height),
        Fact("prices.kept", advised.height - changes.height, "products", advised.height),
        Fact("prices.changes", changes.height, "products", advised.height),
        Fact("prices.clear", changes.filter("clear").height, "products", changes.height),
        *(Fact(f"prices.hindered.{name}", products, "products", advice.height) for name, products in hindered),
    ]
    for goal in OBJECTIVES:
        of_goal = changes.filter(optimize_for=goal)
        if of_goal.is_empty():
            continue
        gain, lo, hi, today = of_goal.select(pl.col("gain", "lo", "hi", "today").sum().round(4).cast(MONEY)).row(0)
        found += [
            Fact(f"prices.{goal}.gain", gain, "currency", of_goal.height, lo=lo, hi=hi),
            Fact(f"prices.{goal}.today", today, "currency", of_goal.height),
        ]
    largest = changes.head(LISTED)
    found += [
        Fact("prices.listed", largest.height, "products"),
        Fact("prices.listed_clear", largest.filter("clear").height, "products", largest.height),
    ]
    names = names_of(largest["product_id"], tables[Products])
    rows = [
        {
            "name": names[row["product_id"]],
            "objective": row["optimize_for"],
            "current": row["current_price"],
            "advised": row["best_price"],
            "change": row["best_price"] / row["current_price"] - 1,
            **{name: row[name] for name in ("gain", "lo", "hi", "clear")},
        }
        for row in largest.to_dicts()
    ]
    return Facts(
        found,
        {"price_changes": rows, "price_hindrances": [{"name": name, "products": n} for name, n in hindered]},
    )


def _changes(advice: pl.DataFrame, outcomes: pl.LazyFrame) -> pl.DataFrame:
    """product_id, optimize_for, current_price, best_price, today (what today's price brings), gain, lo, hi, clear: one row per
    product whose advised price is not today's, the largest gain first."""
    valued = (
        outcomes.filter(pl.col("is_best") | pl.col("is_current"))
        .join(advice.lazy().select("product_id", "optimize_for"), on="product_id")
        .with_columns(value=objective())
    )
    today = valued.filter("is_current").select(
        "product_id",
        "price",
        today="value",
        units="expected_units",
        # Only a profit has a cost; without units it does not matter.
        cost=pl.col("price") - (pl.col("value") / pl.col("expected_units")).fill_nan(0),
    )
    best = valued.filter("is_best").select("product_id", best="value")
    move = pl.col("best_price") / pl.col("price")
    ends = [
        pl.col("units")
        * ((pl.col("best_price") - pl.col("cost")) * move.pow(pl.col(end)) - (pl.col("price") - pl.col("cost")))
        for end in ("elasticity_lo", "elasticity_hi")
    ]
    gain = pl.col("best") - pl.col("today")
    return (
        advice.lazy()
        .filter(pl.col("best_price") != pl.col("current_price"))
        .join(today, on="product_id")
        .join(best, on="product_id")
        .with_columns(gain=gain, lo=pl.min_horizontal(gain, *ends), hi=pl.max_horizontal(gain, *ends))
        .with_columns(clear=pl.col("lo") > 0)
        .sort("gain", "product_id", descending=[True, False])
        .select(
            "product_id", "optimize_for", "current_price", "best_price", "today", "gain", "lo", "hi", "clear"
        )
        .collect()
    )  # fmt: skip


def _hindered(advice: pl.DataFrame, outcomes: pl.LazyFrame) -> list[tuple[str, int]]:
    """How many products have no advice, by what stands in the way, the most frequent first."""
    weighed = outcomes.select(pl.col("product_id").unique()).collect().to_series()
    codes = (
        pl.when(pl.col("elasticity").is_null())
        .then(pl.lit("no_fall"))
        .when(pl.col("elasticity_hi") >= 0)
        .then(pl.lit("unclear"))
        .when(pl.col("elasticity") < CREDIBLE)
        .then(pl.lit("beyond_belief"))
        .when(~pl.col("product_id").is_in(weighed.implode()))
        .then(pl.lit("no_model"))
        .otherwise(pl.lit("no_candidate"))
    )
    counted = dict(advice.filter(pl.col("best_price").is_null()).select(name=codes).group_by("name").len().iter_rows())
    return sorted(((name, counted[name]) for name in HINDRANCES if name in counted), key=lambda row: -row[1])
