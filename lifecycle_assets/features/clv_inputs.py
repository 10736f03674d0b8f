"""What do the models of customer lifetime value need to know of each customer?

The summary that BTYD models are fitted on (Fader, Hardie and Lee, "Counting your customers" the easy way, 2005): repeat
purchase days, days from the first to the last of them, days observed, and the mean value of an occasion. All orders of one
day are one occasion. The value is the margin when it is known for the purchases of every repeat customer of the shop, else
the amount for all: margins and amounts are never ranked together. All is of the whole history, whatever the window.
A customer who never repeated has the value 0, as those models assume, unless first purchases are included.
"""

from typing import Literal

import polars as pl

from lifecycle_assets.contracts import count, flag, money, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.settings import ClvInputs, Customer

POTENTIALS = ["High", "Medium", "Low"]


@table("features.customer_clv_inputs")
class CustomerClvInputs(PerCustomer):
    """Frequency, recency, age and mean value per occasion of each customer, and what they promise."""

    frequency = count("Purchase days after the first.", "days")
    recency = count("From the first purchase to the last.", "days")
    T = count("From the first purchase to as_of.", "days")
    monetary_value = money("Mean value of a repeat purchase day; 0 for those who never repeated.")
    monetary_basis = text(
        "What the value is, the same for the whole shop: margin when known for every repeat customer, else amount.",
        nullable=False,
        values=["margin", "amount"],
    )
    clv_potential_tier = text(
        "High: repeated, and among the top by monetary_value; Low: never repeated, or among the bottom.",
        nullable=False,
        values=POTENTIALS,
    )
    churned = flag("By features.churn_labels; null for customers without a label there.", nullable=True)
    interpretation = text("The row in words.", nullable=False)
    explanations = text("Which number drove the tier.", nullable=False)


def customer_clv_inputs(customer_orders: pl.LazyFrame, churn_labels: pl.LazyFrame, settings: Customer) -> pl.DataFrame:
    """The CLV inputs of each row of features.customer_orders, in the order given; `churn_labels` are those of the same day.

    Tier bounds are quantiles of monetary_value among the customers who repeated; both bounds belong to the outer tiers.
    """
    basis = value_basis(customer_orders, settings.clv_inputs)
    frame = (
        occasions(customer_orders, basis, include_first=settings.clv_inputs.include_first)
        .with_columns(pl.lit(basis).alias("monetary_basis"))
        .join(churn_labels.select(*KEY, "churned"), on=KEY, how="left", maintain_order="left")
        .collect()
    )
    if frame.is_empty():
        return CustomerClvInputs.empty()
    return _with_tier(frame, settings).drop("recency_days")


def value_basis(customer_orders: pl.LazyFrame, settings: ClvInputs) -> Literal["margin", "amount"]:
    """What a purchase day is worth in this shop: its margin when that is known for everyone whose value is looked at, else
    its amount. One unknown margin among them, or nobody at all, and it is the amount."""
    valued = customer_orders if settings.include_first else customer_orders.filter(pl.col("purchase_days") > 1)
    n, n_known = valued.select(pl.len(), pl.col("purchase_margin").count().alias("known")).collect().row(0)
    return "margin" if n == n_known > 0 else "amount"


def occasions(customer_orders: pl.LazyFrame, basis: str, *, include_first: bool) -> pl.LazyFrame:
    """What BTYD models are fitted on, per row of features.customer_orders, tonight's or a past day's: the key, frequency,
    recency, T (days), monetary_value (per repeat purchase day, or per any with `include_first`) and recency_days."""
    days = pl.col("purchase_days")
    total, first = pl.col(f"purchase_{basis}").cast(pl.Float64), pl.col(f"first_day_{basis}").cast(pl.Float64)
    value = total / days if include_first else pl.when(days > 1).then((total - first) / (days - 1)).otherwise(0.0)
    return customer_orders.select(
        *KEY,
        (days - 1).alias("frequency"),
        (pl.col("last_purchase_date") - pl.col("first_purchase_date")).dt.total_days().alias("recency"),
        pl.col("tenure_days").alias("T"),
        value.round(4).cast(pl.Decimal(18, 4)).alias("monetary_value"),
        "recency_days",
    )


def _with_tier(frame: pl.DataFrame, settings: Customer) -> pl.DataFrame:
    repeated = frame.filter(pl.col("frequency") >= 1)["monetary_value"].cast(pl.Float64).to_numpy()
    low_share, high_share = settings.clv_inputs.low_share, settings.clv_inputs.high_share
    low, high = quantiles(repeated, [low_share, 1 - high_share]).tolist() if repeated.size else (0.0, 0.0)
    value, never = pl.col("monetary_value").cast(pl.Float64), pl.col("frequency") == 0
    basis = pl.col("monetary_basis")
    shown = pl.col("monetary_value").round(2).cast(pl.Decimal(18, 2))
    tier = (
        pl.when(never).then(pl.lit("Low"))
        .when(value >= high).then(pl.lit("High"))
        .when(value <= low).then(pl.lit("Low"))
        .otherwise(pl.lit("Medium"))
    )  # fmt: skip
    top, bottom = f"{high:.2f} (top {high_share:.0%} of repeat customers)", f"{low:.2f} (bottom {low_share:.0%})"
    explanations = (
        pl.when(never).then(pl.lit("frequency 0: never bought on another day"))
        .when(value >= high).then(pl.format("monetary_value {} ({}): at least " + top, shown, basis))
        .when(value <= low).then(pl.format("monetary_value {} ({}): at most " + bottom + " of repeat customers", shown, basis))
        .otherwise(pl.format("monetary_value {} ({}): between " + bottom + " and " + top, shown, basis))
    )  # fmt: skip
    days = pl.when(pl.col("frequency") == 1).then(pl.lit("day")).otherwise(pl.lit("days"))
    habit = (
        pl.when(never).then(pl.format("one purchase day, {} days ago", "recency_days"))
        .otherwise(
            pl.format(
                "{} repeat purchase {} in {} days, {} {} each on average, last {} days ago",
                "frequency", days, "T", shown, "monetary_basis", "recency_days",
            )
        )
    )  # fmt: skip
    state = (
        pl.when("churned").then(pl.lit("counts as churned"))
        .when(~pl.col("churned")).then(pl.lit("not churned"))
        .otherwise(pl.lit("churn not known"))
    )  # fmt: skip
    return frame.with_columns(tier.alias("clv_potential_tier"), explanations.alias("explanations")).with_columns(
        pl.format("{} potential: {}; {}.", "clv_potential_tier", habit, state).alias("interpretation")
    )
