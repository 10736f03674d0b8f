"""Joins assets, checks, automation and resources: the only module that imports `resources`.

What belongs here: which resource stands behind which key. What does not: any computation, any setting.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from lifecycle_assets import automation, checks, contracts, erasing, jobs, runs, watching
from lifecycle_assets.dispatch import assets as dispatch
from lifecycle_assets.dispatch.deliveries import Deliveries
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.features import assets as features
from lifecycle_assets.inputs import assets as inputs
from lifecycle_assets.models import assets as models
from lifecycle_assets.reports import assets as reports
from lifecycle_assets.settings import Shop
from resources.carriers import Carriers
from resources.delivery import Delivery
from resources.engine.duckdb import DuckDBEngine
from resources.engine.spark import SparkEngine
from resources.engine.spark_map import SparkMap
from resources.erasure import Erasing
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.keeping import Keeping
from resources.logs import cause, console
from resources.model_store import ModelStore
from resources.nights import Nights
from resources.notifications import Notifications
from resources.pruning import Pruning
from resources.replays import Replays
from resources.report_store import ReportStore
from resources.simulation import Simulation
from resources.snapshots import Snapshots
from resources.sources import Sources
from resources.warehouse.lake import Lake
from resources.warehouse.postgres import Postgres
from resources.writers import Writers

__all__ = ["Home", "build_defs", "build_resources", "cause", "defs"]

# Processes are spawned anew, which takes seconds each: one forked from a process that has polars loaded stands still.
EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def build_resources(home: Home) -> dict[str, Any]:
    """Every resource of a home by its key."""
    deployment = home.deployment()
    nights = Nights(home)
    postgres = Postgres(deployment.warehouse) if deployment.warehouse.startswith("postgres") else None
    lake = Lake(home.warehouse, list(contracts.registry().values()), postgres=postgres)
    duckdb = DuckDBEngine(deployment.memory_limit, deployment.threads)
    engine = SparkEngine(deployment.spark_master, duckdb) if deployment.engine == "spark" else duckdb
    delivery, report_store = Delivery(home.dispatch), ReportStore(home.reports)
    return {
        "nights": nights,
        "lake": lake,
        "warehouse": WarehouseIOManager(lake, engine, nights),
        "mapped": SparkMap(engine) if isinstance(engine, SparkEngine) else map,
        "snapshots": Snapshots(lake, engine),
        "replays": Replays(home, lake, build_defs, build_resources),
        "model_store": ModelStore(home.models),
        "sources": Sources(home.root),
        "delivery": delivery,
        "carriers": Carriers(delivery),
        "writers": Writers(home.drafts),
        "report_store": report_store,
        "keeping": Keeping(lake, report_store),
        "erasing": Erasing(home, lake),
        "pruning": Pruning(lake, delivery),
        "notifications": Notifications(deployment.alerts),
    }


def simulation(home: Home, shop: str) -> Simulation:
    """The simulated shop of that name."""
    home.shop_file(shop)
    return Simulation(home.simulations / shop)


def build_defs(home: Home | None = None, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The code location of a home; `resource_overrides` replaces resources by key, for tests and unusual deployments."""
    home = home or Home.default()
    deployment = home.deployment()
    assets = [
        *dg.load_assets_from_modules([inputs, features, dispatch, reports]),
        *dg.load_assets_from_package_module(models),
    ]
    owned = [
        definition.map_asset_specs(lambda spec: spec.replace_attributes(owners=[deployment.owner]))
        for definition in assets
        if isinstance(definition, dg.AssetsDefinition)
    ]
    made = {key for definition in owned for key in definition.keys}
    # A receiver that is down fails the deliveries, and must keep nobody from being erased.
    night = sorted(made - {dg.AssetKey(Deliveries.key)})
    pruning = jobs.nightly_pruning(night)
    snapshot = jobs.nightly_snapshot([*night, pruning.key])
    erasures = erasing.nightly_erasures([*night, pruning.key, snapshot.key])
    last = [
        definition.map_asset_specs(
            lambda spec: spec.replace_attributes(owners=[deployment.owner], freshness_policy=watching.NIGHTLY_FRESHNESS)
        )
        for definition in (pruning, snapshot, erasures)
    ]
    made |= {pruning.key, erasures.key}
    tables = [c for c in contracts.registry().values() if dg.AssetKey(c.key) in made]

    def shops() -> Mapping[str, Shop]:
        return dict(_readable(home))

    return dg.Definitions(
        assets=[*owned, *last],
        asset_checks=[
            *checks.contract_checks(tables),
            *dg.load_asset_checks_from_modules([inputs, features, dispatch]),
            *dg.load_asset_checks_from_package_module(models),
        ],
        jobs=[
            automation.nightly_job(),
            automation.retrain_job(),
            automation.backtest_job(),
            automation.rollback_model,
            erasing.erase_customer,
            *jobs.JOBS,
            runs.prune_runs,
        ],
        schedules=[
            *automation.nightly_schedules(shops(), deployment.schedule_hour),
            runs.prune_runs_schedule(),
        ],
        sensors=[
            automation.new_input_sensor(shops),
            automation.retrain_sensor(shops),
            watching.failure_sensor(cause, deployment.alerts),
            watching.watch_sensor(shops, deployment.alerts, deployment.schedule_hour),
        ],
        resources={**build_resources(home), **(resource_overrides or {})},
        executor=EXECUTORS[deployment.executor],
        loggers={"console": console},
    )


def _readable(home: Home) -> Iterator[tuple[str, Shop]]:
    """The shops whose configuration can be read; one that cannot must not take the others' nights away."""
    for shop in home.shops():
        try:
            yield shop, home.shop(shop)
        except SettingsError as error:
            logging.getLogger("lifecycle").warning("%s has no schedule: %s", shop, error)


defs = build_defs()
