"""Order lines of a made-up shop at any size, streamed to Parquet as the raw tables' contracts have them.

Three years of orders in the order in which they were placed, about ten lines per customer who bought and 2.5 per order.
Customers join over time and buy at very unequal rates, products sell at very unequal rates; 3 % of the lines are
returns under the order they belong to, 4 % of the orders are guests', 2 % were cancelled.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lifecycle_assets.inputs.contracts import OrderLines, Products

SHOP = "bench"
AS_OF = dt.date(2024, 12, 31)
DAYS = 1096
LINES_PER_CUSTOMER = 7
ORDERS_PER_LINE = 0.4
N_PRODUCTS = 20_000
N_CATEGORIES = 60
CHUNK = 400_000


def order_lines(path: Path, lines: int, seed: int = 1) -> None:
    """Write about `lines` order lines (the number of orders is exact) to `path`."""
    rng = np.random.default_rng(seed)
    customers = max(lines // LINES_PER_CUSTOMER, 1)
    orders = int(lines * ORDERS_PER_LINE)
    schema = OrderLines.empty().to_arrow().schema
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, orders, CHUNK):
            frame = _chunk(rng, np.arange(first, min(first + CHUNK, orders)), orders, customers, written)
            frame = OrderLines.conform(frame.lazy()).collect()
            writer.write_table(frame.to_arrow().cast(schema))
            written += frame.height


def products(path: Path) -> None:
    """Write the catalogue that the order lines refer to."""
    number = np.arange(N_PRODUCTS)
    frame = pl.DataFrame({"product_id": _id("P", number, 5), "category": _category(number)})
    frame = frame.with_columns(
        pl.lit(SHOP).alias("shop_id"),
        pl.lit(AS_OF).alias("as_of"),
        pl.Series("unit_cost", _price(number) * 0.6).round(2),
    )
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in Products.polars_schema.items() if name not in frame]
    Products.conform(frame.with_columns(absent).lazy()).sink_parquet(path)


def _chunk(rng: np.random.Generator, orders: np.ndarray, n_orders: int, n_customers: int, written: int) -> pl.DataFrame:
    elapsed = (orders + rng.random(orders.size)) / n_orders
    joined = np.maximum(n_customers * (0.15 + 0.85 * elapsed), 1)
    customer = np.minimum((joined * rng.random(orders.size) ** 1.25).astype(np.int64), n_customers - 1)
    # Consecutive customers would be alike; a multiplicative shuffle spreads the heavy buyers over the ids.
    customer = customer * 7_368_787 % n_customers
    size = rng.poisson(1 / ORDERS_PER_LINE - 1, orders.size) + 1
    row = np.repeat(np.arange(orders.size), size)
    product = (N_PRODUCTS * rng.random(row.size) ** 2.5).astype(np.int64)
    price = _price(product)
    returned = rng.random(row.size) < 0.03
    units = rng.choice(np.array([1.0, 2.0, 3.0, 6.0]), row.size, p=[0.7, 0.18, 0.08, 0.04])
    discounted = (rng.random(row.size) < 0.2) & ~returned
    discount = np.where(discounted, np.round(0.15 * units * price, 2), 0.0)
    start = np.datetime64(AS_OF - dt.timedelta(days=DAYS - 1), "us")
    placed = start + (elapsed * DAYS * 86_400_000_000).astype("timedelta64[us]")
    late = np.where(returned, rng.integers(1, 20, row.size), 0).astype("timedelta64[D]").astype("timedelta64[us]")
    guest = rng.random(orders.size) < 0.04
    cancelled = rng.random(orders.size) < 0.02
    channel = np.array(["web", "store", "app"])[rng.choice(3, orders.size, p=[0.6, 0.3, 0.1])]
    country = np.array(["ES", "MX", "BR", "US"])[customer % 4]
    frame = pl.DataFrame(
        {
            "line_no": written + 1 + np.arange(row.size),
            "order_id": _id("O", orders, 9).gather(row),
            "customer_id": pl.Series(_id("C", customer, 8)).set(pl.Series(guest), None).gather(row),
            "ordered_at": placed[row] + late,
            "product_id": _id("P", product, 5),
            "quantity": np.where(returned, -1.0, units),
            "unit_price": price,
            "discount_amount": discount,
            "category": _category(product),
            "status": pl.Series(np.where(cancelled, "cancelled", "completed")).gather(row),
            "sales_channel": pl.Series(channel).gather(row),
            "country": pl.Series(country).gather(row),
        }
    )
    cents = (pl.col("quantity") * pl.col("unit_price") - pl.col("discount_amount")) * 100
    return frame.filter(pl.col("ordered_at").dt.date() <= AS_OF).with_columns(
        pl.lit(SHOP).alias("shop_id"),
        pl.lit(AS_OF).alias("as_of"),
        pl.col("ordered_at").dt.replace_time_zone("UTC"),
        pl.col("ordered_at").dt.date().alias("order_date"),
        (cents.round().cast(pl.Int64).cast(pl.Decimal(18, 4)) / 100).cast(pl.Decimal(18, 4)).alias("amount"),
        pl.lit("EUR").alias("currency"),
        *(pl.lit(None, pl.String).alias(name) for name in ("line_id", "coupon_code", "message_id")),
        pl.lit(None, pl.Float64).alias("unit_cost"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("shipped_at"),
    )


def _price(product: np.ndarray) -> np.ndarray:
    return np.round(2 + (product * 2_654_435_761 % 9_973) / 9_973 * 60, 2)


def _category(product: np.ndarray) -> pl.Series:
    return _id("K", product % N_CATEGORIES, 2)


def _id(letter: str, number: np.ndarray, digits: int) -> pl.Series:
    return pl.Series(number).cast(pl.String).str.zfill(digits).to_frame("x").select(letter + pl.col("x")).to_series()
