"""Shops of the three kinds of business whose customers leave with known probabilities, in a lake of their own."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.features.churn_labels import label_days
from lifecycle_assets.inputs.contracts import OrderLines, Subscriptions
from lifecycle_assets.models.churn_risk_evaluation import first_day, training_set
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.score_training import snapshot_days
from lifecycle_assets.settings import Churn, Customer
from resources.engine.duckdb import DuckDBEngine
from resources.snapshots import Snapshots
from resources.warehouse.lake import Lake

SHOP = "made"
ZONE = "Europe/Madrid"
TONIGHT = dt.date(2024, 12, 31)
SNAPSHOTS = 4


@dataclass(frozen=True)
class World:
    """`truth` tells the probability of churning by customer_id and snapshot (tonight among them)."""

    snapshots: Snapshots
    settings: Customer
    truth: pl.DataFrame

    @property
    def days(self) -> list[dt.date]:
        lake = self.snapshots.lake
        subscriptions = lake.scan(Subscriptions, SHOP)
        lines = lake.scan(OrderLines, SHOP).rename({"order_date": "first_purchase_date"})
        first = first_day(lines, subscriptions, self.settings.churn, ZONE)
        return snapshot_days(first, TONIGHT, label_days(self.settings.churn), SNAPSHOTS)

    def training(self) -> tuple[TrainingSet, dict[dt.date, dt.date | None]]:
        snapshots = [self.snapshots.take(SHOP, day, self.settings, timezone=ZONE) for day in [*self.days, TONIGHT]]
        return training_set(snapshots, SHOP, self.settings.churn, ZONE)


def ecommerce(folder: Path, customers: int = 3000) -> World:
    """Purchases at random moments, at a rate that the bought category and the country tell."""
    rng = np.random.default_rng(11)
    rates, share = {"a": 0.05, "b": 0.02, "c": 0.008}, {"ES": 1.0, "MX": 0.5}
    category, country = rng.choice(list(rates), customers), rng.choice(list(share), customers)
    rate = np.array([rates[a] * share[b] for a, b in zip(category, country, strict=True)])
    history = 600
    orders = rng.poisson(rate * history)
    buyer = np.repeat(np.arange(customers), orders)
    days = rng.integers(0, history, buyer.size)
    lines = pl.DataFrame(
        {
            "customer_id": [f"C{i:05d}" for i in buyer],
            "order_id": [f"O{i}" for i in range(buyer.size)],
            "order_date": [TONIGHT - dt.timedelta(days=int(day)) for day in days],
            "category": category[buyer],
            "country": country[buyer],
            "product_id": [f"P{i}" for i in rng.integers(0, 40, buyer.size)],
            "unit_price": rng.choice([5.0, 9.5, 20.0], buyer.size),
        }
    ).with_columns(
        amount=pl.col("unit_price").map_elements(lambda price: Decimal(str(price)), return_dtype=pl.Decimal(18, 4))
    )
    settings = Customer(churn=Churn(business_type="ecommerce", window_days=90))
    truth = pl.DataFrame({"customer_id": [f"C{i:05d}" for i in range(customers)], "truth": np.exp(-90 * rate)})
    return World(_snapshots(folder, {OrderLines: _lines(lines)}), settings, truth)


def saas(folder: Path, customers: int = 4000, ahead: int = 0, *, keeps_nights: bool = True) -> World:
    """Cancellations at a daily risk that the plan tells, thrice as high in the first 60 days, recorded up to `ahead` days
    before they come; every night's subscriptions are kept, or tonight's alone. With `ahead`, truth is who does cancel."""
    rng = np.random.default_rng(8)
    risks = {"basic": 0.008, "plus": 0.003, "pro": 0.0005}
    plan = rng.choice(list(risks), customers)
    risk = np.array([risks[name] for name in plan])
    started = rng.integers(0, 330, customers)  # days before tonight
    # Time is stretched by three in the first 60 days.
    waited = rng.exponential(1 / risk)
    lasted = np.where(waited < 180, waited / 3, 60 + waited - 180)
    ends = started - np.ceil(lasted).astype(int)
    recorded = ends + rng.integers(0, ahead + 1, customers)
    settings = Customer(churn=Churn(business_type="saas", cancel_days=30))
    snapshots, parts = _snapshots(folder, {}), []
    for back in range(30 * SNAPSHOTS, -1, -30):
        night, age = TONIGHT - dt.timedelta(days=back), started - back
        rows = pl.DataFrame(
            {
                "subscription_id": [f"S{i:05d}" for i in range(customers)],
                "customer_id": [f"C{i:05d}" for i in range(customers)],
                "plan": plan,
                "started_at": [_noon(int(day)) for day in started],
                "cancelled_at": pl.Series(
                    [_noon(int(day)) if told >= back else None for day, told in zip(ends, recorded, strict=True)],
                    dtype=pl.Datetime("us", "UTC"),
                ),
            }
        ).filter(pl.Series(age >= 0))
        if keeps_nights or back == 0:
            snapshots.lake.write(Subscriptions, SHOP, night, _table(Subscriptions, rows, night))
        stretched = 3 * np.clip(60 - age, 0, 30) + (30 - np.clip(60 - age, 0, 30))
        truth = (ends < back) & (ends >= back - 30) if ahead else 1 - np.exp(-risk * stretched)
        everyone = pl.DataFrame({"customer_id": [f"C{i:05d}" for i in range(customers)], "truth": truth.astype(float)})
        parts.append(everyone.with_columns(pl.lit(night).alias("snapshot")))
    return World(snapshots, settings, pl.concat(parts))


def prepaid(folder: Path, customers: int = 2500) -> World:
    """Balances that run out within a cycle with a probability that the plan tells; every night's balances are kept."""
    rng = np.random.default_rng(9)
    chance = {"s": 0.5, "m": 0.2, "l": 0.04}
    plan = rng.choice(list(chance), customers)
    truth = np.array([chance[name] for name in plan])
    snapshots = _snapshots(folder, {})
    for back in range(SNAPSHOTS, -1, -1):
        night = TONIGHT - dt.timedelta(days=30 * back)
        left = rng.random(customers) >= truth
        rows = pl.DataFrame(
            {
                "subscription_id": [f"S{i:05d}" for i in range(customers)],
                "customer_id": [f"C{i:05d}" for i in range(customers)],
                "plan": plan,
                "started_at": [_noon(400)] * customers,
                "balance": np.where(left, 5.0, 0.0),
                "topped_up_at": [
                    _noon(30 * back + int(days)) for days in np.where(left, rng.integers(0, 29, customers), 35)
                ],
            }
        )
        snapshots.lake.write(Subscriptions, SHOP, night, _table(Subscriptions, rows, night))
    settings = Customer(churn=Churn(business_type="prepaid", cycle_days=30))
    return World(snapshots, settings, pl.DataFrame({"customer_id": rows["customer_id"], "truth": truth}))


def _noon(days_ago: int) -> dt.datetime:
    return dt.datetime.combine(TONIGHT - dt.timedelta(days=days_ago), dt.time(12), dt.UTC)


def _lines(lines: pl.DataFrame) -> pl.DataFrame:
    full = lines.with_columns(
        pl.int_range(1, pl.len() + 1).alias("line_no"),
        pl.col("order_date").cast(pl.Datetime("us", "UTC")).alias("ordered_at"),
        pl.lit(1.0).alias("quantity"),
        pl.lit(0.0).alias("discount_amount"),
        pl.lit("completed").alias("status"),
    )
    return _table(OrderLines, full, TONIGHT)


def _table(contract: Contract, rows: pl.DataFrame, as_of: dt.date) -> pl.DataFrame:
    full = rows.with_columns(pl.lit(SHOP).alias("shop_id"), pl.lit(as_of).alias("as_of"))
    absent = [pl.lit(None).alias(name) for name in contract.columns if name not in full.columns]
    return contract.conform(full.lazy().with_columns(absent)).collect()


def _snapshots(folder: Path, tables: dict[Contract, pl.DataFrame]) -> Snapshots:
    lake = Lake(folder / "warehouse", list(registry().values()))
    for contract, rows in tables.items():
        lake.write(contract, SHOP, TONIGHT, rows)
    return Snapshots(lake, DuckDBEngine("1GB", 1))
