"""Which price would bring most, and how sure is that?

Per product: the own-price elasticity with its 95 % interval from a log-linear regression of its demand (demand_models.py), a
demand model out of three candidates (demand_validation.py), and what it expects of each candidate price (price_outcomes.py);
the best of those within the guardrails is advised.

No advice, and a note saying why, where demand does not clearly fall with the price (the interval reaches 0), falls more than
can be believed, or no model is better than the product's mean demand. An elasticity that comes out positive is not claimed.
What was observed was not randomised: a price cut that came with an advertisement nobody recorded looks like elasticity.
Without a unit cost, revenue takes the place of profit. Holidays are those of the shop's country; for one whose holidays are not
known there are none, and the note says so. A product with fewer than ten rows or a single price has no row.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, shop_key, table, text
from lifecycle_assets.features.public_holidays import public_holidays
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.demand import product_days
from lifecycle_assets.models.demand_models import CANDIDATES, Elasticities
from lifecycle_assets.models.demand_validation import validated
from lifecycle_assets.models.price_outcomes import CREDIBLE, PriceOutcomes, objective, price_outcomes
from lifecycle_assets.settings import Prices

OBJECTIVES = ["profit", "revenue"]


@table("models.price_recommendations")
class PriceRecommendations(dy.Schema):
    """The price that would bring most, per product with enough price history, and how well its demand is understood."""

    shop_id = shop_key()
    as_of = as_of_column()
    product_id = key("The product.")
    current_price = number("Price of the last row of history.", "currency", minimum=0)
    best_price = number("Advised price; null without advice.", "currency", nullable=True, minimum=0)
    optimize_for = text("What best_price brings most of.", nullable=False, values=OBJECTIVES)
    elasticity = number(
        "Change of units in percent when the price rises by one; null where it does not come out negative.",
        "ratio",
        nullable=True,
        maximum=0,
    )
    elasticity_lo = number("Lower end of its 95 % interval.", "ratio", nullable=True)
    elasticity_hi = number("Upper end of its 95 % interval.", "ratio", nullable=True)
    algorithm = text("Demand model with the best validation.", nullable=False, values=CANDIDATES)
    mape = number(
        "Mean of |units - forecast| / units over validation rows with sales.", "ratio", nullable=True, minimum=0
    )
    wape = number("Sum of |units - forecast| over sum of units in validation.", "ratio", nullable=True, minimum=0)
    train_rows = count("Rows that the demand model of the advice is trained on.", "rows")
    gain_pct = number("Expected gain over today's price; null without advice.", "percent", nullable=True)
    note = text("Why there is no advice, or what to keep in mind.")
    interpretation = text("The row in words.", nullable=False)


def demand_days(
    price_history: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    country: str,
    as_of: dt.date,
    settings: Prices,
) -> pl.DataFrame:
    """What was sold at which price, of raw.price_history and raw.order_lines: models.demand.product_days, with `product`, the
    product's number from 0. Empty without such a history."""
    holidays = _holidays(country, as_of, settings)
    known = pl.Series("date", [], dtype=pl.Date) if holidays is None else holidays
    days = product_days(price_history, order_lines, known, as_of, settings)
    return days.with_columns(product=pl.col("product_id").rle_id())


def demand_races(days: pl.DataFrame, shop: str, seed: int) -> pl.DataFrame:
    """A row per product of `demand_days`: product_id, algorithm, mape, wape, beats_mean; see demand_validation."""
    if days.is_empty():
        return pl.DataFrame()
    numbered = days.with_columns(product=pl.col("product_id").rle_id())
    names = numbered.select("product", "product_id").unique(maintain_order=True)
    return names.join(validated(numbered, _trees_seed(shop, seed)), on="product", maintain_order="left").drop("product")


def prices(
    days: pl.DataFrame,
    races: pl.DataFrame,
    order_lines: pl.LazyFrame,
    products: pl.LazyFrame,
    *,
    shop: str,
    country: str,
    as_of: dt.date,
    settings: Prices,
    seed: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(price_recommendations, price_outcomes) of `demand_days`, raw.order_lines and raw.products, sorted by key. `races`: of
    `demand_races`, of this night or an earlier one; products that are not among them race now."""
    if days.is_empty():
        return PriceRecommendations.empty(), PriceOutcomes.empty()
    newer = demand_races(days.join(races, on="product_id", how="anti", maintain_order="left"), shop, seed)
    races = pl.concat([frame for frame in (races, newer) if frame.height])
    holidays, elasticities = _holidays(country, as_of, settings), Elasticities(days)
    found = (
        _facts(days, products, order_lines, as_of, settings)
        .with_columns(_claimed(elasticities))
        .join(races, on="product_id")
        .sort("product")
    )
    unknown = f"the public holidays of {country} are not known" if holidays is None else None
    found = found.with_columns(unknown=pl.lit(unknown, pl.String))
    ahead = 0.0 if holidays is None else holidays.filter(holidays > as_of).len() / settings.horizon_days
    outcomes = price_outcomes(days, found, elasticities, ahead, settings, _trees_seed(shop, seed))
    stamp = [pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of")]
    return (
        _recommended(found, outcomes, settings).select(*stamp, *list(PriceRecommendations.columns)[2:]),
        outcomes.select(*stamp, *list(PriceOutcomes.columns)[2:]),
    )


def _holidays(country: str, as_of: dt.date, settings: Prices) -> pl.Series | None:
    """The public holidays of the history and of the days ahead; None where they are not known."""
    day = dt.timedelta(days=1)
    return public_holidays(country, as_of - settings.window_days * day, as_of + settings.horizon_days * day)


def _trees_seed(shop: str, seed: int) -> int:
    return int(generator(shop, PriceRecommendations.name, seed).integers(2**31))


def _facts(
    days: pl.DataFrame, products: pl.LazyFrame, order_lines: pl.LazyFrame, as_of: dt.date, settings: Prices
) -> pl.DataFrame:
    """One row per product: today's price, observed range, stock, unit cost, and the objective that follows."""
    line_costs = (
        order_lines.filter(pl.col("unit_cost").is_not_null() & (pl.col("order_date") <= as_of))
        .sort("product_id", "ordered_at", "line_no")
        .group_by("product_id")
        .agg(line_cost=pl.col("unit_cost").last())
    )
    known = products.select("product_id", "unit_cost", "inventory_level").join(
        line_costs, on="product_id", how="full", coalesce=True
    )
    facts = days.group_by("product", maintain_order=True).agg(
        pl.col("product_id").first(),
        current_price=pl.col("price").last().round(2),
        lowest=pl.col("price").min(),
        highest=pl.col("price").max(),
        most_units=pl.col("units").max(),
        last_stock=pl.col("inventory_level").last(),
        train_rows=pl.len(),
        from_orders=pl.col("from_orders").first(),
    )
    facts = facts.join(known.collect(), on="product_id", how="left", maintain_order="left").with_columns(
        unit_cost=pl.coalesce("unit_cost", "line_cost"), stock=pl.coalesce("last_stock", "inventory_level")
    )
    revenue = pl.col("unit_cost").is_null() | pl.lit(settings.optimize_for == "revenue")
    return facts.with_columns(optimize_for=pl.when(revenue).then(pl.lit("revenue")).otherwise(pl.lit("profit")))


def _claimed(elasticities: Elasticities) -> list[pl.Series]:
    """elasticity and the ends of its interval; nulls where it is not negative or has no interval."""
    reach = elasticities.critical * elasticities.error
    value = np.where(elasticities.value < 0, elasticities.value, np.nan)
    ends = {"elasticity": value, "elasticity_lo": value - reach, "elasticity_hi": value + reach}
    return [pl.Series(name, np.where(np.isfinite(reach), end, np.nan)).fill_nan(None) for name, end in ends.items()]


def _recommended(found: pl.DataFrame, outcomes: pl.DataFrame, settings: Prices) -> pl.DataFrame:
    """The rows of models.price_recommendations, sorted by key."""
    goals = found.select("product_id", "optimize_for")
    valued = outcomes.select(
        "product_id", "price", "allowed", "is_best", "is_current", "expected_profit", "expected_revenue"
    )
    valued = valued.join(goals, on="product_id").with_columns(value=objective())
    best = valued.filter("is_best").select("product_id", best_price="price", best="value")
    today = valued.filter("is_current").select("product_id", today="value")
    following = (
        valued.filter(pl.col("allowed") & ~pl.col("is_best"))
        .sort("product_id", "value", "price", descending=[False, True, False])
        .unique("product_id", keep="first")
        .select("product_id", next_price="price", next="value")
    )
    frame = found
    for part in (best, today, following):
        frame = frame.join(part, on="product_id", how="left")
    frame = frame.with_columns(
        gain_pct=_above("today"),
        next_pct=_above("next"),
        note=_note(settings),
    )
    return frame.with_columns(_interpretation(settings)).sort("product_id")


def _above(other: str) -> pl.Expr:
    gain = (pl.col("best") / pl.col(other) - 1) * 100
    return pl.when(pl.col("best_price").is_not_null() & (pl.col(other) > 0)).then(gain)


def _note(settings: Prices) -> pl.Expr:
    obstacle = (
        pl.when(pl.col("elasticity").is_null())
        .then(pl.lit("no advice: demand does not fall with the price in this history"))
        .when(pl.col("elasticity_hi") >= 0)
        .then(pl.lit("no advice: the interval of the elasticity reaches 0"))
        .when(pl.col("elasticity") < CREDIBLE)
        .then(pl.lit(f"no advice: an elasticity beyond {CREDIBLE:.0f} is hardly that of the price alone"))
        .when(~pl.col("beats_mean"))
        .then(pl.lit("no advice: no model predicts better than the mean demand"))
        .when(pl.col("best_price").is_null())
        .then(pl.lit("no advice: no candidate price is within the guardrails"))
    )
    cost = pl.when(pl.col("unit_cost").is_null() & pl.lit(settings.optimize_for == "profit")).then(
        pl.lit("unit cost unknown: optimised for revenue")
    )
    source = pl.when("from_orders").then(
        pl.lit("prices are those of order lines: quantity discounts and promotions may exaggerate the elasticity")
    )
    notes = pl.concat_str(obstacle, cost, source, "unknown", separator="; ", ignore_nulls=True)
    return pl.when(notes != "").then(notes)


def _interpretation(settings: Prices) -> pl.Expr:
    def shown(column: str, digits: int = 2) -> pl.Expr:
        return pl.col(column).round(digits).cast(pl.Decimal(18, digits))

    move = (
        pl.when(pl.col("best_price") > pl.col("current_price"))
        .then(pl.format("Raise the price from {} to {}", shown("current_price"), shown("best_price")))
        .when(pl.col("best_price") < pl.col("current_price"))
        .then(pl.format("Lower the price from {} to {}", shown("current_price"), shown("best_price")))
        .otherwise(pl.format("Keep the price at {}", shown("current_price")))
    )
    gain = (
        pl.when(pl.col("gain_pct") > 0)
        .then(pl.format(", {} % more than today", shown("gain_pct", 1)))
        .otherwise(pl.lit(""))
    )
    beyond = pl.when(pl.col("next_pct").is_not_null()).then(
        pl.format(", {} % more than the next best price, {}", shown("next_pct", 1), shown("next_price"))
    ).otherwise(pl.lit(""))  # fmt: skip
    advice = pl.format(
        "{}: expected {} of {} in {} days{}{}.",
        move,
        "optimize_for",
        shown("best"),
        pl.lit(settings.horizon_days),
        gain,
        beyond,
    )
    none = pl.format("No price is advised: {}.", pl.col("note").str.strip_prefix("no advice: "))
    return pl.when(pl.col("best_price").is_not_null()).then(advice).otherwise(none).alias("interpretation")
