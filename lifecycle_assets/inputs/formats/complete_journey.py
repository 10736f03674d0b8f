"""The Complete Journey: a year of grocery shopping of 2 469 households (84.51, Customer Journey study).

Money, after the data's documentation: `sales_value` is what the retailer receives, loyalty discount (`retail_disc`) and the
retailer's match of a coupon (`coupon_match_disc`) already taken off; a manufacturer's coupon (`coupon_disc`) is money that
the customer did not pay. So the shelf price is (sales_value + retail_disc + coupon_match_disc) / quantity, the discount all
three, and the amount sales_value - coupon_disc, which is what the customer paid.

Timestamps are UTC, days and weeks those of America/New_York. Fuel is sold in thousandths of a gallon - quantities in the tens
of thousands - and earns points rather than margin: its lines are left out. `category` is the product category (304 of
them; departments are 32, types 2 379). Campaigns were not randomised: they become mailings that were sent, with a coupon
redeemed as the response, and never assignments of an experiment.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.inputs.mapping import Format, Recipe, Scan
from lifecycle_assets.settings import LeaveOut

FIRST_MONDAY = dt.date(2017, 1, 2)
FUEL = "fuel is sold by thousandths of a gallon and is not part of the assortment"


def order_lines(scan: Scan) -> pl.LazyFrame:
    """One row per line of a till receipt. Coupons that belong to no product come as lines of quantity 0 and lower the
    order's amount; a line that was paid for but has quantity 0 counts as one unit."""
    gross = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    quantity = pl.when((pl.col("quantity") == 0) & (gross > 0)).then(1).otherwise(pl.col("quantity"))
    products = scan("products").select("product_id", "department", "product_category", "product_type")
    return (
        _numbers(scan("transactions"), "quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
        .join(products, on="product_id", how="left", maintain_order="left")
        .select(
            order_id="basket_id",
            customer_id="household_id",
            ordered_at=_timestamps("transaction_timestamp"),
            product_id="product_id",
            quantity=quantity,
            unit_price=gross / pl.when(quantity == 0).then(1).otherwise(quantity),
            discount_amount=pl.col("retail_disc") + pl.col("coupon_disc") + pl.col("coupon_match_disc"),
            category="product_category",
            sales_channel=pl.lit("store"),
            store_id="store_id",
            department="department",
            product_type="product_type",
        )
    )


def products(scan: Scan) -> pl.LazyFrame:
    """The catalogue; a product's name is its type with the package size."""
    words = ["department", "product_category", "product_type", "brand", "package_size"]
    return scan("products").select(
        product_id="product_id",
        name=pl.concat_str("product_type", "package_size", separator=" ", ignore_nulls=True),
        category="product_category",
        brand="brand",
        metadata=pl.concat_str(words, separator=" ", ignore_nulls=True),
    )


def engagement(scan: Scan) -> pl.LazyFrame:
    """One postal mailing per household and campaign; the first coupon of it that was redeemed is the response."""
    key = ["campaign_id", "household_id"]
    redeemed = scan("coupon_redemptions").group_by(key).agg(pl.col("redemption_date").min())
    return (
        scan("campaigns")
        .join(scan("campaign_descriptions"), on="campaign_id", how="left")
        .join(redeemed, on=key, how="left")
        .sort(key)
        .select(
            message_id=pl.format("campaign-{}-household-{}", *key),
            customer_id="household_id",
            channel=pl.lit("postal"),
            content_type="campaign_type",
            campaign_id="campaign_id",
            sent_at="start_date",
            converted_at="redemption_date",
        )
    )


def price_history(scan: Scan) -> pl.LazyFrame:
    """One row per product and week in which it was sold: units, the mean price at the till for holders of the loyalty card
    (without coupons), and whether it was on display or in the mailer of any store. Weeks promoted without a sale have no price
    and no row."""
    shown = (
        scan("promotions")
        .group_by("product_id", "week")
        .agg(
            display=(pl.col("display_location") != "0").any(),
            mailer=(pl.col("mailer_location") != "0").any(),
        )
    )
    promotion = (
        pl.when(pl.col("display") & pl.col("mailer"))
        .then(pl.lit("display and mailer"))
        .when("display")
        .then(pl.lit("display"))
        .when("mailer")
        .then(pl.lit("mailer"))
    )
    # Money is added up in whole cents, so that the order of the rows does not matter.
    cents = ((pl.col("sales_value") + pl.col("coupon_match_disc")) * 100).round().cast(pl.Int64)
    sold = (
        order_lines(scan)
        .filter(_is_no_fuel())
        .select("product_id")
        .unique()
        .join(
            _numbers(scan("transactions"), "quantity", "sales_value", "coupon_match_disc", "week")
            .filter(pl.col("quantity") > 0)
            .group_by("product_id", "week")
            .agg(cents=cents.sum(), units=pl.col("quantity").sum()),
            on="product_id",
        )
    )
    monday = pl.lit(FIRST_MONDAY) + pl.duration(days=(pl.col("week") - 2) * 7)
    return (
        sold.join(shown, on=["product_id", "week"], how="left")
        .sort("product_id", "week")
        .select(
            product_id="product_id",
            date=pl.when(pl.col("week") == 1).then(FIRST_MONDAY - dt.timedelta(days=1)).otherwise(monday.cast(pl.Date)),
            price=(pl.col("cents") / pl.col("units") / 100).round(4),
            units_sold="units",
            sales_channel=pl.lit("store"),
            promotion=promotion,
        )
    )


def _is_no_fuel() -> pl.Expr:
    return pl.col("department").ne_missing("FUEL") & pl.col("product_type").ne_missing("GASOLINE-REG UNLEADED")


def _numbers(frame: pl.LazyFrame, *columns: str) -> pl.LazyFrame:
    return frame.with_columns(pl.col(columns).cast(pl.Float64)).with_columns(
        pl.col(name).cast(pl.Int64) for name in ("quantity", "week") if name in columns
    )


def _timestamps(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


COMPLETE_JOURNEY = Format(
    "complete_journey",
    {
        "order_lines": Recipe(
            build=order_lines,
            build_from=("transactions", "products"),
            leave_out=(
                LeaveOut(column="department", values=("FUEL",), reason=FUEL),
                LeaveOut(column="product_type", values=("GASOLINE-REG UNLEADED",), reason=FUEL),
            ),
        ),
        "customers": Recipe(names=("demographics",), columns={"household_id": "customer_id"}),
        "products": Recipe(build=products, build_from=("products",)),
        "engagement": Recipe(build=engagement, build_from=("campaigns", "campaign_descriptions", "coupon_redemptions")),
        "price_history": Recipe(build=price_history, build_from=("promotions", "transactions", "products")),
    },
    marks=(("household_id", "basket_id", "sales_value", "coupon_match_disc"),),
)
