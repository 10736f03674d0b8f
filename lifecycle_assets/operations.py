"""What the commands do, on top of the definitions: run a night, look at its tables, list reports, make a home."""

import datetime as dt
import os
import re
import shlex
import shutil
import sys
import tempfile
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import resources as package_files
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
from pydantic import ValidationError

from lifecycle_assets import contracts, definitions
from lifecycle_assets.automation import AS_OF_TAG, NIGHTLY, SET_TAG
from lifecycle_assets.contracts import Contract
from lifecycle_assets.definitions import Home
from lifecycle_assets.dispatch import gathering
from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.explain import Explanation, explain
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.left_out import left_out
from lifecycle_assets.dispatch.release import recovered_batches
from lifecycle_assets.errors import LifecycleError, SettingsError
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.inputs import check, guess, ingest
from lifecycle_assets.night import Night
from lifecycle_assets.settings import as_of_default
from lifecycle_assets.settings.base import nearest
from lifecycle_assets.simulator.world import ZONES, World
from lifecycle_assets.wiring import SHOP_PARTITIONS

DEPLOYMENT = """\
# What all shops of this home share. Every setting has a default; docs/settings.md lists them.
# owner: team:customer-data
# memory_limit: 6GB
# schedule_hour: 2
"""

SIMULATED = """\
# A simulated shop: every customer's truth lies in the folder beside its input.
name: {name}
timezone: {zone}
currency: USD
country: {country}
input: {input}
# The last day lived through; `lifecycle simulate --night` moves it on.
as_of: {as_of}
"""
# A message may wait for the end of quiet hours or for the throttle.
SEND_NIGHTS = 7


def default_home() -> Home:
    """`$LIFECYCLE_HOME`, else `./home`."""
    return Home.default()


def command(home: Path, arguments: str) -> str:
    """A command as it is to be typed; it names the home unless that is `./home`, for another shell may not know it."""
    program = "lifecycle" if shutil.which("lifecycle") else str(Path(sys.executable).with_name("lifecycle"))
    there = "" if home == Path("home").resolve() else f" --home {shlex.quote(str(home))}"
    return f"{program} {arguments}{there}"


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
    """What a night left: tables with their rows, batches, reports."""

    shop: str
    night: NightResult
    tables: list[dict[str, Any]]
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
            return "\n".join(lines)
        width = max((len(row["table"]) for row in self.tables), default=0)
        lines += [f"  {row['table']:<{width}}  {row['rows']:>12,} rows" for row in self.tables if row["rows"]]
        empty = [row["table"] for row in self.tables if not row["rows"]]
        inputs = [name for name in empty if name.startswith("raw.") and name != "raw.quarantine"]
        others = [name for name in empty if name not in inputs]
        lines += ["", f"  inputs not given: {', '.join(inputs)}"] if inputs else []
        lines += [f"  empty tonight: {', '.join(others)}"] if others else []
        lines += [""]
        lines += [
            f"  batch    {b['channel']:<8} {b['programme']:<10} {b['messages']:>8,} messages  {b['path']}"
            for b in self.batches
        ]
        lines += [f"  report   {path}" for path in self.reports]
        show = 'query "SHOW ALL TABLES"'
        lines += ["", f"  SQL      {command(self.home, show)}"]
        lines += [f"           or any DuckDB client, read-only, on {self.warehouse}"]
        lines += [f"  UI       {command(self.home, 'dev')}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Listing:
    """Rows to print."""

    rows: list[dict[str, Any]]
    nothing: str
    ok: bool = True

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "rows": self.rows}

    def as_text(self) -> str:
        return "\n".join("  ".join(str(value) for value in row.values()) for row in self.rows) or self.nothing


def open_instance(home: Home) -> dg.DagsterInstance:
    """Dagster's own storage of the home, made on first use, with every shop as a partition."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    configuration = home.dagster / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(package_files.files("resources").joinpath("dagster.yaml").read_text("utf-8"), "utf-8")
    os.environ["LIFECYCLE_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    instance = dg.DagsterInstance.get()
    if shops := home.shops():
        instance.add_dynamic_partitions(SHOP_PARTITIONS, shops)
    return instance


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
    tags = {SET_TAG: "\n".join(overrides)} if overrides else {}
    if as_of:
        tags[AS_OF_TAG] = as_of.isoformat()
    resources = definitions.build_resources(home)
    # Of two runs of one shop the second waits: side by side they would do the same work twice.
    with resources["lake"].lock(shop, "run"), open_instance(home) as instance:
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
        failures = [
            f"{event.step_key.replace('__', '.')}: {definitions.cause(event.step_failure_data.error)}"
            for event in result.filter_events(lambda event: event.is_step_failure)
            if event.step_key
        ]
        made = sorted(
            {".".join(event.asset_key.path) for event in result.get_asset_materialization_events() if event.asset_key}
        )
        return NightResult(result.success, result.run_id, night.as_of, seconds, made, failures)


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


def seed_demo(home: Home) -> None:
    """Put the demo shop into the home unless it is there."""
    _make_home(home)
    path = home.shop_file("demo")
    if not path.exists():
        path.write_text(package_files.files("shops").joinpath("demo.yaml").read_text("utf-8"), "utf-8")


def _make_home(home: Home) -> None:
    (home.root / "shops").mkdir(parents=True, exist_ok=True)
    deployment = home.root / "lifecycle.yaml"
    if not deployment.exists():
        deployment.write_text(DEPLOYMENT, "utf-8")


def summary(home: Home, shop: str, night: NightResult) -> Summary:
    """What the run made."""
    lake = definitions.build_resources(home)["lake"]
    tables = []
    for contract in (c for c in contracts.registry().values() if c.name in night.assets):
        rows = lake.scan(contract, shop).select(pl.len()).collect().item()
        tables.append({"table": contract.name, "rows": rows})
    delivery = definitions.build_resources(home)["delivery"]
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
    reports = [row["path"] for row in list_reports(home, shop).rows if told and row["as_of"] == str(night.as_of)]
    return Summary(shop, night, tables, batches, reports, str(home.warehouse / "lifecycle.duckdb"), home.root)


def query(home: Home, sql: str) -> pl.DataFrame:
    """The rows of one SELECT over the output tables."""
    frame: pl.DataFrame = definitions.build_resources(home)["lake"].catalogue.query(sql)
    return frame


def list_reports(home: Home, shop: str | None) -> Listing:
    """Every report on disk, the latest first."""
    found = sorted(home.reports.glob(f"{shop or '*'}/*/*.html"), key=lambda path: path.parts[-2:], reverse=True)
    rows = [{"as_of": p.parent.name, "shop": p.parent.parent.name, "report": p.stem, "path": str(p)} for p in found]
    return Listing(rows, nothing=f"no reports in {home.reports} yet: lifecycle run makes them")


def init_shop(
    home: Home,
    shop: str,
    source: str,
    timezone: str | None,
    currency: str | None,
    country: str | None,
    force: bool,
) -> tuple[str, Path]:
    """Write a shop's configuration, guessed from its input; returns its text and where it lies."""
    path = home.shop_file(shop)
    if path.exists() and not force:
        raise SettingsError(f"{path} exists: correct it there, or use --force to write it anew")
    local = Path(source).expanduser()
    place = str(local.resolve()) if local.exists() else source
    with tempfile.TemporaryDirectory() as folder, _told_by_option():
        text = guess.shop_yaml(
            definitions.build_resources(home)["sources"].at(place),
            name=shop,
            place=place,
            timezone=timezone,
            currency=currency,
            country=country,
            today=dt.datetime.now(dt.UTC).date(),
            contracts=_raw_tables(),
            folder=Path(folder),
        )
    _make_home(home)
    path.write_text(text, "utf-8")
    return text, path


@contextmanager
def _told_by_option() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problems = [f"--{problem['loc'][0]}: {problem['msg']} (got {problem['input']!r})" for problem in error.errors()]
        raise SettingsError("; ".join(problems).replace("Value error, ", "")) from error


@dataclass(frozen=True)
class Simulated:
    """Where a simulated shop stands."""

    shop: str
    last_day: dt.date
    customers: int
    input: str
    home: Path

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        return (
            f"{self.shop}: {self.customers:,} customers, lived through to {self.last_day}; its input is {self.input}\n"
            f"  a night  {command(self.home, f'run --shop {self.shop}')}\n"
            f"  go on    {command(self.home, f'simulate --shop {self.shop} --night')}"
        )


def simulate(home: Home, world: World, progress: Callable[[str], None]) -> Simulated:
    """Live through a past, and put the shop into the home."""
    simulation = definitions.simulation(home, world.shop)
    path = home.shop_file(world.shop)
    if path.exists():
        raise SettingsError(f"{path} exists: choose another name for the simulated shop")
    simulation.begin(world, progress)
    _make_home(home)
    country = world.countries[0]
    text = SIMULATED.format(
        name=world.shop, zone=ZONES[country], country=country, input=simulation.input, as_of=simulation.last_day()
    )
    path.write_text(text, "utf-8")
    return _simulated(home, world.shop)


def simulate_night(home: Home, shop: str, progress: Callable[[str], None]) -> Simulated:
    """Live through the next day with what was dispatched for it."""
    simulation = definitions.simulation(home, shop)
    day = simulation.last_day() + dt.timedelta(days=1)
    simulation.go_on(dispatched(home, shop, day), progress)
    path = home.shop_file(shop)
    path.write_text(re.sub(r"(?m)^as_of: .*$", f"as_of: {day}", path.read_text("utf-8")), "utf-8")
    return _simulated(home, shop)


def _simulated(home: Home, shop: str) -> Simulated:
    simulation = definitions.simulation(home, shop)
    return Simulated(shop, simulation.last_day(), simulation.world().customers, str(simulation.input), home.root)


def dispatched(home: Home, shop: str, day: dt.date) -> pl.DataFrame:
    """The messages that went out for that local day, as the simulator takes them."""
    lake = definitions.build_resources(home)["lake"]
    messages, decisions, ledger = (
        contracts.registry()[name] for name in ("dispatch.messages", "dispatch.decisions", "dispatch.ledger")
    )
    exported = lake.scan(ledger, shop).filter(pl.col("event") == "exported")
    nights = [night for night in lake.nights(messages, shop) if night < day][-SEND_NIGHTS:]
    chosen = [
        lake.scan_night(messages, shop, night).join(
            lake.scan_night(decisions, shop, night).select("decision_id", "propensity"), on="decision_id", how="left"
        )
        for night in nights
    ]
    empty = messages.empty().lazy().with_columns(pl.lit(None, pl.Float64).alias("propensity"))
    return (
        pl.concat([*chosen, empty], how="diagonal")
        .filter(pl.col("send_at_local").dt.date() == day)
        .join(exported, on="idempotency_key", how="semi")
        .select(
            pl.col("idempotency_key").alias("message_id"),
            "customer_id",
            "channel",
            "content_type",
            pl.col("send_at_local").dt.hour().alias("hour"),
            "discount_pct",
            "propensity",
        )
        .collect()
    )


def check_shops(home: Home, shops: Sequence[str]) -> Listing:
    """Every problem of the shops' configurations and inputs."""
    if not shops:
        make = command(home.root, "init --shop S --input FOLDER")
        raise SettingsError(f"no shops in {home.root}: make one with {make}")
    rows: list[dict[str, Any]] = []
    for shop in shops:
        try:
            settings = home.shop(shop)
        except SettingsError as error:
            rows.append({"level": "error", "shop": shop, "table": "settings", "problem": str(error)})
            continue
        now = dt.datetime.now(dt.UTC)
        today = now.astimezone(zoneinfo.ZoneInfo(settings.timezone)).date()
        night = Night(shop, as_of_default(settings, now), today, now, settings)
        with tempfile.TemporaryDirectory() as folder:
            found = check.problems(
                night, definitions.build_resources(home)["sources"].open, _raw_tables(), Path(folder)
            )
        rows += [{"level": p.level, "shop": shop, "table": p.table, "problem": p.text} for p in found]
        rows += [{"level": "info", "shop": shop, "table": "routing", "problem": text} for text in left_out(settings)]
    return Listing(rows, nothing="no problems found", ok=not any(row["level"] == "error" for row in rows))


def stored_models(home: Home, shops: Sequence[str]) -> Listing:
    """Every version of every stored model, with what is known of it."""
    store = definitions.build_resources(home)["model_store"]
    rows = []
    for shop in shops:
        home.shop(shop)
        for version in (version for name in store.names(shop) for version in store.versions(shop, name)):
            state = "in force" if version.is_champion else "withdrawn" if version.is_withdrawn else ""
            state = state if store.is_whole(version) else "damaged"
            rows.append(
                {
                    "shop": shop,
                    "model": version.name,
                    "version": version.version,
                    "trained_as_of": str(version.trained_as_of),
                    "state": state,
                    "candidate": version.card.get("candidate"),
                    "note": version.card.get("not_taken") or version.card.get("note"),
                }
            )
    return Listing(rows, nothing=f"no models in {home.models} yet: lifecycle run trains them")


def rollback_model(home: Home, shop: str, model: str) -> str:
    """Withdraw the version in force; says which one is in force now."""
    home.shop(shop)
    now = definitions.build_resources(home)["model_store"].rollback(shop, model)
    return (
        f"{shop}: {model} is version {now.version} again, trained on {now.trained_as_of}; the next run scores with it"
    )


def explain_decision(home: Home, shop: str, customer: str, offer: str | None) -> Explanation:
    """Why the shop's last night decided so about a customer, and why not for an offer. The customer may be named by any of
    their accounts; raises LifecycleError where customer or offer is unknown."""
    settings = home.shop(shop)
    offers = settings.routing.offers
    if offer is not None and offer not in offers:
        raise LifecycleError(f"{shop}: no offer '{offer}'{nearest(offer, offers)}")
    resources = definitions.build_resources(home)
    lake = resources["lake"]
    decisions = lake.scan(Decisions, shop)
    tables = {contract.table: lake.scan(contract, shop) for contract in gathering.READS}
    asked = resolved(pl.LazyFrame({"customer_id": [customer]}), tables["identity_map"])
    found = decisions.join(asked, on="customer_id", how="semi").collect()
    if found.is_empty():
        near = ", ".join(_nearest_customers(customer, decisions))
        raise LifecycleError(f"{shop}: no decision about a customer '{customer}'" + (f"; near: {near}" if near else ""))
    lines = lake.scan(Ledger, shop)
    sent = ledgers.sent(lines, recovered_batches(lines, shop, resources["delivery"]))
    decision = found.row(0, named=True)
    used = ledgers.offers_used(sent, decision["as_of"])
    return explain(decision, gathering.sources(tables, sent), gathering.knowledge(tables), used, settings, offer)


def _nearest_customers(customer: str, decisions: pl.LazyFrame) -> list[str]:
    known = decisions.select("customer_id").collect()
    with duckdb.connect(":memory:") as connection:
        connection.register("known", known.to_arrow())
        # Near: at least 0.6 of the longer name's letters stay.
        nearest_first = """
            SELECT customer_id FROM known
            WHERE levenshtein(customer_id, $asked) <= 0.4 * greatest(length(customer_id), length($asked))
            ORDER BY levenshtein(customer_id, $asked), customer_id LIMIT 3
        """
        return [name for (name,) in connection.execute(nearest_first, {"asked": customer}).fetchall()]


def _raw_tables() -> list[Contract]:
    return ingest.tables(list(contracts.registry().values()))
