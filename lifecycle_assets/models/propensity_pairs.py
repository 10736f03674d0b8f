"""What did each customer have to do with each of a few products by the end of a day, and what did they buy after it?

The things looked at are products, or, for a product with fewer than FEW_BUYERS buyers by that day and a known category, its
category in its stead (a cold product says nothing of its own yet). A purchase is a completed line of positive quantity of a
known customer; those of one day are one occasion. Everything is of lines dated up to the day; `bought_after` alone looks past
it, for the labels.
"""

import datetime as dt
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.models.purchases import catalogue
from lifecycle_assets.settings import Scores

FEW_BUYERS = 20
REVENUE_DAYS = 365
PRODUCT, CATEGORY = BASES = ["product", "category"]
NUMBERS = (
    "times_bought",
    "times_bought_90d",
    "days_since_bought",
    "share_of_days",
    "own_interval_days",
    "due_by_own_interval",
    "usual_interval_days",
    "due_by_usual_interval",
    "category_times",
    "days_since_category",
    "category_share_of_days",
    "buyers_30d",
    "buyers_90d",
)


@dataclass(frozen=True)
class Shelf:
    """The products that are scored on `day`, and who had bought which of them, or of their categories, by then.

    goods       product_id, category: the catalogue of that day
    products    product_id, product_name, category, basis, thing (what is looked at), and of the thing: buyers_30d, buyers_90d
                (share of the shop's customers who bought it in the last so many days), usual_interval_days (median of the mean
                gaps of those who came back for it)
    histories   customer_id, basis, thing, times, times_90d, first_date, last_date, in order; of the products' categories too
    """

    day: dt.date
    goods: pl.DataFrame
    products: pl.DataFrame
    histories: pl.DataFrame


def shelf(order_lines: pl.LazyFrame, products: pl.LazyFrame, day: dt.date, settings: Scores) -> Shelf:
    """The `products` of the settings, else those that sold for most in the year up to `day`, out of raw.order_lines (of
    profiles) and raw.products."""
    goods = catalogue(products, order_lines, day).select("product_id", "category", product_name="name")
    known = order_lines.filter((pl.col("status") == "completed") & (pl.col("order_date") <= day))
    chosen = goods.filter(pl.col("product_id").is_in(_chosen(known, day, settings).implode())).sort("product_id")
    sold = _of_things(_sold(known), goods, chosen)
    histories = (
        sold.group_by("customer_id", "basis", "thing")
        .agg(
            times=pl.col("order_date").n_unique().cast(pl.Int64),
            times_90d=pl.col("order_date").filter(_last(day, 90)).n_unique().cast(pl.Int64),
            first_date=pl.col("order_date").min(),
            last_date=pl.col("order_date").max(),
        )
        .sort("customer_id", "basis", "thing")
        .collect()
    )
    of_products = histories.filter(pl.col("basis") == PRODUCT).group_by("thing").agg(buyers=pl.len())
    is_cold = (pl.col("buyers").fill_null(0) < FEW_BUYERS) & pl.col("category").is_not_null()
    chosen = (
        chosen.join(of_products, left_on="product_id", right_on="thing", how="left", maintain_order="left")
        .with_columns(basis=pl.when(is_cold).then(pl.lit(CATEGORY)).otherwise(pl.lit(PRODUCT)))
        .with_columns(thing=pl.when(is_cold).then("category").otherwise("product_id"))
        .drop("buyers")
    )
    n_customers = _sold(known).select(pl.col("customer_id").n_unique()).collect().item()
    shares = pl.col("buyers_30d", "buyers_90d").fill_null(0) / n_customers
    popularity = _popularity(histories, day)
    chosen = chosen.join(popularity, on=["basis", "thing"], how="left", maintain_order="left").with_columns(shares)
    return Shelf(day, goods.select("product_id", "category"), chosen, histories)


def pair_features(customers: pl.DataFrame, shelf: Shelf) -> pl.DataFrame:
    """Every row of `customers` (customer_id, purchase_days and more) times every product of the shelf, in that order, with
    NUMBERS, basis and category; days since something never bought are null."""
    wanted = _between(shelf.histories, customers["customer_id"])
    days_since = (pl.lit(shelf.day) - pl.col("last_date")).dt.total_days()
    own = wanted.select(
        "customer_id",
        "basis",
        "thing",
        days_since_bought=days_since,
        own_interval_days=_interval(),
        times_bought="times",
        times_bought_90d="times_90d",
    )
    of_category = wanted.filter(pl.col("basis") == CATEGORY).select(
        "customer_id", category="thing", category_times="times", days_since_category=days_since
    )
    times = pl.col("times_bought", "times_bought_90d", "category_times").fill_null(0)
    return (
        customers.join(shelf.products, how="cross", maintain_order="left_right")
        .join(own, on=["customer_id", "basis", "thing"], how="left", maintain_order="left")
        .join(of_category, on=["customer_id", "category"], how="left", maintain_order="left")
        .with_columns(times)
        .with_columns(
            share_of_days=pl.col("times_bought") / pl.col("purchase_days"),
            category_share_of_days=pl.col("category_times") / pl.col("purchase_days"),
            due_by_own_interval=pl.col("days_since_bought") / pl.col("own_interval_days"),
            due_by_usual_interval=pl.col("days_since_bought") / pl.col("usual_interval_days"),
        )
    )


def bought_after(order_lines: pl.LazyFrame, shelf: Shelf, customers: pl.Series, days: int) -> pl.DataFrame:
    """Distinct customer_id, basis, thing that these customers bought in the `days` days after the shelf's day."""
    until = shelf.day + dt.timedelta(days=days)
    window = order_lines.filter(
        (pl.col("status") == "completed") & (pl.col("order_date") > shelf.day) & (pl.col("order_date") <= until)
    )
    of_customers = _sold(window).join(customers.alias("customer_id").to_frame().lazy(), on="customer_id", how="semi")
    bought = _of_things(of_customers, shelf.goods, shelf.products)
    return bought.select("customer_id", "basis", "thing").unique().sort(pl.all()).collect()


def _between(histories: pl.DataFrame, customers: pl.Series) -> pl.DataFrame:
    """The histories from the first of the customers to the last: a slice, since they are in order."""
    who = pl.col("customer_id")
    least, most = customers.to_frame().select(who.min().alias("least"), who.max().alias("most")).row(0)
    known = histories["customer_id"].set_sorted()
    return histories[known.search_sorted(least, side="left") : known.search_sorted(most, side="right")]


def _chosen(known: pl.LazyFrame, day: dt.date, settings: Scores) -> pl.Series:
    if settings.products:
        return pl.Series("product_id", settings.products)
    revenue = (
        known.filter(_last(day, REVENUE_DAYS) & pl.col("product_id").is_not_null())
        .group_by("product_id")
        .agg(pl.col("amount").sum())
        .filter(pl.col("amount") > 0)
    )
    best = revenue.sort("amount", "product_id", descending=[True, False]).head(settings.top_products)
    return best.collect()["product_id"]


def _sold(completed: pl.LazyFrame) -> pl.LazyFrame:
    return completed.filter((pl.col("quantity") > 0) & pl.col("customer_id").is_not_null()).select(
        "customer_id", "product_id", "category", "order_date"
    )


def _of_things(sold: pl.LazyFrame, goods: pl.DataFrame, chosen: pl.DataFrame) -> pl.LazyFrame:
    """The sold lines of the chosen products, and those of their categories: customer_id, basis, thing, order_date. A line is of
    its product's category in the catalogue, else of its own."""
    listed = goods.lazy().select("product_id", listed="category")
    lines = sold.join(listed, on="product_id", how="left").with_columns(category=pl.coalesce("listed", "category"))

    def of(basis: str, column: str) -> pl.LazyFrame:
        wanted = chosen.lazy().select(column).drop_nulls().unique()
        return lines.join(wanted, on=column, how="semi").select(
            "customer_id", pl.lit(basis).alias("basis"), pl.col(column).alias("thing"), "order_date"
        )

    return pl.concat([of(PRODUCT, "product_id"), of(CATEGORY, "category")])


def _popularity(histories: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    """basis, thing, buyers_30d, buyers_90d, usual_interval_days. Whoever bought within so many days did so last within them."""
    last = (pl.lit(day) - pl.col("last_date")).dt.total_days()
    return histories.group_by("basis", "thing").agg(
        buyers_30d=(last < 30).sum().cast(pl.Int64),
        buyers_90d=(last < 90).sum().cast(pl.Int64),
        usual_interval_days=_interval().median(),
    )


def _interval() -> pl.Expr:
    """Mean days between the purchases; null below two."""
    span = (pl.col("last_date") - pl.col("first_date")).dt.total_days()
    return pl.when(pl.col("times") > 1).then(span / (pl.col("times") - 1))


def _last(day: dt.date, days: int) -> pl.Expr:
    return pl.col("order_date") > day - dt.timedelta(days=days)
