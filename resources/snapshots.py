"""Runs the roll-ups of a past day on tonight's raw tables, beside the lake's own tables and without touching them."""

import datetime as dt
from pathlib import Path

import polars as pl

from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot, statements
from lifecycle_assets.settings import Customer
from resources.engine.duckdb import DuckDBEngine
from resources.warehouse.lake import Lake

LINES = "raw.order_lines"


class Snapshots:
    def __init__(self, lake: Lake, engine: DuckDBEngine) -> None:
        self.lake = lake
        self.engine = engine

    def take(self, shop: str, as_of: dt.date, settings: Customer, only: pl.Series | None = None) -> Snapshot:
        """The shop's orders and customers at the end of `as_of`; with `only`, of these customers (profiles)."""
        with self.lake.workspace(shop) as folder:
            made: dict[str, Path] = {}
            if only is not None:
                made[LINES] = folder / "lines.parquet"
                lines = resolved(self._scan(LINES, shop), self._scan(IdentityMap.name, shop))
                lines.join(only.alias("customer_id").to_frame().lazy(), on="customer_id", how="semi").sink_parquet(
                    made[LINES]
                )
            for contract, sql in statements(shop, as_of, settings):
                sources = {
                    name: [made[name]] if name in made else self.lake.files(self.lake.contracts[name], shop)
                    for name in sql.tables()
                }
                made[contract.name] = folder / f"{contract.table}.parquet"
                self.engine.run(sql, sources, contract, made[contract.name])
            return Snapshot(as_of, pl.read_parquet(made[Orders.name]), pl.read_parquet(made[CustomerOrders.name]))

    def _scan(self, name: str, shop: str) -> pl.LazyFrame:
        return self.lake.scan(self.lake.contracts[name], shop)
