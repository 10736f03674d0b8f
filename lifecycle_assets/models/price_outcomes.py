"""What would each candidate price bring?

Every candidate price is put into the product's latest rows, as they were but for the price and for the holidays, which are
those of the days ahead, and the chosen demand model says what would have been sold, never more than in the best row of
history. Expected units are of `horizon_days`, and never more than the stock. Intervals are those of the log-linear
regression's expectation: they tell how well demand is known, not how it varies from month to month. Guardrails: the largest
move from today's price, the minimum margin, and the observed range of prices, widened by a tenth. Without products to advise
on there are no rows.
"""

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, flag, key, number, shop_key, table
from lifecycle_assets.models.blocks import side_by_side
from lifecycle_assets.models.demand import days_per_row
from lifecycle_assets.models.demand_models import PENALTY, Elasticities, fit
from lifecycle_assets.settings import Prices

# A week of days, whatever the weekday; of weekly rows, the last seven.
CONTEXT_ROWS = 7
BEYOND_OBSERVED = 0.10
# Four of five published elasticities lie between -4 and -1 (Bijmolt, van Heerde and Pieters, New empirical generalizations on
# the determinants of price elasticity, 2005); below this something else than the price moved demand.
CREDIBLE = -10.0


@table("models.price_outcomes")
class PriceOutcomes(dy.Schema):
    """What each candidate price would bring within the horizon, for the products with advice."""

    shop_id = shop_key()
    as_of = as_of_column()
    product_id = key("The product.")
    price = dy.Float64(primary_key=True, min=0, description="Candidate price.", metadata={"unit": "currency"})
    expected_units = number("Units within the horizon, the stock at most.", "units", minimum=0)
    expected_units_lo = number("Lower end of the 95 % interval of the expectation.", "units", minimum=0)
    expected_units_hi = number("Upper end of the 95 % interval of the expectation.", "units", minimum=0)
    expected_revenue = number("Price * expected_units.", "currency", minimum=0)
    expected_revenue_lo = number("Lower end of its 95 % interval.", "currency", minimum=0)
    expected_revenue_hi = number("Upper end of its 95 % interval.", "currency", minimum=0)
    expected_profit = number("(Price - unit cost) * expected_units; null without a cost.", "currency", nullable=True)
    expected_profit_lo = number("Lower end of its 95 % interval.", "currency", nullable=True)
    expected_profit_hi = number("Upper end of its 95 % interval.", "currency", nullable=True)
    is_current = flag("Today's price.")
    allowed = flag("Within the guardrails: margin, move, observed range.")
    is_best = flag("The advised price.")


def price_outcomes(
    days: pl.DataFrame,
    found: pl.DataFrame,
    elasticities: Elasticities,
    holiday_ahead: float,
    settings: Prices,
    seed: int,
) -> pl.DataFrame:
    """What each candidate price would bring for the products with a demand that falls with the price and is understood.

    `days` are the rows of demand, `found` has a row per product: its facts, claimed elasticity and chosen algorithm;
    `holiday_ahead` is the share of the horizon's days that are holidays."""
    advisable = found.filter(pl.col("beats_mean") & (pl.col("elasticity_hi") < 0) & (pl.col("elasticity") >= CREDIBLE))
    candidates = _candidates(advisable, settings)
    context = days.filter(pl.int_range(pl.len()).reverse().over("product") < CONTEXT_ROWS)
    asked = candidates.join(context.drop("product_id", "price", "units"), on="product").with_columns(
        inventory_level=pl.coalesce("stock", "inventory_level"), units=pl.lit(0.0), holiday=pl.lit(holiday_ahead)
    )
    asked = asked.sort("product", "price", "date")
    if asked.is_empty():
        return PriceOutcomes.empty()
    base = Elasticities(days, PENALTY)

    def told(part: pl.DataFrame) -> pl.DataFrame:
        units = fit(part["algorithm"][0], days, base, seed)(part)
        return part.select("product", "price", units=pl.Series(units, dtype=pl.Float64))

    parts = asked.partition_by("algorithm", maintain_order=True)
    per_row = (
        pl.concat(side_by_side(told, parts))
        .group_by("product", "price", maintain_order=True)
        .agg(pl.col("units").mean())
    )
    latest = asked.unique(["product", "price"], keep="last", maintain_order=True)
    product = latest["product"].to_numpy()
    spread = np.exp(elasticities.critical[product] * elasticities.log_error(latest))
    rows_in_horizon = settings.horizon_days / days_per_row(days)
    stock = pl.col("stock").fill_null(np.inf).clip(0)
    frame = (
        latest.with_columns(spread=pl.Series(spread))
        .drop("units")
        .join(per_row, on=["product", "price"], how="left", maintain_order="left")
        .with_columns(pl.min_horizontal("units", "most_units") * rows_in_horizon)
        .with_columns(
            expected_units=pl.min_horizontal(pl.col("units"), stock),
            expected_units_lo=pl.min_horizontal(pl.col("units") / pl.col("spread"), stock),
            expected_units_hi=pl.min_horizontal(pl.col("units") * pl.col("spread"), stock),
        )
    )
    for end in ("", "_lo", "_hi"):
        units = pl.col(f"expected_units{end}")
        frame = frame.with_columns(
            (units * pl.col("price")).alias(f"expected_revenue{end}"),
            (units * (pl.col("price") - pl.col("unit_cost"))).alias(f"expected_profit{end}"),
        )
    # At a price below cost more units are a larger loss.
    loss = pl.col("expected_profit") < 0
    frame = frame.with_columns(
        expected_profit_lo=pl.when(loss).then("expected_profit_hi").otherwise("expected_profit_lo"),
        expected_profit_hi=pl.when(loss).then("expected_profit_lo").otherwise("expected_profit_hi"),
    )
    # Of equal prices today's, else the lowest: a move needs a reason.
    value = pl.when("allowed").then(objective())
    order = ["product", "value", "is_current", "price"]
    best = (
        frame.with_columns(value=value)
        .drop_nulls("value")
        .sort(order, descending=[False, True, True, False])
        .unique("product", keep="first")
        .select("product", best_price="price")
    )
    return frame.join(best, on="product", how="left").with_columns(
        is_best=(pl.col("price") == pl.col("best_price")).fill_null(value=False)
    ).sort("product_id", "price")  # fmt: skip


def _candidates(advisable: pl.DataFrame, settings: Prices) -> pl.DataFrame:
    """Each product's facts with every candidate price, today's among them, and whether the guardrails allow it.

    The grid holds prices that end in .90 and .99; below 10 in 9 cents, above 100 one less in the digits that count.
    """
    current = pl.col("current_price")
    least = pl.max_horizontal(
        current * (1 - settings.max_move),
        pl.col("lowest") * (1 - BEYOND_OBSERVED),
        pl.col("unit_cost") / (1 - min(settings.min_margin, 0.999)),
    )
    most = pl.min_horizontal(current * (1 + settings.max_move), pl.col("highest") * (1 + BEYOND_OBSERVED))
    bounded = advisable.with_columns(
        least=least, most=most, step=pl.lit(10.0).pow(current.clip(0.01).log10().floor() - 1).clip(0.01)
    )
    given = pl.DataFrame(
        [(product, price) for product, those in sorted(settings.candidates.items()) for price in those],
        schema={"product_id": pl.String, "price": pl.Float64},
        orient="row",
    )
    steps = bounded.join(given, on="product_id", how="anti").with_columns(
        k=pl.int_ranges(
            (pl.col("least") / pl.col("step")).floor().cast(pl.Int64),
            (pl.col("most") / pl.col("step")).ceil().cast(pl.Int64) + 2,
        )
    )
    round_price = steps.explode("k").drop_nulls("k").select("product_id", "step", price=pl.col("k") * pl.col("step"))
    grid = pl.concat(
        [
            round_price.select("product_id", pl.col("price") - 0.01),
            round_price.filter(pl.col("step") >= 1).select("product_id", pl.col("price") - 0.10),
        ]
    )
    within = pl.col("price").is_between(pl.col("least") - 1e-9, pl.col("most") + 1e-9)
    grid = grid.join(bounded.select("product_id", "least", "most"), on="product_id").filter(within)
    today = bounded.select("product_id", price="current_price")
    asked = pl.concat([grid.select("product_id", "price"), given.join(today, on="product_id", how="semi"), today])
    asked = asked.with_columns(pl.col("price").round(2)).filter(pl.col("price") > 0).unique()
    return bounded.join(asked, on="product_id").with_columns(
        allowed=within.fill_null(value=False), is_current=pl.col("price") == current
    )


def objective() -> pl.Expr:
    """What a price is judged by, of a frame with optimize_for."""
    return pl.when(pl.col("optimize_for") == "profit").then("expected_profit").otherwise("expected_revenue")
