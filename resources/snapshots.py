"""Runs the roll-ups of a past day on tonight's raw tables, beside the lake's own tables and without touching them."""

import datetime as dt
from pathlib import Path

import polars as pl

from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, moved, resolved
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.snapshot import Snapshot, statements, subscriptions_at
from lifecycle_assets.settings import Customer
from resources.engine import Engine
from resources.warehouse.lake import Lake

LINES = "raw.order_lines"
SUBSCRIPTIONS = "raw.subscriptions"


class Snapshots:
    def __init__(self, lake: Lake, engine: Engine) -> None:
        self.lake = lake
        self.engine = engine

    def take(
        self,
        shop: str,
        as_of: dt.date,
        settings: Customer,
        only: pl.Series | None = None,
        timezone: str | None = None,
    ) -> Snapshot:
        """The shop's orders and customers at the end of `as_of`; with `only`, of these customers (profiles). With the shop's
        `timezone`, their behaviour and subscriptions as well."""
        with self.lake.workspace(shop) as folder:
            made: dict[str, Path] = {}
            if only is not None:
                made[LINES] = folder / "lines.parquet"
                self._lines_of(only, shop).sink_parquet(made[LINES])
            for contract, sql in statements(shop, as_of, settings, timezone):
                sources = {
                    name: [made[name]] if name in made else self.lake.files(self.lake.contracts[name], shop)
                    for name in sql.tables()
                }
                made[contract.name] = folder / f"{contract.table}.parquet"
                self.engine.run(sql, sources, contract, made[contract.name])
            frames = [pl.read_parquet(made[contract.name]) for contract in (Orders, CustomerOrders)]
            if timezone is None:
                return Snapshot(as_of, *frames)
            behaviour = pl.read_parquet(made[CustomerBehaviour.name])
            return Snapshot(as_of, *frames, behaviour, self._subscriptions(shop, as_of, timezone, only))

    def _lines_of(self, only: pl.Series, shop: str) -> pl.LazyFrame:
        """The order lines of the profiles; all others go before identities are resolved, which costs by the line."""
        identity_map = self._scan(IdentityMap.name, shop)
        profiles = only.alias("profile").to_frame().lazy()
        merged = moved(identity_map).join(profiles, on="profile", how="semi")
        accounts = pl.concat([profiles.select(customer_id="profile"), merged.select(customer_id="id")])
        theirs = self._scan(LINES, shop).join(accounts, on="customer_id", how="semi")
        return self._of(only, resolved(theirs, identity_map))

    def _subscriptions(self, shop: str, as_of: dt.date, timezone: str, only: pl.Series | None) -> pl.DataFrame:
        then = self.lake.scan_night(self.lake.contracts[SUBSCRIPTIONS], shop, as_of)
        if then is None:
            rows = subscriptions_at(self._resolved(SUBSCRIPTIONS, shop), as_of, timezone)
        else:
            rows = resolved(then, self._scan(IdentityMap.name, shop))
        return (rows if only is None else self._of(only, rows)).collect()

    def _resolved(self, name: str, shop: str) -> pl.LazyFrame:
        return resolved(self._scan(name, shop), self._scan(IdentityMap.name, shop))

    @staticmethod
    def _of(customers: pl.Series, rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.join(customers.alias("customer_id").to_frame().lazy(), on="customer_id", how="semi")

    def _scan(self, name: str, shop: str) -> pl.LazyFrame:
        return self.lake.scan(self.lake.contracts[name], shop)
