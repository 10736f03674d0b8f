"""The home that commands work in: its folders, its Dagster storage, its tables by SQL, its reports."""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import resources as package_files
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from lifecycle_assets import definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.wiring import SHOP_PARTITIONS

DEPLOYMENT = """\
# What all shops of this home share. Every setting has a default; docs/settings.md lists them.
# owner: team:customer-data
# memory_limit: 6GB
# schedule_hour: 2
"""


def default_home() -> Home:
    """`$LIFECYCLE_HOME`, else `./home`."""
    return Home.default()


def command(home: Path, arguments: str) -> str:
    """A command as it is to be typed; it names the home unless that is `./home`, for another shell may not know it."""
    program = "lifecycle" if shutil.which("lifecycle") else str(Path(sys.executable).with_name("lifecycle"))
    there = "" if home == Path("home").resolve() else f" --home {shlex.quote(str(home))}"
    return f"{program} {arguments}{there}"


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


def make_home(home: Home) -> None:
    (home.root / "shops").mkdir(parents=True, exist_ok=True)
    deployment = home.root / "lifecycle.yaml"
    if not deployment.exists():
        deployment.write_text(DEPLOYMENT, "utf-8")


def seed_demo(home: Home) -> None:
    """Put the demo shop into the home unless it is there."""
    make_home(home)
    path = home.shop_file("demo")
    if not path.exists():
        path.write_text(package_files.files("shops").joinpath("demo.yaml").read_text("utf-8"), "utf-8")


def query(home: Home, sql: str) -> pl.DataFrame:
    """The rows of one SELECT over the output tables."""
    frame: pl.DataFrame = definitions.build_resources(home)["lake"].catalogue.query(sql)
    return frame


def list_reports(home: Home, shop: str | None) -> Listing:
    """Every report on disk, the latest first."""
    found = sorted(home.reports.glob(f"{shop or '*'}/*/*.html"), key=lambda path: path.parts[-2:], reverse=True)
    rows = [{"as_of": p.parent.name, "shop": p.parent.parent.name, "report": p.stem, "path": str(p)} for p in found]
    return Listing(rows, nothing=f"no reports in {home.reports} yet: lifecycle run makes them")
