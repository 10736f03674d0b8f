"""The release of a night: sent once, whatever happens in between."""

import csv
import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, Night, World

from lifecycle_assets.dispatch.ledger import Ledger, lines_of, pending, sent, unfinished
from lifecycle_assets.dispatch.release import recovered_batches
from resources.delivery import Delivery
from resources.warehouse.lake import Lake

PEOPLE = {"ana": LAPSED, "bea": {**LAPSED, "email": "bea@example.com"}, "neu": NEW, "zoe": {**LAPSED, "email": None}}


class CrashError(Exception):
    """Stands for the end of the process."""


def night_in(home: Path, world: World, tables: dict[str, pl.DataFrame] | None = None) -> Night:
    """A night over a lake and a delivery folder on disk; `tables` are those that an earlier run of it left."""
    lake = Lake(home / "warehouse", [Ledger])
    return Night(
        world,
        Delivery(home / "dispatch"),
        append=lambda lines: lake.append(Ledger, "lupe", world.as_of, lines) and None,
        lines=lambda: lake.scan(Ledger, "lupe").collect(),
        tables=tables or {},
    )


def shop(**more: Any) -> World:
    return World(dict(PEOPLE), **more)


def files_of(home: Path) -> dict[str, tuple[str, int]]:
    """Every file's hash and time stamp, the locks aside."""
    return {
        str(path.relative_to(home)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(home.rglob("*"))
        if path.is_file() and ".locks" not in path.parts
    }


def delivered(home: Path) -> list[dict[str, Any]]:
    """Every message in every folder that a sending tool would see."""
    return [
        json.loads(line)
        for path in sorted((home / "dispatch").glob("*/*/[!.]*/messages.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def events(night: Night) -> list[tuple[str, str]]:
    return sorted(night.lines().select("customer_id", "event").rows())


def test_a_night_is_delivered_with_its_manifest_and_its_ledger(tmp_path: Path) -> None:
    night = night_in(tmp_path, shop(yaml="routing: {assume_consent: [email]}"))
    night.world.people["bea"] = {**PEOPLE["bea"], "consent_email": None}
    outcome = night.run()
    assert (outcome.exported, outcome.batches, outcome.cancelled) == (3, 2, 0)
    messages = delivered(tmp_path)
    assert sorted(message["customer_id"] for message in messages) == ["ana", "bea", "neu"]
    for folder in (tmp_path / "dispatch" / "lupe" / "2025-03-01").iterdir():
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert manifest["batch_id"] == folder.name
        assert manifest["decisions_by_reason"] == {"best_action": 3, "no_address": 1}
        assert manifest["model_versions"] == {"posteriors": None, "uplift_campaign": None, "ranking": "balanced"}
        assert "consent for email is assumed" in manifest["assumptions"][0]
        for name, facts in manifest["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
        with (folder / "messages.csv").open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        lines = [json.loads(line) for line in (folder / "messages.jsonl").read_text("utf-8").splitlines()]
        assert len(rows) == len(lines) == manifest["messages"]
        for row, line in zip(rows, lines, strict=True):
            assert row["idempotency_key"] == line["idempotency_key"]
            assert row["body_text"] == line["body_text"]
            assert row["send_at"] == line["send_at"] == "2025-03-02T09:00:00Z"
    assert events(night) == sorted((c, e) for c in ("ana", "bea", "neu") for e in ("planned", "exported"))
    assert set(night.lines()["at"]) == {night.at}


def test_an_identical_second_run_changes_no_file_and_sends_nothing(tmp_path: Path) -> None:
    first = night_in(tmp_path, shop())
    first.run()
    before = files_of(tmp_path)
    again = night_in(tmp_path, shop(shuffled=True), first.tables)
    again.at = first.at + dt.timedelta(hours=3)
    outcome = again.run()
    assert (outcome.exported, outcome.batches, outcome.recovered, outcome.cancelled) == (0, 0, 0, 0)
    assert files_of(tmp_path) == before
    for name, table in first.tables.items():
        assert again.tables[name].equals(table), name


@pytest.mark.parametrize(
    "change",
    [
        ["routing.offers.winback_10.discount_pct=5"],
        ["routing.programmes.winback.enabled=false"],
        ["routing.contact.throttle=1"],
        ["routing.channels.email.send_hour=15", "measurement.experiments.winback.holdout_share=1"],
    ],
)
def test_another_configuration_the_same_night_sends_nobody_a_second_message(tmp_path: Path, change: list[str]) -> None:
    first = night_in(tmp_path, shop())
    first.run()
    before = files_of(tmp_path)
    # One more customer has turned up, who may get a message; those who got theirs keep it, as it was.
    world = shop(settings=change)
    world.people["eva"] = {**NEW, "email": "eva@example.com"}
    again = night_in(tmp_path, world, first.tables)
    again.run()
    keys = [message["idempotency_key"] for message in delivered(tmp_path)]
    people = [message["customer_id"] for message in delivered(tmp_path)]
    assert len(set(keys)) == len(keys)
    assert len(set(people)) == len(people)
    assert {name: facts for name, facts in files_of(tmp_path).items() if name in before} == before
    kept = again.tables["messages"].filter(pl.col("customer_id") != "eva")
    assert kept.equals(first.tables["messages"])
    old = first.tables["batches"]
    assert again.tables["batches"].filter(pl.col("batch_id").is_in(old["batch_id"].implode())).equals(old)
    decided = again.tables["decisions"].join(kept, on="customer_id", how="semi")
    assert decided.equals(first.tables["decisions"].join(kept, on="customer_id", how="semi"))
    assert ("eva" in people) == ("throttle" not in change[0])


def withdraw(world: World, customer: str) -> None:
    world.consents.append(
        {
            "customer_id": customer,
            "channel": "email",
            "granted": False,
            "occurred_at": dt.datetime(2025, 3, 2, 1, tzinfo=dt.UTC),
        }
    )


@pytest.mark.parametrize("how", ["no_consent", "suppressed", "erased"])
def test_what_is_withdrawn_between_planning_and_export_is_not_sent(tmp_path: Path, how: str) -> None:
    night = night_in(tmp_path, shop())
    night.plan()
    assert "bea" in night.tables["messages"]["customer_id"]
    # All of these happen after as_of, so the plan cannot know of them.
    late = dt.datetime(2025, 3, 2, 1, tzinfo=dt.UTC)
    if how == "no_consent":
        withdraw(night.world, "bea")
    elif how == "suppressed":
        digest = hashlib.sha256(b"bea@example.com").hexdigest()
        night.world.suppressions.append({"email_sha256": digest, "channel": "all", "since": late})
    else:
        night.world.erasures.append({"customer_id": "bea", "requested_at": late})
    outcome = night.release()
    assert (outcome.exported, outcome.cancelled) == (2, 1)
    assert "bea" not in [message["customer_id"] for message in delivered(tmp_path)]
    assert "bea" not in "".join(p.read_text("utf-8") for p in tmp_path.rglob("messages.*"))
    line = night.lines().filter(customer_id="bea").sort("event").row(0, named=True)
    assert (line["event"], line["detail"]) == ("cancelled", f"{how} at export")
    manifests = [json.loads(path.read_text("utf-8")) for path in tmp_path.rglob("manifest.json")]
    assert [m["withheld_at_export"] for m in manifests if m["withheld_at_export"]] == [{how: 1}]
    before = files_of(tmp_path)
    again = night_in(tmp_path, night.world, night.tables)
    again.run()
    assert files_of(tmp_path) == before


def test_a_batch_of_which_nothing_is_left_is_not_delivered(tmp_path: Path) -> None:
    night = night_in(tmp_path, World({"ana": LAPSED}))
    night.plan()
    withdraw(night.world, "ana")
    assert night.release().exported == 0
    assert delivered(tmp_path) == []
    assert events(night) == [("ana", "cancelled"), ("ana", "planned")]
    assert unfinished(night.lines().lazy()).is_empty()
    before = files_of(tmp_path)
    night_in(tmp_path, night.world, night.tables).run()
    assert files_of(tmp_path) == before


# --- nights that are late or out of order -----------------------------------------------------------------------------


def day(number: int, hour: int = 2) -> dt.datetime:
    """A moment of the `number`-th day after AS_OF; the messages of the night of AS_OF leave on day 1 at 9:00 UTC."""
    return dt.datetime.combine(AS_OF + dt.timedelta(days=number), dt.time(hour), dt.UTC)


def late_night(home: Path, nights: int, at: dt.datetime, **more: Any) -> Night:
    """The night `nights` after AS_OF, run at `at`."""
    night = night_in(home, shop(as_of=AS_OF + dt.timedelta(days=nights), **more))
    night.at = at
    return night


@pytest.mark.parametrize("archive", [False, True])
def test_an_older_night_after_a_newer_one_sends_nothing(tmp_path: Path, archive: bool) -> None:
    later = late_night(tmp_path, 1, day(1))
    assert later.run().exported == 3
    before = files_of(tmp_path)
    older = late_night(tmp_path, 0, day(1))
    older.archive = archive
    older.world.people["eva"] = {**NEW, "email": "eva@example.com"}
    outcome = older.run()
    # The older night's plan knows nothing of the messages that are out already.
    assert older.tables["messages"].height == 4
    assert (outcome.exported, outcome.batches, outcome.cancelled) == (0, 0, 0)
    assert outcome.later == later.world.as_of
    assert files_of(tmp_path) == before


def test_a_newer_night_that_sent_nothing_does_not_stop_an_older_one(tmp_path: Path) -> None:
    assert late_night(tmp_path, 1, day(1), settings=["routing.contact.throttle=0"]).run().exported == 0
    outcome = late_night(tmp_path, 0, day(1)).run()
    assert (outcome.exported, outcome.later) == (3, None)


def test_what_an_older_night_left_unfinished_is_settled_although_a_newer_one_is_out(tmp_path: Path) -> None:
    """The newer night was released between the older one's crash and its repetition, without settling anything."""
    older = night_in(tmp_path, shop())
    crash_at(older, 2)
    with pytest.raises(CrashError):
        older.run()
    # One batch is out and written, of the other no more than the plan would be there: add it.
    left = older.tables["messages"].join(older.lines(), on="customer_id", how="anti")
    late_night(tmp_path, 0, day(1)).append(lines_of(left, "planned", at=older.at, run="lupe"))
    newer = older.tables["messages"].with_columns(as_of=pl.lit(AS_OF + dt.timedelta(days=1)), batch_id=pl.lit("b"))
    older.append = night_in(tmp_path, shop()).append
    older.append(lines_of(newer, "exported", at=older.at, run="lupe"))
    out = delivered(tmp_path)
    assert 0 < len(out) < 3
    again = night_in(tmp_path, shop(), older.tables)
    outcome = again.run()
    assert (outcome.exported, outcome.later) == (0, AS_OF + dt.timedelta(days=1))
    assert delivered(tmp_path) == out
    lines = again.lines().filter(as_of=AS_OF)
    assert set(lines.filter(event="exported")["customer_id"]) == {message["customer_id"] for message in out}
    assert pending(again.lines().lazy()).collect().is_empty()


def test_expired_messages_are_not_sent_and_a_repeated_run_leaves_it_at_that(tmp_path: Path) -> None:
    late = late_night(tmp_path, 0, day(2, 9))
    assert late.run().cancelled == 3
    assert delivered(tmp_path) == []
    assert set(late.lines().select("event", "detail").rows()) == {("planned", None), ("cancelled", "expired at export")}
    before = files_of(tmp_path)
    again = late_night(tmp_path, 0, day(3))
    assert (again.run().exported, files_of(tmp_path)) == (0, before)


def test_messages_are_sent_up_to_the_moment_they_expire(tmp_path: Path) -> None:
    assert late_night(tmp_path, 0, day(2, 9) - dt.timedelta(microseconds=1)).run().exported == 3


def test_a_night_of_an_archive_is_released_as_if_it_were_that_day(tmp_path: Path) -> None:
    night = late_night(tmp_path, 0, day(5000))
    night.archive = True
    assert night.run().exported == 3


@pytest.mark.parametrize("point", range(6))
def test_a_crash_before_and_a_run_after_the_expiry_end_without_an_expired_message(tmp_path: Path, point: int) -> None:
    first = night_in(tmp_path, shop())
    crash_at(first, point)
    with pytest.raises(CrashError):
        first.run()
    out = delivered(tmp_path)
    second = night_in(tmp_path, shop(), first.tables)
    second.at = day(2, 9)
    second.run()
    assert delivered(tmp_path) == out
    lines = second.lines()
    Ledger.require(lines)
    assert set(lines.filter(event="exported")["customer_id"]) == {message["customer_id"] for message in out}
    assert pending(lines.lazy()).collect().is_empty()
    before = files_of(tmp_path)
    third = night_in(tmp_path, shop(), second.tables)
    third.at = day(3)
    third.run()
    assert files_of(tmp_path) == before


def test_missed_nights_are_caught_up_oldest_first_within_their_expiry(tmp_path: Path) -> None:
    """Three nights on the third morning: the first has expired, the second serves all, the third knows of it."""
    outcomes = [late_night(tmp_path, nights, day(3)).run() for nights in range(3)]
    assert [(outcome.exported, outcome.cancelled) for outcome in outcomes] == [(0, 3), (3, 0), (0, 0)]
    assert [outcome.later for outcome in outcomes] == [None, None, None]
    assert sorted(message["customer_id"] for message in delivered(tmp_path)) == ["ana", "bea", "neu"]
    assert sorted(path.name for path in (tmp_path / "dispatch" / "lupe").iterdir()) == ["2025-03-02"]


# --- crashes ----------------------------------------------------------------------------------------------------------


def crash_at(night: Night, point: int) -> None:
    """Let the night die before its `point`-th step that leaves a trace: ledger append, folder, append, folder ..."""
    steps = iter(range(100))
    append, put = night.append, night.delivery.put

    def dying(step: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            if next(steps) == point:
                raise CrashError
            step(*arguments)

        return run

    night.append = dying(append)
    night.delivery.put = dying(put)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("point", range(6))
def test_a_crash_at_any_point_doubles_and_loses_nothing(tmp_path: Path, point: int, same: bool) -> None:
    first = night_in(tmp_path, shop())
    crash_at(first, point)
    with pytest.raises(CrashError):
        first.run()
    world = shop() if same else shop(settings=["routing.offers.winback_10.discount_pct=5"])
    second = night_in(tmp_path, world, first.tables)
    second.run()
    people = [message["customer_id"] for message in delivered(tmp_path)]
    assert sorted(people) == ["ana", "bea", "neu"]
    lines = second.lines()
    Ledger.require(lines)
    exported = lines.filter(event="exported")
    assert sorted(exported["customer_id"]) == ["ana", "bea", "neu"]
    assert set(exported["idempotency_key"]) == {message["idempotency_key"] for message in delivered(tmp_path)}
    if same:
        whole = night_in(tmp_path / "undisturbed", shop())
        whole.run()
        assert delivered(tmp_path / "undisturbed") == delivered(tmp_path)
    before = files_of(tmp_path)
    third = night_in(tmp_path, world, second.tables)
    third.run()
    assert files_of(tmp_path) == before
    assert all(third.tables[name].equals(table) for name, table in second.tables.items())


@pytest.mark.parametrize("point", range(1, 6))
def test_the_next_night_knows_what_a_crashed_one_released(tmp_path: Path, point: int) -> None:
    first = night_in(tmp_path, shop())
    crash_at(first, point)
    with pytest.raises(CrashError):
        first.run()
    out = {message["customer_id"] for message in delivered(tmp_path)}
    later = shop(as_of=AS_OF + dt.timedelta(days=1))
    second = night_in(tmp_path, later)
    second.run()
    reasons = dict(second.tables["decisions"].select("customer_id", "reason").rows())
    for customer in ("ana", "bea", "neu"):
        assert reasons[customer] == ("journey_complete" if customer in out else "best_action"), customer
    lines = second.lines().filter(as_of=AS_OF)
    assert set(lines.filter(event="exported")["customer_id"]) == out
    planned = set(lines.filter(event="planned")["customer_id"])
    assert set(lines.filter(event="cancelled")["customer_id"]) == planned - out
    assert recovered_batches(second.lines().lazy(), "lupe", second.delivery) == []


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_release import night_in, shop
import resources.delivery as delivery
night = night_in(Path({home!r}), shop())
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if {where!r} == "in the middle of a file":
    write = delivery._write
    def half(path, content):
        path.write_bytes(b"half")
        die()
    delivery._write = half
elif {where!r} == "before the rename":
    delivery.fsync = die
else:
    put = night.delivery.put
    def put_and_die(*arguments):
        put(*arguments)
        die()
    night.delivery.put = put_and_die
night.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in the middle of a file", "before the rename", "after the rename"])
def test_kill_9_leaves_no_half_batch_and_the_next_run_ends_the_same(tmp_path: Path, where: str) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), home=str(tmp_path), where=where)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    # A crashed run that never got to write its tables: the next one starts from the ledger and the folders alone.
    seen = list((tmp_path / "dispatch").glob("*/*/[!.]*"))
    assert all((folder / "manifest.json").exists() for folder in seen)
    assert len(seen) == (1 if where == "after the rename" else 0)
    plan = night_in(tmp_path / "plan", shop())
    plan.plan()
    night = night_in(tmp_path, shop(), plan.tables)
    night.run()
    assert sorted(message["customer_id"] for message in delivered(tmp_path)) == ["ana", "bea", "neu"]
    assert not list((tmp_path / "dispatch").glob("*/*/.*"))
    out = sent(night.lines().lazy(), []).collect()
    assert sorted(out["customer_id"]) == ["ana", "bea", "neu"]


def test_two_runs_of_one_night_at_once_serve_everyone_once(tmp_path: Path) -> None:
    """Both have planned before either has released; the lock lets one release after the other."""
    one = night_in(tmp_path, shop())
    two = night_in(tmp_path, shop(settings=["routing.offers.winback_10.discount_pct=5"]))
    one.plan()
    two.plan()
    assert not one.tables["batches"].equals(two.tables["batches"])
    one.release()
    two.release()
    assert sorted(message["customer_id"] for message in delivered(tmp_path)) == ["ana", "bea", "neu"]
