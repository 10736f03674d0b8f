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
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.reports.gallery import FIRST
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
        return "\n".join("  ".join(map(_text, row.values())) for row in self.rows) or self.nothing


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def open_instance(home: Home) -> dg.DagsterInstance:
    """Dagster's own storage of the home, made on first use, with every shop as a partition."""
    os.environ["LIFECYCLE_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    # Two that make the storage at once would both make its tables.
    with home.alone():
        _configure_dagster(home)
        instance = dg.DagsterInstance.get()
        if shops := home.shops():
            instance.add_dynamic_partitions(SHOP_PARTITIONS, shops)
        return instance


def _configure_dagster(home: Home) -> None:
    """Write dagster.yaml as the deployment's `dagster_storage` wants it; one that people have changed stays as it is."""
    shipped = {
        storage: package_files.files("resources").joinpath(name).read_text("utf-8")
        for storage, name in (("sqlite", "dagster.yaml"), ("postgres", "dagster.postgres.yaml"))
    }
    storage = home.deployment().dagster_storage
    if storage == "postgres" and not os.environ.get("DAGSTER_POSTGRES_URL", "").startswith("postgresql+psycopg2://"):
        raise SettingsError(
            "dagster_storage is postgres: set DAGSTER_POSTGRES_URL=postgresql+psycopg2://user:password@host/database "
            "in the environment of this process, the web server and the daemon"
        )
    configuration = home.dagster / "dagster.yaml"
    written = configuration.read_text("utf-8") if configuration.exists() else None
    if written is None or (written in shipped.values() and written != shipped[storage]):
        configuration.write_text(shipped[storage], "utf-8")


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
    frame: pl.DataFrame = definitions.build_resources(home)["lake"].query(sql)
    return frame


def list_reports(home: Home, shop: str | None) -> Listing:
    """Every report on disk, the latest first; of a night the one that leads to the others first."""
    rows: list[dict[str, Any]] = [
        {
            "as_of": page.parent.name,
            "shop": page.parent.parent.name,
            "report": page.stem,
            "formats": sorted(file.suffix[1:] for file in page.parent.glob(f"{page.stem}.*")),
            "path": str(page),
        }
        for page in home.reports.glob(f"{shop or '*'}/*/*.html")
    ]
    rows.sort(key=lambda row: (row["shop"], not row["report"].startswith(FIRST), row["report"]))
    rows.sort(key=lambda row: row["as_of"], reverse=True)
    return Listing(rows, nothing=f"no reports in {home.reports} yet: lifecycle run makes them")
