"""What is installed, reachable, fresh and failing, and what to do about it."""

import datetime as dt
import importlib.metadata
import os
import re
import shutil
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage

from lifecycle_assets import contracts, definitions
from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.definitions import Home
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.operations.homes import command, open_instance
from lifecycle_assets.operations.input_rows import input_rows
from lifecycle_assets.runs import is_whole
from lifecycle_assets.settings import Deployment, Shop
from lifecycle_assets.wiring import SHOP_TAG

OK, WARNING, ERROR = "ok", "warning", "error"
MARKS = {OK: "ok   ", WARNING: "WARN ", ERROR: "ERROR"}
FREE_GB, FREE_SHARE = 5, 0.05
FAILED_DAYS = 7
SILENT_SECONDS = 300
DAEMONS = ("SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and what to do where it is not well."""

    level: str
    subject: str
    text: str
    do: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which they were looked at."""

    findings: list[Finding]

    @property
    def ok(self) -> bool:
        return all(finding.level != ERROR for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "findings": [vars(finding) for finding in self.findings]}

    def as_text(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(f"{MARKS[finding.level]} {finding.subject:<18} {finding.text}")
            if finding.do:
                lines.append(f"{'':<24} -> {finding.do}")
        worst = {level: sum(f.level == level for f in self.findings) for level in (ERROR, WARNING)}
        return "\n".join([*lines, "", f"errors: {worst[ERROR]}, warnings: {worst[WARNING]}"])


def diagnose(home: Home, now: dt.datetime) -> Diagnosis:
    """Look at the machine, the home, the stores, Dagster, and each shop; nothing is changed."""
    findings = [*_machine(home)]
    try:
        deployment = home.deployment()
        resources = definitions.build_resources(home)
    except LifecycleError as error:
        broken = Finding(ERROR, "lifecycle.yaml", str(error), f"correct {home.root / 'lifecycle.yaml'}")
        return Diagnosis([*findings, broken])
    with open_instance(home) as instance:
        findings += [*_stores(home, deployment, resources), *_dagster(instance, now)]
        if not home.shops():
            make = command(home.root, "init --shop S --input FOLDER")
            findings.append(Finding(WARNING, "shops", f"none in {home.root / 'shops'}", make))
        for shop in home.shops():
            findings += _guarded(
                f"shop {shop}", lambda shop=shop: _shop(home, deployment, resources, instance, shop, now)
            )
    return Diagnosis(findings)


def _guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What one look finds; an error of ours becomes a finding, and the looks after it go on."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except LifecycleError as error:
        found.append(Finding(ERROR, subject, str(error)))
    return found


def _machine(home: Home) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(OK, "python", f"{python}, {os.cpu_count()} cores")
    yield _libraries()
    if not os.access(home.root, os.W_OK):
        yield Finding(ERROR, "home", f"{home.root} cannot be written", "make it, or name another one with --home")
        return
    disk = shutil.disk_usage(home.root)
    free = f"{home.root}, {disk.free / 1e9:.0f} of {disk.total / 1e9:.0f} GB free"
    scarce = disk.free < FREE_GB * 1e9 or disk.free < FREE_SHARE * disk.total
    yield Finding(
        WARNING if scarce else OK, "home", free, "make room: lifecycle prune removes old slices" if scarce else ""
    )


def _libraries() -> Finding:
    """Whether what the package asks for is there, and new enough."""
    from packaging.requirements import Requirement

    try:
        package = importlib.metadata.distribution("lifecycle_assets")
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            WARNING, "libraries", "run from source: what is installed was not looked at", "pip install --editable ."
        )
    lacking = []
    for need in map(Requirement, package.requires or []):
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            there = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(f"{need.name} is not installed")
            continue
        if not need.specifier.contains(there, prereleases=True):
            lacking.append(f"{need.name} is {there}, needed is {need.specifier}")
    if lacking:
        return Finding(ERROR, "libraries", "; ".join(lacking), "install the versions of requirements.lock")
    return Finding(OK, "libraries", f"lifecycle_assets {package.version}, all that it needs is there")


def _stores(home: Home, deployment: Deployment, resources: dict[str, Any]) -> Iterator[Finding]:
    lake = resources["lake"]
    made = sum(lake.path(contract, shop).exists() for contract in lake.contracts.values() for shop in home.shops())
    yield Finding(OK, "lake", f"{home.warehouse}, {made} tables of {len(home.shops())} shops")
    if lake.postgres is not None:
        try:
            lake.query("SELECT 1 AS one")
            yield Finding(OK, "warehouse", f"{lake.postgres.origin} answers")
        except LifecycleError as error:
            yield Finding(ERROR, "warehouse", str(error), "start the database, or correct warehouse in lifecycle.yaml")
    if deployment.alerts.webhook is None:
        say = "set alerts.webhook in lifecycle.yaml"
        yield Finding(WARNING, "alerts", "nobody is told of a run that fails", say)
    else:
        named = re.findall(r"\$\{(\w+)\}", deployment.alerts.webhook)
        missing = [name for name in named if name not in os.environ]
        level, text = (ERROR, f"the environment lacks {', '.join(missing)}") if missing else (OK, "a webhook is told")
        yield Finding(level, "alerts", text, "set it where Dagster's daemon starts" if missing else "")


def _dagster(instance: dg.DagsterInstance, now: dt.datetime) -> Iterator[Finding]:
    kind = "SQLite" if isinstance(instance.event_log_storage, SqliteEventLogStorage) else "PostgreSQL"
    yield Finding(OK, "dagster", f"{dg.__version__}, events in {kind}, {instance.get_runs_count():,} runs kept")
    states = instance.get_daemon_statuses()
    down = [name.lower() for name in DAEMONS if name not in states or not _beats(states[name], now)]
    if down:
        say = "start it for schedules and sensors: lifecycle dev, or dagster-daemon run; a night by cron needs none"
        yield Finding(WARNING, "daemon", f"not running: {', '.join(down)}", say)
    else:
        yield Finding(OK, "daemon", "schedules and sensors are served")


def _beats(daemon: Any, now: dt.datetime) -> bool:
    """Whether the daemon was heard of lately; Dagster itself waits half an hour before it calls one dead."""
    last = daemon.last_heartbeat
    return daemon.healthy and last is not None and now.timestamp() - last.timestamp < SILENT_SECONDS


def _shop(
    home: Home,
    deployment: Deployment,
    resources: dict[str, Any],
    instance: dg.DagsterInstance,
    shop: str,
    now: dt.datetime,
) -> Iterator[Finding]:
    settings = home.shop(shop)
    yield from _guarded(f"{shop} input", lambda: _input(resources["sources"], settings, shop))
    yield from _nights(home, deployment, instance, shop, settings, now)
    yield from _guarded(f"{shop} tables", lambda: _tables(resources["lake"], home, shop))


def _input(sources: Any, settings: Shop, shop: str) -> Iterator[Finding]:
    sources.fingerprint(settings)
    yield Finding(OK, f"{shop} input", settings.input)


def _nights(
    home: Home, deployment: Deployment, instance: dg.DagsterInstance, shop: str, settings: Shop, now: dt.datetime
) -> Iterator[Finding]:
    records = instance.get_run_records(dg.RunsFilter(job_name=NIGHTLY, tags={SHOP_TAG: shop}))
    runs = [record for record in records if is_whole(record.dagster_run)]
    ended = [r for r in runs if r.dagster_run.status is dg.DagsterRunStatus.SUCCESS and r.end_time]
    again = command(home.root, f"run --shop {shop}")
    if not ended:
        yield Finding(WARNING, f"{shop} night", "none has ended well yet", again)
    else:
        last = dt.datetime.fromtimestamp(ended[0].end_time or 0, dt.UTC)
        zone = zoneinfo.ZoneInfo(settings.timezone)
        hours = (now - last).total_seconds() / 3600
        is_late = settings.as_of is None and hours > 24 + deployment.alerts.late_hours
        text = f"last ended well {last.astimezone(zone):%Y-%m-%d %H:%M} {settings.timezone}, {hours:.0f} hours ago"
        yield Finding(WARNING if is_late else OK, f"{shop} night", text, again if is_late else "")
    since = now - dt.timedelta(days=FAILED_DAYS)
    failed = [r for r in runs if r.dagster_run.status is dg.DagsterRunStatus.FAILURE and r.create_timestamp >= since]
    if failed and (not ended or failed[0].create_timestamp > ended[0].create_timestamp):
        run = failed[0].dagster_run.run_id
        text = f"{len(failed)} failed in {FAILED_DAYS} days, the last one since: {_cause(instance, run)}"
        yield Finding(ERROR, f"{shop} failures", text, f"mend it, then {again}")


def _cause(instance: dg.DagsterInstance, run: str) -> str:
    records = instance.get_records_for_run(run, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    if not records or records[0].event_log_entry.dagster_event is None:
        return f"run {run} ended early"
    event = records[0].event_log_entry.dagster_event
    return f"{(event.step_key or '').replace('__', '.')}: {definitions.cause(event.step_failure_data.error)}"


def _tables(lake: Any, home: Home, shop: str) -> Iterator[Finding]:
    known = contracts.registry()
    rows = input_rows(lake, shop)
    if rows is None:
        return
    too_many = rows.share > 0.05
    look = command(home.root, 'query "SELECT * FROM raw.quarantine LIMIT 20"')
    yield Finding(WARNING if too_many else OK, f"{shop} rows", str(rows), look if too_many else "")
    drifted = (
        lake.scan(known["models.drift"], shop).filter("is_drifted").select("model").unique().sort("model").collect()
    )
    models = lake.scan(known["models.registry"], shop).filter("is_champion").collect()
    if drifted.height:
        say = "the sensor retrain_on_drift trains them anew; by hand: the job retrain"
        yield Finding(WARNING, f"{shop} models", f"drifted: {', '.join(drifted['model'])}", say)
    elif models.height:
        oldest = (models["as_of"][0] - models["trained_as_of"].min()).days
        yield Finding(
            OK, f"{shop} models", f"{models.height} in force, the oldest trained {oldest} days before the night"
        )
