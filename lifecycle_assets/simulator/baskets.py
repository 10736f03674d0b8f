"""What is in the orders of a simulation: lines with products, prices, discounts and returns."""

import numpy as np
import polars as pl

from lifecycle_assets.simulator.people import People
from lifecycle_assets.simulator.world import CATEGORIES, PER_CATEGORY, World, ids

LINES_MEAN = 2.2
RETURNED = 0.03


def products(world: World, day: int) -> pl.DataFrame:
    """The catalogue as the shop's `products` table, with the stock of that day."""
    number = np.arange(world.n_products)
    return pl.DataFrame(
        {
            "product_id": product_ids(world),
            "name": [f"{CATEGORIES[k // PER_CATEGORY]} {k % PER_CATEGORY + 1}" for k in number],
            "category": np.asarray(CATEGORIES)[number // PER_CATEGORY],
            "price": world.list_price,
            "unit_cost": world.unit_cost,
            "inventory_level": world.stock(day // 7),
        }
    )


def product_ids(world: World) -> pl.Series:
    """The id of every product, by its number."""
    return ids("P", np.arange(world.n_products), 4)


def expected_order(world: World, people: People, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected amount of an order of each customer on that day without discount, and its margin, less what comes back."""
    week = day // 7
    chosen = np.diff(world.choice(week), axis=1, prepend=0)
    price = world.prices(week).reshape(chosen.shape)
    per_piece = np.stack(
        [(chosen * price).sum(axis=1), (chosen * (price - world.unit_cost.reshape(price.shape))).sum(axis=1)]
    )
    pieces = LINES_MEAN * (1 + np.minimum(people.spending, 4) * 0.5) * (1 - RETURNED)
    amount, margin = per_piece @ people.taste.T * pieces
    return amount, margin


def lines(
    world: World, people: People, day: np.ndarray, buyer: np.ndarray, pct: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    """The lines of orders given by day, buyer (row of the block) and discount in percent.

    Columns order (row of the order), product_id, category, quantity, unit_price, discount_amount, unit_cost, returned_after
    (days; null where the line was kept), ordered by order.
    """
    size = 1 + rng.poisson(LINES_MEAN - 1, buyer.size)
    order = np.repeat(np.arange(buyer.size), size)
    taste = np.cumsum(people.taste, axis=1)[buyer[order]]
    category = np.minimum((rng.random(order.size)[:, None] > taste).sum(axis=1), len(CATEGORIES) - 1)
    product, price = np.empty(order.size, np.int64), np.empty(order.size)
    week = day[order] // 7
    draw = rng.random(order.size)
    for each in np.unique(week):
        rows = np.flatnonzero(week == each)
        cumulative = world.choice(int(each))[category[rows]]
        within = np.minimum((draw[rows, None] > cumulative).sum(axis=1), PER_CATEGORY - 1)
        product[rows] = category[rows] * PER_CATEGORY + within
        price[rows] = world.prices(int(each))[product[rows]]
    quantity = 1 + rng.poisson(np.minimum(people.spending[buyer[order]], 4) * 0.5)
    discount = np.round(quantity * price * pct[order] / 100, 2)
    after = np.where(rng.random(order.size) < RETURNED, rng.integers(2, 21, order.size), -1)
    return pl.DataFrame(
        {
            "order": order,
            "product_id": product_ids(world).gather(product),
            "category": np.asarray(CATEGORIES)[category],
            "quantity": quantity.astype(np.float64),
            "unit_price": price,
            "discount_amount": discount,
            "unit_cost": world.unit_cost[product],
            "returned_after": after,
        }
    ).with_columns(pl.col("returned_after").replace(-1, None))
