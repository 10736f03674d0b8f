"""Runs a shop's past nights again on what was known then, in a home of their own beside the lake, and keeps their scores.

    backtests/<shop>/<hash>/<table>.parquet   what the night of one past day said; the hash is of all that it was told

A day whose input and settings are as before is not run again. Losing the folder costs time alone.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml

import lifecycle_assets
from lifecycle_assets.contracts import Contract
from lifecycle_assets.days import end_of
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs.as_known import as_known
from lifecycle_assets.night import Night
from lifecycle_assets.wiring import SHOP_PARTITIONS, asset_key
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.logs import cause
from resources.nights import Nights
from resources.warehouse.lake import Lake

RAW = "raw"
SOURCES = {".py", ".sql"}
# What scores are computed with: another version may say otherwise.
LIBRARIES = (
    "catboost", "duckdb", "numba", "numpy", "polars", "prophet", "scikit-learn", "scipy", "statsforecast", "xgboost-cpu",
)  # fmt: skip


@dg.logger
def silent(_: dg.InitLoggerContext) -> logging.Logger:
    """What a replay does is no news; that it failed is raised."""
    return logging.Logger("replay", level=logging.CRITICAL + 1)


class OneNight(Nights):
    """The night of every asset of a replay."""

    def __init__(self, home: Home, night: Night) -> None:
        super().__init__(home)
        self.night = night

    def of(self, context: Any) -> Night:  # noqa: ARG002 - all of a replay is of one night
        return self.night


class Replays:
    """Past nights of a home's shops. `build_defs` and `build_resources` are those of the code location."""

    def __init__(
        self,
        home: Home,
        lake: Lake,
        build_defs: Callable[[Home], dg.Definitions],
        build_resources: Callable[[Home], dict[str, Any]],
    ) -> None:
        self.home = home
        self.lake = lake
        self.build_defs = build_defs
        self.build_resources = build_resources

    def tables(self, night: Night, day: dt.date, wanted: Sequence[Contract]) -> Mapping[str, pl.LazyFrame]:
        """The wanted tables as the night of `day` would have made them, by their short names; `night` is tonight."""
        began = end_of(day, night.settings.timezone)
        then = dataclasses.replace(night, as_of=day, today=day, started_at=began)
        with self.lake.workspace(night.shop) as folder:
            there = self._home(folder)
            definitions = self.build_defs(there)
            selection = dg.AssetSelection.assets(*(asset_key(contract) for contract in wanted)).upstream()
            keys = selection.resolve(definitions.resolve_asset_graph())
            resources = self.build_resources(there)
            inputs = sorted(".".join(key.path) for key in keys if key.path[0] == RAW)
            told = {name: self._tell(self.lake.contracts[name], then, resources["lake"]) for name in inputs}
            kept = self.home.backtests / night.shop / _hash(then, told, wanted)
            if not kept.exists():
                self._run(definitions, resources, then, [key for key in keys if key.path[0] != RAW])
                made = folder / "made"
                made.mkdir()
                for contract in wanted:
                    resources["lake"].scan(contract, night.shop).sink_parquet(made / f"{contract.table}.parquet")
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(made, kept)
        return {contract.table: pl.scan_parquet(kept / f"{contract.table}.parquet") for contract in wanted}

    def _home(self, folder: Path) -> Home:
        """A home with the same share of the machine, and tables of its own."""
        own = self.home.deployment().model_dump(mode="json", exclude={"warehouse"})
        (folder / "lifecycle.yaml").write_text(yaml.safe_dump(own), "utf-8")
        return Home(folder)

    def _tell(self, contract: Contract, then: Night, lake: Lake) -> str:
        """Put what was known into the replay's lake; returns its hash. A slice that the night itself left is what it knew."""
        rows = self.lake.scan_night(contract, then.shop, then.as_of)
        if rows is None:
            tonight = self.lake.scan(contract, then.shop)
            rows = as_known(contract, tonight, then.as_of, then.settings.timezone)
        return lake.write(contract, then.shop, then.as_of, rows).sha256

    @staticmethod
    def _run(
        definitions: dg.Definitions, resources: Mapping[str, Any], then: Night, keys: Sequence[dg.AssetKey]
    ) -> None:
        nights = OneNight(resources["nights"].home, then)
        manager = resources["warehouse"]
        replayed = dg.Definitions(
            assets=definitions.assets,
            jobs=[dg.define_asset_job("replay", dg.AssetSelection.assets(*keys).without_checks())],
            resources={
                **resources,
                "nights": nights,
                "warehouse": WarehouseIOManager(manager.lake, manager.engine, nights),
            },
            executor=dg.in_process_executor,
            loggers={"silent": silent},
        )
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(SHOP_PARTITIONS, [then.shop])
            result = replayed.resolve_job_def("replay").execute_in_process(
                instance=instance,
                partition_key=then.shop,
                run_config={"loggers": {"silent": {}}},
                raise_on_error=False,
            )
        if not result.success:
            reasons = "; ".join(
                f"{(event.step_key or '').replace('__', '.')}: {cause(event.step_failure_data.error)}"
                for event in result.filter_events(lambda event: event.is_step_failure)
            )
            raise LifecycleError(f"{then.shop}: the night of {then.as_of} could not be run again: {reasons}")


def _hash(then: Night, told: Mapping[str, str], wanted: Sequence[Contract]) -> str:
    parts = {
        "as_of": then.as_of.isoformat(),
        "told": dict(told),
        "settings": then.settings.model_dump(mode="json", exclude={"as_of", "input"}),
        "tables": [str(contract.polars_schema) for contract in wanted],
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Hash of all that features and models are computed by; how they are judged is no part of it."""
    versions = ",".join(f"{library} {version(library)}" for library in LIBRARIES)
    return hashlib.sha256(b"".join([versions.encode(), *(file.read_bytes() for file in made_by())])).hexdigest()


def made_by() -> list[Path]:
    """The sources that scores are computed by: features, models, and what both share at the top of the package."""
    package = Path(lifecycle_assets.__file__).parent
    areas = [file for area in ("features", "models") for file in (package / area).rglob("*.*")]
    found = [*package.glob("*.py"), *areas]
    return sorted(file for file in found if file.suffix in SOURCES and not file.stem.startswith("backtest"))
