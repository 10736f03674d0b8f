"""What will each customer be worth over the next 6, 12 and 36 months?

The candidate that models.clv_evaluation chose, fitted anew on everything up to as_of. Values are what the shop keeps of the
purchases after returns, margin where it is known. Discounting is by month, at the month's end. The discounted interval is
the undiscounted one in the proportion of the means. A horizon longer than the shop's history is marked: no such span has
been seen yet. Where the orders do not tell who has left for good, the probability of it is null, and the explanations say so.
"""

import datetime as dt
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import flag, number, share, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.models.clv_candidates import (
    BTYD,
    CANDIDATES,
    DEFAULT,
    Buyers,
    Forecast,
    Outcome,
    forecasts,
)
from lifecycle_assets.models.clv_evaluation import months_known
from lifecycle_assets.settings import Clv, Shop

HORIZONS = [6, 12, 36]
TIER_MONTHS = 12
TIERS = ["High", "Medium", "Low"]


@table("models.clv_forecast")
class ClvForecast(PerCustomer):
    """Expected value of each customer over the next 6, 12 and 36 months, one row per horizon."""

    horizon_months = dy.Int64(primary_key=True, min=1, description="Months ahead.", metadata={"unit": "months"})
    value_basis = text("What a value is.", nullable=False, values=["margin", "amount"])
    expected_value = number("Expected value of the purchases in the horizon, after returns.", "currency")
    expected_value_low = number("Lower end of its 80 % interval.", "currency")
    expected_value_high = number("Upper end of its 80 % interval.", "currency")
    discounted_value = number("expected_value in today's money.", "currency")
    discounted_value_low = number("Lower end of its 80 % interval.", "currency")
    discounted_value_high = number("Upper end of its 80 % interval.", "currency")
    expected_purchases = number("Expected purchase days in the horizon, by the BTYD model.", "days", minimum=0)
    p_alive = share(
        "Probability of not having left for good, by the BTYD model; BG/NBD says 1 of all who bought once only. Null for "
        "every customer where the shop's orders do not tell who has left: a model in which nobody leaves is as likely.",
        nullable=True,
    )
    clv_tier = text(
        "Rank among all customers by the 12-month forecast; the same in all rows.", nullable=False, values=TIERS
    )
    extrapolated = flag("The horizon is longer than the shop's history.")
    backtest_error_pct = number(
        "By how much the candidate missed the total of the held-out months; see models.clv_evaluation; null without a race.",
        "percent of the outcome",
        nullable=True,
    )
    backtest_coverage = share("Share of customers whose outcome its 80 % interval held in that race.", nullable=True)
    algorithm_used = text(
        "The candidate of models.clv_evaluation that made the row.", nullable=False, values=CANDIDATES
    )
    interpretation = text("The row in words.", nullable=False)
    explanations = text("Which numbers drove the forecast and the tier.", nullable=False)


class Chosen(NamedTuple):
    """The candidate that won the race, and how it did; null without a race."""

    candidate: str
    total_error_pct: float | None
    coverage: float | None


def chosen_of(clv_evaluation: pl.LazyFrame) -> Chosen:
    """The row of models.clv_evaluation that is in use."""
    columns = ("candidate", "total_error_pct", "interval_coverage")
    return Chosen(*clv_evaluation.filter("chosen").select(*columns).collect().row(0))


def clv_forecast(
    target: Buyers,
    past: Outcome | None,
    chosen: Chosen,
    basis: str,
    *,
    shop_id: str,
    as_of: dt.date,
    settings: Shop,
) -> pl.DataFrame:
    """A row per customer of `target` and horizon, sorted by customer and horizon; by the candidate that was chosen, or by
    BG/NBD when the data no longer allows it. `past` is a day in the past with what followed, for the candidates that
    learn from it."""
    if target.features.is_empty():
        return ClvForecast.empty()
    made = forecasts([chosen.candidate], target, past, HORIZONS, settings.customer, settings.seed)
    if not made:
        chosen = Chosen(DEFAULT, None, None)
        made = forecasts([DEFAULT], target, past, HORIZONS, settings.customer, settings.seed)
    [(algorithm, forecast)] = made.items()
    people = _people(target, forecast, settings.customer.clv)
    known = months_known(as_of - dt.timedelta(days=int(target.T.max())), as_of)
    rows = pl.concat([_horizon(people, forecast, i, known) for i in range(len(HORIZONS))])
    told = rows.with_columns(
        pl.lit(shop_id).alias(KEY[0]),
        pl.lit(as_of).alias(KEY[1]),
        value_basis=pl.lit(basis),
        backtest_error_pct=pl.lit(chosen.total_error_pct, dtype=pl.Float64),
        backtest_coverage=pl.lit(chosen.coverage, dtype=pl.Float64),
        algorithm_used=pl.lit(algorithm),
        interpretation=_interpretation(basis, with_purchases=algorithm in BTYD),
    )
    return ClvForecast.conform(told.lazy()).sort("customer_id", "horizon_months").collect()


def _people(target: Buyers, forecast: Forecast, settings: Clv) -> pl.DataFrame:
    """What is the same in all rows of a customer: p_alive, the tier, and the numbers behind them in words."""
    year = forecast.value[:, HORIZONS.index(TIER_MONTHS)]
    low, high = quantiles(year, [settings.low_share, 1 - settings.high_share]).tolist()
    repeated = target.monetary_value[target.frequency > 0]
    usual = f" (repeat customers' median {np.median(repeated):.2f})" if repeated.size else ""
    value = pl.col("twelve")
    # Where the bounds coincide nobody stands out, and what is worth nothing is never more than Low.
    is_low = ((value <= low) & (low < high)) | (value <= 0)
    is_high = (value >= high) & (low < high)
    tier = pl.when(is_low).then(pl.lit("Low")).when(is_high).then(pl.lit("High")).otherwise(pl.lit("Medium"))
    bound = (
        pl.when(value <= 0).then(pl.lit("0"))
        .when(is_low).then(pl.lit(f"at most {low:.2f}, the bottom {settings.low_share:.0%}"))
        .when(is_high).then(pl.lit(f"at least {high:.2f}, the top {settings.high_share:.0%}"))
        .otherwise(pl.lit(f"between {low:.2f} and {high:.2f}"))
    )  # fmt: skip
    # Of those who bought once BG/NBD knows nothing.
    alive = (
        pl.when(pl.col("p_alive").is_null())
        .then(pl.lit("; how likely they are not to have left cannot be told from this shop's orders"))
        .when(pl.col("frequency") > 0)
        .then(pl.format("; {} likely not to have left", _percent("p_alive")))
        .otherwise(pl.lit(""))
    )
    habit = (
        pl.when(pl.col("frequency") == 0)
        .then(pl.format("bought on one day, {} days ago", "T"))
        .otherwise(
            pl.format(
                "{} repeat purchase {} in {} days, the last {} days ago, {} each" + usual,
                "frequency",
                pl.when(pl.col("frequency") == 1).then(pl.lit("day")).otherwise(pl.lit("days")),
                "T",
                "recency_days",
                _cents(pl.col("monetary_value")),
            )
        )
    )
    return (
        pl.DataFrame(
            {
                "customer_id": target.features["customer_id"],
                "recency_days": target.features["recency_days"],
                "frequency": target.frequency.astype(np.int64),
                "T": target.T.astype(np.int64),
                "monetary_value": target.monetary_value,
                "p_alive": None if forecast.p_alive is None else np.clip(forecast.p_alive, 0, 1),
                "twelve": year,
            },
            schema_overrides={"p_alive": pl.Float64},
        )
        .with_columns(clv_tier=tier)
        .select(
            "customer_id",
            "p_alive",
            "clv_tier",
            explanations=pl.format("{}{}; 12-month forecast {}: {}.", habit, alive, bound, "clv_tier"),
        )
    )


def _horizon(people: pl.DataFrame, forecast: Forecast, i: int, known_months: float) -> pl.DataFrame:
    value, discounted = forecast.value[:, i], forecast.discounted[:, i]
    rate = np.divide(discounted, value, out=np.ones_like(value), where=value > 0)
    numbers = {
        "expected_value": value,
        "expected_value_low": forecast.low[:, i],
        "expected_value_high": forecast.high[:, i],
        "discounted_value": discounted,
        "discounted_value_low": forecast.low[:, i] * rate,
        "discounted_value_high": forecast.high[:, i] * rate,
        "expected_purchases": forecast.purchases[:, i],
    }
    return people.with_columns(
        pl.lit(HORIZONS[i], dtype=pl.Int64).alias("horizon_months"),
        *(pl.Series(name, np.round(values, 4)) for name, values in numbers.items()),
        pl.lit(HORIZONS[i] > known_months).alias("extrapolated"),
    )


def _interpretation(basis: str, *, with_purchases: bool) -> pl.Expr:
    of = " of margin" if basis == "margin" else ""
    beyond = pl.when("extrapolated").then(pl.lit(" Longer than the shop's history.")).otherwise(pl.lit(""))
    days = pl.format(", on {} purchase days", pl.col("expected_purchases").round(1)) if with_purchases else pl.lit("")
    return pl.format(
        "{} value: {}" + of + " expected in {} months (80 % interval {} to {}){}.{}",
        "clv_tier",
        _cents(pl.col("expected_value")),
        "horizon_months",
        _cents(pl.col("expected_value_low")),
        _cents(pl.col("expected_value_high")),
        days,
        beyond,
    )


def _cents(value: pl.Expr) -> pl.Expr:
    return value.round(2).cast(pl.Decimal(18, 2))


def _percent(name: str) -> pl.Expr:
    return pl.format("{} %", (pl.col(name) * 100).round(0).cast(pl.Int64))
