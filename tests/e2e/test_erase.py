"""A person is erased from a home that has lived a night: searched byte by byte, nothing is left, and nobody else is touched."""

import datetime as dt
import gzip
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from lifecycle_assets import contracts, definitions
from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.nights import run_night
from lifecycle_assets.simulator.world import World
from tests.e2e.test_command_line import lifecycle

SHOP = "name: S\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\nas_of: {as_of}\ninput: {input}\n"
AS_OF, NEXT = dt.date(2025, 3, 31), dt.date(2025, 4, 1)
# The night up to what goes out and what is measured; forecasts and reports name nobody and take their time.
NIGHT = "+dispatch/ledger or raw/quarantine or raw/input_reads or features/profiles or models/experiment_results"
NEXT_NIGHT = "group:raw or +features/lifecycle_stage or +dispatch/reach"


def planted(name: str) -> dict[str, str]:
    """What a customer goes by: texts that occur nowhere else."""
    number = int(name.removeprefix("C"))
    return {
        "customer_id": f"zyxw-{name}-qv",
        "email": f"Ann.{name}@zyxw.example",
        "phone": f"+34 600 {number:06d}",
        "first_name": f"Nam{name}qv",
        "cookie": f"cookie-{name}-qv",
    }


def fill(home: Home) -> None:
    """A shop whose customers have texts of their own in every table, two of them with a second account."""
    simulation = definitions.simulation(home, "model")
    simulation.begin(World("model", AS_OF - dt.timedelta(days=239), 240, 250, 5), lambda _: None)
    folder = home.root.parent / "input"
    folder.mkdir()
    for table in simulation.input.iterdir():
        rows = pl.read_parquet(table / "*.parquet")
        if "customer_id" in rows.columns:
            marks = {name: planted(name) for name in rows["customer_id"].unique().drop_nulls()}
            own = ["customer_id", *({"email", "phone", "first_name"} & set(rows.columns))]
            own += ["cookie"] if table.name == "web_events" else []
            named = [
                pl.col("customer_id").replace_strict({name: mark[column] for name, mark in marks.items()}).alias(column)
                for column in own
            ]
            rows = rows.with_columns(named)
            if "cookie" in own:
                rows = rows.drop("anonymous_id").rename({"cookie": "anonymous_id"})
        if table.name == "customers":
            second = rows.head(2).with_columns(pl.format("{}-second", "customer_id").alias("customer_id"))
            rows = pl.concat([rows, second.with_columns(phone=None, first_name=pl.format("{}junior", "first_name"))])
            rows = rows.with_columns(nickname=pl.format("{}chen", "first_name"))
        rows.write_parquet(folder / f"{table.name}.parquet")
    ids = [planted(f"C{number:08d}") for number in range(250)]
    hashes = [hashlib.sha256(mark["email"].lower().encode()).hexdigest() for mark in ids[100:120]]
    (folder / "suppressions.csv").write_text("email\n" + "\n".join(hashes) + "\n")
    broken = [f"T{n},{mark['customer_id']},not a day,{mark['first_name']}" for n, mark in enumerate(ids[:40])]
    tickets = pl.read_parquet(folder / "support_tickets.parquet").select(
        "ticket_id", "customer_id", "opened_at", "topic"
    )
    (folder / "support_tickets.parquet").unlink()
    (folder / "support_tickets.csv").write_text(tickets.write_csv() + "\n".join(broken) + "\n")
    home.shop_file("s").parent.mkdir(parents=True)
    settings = "inputs: {quarantine_limit: 1.0}\n"
    home.shop_file("s").write_text(SHOP.format(as_of=AS_OF, input=folder) + settings)


def contents(home: Home) -> dict[Path, str]:
    """Every file of the home but the simulated shop that the input was made of, as text: its bytes, and what they hold."""
    found = {}
    for path in home.root.rglob("*"):
        if not path.is_file() or path.is_relative_to(home.simulations):
            continue
        data = path.read_bytes()
        texts = [data.decode("utf-8", errors="replace")]
        if path.suffix == ".parquet":
            table = pl.read_parquet(path)
            texts += [
                json.dumps(table[name].unique().to_list(), ensure_ascii=False, default=str) for name in table.columns
            ]
        if data.startswith(b"SQLite format 3\0"):
            with closing(sqlite3.connect(path)) as connection:
                texts += list(connection.iterdump())
        if data.startswith(b"\x1f\x8b"):
            texts.append(gzip.decompress(data).decode("utf-8", errors="replace"))
        found[path] = "\n".join(texts).lower()
    return found


def traces(mark: dict[str, str]) -> list[str]:
    """Everything that would tell of the person, hashed as well."""
    digits = "".join(filter(str.isdigit, mark["phone"]))
    plain = [*mark.values(), mark["email"].lower(), digits, f"+{digits}", mark["first_name"] + "chen"]
    hashes = [function(value.encode()).hexdigest() for value in plain for function in (hashlib.sha256, hashlib.md5)]
    return [value.lower() for value in (*plain, *hashes)]


def left(home: Home, mark: dict[str, str]) -> dict[str, list[str]]:
    """The files that still tell of the person, and what they tell."""
    found = {}
    for path, text in contents(home).items():
        if told := [trace for trace in traces(mark) if trace in text]:
            found[str(path.relative_to(home.root))] = told
    return found


def table(home: Home, name: str) -> pl.DataFrame:
    return definitions.build_resources(home)["lake"].scan(contracts.registry()[name], "s").collect()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home after one night."""
    home = Home(tmp_path_factory.mktemp("erase") / "home")
    fill(home)
    assert run_night(home, "s", select=NIGHT).success
    return home


def stamps(home: Home) -> dict[Path, tuple[int, str]]:
    """When each file was written and its hash; Dagster's storage and locks aside, which every run writes."""
    return {
        path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in home.root.rglob("*")
        if path.is_file()
        and not path.name.startswith("empty-")  # written by whoever reads a table that has no rows yet
        and not {"dagster", ".locks", ".work"} & set(path.relative_to(home.root).parts)
    }


def tables(home: Home) -> dict[str, pl.DataFrame]:
    return {name: table(home, name) for name in contracts.registry()}


def others(rows: pl.DataFrame, ids: list[str]) -> pl.DataFrame:
    (named,) = {"customer_id", "unit"} & set(rows.columns) or {"shop_id"}
    return rows.filter(~pl.col(named).is_in(ids).fill_null(value=False))


@pytest.mark.slow
def test_nothing_is_left_of_a_person_and_nobody_else_is_touched(lived: Home) -> None:
    mark = planted("C00000002")
    ids = [mark["customer_id"]]
    before, were, held = tables(lived), stamps(lived), left(lived, mark)
    for place in ("dispatch/s/", "warehouse/.parts/s/", "warehouse/dispatch/ledger/s/", "dagster/"):
        assert any(path.startswith(place) for path in held), place

    said = lifecycle(lived.root, "erase", *ids, "--shop", "s").stdout
    assert "1 people erased" in said
    assert left(lived, mark) == {}

    after, are = tables(lived), stamps(lived)
    for one in before:
        if one not in {"dispatch.erasures", "raw.quarantine", "raw.order_lines"}:
            assert others(before[one], ids).equals(after[one]), one
    lines, guests = before["raw.order_lines"], after["raw.order_lines"]
    assert others(lines, ids).filter(pl.col("customer_id").is_not_null()).equals(guests.drop_nulls("customer_id"))
    facts = ["line_no", "order_date", "product_id", "quantity", "amount", "country"]
    assert lines.select(facts).equals(guests.select(facts))
    assert (
        guests["customer_id"].null_count()
        == lines.filter(pl.col("customer_id").is_in(ids) | pl.col("customer_id").is_null()).height
    )
    assert before["raw.quarantine"].height == after["raw.quarantine"].height

    touched = {str(path.relative_to(lived.root)) for path in were if are.get(path) != were[path]}
    manifests = {path for path in touched if path.endswith("manifest.json")}
    # The catalogue learns of the proof.
    touched -= {*manifests, "warehouse/lifecycle.duckdb"}
    assert touched == {path for path in held if not path.startswith("dagster/")}
    assert manifests
    for path in lived.dispatch.rglob("manifest.json"):
        manifest = json.loads(path.read_text())
        for file, told in manifest["files"].items():
            assert hashlib.sha256((path.parent / file).read_bytes()).hexdigest() == told["sha256"]
        assert manifest.get("rewritten_after_erasure", False) == (str(path.relative_to(lived.root)) in manifests)
    (proof,) = after["dispatch.erasures"].to_dicts()
    assert proof["files_rewritten"] > 0
    assert json.loads(proof["rows_removed"])["raw.order_lines"] > 0

    again = lifecycle(lived.root, "run", "--shop", "s", "--as-of", str(NEXT), "--select", NEXT_NIGHT)
    assert "went well" in again.stdout
    assert left(lived, mark) == {}
    assert table(lived, "raw.order_lines").select(facts).equals(lines.select(facts))
    assert table(lived, "raw.quarantine").filter(pl.col("rule") == "erased").height > 0


@pytest.mark.slow
def test_all_accounts_of_a_person_go_when_the_input_asks_for_it(lived: Home) -> None:
    mark = planted("C00000001")
    second = f"{mark['customer_id']}-second"
    linked = table(lived, "features.identity_map").filter(pl.col("id").is_in([mark["customer_id"], second]))
    assert linked["customer_id"].n_unique() == 1
    request = Path(lived.shop("s").input) / "erasure_requests.csv"
    request.write_text(f"customer_id,requested_at\n{second},2025-03-30T12:00:00Z\n")
    lifecycle(lived.root, "run", "--shop", "s", "--select", "raw/erasure_requests or dispatch/erasures")
    assert left(lived, mark) == {}
    proof = table(lived, "dispatch.erasures").row(-1, named=True)
    assert (proof["people"], proof["actor"], proof["requested_at"].date()) == (1, "nightly run", dt.date(2025, 3, 30))
    proofs = table(lived, "dispatch.erasures").height
    lifecycle(lived.root, "run", "--shop", "s", "--select", "raw/erasure_requests or dispatch/erasures")
    assert table(lived, "dispatch.erasures").height == proofs, "what is done is not done again"


@pytest.mark.slow
def test_an_unknown_customer_is_told_and_nothing_changes(lived: Home) -> None:
    before = stamps(lived)
    unknown = "qvist-nobody-1"
    assert "no table knows this customer" in lifecycle(lived.root, "erase", unknown, "--shop", "s", code=1).stderr
    assert stamps(lived) == before
    assert not [path for path, text in contents(lived).items() if unknown in text], "the run's record holds no id"


@pytest.mark.slow
def test_an_erasure_that_is_killed_is_finished_by_the_next_run(lived: Home) -> None:
    mark = planted("C00000009")
    arguments = ["erase", mark["customer_id"], "--shop", "s", "--home", str(lived.root)]
    command = [sys.executable, "-m", "lifecycle_assets.cli", *arguments]
    jobs = lived.warehouse / ".erased"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            if any('"files": 0' not in path.read_text() for path in jobs.glob("*.job")):
                running.send_signal(signal.SIGKILL)
            time.sleep(0.002)
    assert running.returncode == -signal.SIGKILL
    assert left(lived, mark)
    proofs = table(lived, "dispatch.erasures").height
    lifecycle(lived.root, "run", "--shop", "s", "--select", "dispatch/erasures")
    assert left(lived, mark) == {}
    assert table(lived, "dispatch.erasures").height == proofs + 1
    assert not list(jobs.glob("*.job"))
    assert not list(lived.root.rglob(".erasing-*"))
