"""A shop's configuration: guessed from its input, and checked against it."""

import datetime as dt
import tempfile
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lifecycle_assets import contracts, definitions
from lifecycle_assets.contracts import Contract
from lifecycle_assets.definitions import Home
from lifecycle_assets.dispatch.left_out import left_out
from lifecycle_assets.dispatch.template_check import template_problems
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.inputs import check, guess, ingest
from lifecycle_assets.night import Night
from lifecycle_assets.operations.homes import Listing, command, make_home, open_instance
from lifecycle_assets.settings import as_of_default


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
            name=_title(shop),
            place=place,
            timezone=timezone,
            currency=currency,
            country=country,
            today=dt.datetime.now(dt.UTC).date(),
            contracts=_raw_tables(),
            folder=Path(folder),
        )
    make_home(home)
    path.write_text(text, "utf-8")
    # A Dagster page that is open has the shop as a partition from now on.
    with open_instance(home):
        return text, path


def _title(shop: str) -> str:
    """A name for people, out of the id: my-shop is called My shop."""
    words = shop.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


@contextmanager
def _told_by_option() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        problems = [f"--{problem['loc'][0]}: {problem['msg']} (got {problem['input']!r})" for problem in error.errors()]
        raise SettingsError("; ".join(problems).replace("Value error, ", "")) from error


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
        resources = definitions.build_resources(home)
        with tempfile.TemporaryDirectory() as folder:
            found = check.problems(night, resources["sources"].open, _raw_tables(), Path(folder))
        rows += [{"level": p.level, "shop": shop, "table": p.table, "problem": p.text} for p in found]
        rows += [{"level": "info", "shop": shop, "table": "routing", "problem": text} for text in left_out(settings)]
        unfit = template_problems(settings, as_of=night.as_of)
        rows += [{"level": "error", "shop": shop, "table": "dispatch", "problem": text} for text in unfit]
        try:
            resources["carriers"].of(shop, settings)
        except SettingsError as error:
            rows.append({"level": "error", "shop": shop, "table": "dispatch", "problem": str(error)})
    return Listing(rows, nothing="no problems found", ok=not any(row["level"] == "error" for row in rows))


def _raw_tables() -> list[Contract]:
    return ingest.tables(list(contracts.registry().values()))
