"""A made-up shop whose customers have known tastes: each buys in one of five departments, coffee again and again."""

import datetime as dt

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.rfm import CustomerRfm
from lifecycle_assets.inputs.contracts import OrderLines, Products

SHOP = "made"
AS_OF = dt.date(2024, 6, 30)
COLOURS = ["red", "blue", "green", "amber", "black", "ivory", "olive", "coral"]
NOUNS = {
    "garden": ["spade", "hose", "trowel"],
    "kitchen": ["pan", "ladle", "whisk"],
    "bath": ["towel", "mat", "sponge"],
    "office": ["pen", "stapler", "folder"],
    "toys": ["puzzle", "kite", "robot"],
}
TASTES = list(NOUNS)
COFFEE = "coffee"


def table(contract: Contract, rows: pl.DataFrame) -> pl.LazyFrame:
    """`rows` with the columns that they lack, null."""
    given = rows.with_columns(pl.lit(SHOP).alias("shop_id"), pl.lit(AS_OF).alias("as_of"))
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in given.columns]
    return contract.conform(given.with_columns(absent).lazy())


def products() -> pl.DataFrame:
    """24 products of each taste, named after it, and a coffee; `garden-new` has been bought by nobody."""
    rows = [
        (
            f"{taste}-{i:02d}",
            f"{COLOURS[i % 8]} {NOUNS[taste][i // 8]} for the {taste}",
            f"{taste} {NOUNS[taste][i // 8]}",
        )
        for taste in TASTES
        for i in range(24)
    ]
    rows += [(COFFEE, "coffee beans", "food"), ("garden-new", "purple spade for the garden", "garden spade")]
    return pl.DataFrame(rows, schema=["product_id", "name", "category"], orient="row")


def taste_of(customer: int) -> str:
    return TASTES[customer % len(TASTES)]


def order_lines(n_customers: int = 300, seed: int = 1) -> pl.DataFrame:
    """Each customer buys about fifteen products of their taste once, in random order over a year; those with an even
    number buy coffee every fortnight as well."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(n_customers):
        chosen = rng.choice(24, rng.integers(10, 20), replace=False)
        rows += [(f"C{customer:04d}", f"{taste_of(customer)}-{i:02d}", int(rng.integers(0, 360))) for i in chosen]
        if customer % 2 == 0:
            rows += [(f"C{customer:04d}", COFFEE, age) for age in range(int(rng.integers(0, 14)), 360, 14)]
    frame = pl.DataFrame(rows, schema=["customer_id", "product_id", "age"], orient="row")
    day = pl.lit(AS_OF) - pl.duration(days="age")
    return frame.select(
        "customer_id",
        "product_id",
        day.alias("order_date"),
        day.cast(pl.Datetime).dt.replace_time_zone("UTC").alias("ordered_at"),
        pl.int_range(1, pl.len() + 1).alias("line_no"),
        pl.int_range(pl.len()).cast(pl.String).alias("order_id"),
        pl.lit(1.0).alias("quantity"),
        pl.lit(5.0).alias("unit_price"),
        pl.lit(0.0).alias("discount_amount"),
        pl.lit(5).alias("amount"),
        pl.lit("completed").alias("status"),
    )


def shop(lines: pl.DataFrame | None = None, goods: pl.DataFrame | None = None) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """raw.order_lines and raw.products."""
    lines = order_lines() if lines is None else lines
    return table(OrderLines, lines), table(Products, products() if goods is None else goods)


def with_future(lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` and as many on the day after AS_OF, by other customers and of other products as well."""
    later = lines.with_columns(
        customer_id="new " + pl.col("customer_id"),
        product_id=pl.when(pl.int_range(pl.len()) % 2 == 0).then("product_id").otherwise("new " + pl.col("product_id")),
        order_date=pl.lit(AS_OF + dt.timedelta(days=1)),
        line_no=pl.col("line_no") + lines.height,
    )
    return pl.concat([lines, later])


def tiers(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The customer_id and rfm_tier of features.customer_rfm: Loyal for coffee drinkers, else Potential."""
    number = pl.col("customer_id").str.slice(1).cast(pl.Int64)
    tier = pl.when(number % 2 == 0).then(pl.lit("Loyal")).otherwise(pl.lit("Potential"))
    return lines.select(pl.col("customer_id").unique().drop_nulls()).with_columns(tier.alias("rfm_tier"))


def no_rfm() -> pl.LazyFrame:
    return CustomerRfm.empty().lazy()
