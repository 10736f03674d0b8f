"""A person is taken out of a home's files, and removals that advertising tools still need are kept for their time."""

import datetime as dt
import hashlib
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch.audiences import Audiences
from lifecycle_assets.dispatch.destinations import meta
from lifecycle_assets.errors import SettingsError
from resources.delivery import Delivery
from resources.erasure import REMOVALS_KEPT, Erasing
from resources.home import Home
from resources.warehouse.lake import Lake

AS_OF = dt.date(2025, 3, 1)
NOW = dt.datetime.now(dt.UTC)
SHOP = "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rows(*states: str) -> pl.DataFrame:
    """Rows of dispatch.audiences: customers zyxw-0, zyxw-1 ... in these states."""
    given = {
        "shop_id": "lupe",
        "as_of": AS_OF,
        "audience": "lapsed",
        "entry": 1,
        "destination": "meta",
        "list_id": "2385",
    }
    given |= {"account_id": "", "batch_id": "b", "batch_as_of": AS_OF}
    told = [
        {"customer_id": f"zyxw-{n}", "state": s, "email_sha256": digest(f"{n}@x.example")} for n, s in enumerate(states)
    ]
    return pl.DataFrame([given | row for row in told], schema=Audiences.polars_schema)


class Place:
    """A home in which a list lost two people tonight, and a third is in it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.shop_file("lupe").parent.mkdir(parents=True)
        self.home.shop_file("lupe").write_text(SHOP)
        self.lake = Lake(root / "warehouse", list(registry().values()))
        self.erasing = Erasing(self.home, self.lake)
        listed = rows("removed", "removed", "member")
        self.lake.write(Audiences, "lupe", AS_OF, listed)
        body = meta.body(listed.filter(state="removed"), "remove").encode() + b"\n"
        other = meta.body(rows(*["removed"] * 4).tail(1), "remove").encode() + b"\n"
        manifest = lambda hashes: json.dumps({"files": hashes}).encode()  # noqa: E731
        Delivery(self.home.dispatch).put(
            "lupe", AS_OF, "b", {"remove.jsonl": lambda f: f.writelines([body, other])}, manifest
        )
        self.removals = self.home.dispatch / "lupe" / str(AS_OF) / "b" / "remove.jsonl"

    def begin(self, *customers: str, at: dt.datetime = NOW) -> bool:
        return self.erasing.begin("lupe", customers, AS_OF, at, actor="eva")

    def manifest(self) -> str:
        return json.loads(self.removals.with_name("manifest.json").read_text())["files"]["remove.jsonl"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "home")


def test_a_removal_stays_until_the_tool_has_had_its_time(place: Place) -> None:
    before = place.removals.read_bytes()
    assert digest("0@x.example").encode() in before
    assert place.begin("zyxw-0")
    (proof,) = place.erasing.finish("lupe", NOW).to_dicts()
    assert place.removals.read_bytes() == before
    assert place.lake.scan(Audiences, "lupe").collect()["customer_id"].to_list() == ["zyxw-1", "zyxw-2"]
    until = proof["removals_kept_until"]
    written = dt.datetime.fromtimestamp(place.removals.stat().st_mtime, dt.UTC)
    assert abs(until - written - REMOVALS_KEPT) < dt.timedelta(seconds=1)
    (note,) = place.erasing.jobs.glob("*.kept")
    assert "zyxw" not in note.read_text()
    assert digest("0@x.example") not in note.read_text()

    place.erasing.finish("lupe", until - dt.timedelta(seconds=1))
    assert place.removals.read_bytes() == before
    place.erasing.finish("lupe", until)
    assert place.removals.read_bytes() == b"\n" + before.splitlines(keepends=True)[1]
    assert place.manifest() == hashlib.sha256(place.removals.read_bytes()).hexdigest()
    assert not list(place.erasing.jobs.glob("*.kept"))


def test_an_old_removal_goes_at_once(place: Place) -> None:
    old = (NOW - REMOVALS_KEPT - dt.timedelta(hours=1)).timestamp()
    os.utime(place.removals, (old, old))
    place.begin("zyxw-0")
    (proof,) = place.erasing.finish("lupe", NOW).to_dicts()
    assert proof["removals_kept_until"] is None
    left = place.removals.read_text()
    assert digest("0@x.example") not in left
    assert digest("1@x.example") in left
    assert place.removals.stat().st_mtime == old, "it is no younger for having been rewritten"


def test_the_lists_that_still_hold_someone_are_told(place: Place) -> None:
    assert place.erasing.lists_holding("lupe", "zyxw-2") == ["meta/2385 (lapsed)"]
    assert place.erasing.lists_holding("lupe", "zyxw-0") == []


def test_who_is_noted_already_is_erased_once(place: Place) -> None:
    assert [place.begin("zyxw-0"), place.begin("zyxw-0"), place.begin("zyxw-0", "zyxw-1")] == [True] * 3
    assert place.erasing.finish("lupe", NOW)["people"].to_list() == [1, 1]
    assert not place.begin("zyxw-0")


@pytest.mark.parametrize("purpose", ["delivery", "ledger"])
def test_the_work_waits_for_whoever_touches_batches_or_the_ledger(place: Place, purpose: str) -> None:
    place.begin("zyxw-0")
    with ThreadPoolExecutor(1) as pool:
        with place.lake.lock("lupe", purpose):
            work = pool.submit(place.erasing.finish, "lupe", NOW)
            with pytest.raises(TimeoutError):
                work.result(timeout=1)
            assert "zyxw-0" in place.lake.scan(Audiences, "lupe").collect()["customer_id"]
        assert work.result()["people"].to_list() == [1]


def test_a_refused_request_leaves_no_id_in_the_runs(place: Place) -> None:
    place.home.dagster.mkdir()
    path = place.home.dagster / "runs.db"
    body = json.dumps({"run_config": {"ops": {"erase": {"config": {"customer": "zyxw-7", "shop": "lupe"}}}}})
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (run_body TEXT)")
        connection.execute("INSERT INTO runs VALUES (?)", [body])
    place.erasing.forget_request("zyxw-7")
    assert b"zyxw-7" not in path.read_bytes()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT run_body FROM runs").fetchall() == [(body.replace("zyxw-7", "[erased]"),)]


def test_the_input_of_a_shop_that_is_configured_wrongly_is_not_touched(place: Place) -> None:
    own = place.home.root / "files" / "orders.csv"
    own.parent.mkdir()
    own.write_text("customer_id\nzyxw-0\n")
    place.home.shop_file("other").write_text(f"name: Other\ninput: {own.parent}\nunknown: 1\n")
    assert place.begin("zyxw-0")
    place.erasing.finish("lupe", NOW)
    assert own.read_text() == "customer_id\nzyxw-0\n"
    place.home.shop_file("other").write_text("name: Other\n")
    with pytest.raises(SettingsError, match=r"other\.yaml does not say where its input lies"):
        place.begin("zyxw-1")
