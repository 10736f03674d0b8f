"""A small shop whose night sends batches, the process that runs it, and all that people and tools find in its home.

`held` is what faults are judged by: every table's rows as the lake has them and as its readers see them, the batches' files,
the facts of the reports, and the ledger. Left out is only what tells the hour: when lines were written, how long a
training took.
"""

import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract, registry
from lifecycle_assets.definitions import build_resources
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.operations.nights import NightResult, run_night
from resources.home import Home

ROOT = Path(__file__).parents[2]
SHOP = "kiosk"
NIGHT = dt.date(2024, 12, 31)
# What goes out and all that it rests on, what comes last in a night, and a report: the forecasts take the longest by far.
BRIEF = (
    "+dispatch/deliveries or +dispatch/audience_exports or +reports/experiments or dispatch/ledger_totals "
    "or dispatch/erasures or reports/snapshot"
)
SETTINGS = """
name: Kiosk
timezone: Europe/Madrid
currency: EUR
country: ES
input: {input}
as_of: {as_of}
reports: {{languages: [en]}}
"""
# The hash of a model's files holds that of its evaluation, and this the seconds that it took.
OF_THE_HOUR = {"seconds", "at"}
OF_A_TABLE = {"models.registry": {"sha256"}}
AFTER_A_CRASH = "found released after a crash"
NOT_COMPARED = {"dagster", ".versions", ".work", ".locks", ".lock", "lifecycle.duckdb"}
UNFINISHED = ".unfinished-"


def write_input(folder: Path, customers: int = 150, orders: int = 700, products: int = 12) -> Path:
    """A year of orders, and customers of whom most may be written to."""
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True)
    lines = ["order_id,customer_id,ordered_at,product_id,quantity,unit_price"]
    for i in range(orders):
        day = NIGHT - dt.timedelta(days=int(rng.integers(0, 365)))
        buyer = int(customers * rng.random() ** 2)
        line = f"{rng.integers(products)},{rng.integers(1, 4)},{rng.integers(5, 90)}.90"
        lines.append(f"B{i:04d},K{buyer:03d},{day} {rng.integers(8, 22):02d}:15:00,A-{line}")
    (folder / "order_lines.csv").write_text("\n".join(lines) + "\n", "utf-8")
    people = ["customer_id,email,first_name,consent_email"]
    people += [f"K{i:03d},k{i}@example.org,Name{i},{'true' if i % 5 else 'false'}" for i in range(customers)]
    (folder / "customers.csv").write_text("\n".join(people) + "\n", "utf-8")
    goods = ["product_id,name,category,price,unit_cost"]
    goods += [f"A-{i},Thing {i},{'AB'[i % 2]},{20 + i},{8 + i / 2}" for i in range(products)]
    (folder / "products.csv").write_text("\n".join(goods) + "\n", "utf-8")
    return folder


def make_home(
    root: Path, shop_input: Path, as_of: dt.date | str = NIGHT, deployment: str = "", settings: str = ""
) -> Home:
    """A home with the shop in which nothing was run yet."""
    home = Home(root)
    home.shop_file(SHOP).parent.mkdir(parents=True)
    home.shop_file(SHOP).write_text(SETTINGS.format(input=shop_input, as_of=as_of) + settings, "utf-8")
    (home.root / "lifecycle.yaml").write_text(deployment, "utf-8")
    return home


def run_here(home: Home, select: str | None = BRIEF, as_of: dt.date | None = None) -> NightResult:
    """A night in this process."""
    return run_night(home, SHOP, as_of, select)


def start(home: Home, select: str | None = BRIEF, **popen: Any) -> subprocess.Popen[str]:
    """A night in a process group of its own; its progress comes as a JSON object per line on standard error."""
    chosen = ["--select", select] if select else []
    return subprocess.Popen(
        [sys.executable, "-m", "lifecycle_assets.cli", "run", "--shop", SHOP, "--home", str(home.root), *chosen],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LIFECYCLE_LOG": "json"}, **popen,
    )  # fmt: skip


def held(home: Home) -> dict[str, list[str]]:
    """All that a home shows, by name, as lines in an order of their own."""
    lake = build_resources(home)["lake"]
    found: dict[str, list[str]] = {}
    for name, contract in registry().items():
        found[name] = _lines(contract, lake.scan(contract, SHOP).collect())
        if found[name]:
            found[f"{name} as read"] = _lines(contract, lake.query(f"SELECT * FROM {name}"))
        for night in lake.nights(contract, SHOP):
            found[f"{name} of {night}"] = _lines(contract, lake.scan_night(contract, SHOP, night).collect())
    for path in _files(home.dispatch):
        found[str(path.relative_to(home.root))] = [hashlib.sha256(path.read_bytes()).hexdigest()]
    for path in _files(home.reports, ".json"):
        found[str(path.relative_to(home.root))] = path.read_text("utf-8").splitlines()
    return found


def differences(home: Home, undisturbed: Home) -> list[str]:
    """What a home holds otherwise than another, lines of the ledger that are there twice, and files nobody will clear away."""
    own, other = held(home), held(undisturbed)
    found = [
        f"{name}: {_first(own.get(name), other.get(name))}" for name in own | other if own.get(name) != other.get(name)
    ]
    lines = build_resources(home)["lake"].scan(Ledger, SHOP).collect()
    twice = lines.group_by("idempotency_key", "event").len().filter(pl.col("len") > 1)
    found += [f"the ledger says {event} {n} times of {key}" for key, event, n in twice.iter_rows()]
    there = {path.relative_to(undisturbed.root) for path in _files(undisturbed.root)}
    left = [path.relative_to(home.root) for path in _files(home.root) if path.relative_to(home.root) not in there]
    known = (
        UNFINISHED,
        f"{NIGHT}-",
    )  # what a later run clears away, and files of the ledger, which are named after their bytes
    return found + [f"left behind: {path}" for path in left if not path.name.startswith(known)]


def bytes_of(home: Home) -> dict[str, str]:
    """The SHA-256 of every file of the home but those of Dagster and of the lake's inside."""
    return {str(p.relative_to(home.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in _files(home.root)}


def _lines(contract: Contract, rows: pl.DataFrame) -> list[str]:
    dropped = (OF_THE_HOUR | OF_A_TABLE.get(contract.name, set())) & set(rows.columns)
    kept = contract.conform(rows.lazy()).collect().drop(dropped)
    if contract is Ledger:
        kept = kept.with_columns(pl.col("detail").replace(AFTER_A_CRASH, None))
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in kept.iter_rows(named=True))


def _files(root: Path, suffix: str = "") -> Iterable[Path]:
    """Files below a folder, but for those that no two homes have alike."""
    for path in sorted(root.rglob(f"*{suffix}")):
        if path.is_file() and NOT_COMPARED.isdisjoint(path.relative_to(root).parts):
            yield path


def _first(own: list[str] | None, other: list[str] | None) -> str:
    if own is None or other is None:
        return "not there" if own is None else "not in the undisturbed home"
    pair = next((pair for pair in zip(own, other, strict=False) if pair[0] != pair[1]), None)
    return f"{pair[0][:300]} instead of {pair[1][:300]}" if pair else f"{len(own)} instead of {len(other)} lines"
