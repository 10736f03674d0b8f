"""Customer features, RFM and CLV inputs from order lines: this project's way and the idiomatic pandas way, compared row
by row; and every feature table as a night makes it, validated and published."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import psutil

from bench.generate import AS_OF, SHOP, order_lines, products
from bench.harness import Measured, measure, table
from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.features.behaviour import CustomerBehaviour, customer_behaviour
from lifecycle_assets.features.churn_labels import ChurnLabels, churn_labels
from lifecycle_assets.features.clv_inputs import CustomerClvInputs, customer_clv_inputs
from lifecycle_assets.features.customer import CustomerFeatures, customer_features
from lifecycle_assets.features.customer_orders import CustomerOrders, customer_orders
from lifecycle_assets.features.identity import IdentityMap, identity_map
from lifecycle_assets.features.identity_ids import IdentityIds, identity_ids
from lifecycle_assets.features.loyalty import CustomerLoyalty, LoyaltySummary, customer_loyalty, loyalty_summary
from lifecycle_assets.features.orders import Orders, orders
from lifecycle_assets.features.rfm import CustomerRfm, RfmThresholds, customer_rfm, rfm_thresholds
from lifecycle_assets.features.stage import LifecycleStage, lifecycle_stage
from lifecycle_assets.features.transitions import LifecycleTransitions, lifecycle_transitions
from lifecycle_assets.inputs.contracts import Customers, Identities, Subscriptions
from lifecycle_assets.settings import Customer, Shop
from lifecycle_assets.sql import Sql
from resources.engine.duckdb import DuckDBEngine
from resources.warehouse.lake import Lake

Made = pl.DataFrame | pl.LazyFrame | Sql

TITLE = "Roll-ups from order lines"
# What pandas held per line at ten million lines, rounded up; beyond the free memory it is not tried.
PANDAS_BYTES_PER_LINE = 550


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report; raises AssertionError where the two ways disagree."""
    catalogue = work / "products.parquet"
    products(catalogue)
    rivals: list[list[str]] = []
    steps: dict[str, list[str]] = {}
    for size in sizes:
        source = work / f"lines_{size}.parquet"
        if not source.exists():
            order_lines(source, size)
        files = {"lines": str(source), "catalogue": str(catalogue), "memory_limit": memory_limit}
        ours = measure("bench.rollups:ours", **files, target=str(work / "ours.parquet"))
        label = f"{size / 1e6:g} M"
        row = [label, f"{ours.value:,}", _cell(ours)]
        if size * PANDAS_BYTES_PER_LINE < psutil.virtual_memory().available:
            rival = measure(
                "bench.rollups_pandas:pandas_way",
                lines=str(source),
                catalogue=str(catalogue),
                target=str(work / "pandas.parquet"),
                as_of=str(AS_OF),
            )
            compared = assert_same(work / "ours.parquet", work / "pandas.parquet")
            row += [
                _cell(rival),
                f"{rival.seconds / ours.seconds:.1f} x",
                f"{rival.cpu_seconds / ours.cpu_seconds:.1f} x",
            ]
            row += [f"{rival.peak_gb / ours.peak_gb:.1f} x", f"{compared} columns equal"]
        else:
            row += [f"not run: about {size * PANDAS_BYTES_PER_LINE / 1e9:.0f} GB needed", "", "", "", ""]
        rivals.append(row)
        print(f"  {' | '.join(row)}", flush=True)
        night = measure("bench.rollups:night", **files, home=str(work / f"lake_{size}"))
        for name, seconds in night.value.items():
            steps.setdefault(name, []).append(f"{seconds:.2f}")
        steps.setdefault("all feature tables", []).append(f"{night.seconds:.1f}")
        steps.setdefault("processor seconds", []).append(f"{night.cpu_seconds:.1f}")
        steps.setdefault("peak memory, GB", []).append(f"{night.peak_gb:.1f}")
        print(f"  every feature table: {_cell(night)}", flush=True)
    header = ["lines", "customers", "this project", "pandas", "faster", "less processor", "less memory", "results"]
    labels = [f"{size / 1e6:g} M lines" for size in sizes]
    return "\n\n".join(
        [
            "Customer features (all that follows from orders), RFM and CLV inputs, from Parquet to Parquet.",
            table(header, rivals),
            f"Every feature table as a night makes it: computed, validated, published (seconds; engine limit {memory_limit}).",
            table(["step", *labels], [[name, *cells] for name, cells in steps.items()]),
        ]
    )


def _cell(measured: Measured) -> str:
    return f"{measured.seconds:.1f} s ({measured.cpu_seconds:.1f} s CPU), {measured.peak_gb:.1f} GB"


def ours(lines: str, catalogue: str, memory_limit: str, target: str) -> int:
    """Write one row per customer: order features, RFM scores and CLV inputs; returns the number of customers."""

    settings, engine, folder = Customer(), DuckDBEngine(memory_limit), Path(target).parent
    sources = {"raw.order_lines": [Path(lines)], "raw.products": [Path(catalogue)]}
    sources["features.orders"] = [folder / "ours_orders.parquet"]
    sources[IdentityMap.name] = [folder / "ours_accounts.parquet"]
    IdentityMap.empty().write_parquet(folder / "ours_accounts.parquet")
    sql = orders(SHOP, AS_OF)
    engine.run(sql, {name: sources[name] for name in sql.tables()}, Orders, folder / "ours_orders.parquet")
    sql = customer_orders(SHOP, AS_OF, settings)
    engine.run(sql, {name: sources[name] for name in sql.tables()}, CustomerOrders, folder / "ours_customers.parquet")
    customers = pl.scan_parquet(folder / "ours_customers.parquet")
    rfm = customer_rfm(customers, settings.rfm).select("recency_score", "frequency_score", "monetary_score", "rfm_tier")
    subscriptions = Subscriptions.empty().lazy()
    labels = churn_labels(
        pl.scan_parquet(sources["features.orders"]), subscriptions, SHOP, AS_OF, settings.churn, "UTC"
    )
    clv = customer_clv_inputs(customers, labels.lazy(), settings)
    clv = clv.select("frequency", "recency", "T", "monetary_value", "clv_potential_tier", "churned")
    result = pl.concat([customers.collect(), rfm, clv], how="horizontal")
    result.write_parquet(target)
    return result.height


def night(lines: str, catalogue: str, memory_limit: str, home: str) -> dict[str, float]:
    """Make and publish every feature table in a lake; returns the seconds of each."""

    lake, engine = Lake(Path(home), list(registry().values())), DuckDBEngine(memory_limit)
    settings = Customer()
    given = {"raw.order_lines": [Path(lines)], "raw.products": [Path(catalogue)]}
    seconds: dict[str, float] = {}

    def publish(contract: Contract, make: Callable[[], Made]) -> None:
        started = time.perf_counter()
        made = make()
        if isinstance(made, Sql):
            sources = {name: given.get(name) or lake.files(registry()[name], SHOP) for name in made.tables()}
            with lake.staging(contract, SHOP) as staged:
                engine.run(made, sources, contract, staged)
                lake.publish(contract, SHOP, AS_OF, staged)
        else:
            lake.write(contract, SHOP, AS_OF, made)
        seconds[contract.name] = time.perf_counter() - started

    def scan(contract: Contract) -> pl.LazyFrame:
        return lake.scan(contract, SHOP)

    shop = Shop(name="bench", timezone="UTC", currency="EUR", country="ES", input=lines)
    publish(IdentityIds, lambda: identity_ids(SHOP, AS_OF, "UTC"))
    publish(
        IdentityMap,
        lambda: identity_map(
            scan(IdentityIds), scan(Customers), scan(Identities), shop_id=SHOP, as_of=AS_OF, shop=shop
        ),
    )
    publish(Orders, lambda: orders(SHOP, AS_OF))
    publish(CustomerOrders, lambda: customer_orders(SHOP, AS_OF, settings))
    publish(CustomerBehaviour, lambda: customer_behaviour(SHOP, AS_OF, "Europe/Madrid"))
    publish(CustomerLoyalty, lambda: customer_loyalty(scan(CustomerOrders), settings.loyalty))
    publish(LoyaltySummary, lambda: loyalty_summary(scan(CustomerLoyalty)))
    publish(
        CustomerFeatures,
        lambda: customer_features(scan(CustomerOrders), scan(CustomerLoyalty), scan(CustomerBehaviour)),
    )
    publish(CustomerRfm, lambda: customer_rfm(scan(CustomerFeatures), settings.rfm))
    publish(RfmThresholds, lambda: rfm_thresholds(scan(CustomerFeatures), settings.rfm))
    publish(LifecycleStage, lambda: lifecycle_stage(scan(Orders), SHOP, AS_OF, settings.stage))
    publish(LifecycleTransitions, lambda: lifecycle_transitions(scan(Orders), SHOP, AS_OF, settings.stage))
    publish(
        ChurnLabels,
        lambda: churn_labels(scan(Orders), Subscriptions.empty().lazy(), SHOP, AS_OF, settings.churn, "UTC"),
    )
    publish(CustomerClvInputs, lambda: customer_clv_inputs(scan(CustomerOrders), scan(ChurnLabels), settings))
    return seconds


def assert_same(one: Path, two: Path) -> int:
    """The number of columns of two, which are all equal in both: floats to 1e-9, money to the last decimal."""
    left, right = pl.read_parquet(one), pl.read_parquet(two).sort("customer_id")
    assert left["customer_id"].equals(right["customer_id"]), "other customers"
    for name in right.columns:
        a, b = left[name], right[name]
        if a.dtype.is_decimal() or a.dtype.is_float():
            bound = 1.01e-4 if a.dtype.is_decimal() else 1e-9
            a, b = a.cast(pl.Float64), b.cast(pl.Float64)
            same = (a.is_null() == b.is_null()) & ((a - b).abs() <= bound + 1e-12 * a.abs()).fill_null(value=True)
        else:
            same = a.cast(b.dtype).eq_missing(b)
        assert same.all(), f"{name}: {(~same).sum()} differ, e.g. {a.filter(~same)[0]} and {b.filter(~same)[0]}"
    return len(right.columns)
