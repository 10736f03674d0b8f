"""A night of one shop, run in this process, and what it left."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets import contracts, definitions
from lifecycle_assets.automation import AS_OF_TAG, NIGHTLY, SET_TAG
from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import InputReads
from lifecycle_assets.jobs import no_night_beside
from lifecycle_assets.operations.disk import damages, with_room
from lifecycle_assets.operations.homes import command, list_reports, open_instance
from lifecycle_assets.operations.input_rows import InputRows, input_rows
from lifecycle_assets.reports.gallery import LANGUAGES, page_name
from lifecycle_assets.runs import COMMAND_TAG, close_dead_runs

# Steps that are named with the cause that stopped them all.
NAMED = 3


@dataclass(frozen=True)
class NightResult:
    """How a run ended."""

    success: bool
    run_id: str
    as_of: dt.date
    seconds: float
    assets: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """What a night left: tables with their rows, what came of the input's rows, batches, reports."""

    shop: str
    night: NightResult
    tables: list[dict[str, Any]]
    inputs: InputRows | None
    batches: list[dict[str, Any]]
    reports: list[str]
    warehouse: str
    home: Path

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        night = self.night
        state = "went well" if night.success else "FAILED"
        lines = [f"{self.shop} as of {night.as_of}: {state} in {night.seconds:.1f} s (run {night.run_id})", ""]
        if not night.success:
            lines += [f"  problem: {failure}" for failure in night.failures]
            lines += ["", "  What depends on it was not run: its tables, batches and reports stay as they were."]
            if any(failure.startswith("raw.") for failure in night.failures):
                lines += [f"  All that is wrong with the inputs: {command(self.home, f'check --shop {self.shop}')}"]
            return "\n".join(lines)
        width = max((len(row["table"]) for row in self.tables), default=0)
        lines += [f"  {row['table']:<{width}}  {row['rows']:>12,} rows" for row in self.tables if row["rows"]]
        empty = [row["table"] for row in self.tables if not row["rows"]]
        inputs = [name for name in empty if name.startswith("raw.") and name != "raw.quarantine"]
        others = [name for name in empty if name not in inputs]
        lines += [""]
        lines += [f"  inputs: {self.inputs}"] if self.inputs else []
        lines += [f"  inputs not given: {', '.join(inputs)}"] if inputs else []
        lines += [f"  empty tonight: {', '.join(others)}"] if others else []
        lines += [""]
        wide = max((len(batch["programme"]) for batch in self.batches), default=0)
        lines += [
            f"  batch    {b['channel']:<8} {b['programme']:<{wide}} {b['messages']:>8,} messages  {b['path']}"
            for b in self.batches
        ]
        if self.reports:
            first = Path(self.reports[0]).parent.parent / page_name(LANGUAGES[0])
            lines += [f"  reports  {len(self.reports)}, and {first} leads to them"]
        if query := self._first_query():
            client = "any PostgreSQL client, on" if "://" in self.warehouse else "any DuckDB client, read-only, on"
            lines += [
                "",
                f"  SQL      {command(self.home, query)}",
                f"           or {client} {self.warehouse}",
            ]
        lines += [f"  UI       {command(self.home, 'dev')}"]
        return "\n".join(lines)

    def _first_query(self) -> str:
        """Something to look at: the customers by life stage, else a few rows of a table made; good for every database."""
        filled = [row["table"] for row in self.tables if row["rows"]]
        if not filled:
            return ""
        if LifecycleStage.name in filled:
            what, table, then = "stage, count(*) AS customers", LifecycleStage.name, "GROUP BY stage"
        else:
            what, table, then = "*", filled[-1], "LIMIT 5"
        return f"query \"SELECT {what} FROM {table} WHERE shop_id = '{self.shop}' {then}\""  # noqa: S608 - for people to type


def run_night(
    home: Home,
    shop: str,
    as_of: dt.date | None = None,
    select: str | None = None,
    overrides: Sequence[str] = (),
) -> NightResult:
    """Run the nightly job of one shop in this process; never raises for an asset that fails, the result says so."""
    home.shop(shop, overrides)
    defs = definitions.build_defs(home)
    tags = {COMMAND_TAG: NIGHTLY}
    if overrides:
        tags[SET_TAG] = "\n".join(overrides)
    if as_of:
        tags[AS_OF_TAG] = as_of.isoformat()
    resources = definitions.build_resources(home)
    with with_room(home), open_instance(home) as instance:
        close_dead_runs(instance, resources["lake"])
        # Of two runs of one shop the second waits: side by side they would do the same work twice.
        with resources["lake"].lock(shop, "run"):
            no_night_beside(instance, shop)
            job = defs.resolve_job_def(NIGHTLY)
            result = job.execute_in_process(
                instance=instance,
                partition_key=shop,
                asset_selection=_selected(defs, select),
                tags=tags,
                raise_on_error=False,
            )
            record = instance.get_run_record_by_id(result.run_id)
            seconds = (record.end_time or 0) - (record.start_time or 0) if record else 0.0
            night = resources["nights"].of_run(instance, result.run_id)
            failures = _failures(result)
            failures += damages(resources["lake"], shop) if failures else []
            made = sorted(
                {
                    ".".join(event.asset_key.path)
                    for event in result.get_asset_materialization_events()
                    if event.asset_key
                }
            )
            return NightResult(result.success, result.run_id, night.as_of, seconds, made, failures)


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Why the night failed, each cause once, after the first steps that it stopped."""
    stopped: dict[str, list[str]] = {}
    for event in result.filter_events(lambda event: event.is_step_failure):
        cause = definitions.cause(event.step_failure_data.error)
        stopped.setdefault(cause, []).append((event.step_key or "").replace("__", "."))
    told = {cause: ", ".join(steps[:NAMED]) for cause, steps in stopped.items()}
    more = {cause: f" and {len(steps) - NAMED} more" for cause, steps in stopped.items() if len(steps) > NAMED}
    return [f"{names}{more.get(cause, '')}: {cause}" for cause, names in told.items()]


def _selected(defs: dg.Definitions, select: str | None) -> list[dg.AssetKey] | None:
    if not select:
        return None
    graph = defs.resolve_asset_graph()
    # `+features/customer_rfm` and `+features.customer_rfm` are short for `+key:"features/customer_rfm"`.
    spelled = re.sub(r'(?<![\w:"/])([a-z_]+)[/.]([a-z_]+)(?![\w"/])', r'key:"\1/\2"', select)
    try:
        # Tables that one computation makes are made together.
        keys = dg.AssetSelection.from_string(spelled).required_multi_asset_neighbors().resolve(graph)
    except Exception as error:
        raise LifecycleError(f"--select {select}: not a Dagster asset selection: {error}") from error
    if not keys:
        known = ", ".join(sorted(key.to_user_string() for key in graph.get_all_asset_keys()))
        raise LifecycleError(f"--select {select}: selects no asset. Assets: {known}")
    return sorted(keys)


def summary(home: Home, shop: str, night: NightResult) -> Summary:
    """What the run made."""
    resources = definitions.build_resources(home)
    lake, delivery = resources["lake"], resources["delivery"]
    tables = []
    for contract in (c for c in contracts.registry().values() if c.name in night.assets):
        rows = lake.scan(contract, shop).select(pl.len()).collect().item()
        tables.append({"table": contract.name, "rows": rows})
    batches = [
        {
            "channel": row["channel"],
            "programme": row["programme"],
            "messages": row["messages"],
            "path": str(delivery.folder(shop, night.as_of, row["batch_id"])),
        }
        for row in lake.scan(contracts.registry()["dispatch.batches"], shop).collect().to_dicts()
        if "dispatch.batches" in night.assets and delivery.found(shop, night.as_of, row["batch_id"])
    ]
    told = any(name.startswith("reports.") for name in night.assets)
    inputs = input_rows(lake, shop) if InputReads.name in night.assets else None
    reports = [row["path"] for row in list_reports(home, shop).rows if told and row["as_of"] == str(night.as_of)]
    warehouse = lake.postgres.origin if lake.postgres else str(home.warehouse / "lifecycle.duckdb")
    return Summary(shop, night, tables, inputs, batches, reports, warehouse, home.root)
