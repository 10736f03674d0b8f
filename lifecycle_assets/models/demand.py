"""How much of each product was asked for on each day, at what price, and in which circumstances?

From raw.price_history where the shop gives one. Else from order lines: the units of each day from a product's first sale to
its last, at the median price paid per unit of the day's lines, or the last such price on days without a sale. Prices so
derived hide what nobody bought at, know no day without stock, and mix in quantity discounts, which make demand look more
elastic than it is. Days without stock are not days without demand: they are left out. Products with too few rows or with a
single price have no rows here.

Two circumstances are known before the day, unlike the mix of buyers that it brings: public holidays, and the market, that is
in which segments, channels and countries of the price history, the product was on sale. A day on which it was sold in the
shop's largest country alone is a smaller market than one on which it was sold everywhere, whatever the price. Order lines tell
where a product was bought and not where it was on sale: theirs is always the whole market.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.settings import Prices

MIN_ROWS = 10
MIN_PRICES = 2


def product_days(
    price_history: pl.LazyFrame, order_lines: pl.LazyFrame, holidays: pl.Series, as_of: dt.date, settings: Prices
) -> pl.DataFrame:
    """product_id, date, price, units, competitor_price, inventory_level, promotion (flag), market (share of the shop's units
    that goes through the segments of the row), holiday (share of the row's days that are `holidays`, which ascend) and
    from_orders (flag), sorted, of the window up to `as_of`, for the products that sell for most among those of at least
    MIN_ROWS rows and MIN_PRICES prices.

    A day's rows of several channels or countries are one row: units added up, prices averaged.
    """
    since = as_of - dt.timedelta(days=settings.window_days)
    sold = (
        order_lines.filter(
            (pl.col("status") == "completed") & (pl.col("quantity") > 0) & (pl.col("amount") > 0),
            pl.col("product_id").is_not_null() & (pl.col("order_date") > since) & (pl.col("order_date") <= as_of),
        )
        .group_by("product_id", date="order_date")
        .agg(
            price=(pl.col("amount").cast(pl.Float64) / pl.col("quantity")).median(),
            # Exact, whatever the order of the lines.
            units=pl.col("quantity").cast(pl.Decimal(18, 4)).sum().cast(pl.Float64),
        )
    )
    history = price_history.filter((pl.col("price") > 0) & (pl.col("date") > since) & (pl.col("date") <= as_of))
    if history.limit(1).collect().is_empty():
        days = _every_day(_of_use(sold.collect(), settings.max_products))
    else:
        days = _of_use(_from_history(history, sold), settings.max_products)
    return _with_holidays(days, holidays)


def days_per_row(days: pl.DataFrame) -> int:
    """Days from one row of history to the next, as a rule: 1 for daily prices, 7 for weekly ones."""
    gap = days["date"].unique().sort().diff().dt.total_days().median()
    return max(round(gap), 1) if isinstance(gap, int | float) else 1


def _of_use(days: pl.DataFrame, most: int) -> pl.DataFrame:
    """The rows of the products that can be learnt from and sell for most."""
    sales = (pl.col("price") * pl.col("units")).sort().sum().round(2).alias("sales")
    kept = (
        days.group_by("product_id")
        .agg(pl.len().alias("rows"), pl.col("price").round(2).n_unique().alias("prices"), sales)
        .filter((pl.col("rows") >= MIN_ROWS) & (pl.col("prices") >= MIN_PRICES) & (pl.col("sales") > 0))
        .sort("sales", "product_id", descending=[True, False])
        .head(most)
    )
    return days.join(kept, on="product_id", how="semi").sort("product_id", "date")


def _from_history(history: pl.LazyFrame, sold: pl.LazyFrame) -> pl.DataFrame:
    segment = pl.concat_str(pl.col("sales_channel", "country").fill_null(""), separator="/")
    history = history.with_columns(segment=segment)
    # One unit more, so that a segment without sales is a small one and not none.
    size = pl.col("units_sold").sort().sum().clip(0) + 1
    sizes = history.group_by("segment").agg(size=size).with_columns(size=pl.col("size") / pl.col("size").sort().sum())
    return (
        history.filter(pl.col("inventory_level").is_null() | (pl.col("inventory_level") > 0))
        .join(sizes, on="segment")
        .sort("product_id", "date", "segment", "price", "units_sold", "competitor_price", "inventory_level")
        .group_by("product_id", "date", maintain_order=True)
        .agg(
            pl.col("price").mean(),
            pl.col("competitor_price").mean(),
            pl.when(pl.col("inventory_level").count() > 0).then(pl.col("inventory_level").sum()),
            promotion=pl.col("promotion").is_not_null().any(),
            market=pl.col("size").filter(pl.col("segment").is_first_distinct()).sum(),
            given=pl.when(pl.col("units_sold").count() > 0).then(pl.col("units_sold").sum()),
        )
        .join(sold.select("product_id", "date", "units"), on=["product_id", "date"], how="left")
        .with_columns(units=pl.coalesce("given", "units").fill_null(0.0).clip(0.0), from_orders=pl.lit(value=False))
        .drop("given")
        .collect()
    )


def _every_day(days: pl.DataFrame) -> pl.DataFrame:
    """Days with a sale -> every day from a product's first to its last."""
    calendar = (
        days.group_by("product_id")
        .agg(pl.date_ranges(pl.col("date").min(), pl.col("date").max()).first().alias("date"))
        .explode("date")
    )
    return (
        calendar.join(days, on=["product_id", "date"], how="left")
        .sort("product_id", "date")
        .with_columns(
            pl.col("price").forward_fill().over("product_id"),
            pl.col("units").fill_null(0.0),
            competitor_price=pl.lit(None, pl.Float64),
            inventory_level=pl.lit(None, pl.Float64),
            promotion=pl.lit(value=False),
            market=pl.lit(1.0),
            from_orders=pl.lit(value=True),
        )
    )


def _with_holidays(days: pl.DataFrame, holidays: pl.Series) -> pl.DataFrame:
    span = days_per_row(days)
    before = holidays.search_sorted(days["date"])
    until = holidays.search_sorted(days["date"] + dt.timedelta(days=span))
    return days.with_columns(holiday=(until - before) / span)
