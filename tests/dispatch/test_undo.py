"""Batches that wait for a person's yes, and batches that a person takes back: once, whatever happens in between."""

import csv
import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, Night, World
from test_release import CrashError, crash_at, delivered, files_of, night_in, shop, withdraw

from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.approval import Approvals
from lifecycle_assets.dispatch.batch_states import batch_states
from lifecycle_assets.dispatch.deliveries import addressed, due
from lifecycle_assets.dispatch.ledger import Ledger, undone
from lifecycle_assets.dispatch.release import recovered_batches
from lifecycle_assets.dispatch.undo import Undone, undo
from lifecycle_assets.errors import DispatchError

WAITS = ["dispatch.approval=true"]
LATER = dt.datetime(2025, 3, 2, 6, tzinfo=dt.UTC)
TABLES = {"dispatch.decisions": "decisions", "dispatch.messages": "messages", "dispatch.batches": "batches"}


class Memory:
    """The lake of a night: its tables as slices of its date, the world's raw tables, and the ledger."""

    def __init__(self, night: Night) -> None:
        contacts = night.world.contacts()
        self.night = night
        self.raw = {name: getattr(contacts, name) for name in contacts.__dataclass_fields__}

    def scan(self, contract: Any, shop: str) -> pl.LazyFrame:
        assert shop == "lupe"
        return self.night.lines().lazy() if contract is Ledger else self.raw[contract.table]

    def scan_night(self, contract: Any, shop: str, as_of: dt.date) -> pl.LazyFrame | None:
        assert shop == "lupe"
        return self.night.tables[TABLES[contract.name]].lazy() if as_of == self.night.world.as_of else None


def approvals(night: Night) -> Approvals:
    return Approvals(Memory(night), night.delivery, night.append, night.world.shop, "lupe")


def approve(night: Night, batch: str, at: dt.datetime = LATER) -> Any:
    return approvals(night).approve(batch, at=at, run="by hand", code_version="1", actor="eva")


def take_back(night: Night, batch: str, at: dt.datetime = LATER) -> Undone:
    lines = night.lines().lazy()
    return undo(
        lines, batch, shop="lupe", at=at, run="by hand", actor="eva", delivery=night.delivery, append=night.append
    )


def waiting_night(home: Path, **more: Any) -> Night:
    """A night that was planned and waits for approval."""
    night = night_in(home, shop(settings=WAITS, **more))
    night.run()
    return night


def released_night(home: Path, **more: Any) -> Night:
    night = night_in(home, shop(**more))
    night.run()
    return night


def of_programme(night: Night, programme: str) -> str:
    batch: str = night.tables["batches"].filter(programme=programme)["batch_id"].item()
    return batch


def states(night: Night, now: dt.datetime = LATER) -> dict[str, str]:
    lines = night.lines().lazy()
    found = recovered_batches(lines, "lupe", night.delivery)
    told = batch_states(lines, found, approvals(night).expiries([AS_OF]), now)
    return dict(told.select("programme", "state").iter_rows())


def people_in(home: Path) -> list[str]:
    return sorted(message["customer_id"] for message in delivered(home))


# --- approval ---------------------------------------------------------------------------------------------------------


def test_a_night_that_waits_puts_nothing_out_until_a_batch_is_approved(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    assert delivered(tmp_path) == []
    assert set(night.lines()["event"]) == {"planned"}
    assert states(night) == {"winback": "planned", "welcome": "planned"}
    batch = of_programme(night, "winback")
    assert approve(night, batch).exported == 2
    assert people_in(tmp_path) == ["ana", "bea"]
    assert states(night) == {"winback": "exported", "welcome": "planned"}
    given = night.lines().filter(event="approved")
    assert set(given["batch_id"]) == {batch}
    assert set(given.select("actor", "run").rows()) == {("eva", "by hand")}
    before = files_of(tmp_path)
    again = approve(night, batch)
    assert (again.exported, files_of(tmp_path)) == (0, before)


def test_a_repeated_night_leaves_what_waits_and_what_is_out_as_it_was(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    approve(night, of_programme(night, "winback"))
    before = files_of(tmp_path)
    again = night_in(tmp_path, shop(settings=WAITS), night.tables)
    again.run()
    assert files_of(tmp_path) == before
    assert all(again.tables[name].equals(table) for name, table in night.tables.items())


def test_the_last_look_at_consent_is_that_of_the_approval(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    withdraw(night.world, "bea")
    outcome = approve(night, of_programme(night, "winback"))
    assert (outcome.exported, outcome.cancelled) == (1, 1)
    assert people_in(tmp_path) == ["ana"]


def test_an_expired_batch_is_not_released_and_the_next_night_takes_it_back(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    expired = dt.datetime(2025, 3, 3, 9, tzinfo=dt.UTC)
    assert states(night, expired) == {"winback": "expired", "welcome": "expired"}
    assert approve(night, of_programme(night, "winback"), at=expired).exported == 0
    assert delivered(tmp_path) == []
    later = night_in(tmp_path, shop(settings=WAITS, as_of=AS_OF + dt.timedelta(days=5)))
    later.run()
    old = night.lines().lazy().filter(pl.col("as_of") == AS_OF)
    assert ledgers.pending(old).collect().is_empty()
    assert states(night, expired)["winback"] == "expired"


def test_the_next_night_keeps_what_waits_and_plans_as_if_it_went_out(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    later = night_in(tmp_path, shop(settings=WAITS, as_of=AS_OF + dt.timedelta(days=1)))
    later.at = dt.datetime(2025, 3, 3, 2, tzinfo=dt.UTC)
    later.waiting = approvals(night).waiting(night.lines().lazy(), later.at)["batch_id"].to_list()
    assert len(later.waiting) == 2
    later.run()
    assert set(later.tables["decisions"].filter(pl.col("customer_id") != "zoe")["reason"]) == {"journey_complete"}
    assert states(night) == {"winback": "planned", "welcome": "planned"}
    approve(night, of_programme(night, "welcome"), at=later.at)
    assert people_in(tmp_path) == ["neu"]


def test_nothing_of_a_night_before_one_that_is_out_can_be_approved(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    batch = of_programme(night, "winback")
    later = night_in(tmp_path, World({"eva": {**NEW, "email": "eva@example.com"}}, as_of=AS_OF + dt.timedelta(days=1)))
    later.at = dt.datetime(2025, 3, 3, 2, tzinfo=dt.UTC)
    later.waiting = [batch]
    later.run()
    with pytest.raises(DispatchError, match="2025-03-02, after its own, are out"):
        approve(night, batch)
    assert people_in(tmp_path) == ["eva"]


@pytest.mark.parametrize("by_night", [False, True])
@pytest.mark.parametrize("point", range(3))
def test_an_approval_that_died_is_finished_by_the_next_one_or_the_next_night(
    tmp_path: Path, point: int, by_night: bool
) -> None:
    night = waiting_night(tmp_path)
    batch = of_programme(night, "winback")
    put, append = night.delivery.put, night.append
    crash_at(night, point)
    with pytest.raises(CrashError):
        approve(night, batch)
    night.delivery.put, night.append = put, append
    was_approved = bool(night.lines().filter(event="approved").height)
    assert was_approved == (point > 0)
    if by_night:
        tomorrow = AS_OF + dt.timedelta(days=1)
        approvals(night).resume(before=tomorrow, at=LATER, run="night", code_version="1")
    else:
        approve(night, batch)
    assert people_in(tmp_path) == (["ana", "bea"] if was_approved or not by_night else [])
    lines = night.lines()
    Ledger.require(lines)
    assert lines.filter(event="exported")["idempotency_key"].is_unique().all()
    assert set(lines.filter(event="exported")["customer_id"]) == set(people_in(tmp_path))


def test_an_approval_that_died_and_may_not_be_finished_any_more_stops_no_later_night(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    batch = of_programme(night, "winback")
    put, append = night.delivery.put, night.append
    crash_at(night, 1)
    with pytest.raises(CrashError):
        approve(night, batch)
    night.delivery.put, night.append = put, append
    tomorrow = AS_OF + dt.timedelta(days=1)
    later = night_in(tmp_path, World({"eva": {**NEW, "email": "eva@example.com"}}, as_of=tomorrow))
    later.at = LATER
    later.waiting = [batch]
    later.run()
    approvals(night).resume(before=AS_OF + dt.timedelta(days=2), at=LATER, run="night", code_version="1")
    assert people_in(tmp_path) == ["eva"]
    # The night after its expiry takes it back.
    last = night_in(tmp_path, shop(settings=WAITS, as_of=AS_OF + dt.timedelta(days=5)))
    last.run()
    assert ledgers.approved(last.lines().lazy()).is_empty()


# --- withheld, then planned again -------------------------------------------------------------------------------------


def night_after_all(home: Path, settings: list[str], destination: str | None = None) -> Night:
    """A night whose winback was withheld at first, about to run again now that nothing speaks against it."""

    def meant(night: Night) -> Night:
        append = night.append
        night.append = lambda lines: append(addressed(lines, destination))
        return night

    first = meant(night_in(home, shop(settings=settings)))
    for customer in ("ana", "bea"):
        withdraw(first.world, customer)
    first.plan()
    planned = night_in(home / "plan", shop(settings=settings))
    planned.plan()
    first.tables = planned.tables
    first.release()
    again = meant(night_in(home, shop(settings=settings), first.tables))
    again.at = first.at + dt.timedelta(hours=1)
    return again


def test_what_was_withheld_and_goes_out_after_all_is_due_for_the_receiver(tmp_path: Path) -> None:
    night = night_after_all(tmp_path, [], "webhook")
    night.run()
    assert people_in(tmp_path) == ["ana", "bea", "neu"]
    assert due(night.lines().lazy(), "webhook").height == 3


def test_what_was_withheld_and_waits_after_all_can_be_approved(tmp_path: Path) -> None:
    night = night_after_all(tmp_path, WAITS)
    night.run()
    assert approve(night, of_programme(night, "winback")).exported == 2
    assert people_in(tmp_path) == ["ana", "bea"]


def test_what_was_withheld_and_waits_after_all_can_be_undone(tmp_path: Path) -> None:
    night = night_after_all(tmp_path, WAITS)
    night.run()
    assert take_back(night, of_programme(night, "winback")) == Undone(0, 2, None)


@pytest.mark.parametrize("undone_by_hand", [True, False])
def test_what_was_withheld_and_is_out_after_all_is_found_after_a_crash(tmp_path: Path, undone_by_hand: bool) -> None:
    night = night_after_all(tmp_path, [])
    append = night.append

    def dying(lines: pl.DataFrame) -> None:
        if "exported" in set(lines["event"]):
            raise CrashError
        append(lines)

    night.append = dying
    with pytest.raises(CrashError):
        night.run()
    night.append = append
    assert people_in(tmp_path) == ["ana", "bea", "neu"]
    batch = of_programme(night, "winback")
    assert recovered_batches(night.lines().lazy(), "lupe", night.delivery) == [batch]
    if undone_by_hand:
        assert take_back(night, batch).after_release == 2
        return
    later = night_in(tmp_path, shop(as_of=AS_OF + dt.timedelta(days=1)))
    later.at = dt.datetime(2025, 3, 3, 2, tzinfo=dt.UTC)
    later.run()
    assert people_in(tmp_path) == ["ana", "bea", "neu"]


def test_what_cannot_be_approved_is_told(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    batch = of_programme(night, "winback")
    with pytest.raises(DispatchError, match="no batch 'nowhere'"):
        approve(night, "nowhere")
    take_back(night, batch)
    with pytest.raises(DispatchError, match="nothing of it waits"):
        approve(night, batch)
    night.tables["batches"] = night.tables["batches"].clear()
    with pytest.raises(DispatchError, match="planned anew without it"):
        approve(night, of_programme(waiting_night(tmp_path / "again"), "welcome"))
    assert delivered(tmp_path) == []


# --- undo -------------------------------------------------------------------------------------------------------------


def cancelled_by_file(home: Path) -> list[str]:
    return sorted(
        json.loads(line)["idempotency_key"]
        for path in home.glob("dispatch/*/*/*.cancel/cancel.jsonl")
        for line in path.read_text("utf-8").splitlines()
    )


def test_undo_before_the_release_removes_the_batch(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    batch = of_programme(night, "winback")
    assert take_back(night, batch) == Undone(after_release=0, before_release=2, folder=None)
    assert states(night) == {"winback": "undone", "welcome": "planned"}
    assert cancelled_by_file(tmp_path) == []
    line = night.lines().filter(event="cancelled").row(0, named=True)
    assert (line["actor"], line["run"], line["at"], line["detail"]) == ("eva", "by hand", LATER, "undone")
    # The same night again, with or without approval, does not bring it back.
    again = night_in(tmp_path, shop(), night.tables)
    again.run()
    assert people_in(tmp_path) == ["neu"]
    reasons = dict(again.tables["decisions"].select("customer_id", "reason").iter_rows())
    assert (reasons["ana"], reasons["bea"], reasons["neu"]) == ("undone", "undone", "best_action")
    # The night after is free to plan for them.
    later = night_in(tmp_path, shop(as_of=AS_OF + dt.timedelta(days=1)))
    later.at = dt.datetime(2025, 3, 3, 2, tzinfo=dt.UTC)
    later.run()
    assert people_in(tmp_path) == ["ana", "bea", "neu"]


def test_undo_between_planning_and_release_stops_the_release(tmp_path: Path) -> None:
    night = waiting_night(tmp_path)
    take_back(night, of_programme(night, "winback"))
    night.world.settings = []
    assert night.release().exported == 1
    assert people_in(tmp_path) == ["neu"]


def test_undo_after_the_release_writes_a_cancel_file_and_keeps_the_customers_from_the_programme(tmp_path: Path) -> None:
    night = released_night(tmp_path)
    batch = of_programme(night, "winback")
    out = night.lines().filter(event="exported", batch_id=batch)
    done = take_back(night, batch)
    assert (done.after_release, done.before_release, done.folder) == (2, 0, f"{batch}.cancel")
    assert cancelled_by_file(tmp_path) == sorted(out["idempotency_key"])
    folder = tmp_path / "dispatch" / "lupe" / str(AS_OF) / f"{batch}.cancel"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (manifest["cancels"], manifest["messages"], manifest["actor"]) == (batch, 2, "eva")
    for name, facts in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]
    with (folder / "cancel.csv").open(encoding="utf-8", newline="") as handle:
        assert sorted(row["idempotency_key"] for row in csv.DictReader(handle)) == cancelled_by_file(tmp_path)
    compensated = night.lines().filter(event="compensated")
    assert sorted(compensated["customer_id"]) == ["ana", "bea"]
    assert set(compensated["actor"]) == {"eva"}
    # A repeated night changes nothing: no second message to anyone.
    before = files_of(tmp_path)
    again = night_in(tmp_path, shop(), night.tables)
    again.run()
    assert files_of(tmp_path) == before
    # Nor does any later night begin the programme again until a new journey may begin.
    for days in (1, 100):
        later = night_in(tmp_path, shop(as_of=AS_OF + dt.timedelta(days=days)))
        later.plan()
        assert dict(later.tables["decisions"].select("customer_id", "reason").iter_rows())["ana"] == "undone", days
    free = ["routing.programmes.winback.again_after_days=30"]
    for days, reason in ((29, "undone"), (30, "best_action")):
        later = night_in(tmp_path, shop(as_of=AS_OF + dt.timedelta(days=days), settings=free))
        later.plan()
        assert dict(later.tables["decisions"].select("customer_id", "reason").iter_rows())["ana"] == reason, days


def test_a_purchase_ends_what_an_undone_message_began(tmp_path: Path) -> None:
    night = released_night(tmp_path)
    take_back(night, of_programme(night, "winback"))
    later = night_in(tmp_path, shop(as_of=AS_OF + dt.timedelta(days=150)))
    later.world.people["ana"] = {**LAPSED, "recency_days": 120}
    later.plan()
    assert dict(later.tables["decisions"].select("customer_id", "reason").iter_rows())["ana"] == "best_action"


def test_undone_twice_is_undone_once(tmp_path: Path) -> None:
    night = released_night(tmp_path)
    batch = of_programme(night, "winback")
    take_back(night, batch)
    before = files_of(tmp_path)
    again = take_back(night, batch, at=LATER + dt.timedelta(hours=1))
    assert (again.after_release, again.before_release) == (0, 0)
    assert files_of(tmp_path) == before
    with pytest.raises(DispatchError, match="no batch 'nowhere'"):
        take_back(night, "nowhere")


def test_undone_messages_use_up_no_offer_and_press_on_nobody(tmp_path: Path) -> None:
    night = released_night(tmp_path)
    nothing = pl.LazyFrame(schema={"as_of": pl.Date, "batch_id": pl.String, "offer_id": pl.String,
                                   "exported": pl.Int64, "compensated": pl.Int64})  # fmt: skip
    tomorrow = AS_OF + dt.timedelta(days=1)

    def used() -> int:
        heard = ledgers.heard(night.lines().lazy(), [], approval=False)
        return sum(ledgers.offers_used(heard, nothing, tomorrow).values())

    assert used() == 3
    take_back(night, of_programme(night, "winback"))
    assert used() == 1
    # Another programme may speak to them at once: the cap of one message does not count what was taken back.
    capped = ["routing.contact.cap={messages: 1, days: 7}"]
    later = night_in(tmp_path, shop(as_of=tomorrow, settings=capped))
    later.world.people["ana"] = {**NEW, "recency_days": 5}
    later.world.people["neu"] = {**LAPSED}
    later.plan()
    reasons = dict(later.tables["decisions"].select("customer_id", "reason").iter_rows())
    assert (reasons["ana"], reasons["neu"]) == ("best_action", "frequency_cap")


@pytest.mark.parametrize("point", range(2))
def test_an_undo_that_died_is_finished_by_the_next_one(tmp_path: Path, point: int) -> None:
    night = released_night(tmp_path)
    batch = of_programme(night, "winback")
    put, append = night.delivery.put, night.append
    crash_at(night, point)
    with pytest.raises(CrashError):
        take_back(night, batch)
    night.delivery.put, night.append = put, append
    # A night in between sends nothing either.
    again = night_in(tmp_path, shop(), night.tables)
    again.run()
    assert people_in(tmp_path) == ["ana", "bea", "neu"]
    take_back(night, batch)
    assert undone(night.lines().lazy()).collect().height == 2
    assert len(cancelled_by_file(tmp_path)) == 2
    Ledger.require(night.lines())


def test_a_batch_whose_run_died_after_the_folder_is_undone_as_one_that_is_out(tmp_path: Path) -> None:
    night = night_in(tmp_path, World({"ana": LAPSED}))
    crash_at(night, 2)
    with pytest.raises(CrashError):
        night.run()
    night = night_in(tmp_path, night.world, night.tables)
    assert people_in(tmp_path) == ["ana"]
    assert take_back(night, of_programme(night, "winback")).after_release == 1
    assert sorted(night.lines()["event"]) == ["compensated", "exported", "planned"]
    assert recovered_batches(night.lines().lazy(), "lupe", night.delivery) == []


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_release import night_in, shop
from test_undo import of_programme, take_back
import resources.delivery as delivery
night = night_in(Path({home!r}), shop())
night.plan()
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if {where!r} == "before the cancel file":
    delivery.fsync = die
else:
    night.append = die
take_back(night, {batch!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before the cancel file", "before the lines"])
def test_kill_9_in_an_undo_leaves_no_half_file_and_the_next_one_ends_it(tmp_path: Path, where: str) -> None:
    night = released_night(tmp_path)
    batch = of_programme(night, "winback")
    code = CHILD.format(tests=str(Path(__file__).parent), home=str(tmp_path), where=where, batch=batch)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert len(cancelled_by_file(tmp_path)) == (2 if where == "before the lines" else 0)
    assert undone(night.lines().lazy()).collect().is_empty()
    take_back(night, batch)
    assert len(cancelled_by_file(tmp_path)) == undone(night.lines().lazy()).collect().height == 2
    assert not list(tmp_path.glob("dispatch/*/*/.*"))
