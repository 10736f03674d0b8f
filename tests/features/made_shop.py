"""A small made-up shop full of awkward orders, and a way to run roll-up statements on it."""

import datetime as dt
import tempfile
import zoneinfo
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.customer_orders import CustomerOrders, customer_orders
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.settings import Customer
from lifecycle_assets.sql import Sql
from resources.engine import Engine
from resources.engine.duckdb import DuckDBEngine

SHOP = "made"
AS_OF = dt.date(2024, 3, 1)
ZONE = "America/New_York"
Tables = Mapping[str, pl.DataFrame]


def frame(contract: Contract, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with some of the contract's columns -> the table, other columns null."""
    if not rows:
        return contract.empty()
    full = [{"shop_id": SHOP, "as_of": AS_OF, **row} for row in rows]
    absent = {name: None for name in contract.columns if name not in full[0]}
    given = pl.DataFrame([{**row, **absent} for row in full], infer_schema_length=None)
    return contract.conform(given.lazy()).collect()


def lines(seed: int, n: int = 900) -> pl.DataFrame:
    """Two years of lines around AS_OF: shared order ids, several orders a day, returns under the order (late) and apart,
    guests, cancelled lines, unknown categories and costs, discounts, prices that tie."""
    rng = np.random.default_rng(seed)
    zone = zoneinfo.ZoneInfo(ZONE)
    rows = []
    for number in range(1, n + 1):
        customer = int(rng.integers(0, 25))
        order = int(rng.integers(0, 1 + customer // 2 + 1))
        # An order's lines are mostly of one day, so that it is the returns that come late.
        day = AS_OF + dt.timedelta(days=int((customer * 131 + order // 2 * 197) % 700) - 600)
        quantity = float(rng.choice([1, 1, 2, 5, -1, 0.5]))
        if quantity < 0:
            day += dt.timedelta(days=int(rng.integers(0, 60)))
        at = dt.datetime.combine(day, dt.time(int(rng.integers(0, 24)), 30), zone)
        price = float(rng.choice([1.0, 2.5, 9.99, 9.99, 0.0]))
        discount = float(rng.choice([0, 0, 0.1, 0.25])) if quantity > 0 and price else 0.0
        amount = Decimal(str(quantity)) * Decimal(str(price)) - Decimal(str(discount))
        apart = quantity < 0 and rng.random() < 0.4
        row = {
            "line_no": number,
            "order_id": f"R{number}" if apart else f"O{order}",
            "customer_id": None if customer == 0 else f"C{customer:02d}",
            "ordered_at": at.astimezone(dt.UTC),
            "order_date": day,
            "product_id": None if rng.random() < 0.05 else f"P{int(rng.integers(0, 12))}",
            "quantity": quantity,
            "unit_price": price,
            "discount_amount": discount,
            "unit_cost": float(rng.choice([0.5, 1.25])) if customer % 3 or rng.random() < 0.9 else None,
            "amount": amount,
            "category": [None, "a", "b", "c"][int(rng.integers(0, 4))],
            "status": str(rng.choice(["completed"] * 12 + ["cancelled", "refunded"])),
            "sales_channel": [None, "web", "store"][int(rng.integers(0, 3))],
            "country": ["ES", "MX"][int(rng.integers(0, 2))],
        }
        rows.append(row)
    return frame(OrderLines, rows)


def products(seed: int) -> pl.DataFrame:
    """A catalogue that knows most products, some without category or cost."""
    rng = np.random.default_rng(seed)
    return frame(
        Products,
        [
            {
                "product_id": f"P{i}",
                "category": [None, "b", "d"][int(rng.integers(0, 3))],
                "unit_cost": [None, 0.75][int(rng.integers(0, 2))] if i > 6 else 0.75,
            }
            for i in range(10)
        ],
    )


def run(sql: Sql, contract: Contract, tables: Tables, engine: Engine | None = None) -> pl.DataFrame:
    """The statement's rows, through an engine (DuckDB's) and Parquet, held against the contract; absent tables are empty."""
    with tempfile.TemporaryDirectory() as folder:
        sources = {}
        for name in sql.tables():
            sources[name] = [Path(folder) / f"{name}.parquet"]
            tables.get(name, registry()[name].empty()).write_parquet(sources[name][0])
        target = Path(folder) / "out.parquet"
        (engine or DuckDBEngine("1GB")).run(sql, sources, contract, target)
        table = pl.read_parquet(target)
    contract.require(table)
    return contract.conform(table.lazy()).collect()


def roll_up(
    raw: Tables, as_of: dt.date = AS_OF, settings: Customer | None = None, zone: str = ZONE
) -> dict[str, pl.DataFrame]:
    """features.orders, customer_orders and customer_behaviour of the shop, as a run would make them."""
    settings = settings or Customer()
    # Nobody has a second account, unless the map is given.
    tables = {IdentityMap.name: IdentityMap.empty(), **raw}
    tables[Orders.name] = run(orders(SHOP, as_of), Orders, tables)
    tables[CustomerOrders.name] = run(customer_orders(SHOP, as_of, settings), CustomerOrders, tables)
    tables[CustomerBehaviour.name] = run(customer_behaviour(SHOP, as_of, zone), CustomerBehaviour, tables)
    return tables
