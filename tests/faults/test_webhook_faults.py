"""Deliveries to a real HTTP receiver on loopback that fails in every way, from processes that are killed: once each."""

import datetime as dt
import email.utils
import json
from pathlib import Path

import polars as pl
import pytest
from delivery_world import (
    AS_OF,
    Receiver,
    cancellation,
    child,
    died,
    lake_of,
    letters,
    lines,
    mixture,
    release,
    run,
    take_back,
    webhook,
)

from lifecycle_assets.dispatch.carrying import LEFT_ALONE, NOT_PLANNED
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages

BATCHES = {"aa": 40, "bb": 3, "cc": 22}
REFUSED = ("kaa-011", "kcc-000", "kcc-001")


def the_ledger_is_the_receivers_log(home: Path, receiver: Receiver, messages: pl.DataFrame) -> None:
    written = lines(home)
    Ledger.require(written)
    taken = written.filter(event="acknowledged")
    assert sorted(taken["idempotency_key"]) == sorted(receiver.log)
    back = written.filter(event="cancelled")
    assert sorted(back["idempotency_key"]) == sorted(receiver.refused)
    assert set(back["detail"]) <= {"refused by the receiver: invalid_address"}
    assert set(taken["actor"]) | set(back["actor"]) <= {"webhook"}
    assert sorted([*receiver.log, *receiver.refused]) == sorted(messages["idempotency_key"])


@pytest.mark.parametrize("seed", range(3))
def test_any_mixture_of_faults_delivers_each_message_once(tmp_path: Path, seed: int) -> None:
    messages = letters(BATCHES)
    release(tmp_path, messages, "webhook")
    receiver = Receiver(mixture(seed, killed=False), REFUSED)
    with receiver.listening() as url:
        for _ in range(50):
            if not sum(tally.waiting for tally in run(tmp_path, webhook(url, attempts=2))):
                break
    the_ledger_is_the_receivers_log(tmp_path, receiver, messages)
    # The same key never stood for two things.
    bodies = {key: {body for other, body in receiver.requests if other == key} for key, _ in receiver.requests}
    assert all(len(same) == 1 for same in bodies.values())


CHILD = """
from delivery_world import run, webhook
run(Path(home), webhook(url, attempts=2))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_amid_faults_at_any_point_delivers_each_message_once(tmp_path: Path, seed: int) -> None:
    messages = letters(BATCHES)
    release(tmp_path, messages, "webhook")
    receiver = Receiver(mixture(seed, killed=True), REFUSED)
    killed = 0
    with receiver.listening() as url:
        while lines(tmp_path).filter(pl.col("event").is_in(["acknowledged", "cancelled"])).height < messages.height:
            with child(CHILD, home=str(tmp_path), url=url) as process:
                receiver.kill = process.kill
                killed += died(process)
    assert killed >= 3, "the mixture did not kill often enough to show anything"
    the_ledger_is_the_receivers_log(tmp_path, receiver, messages)
    before = lines(tmp_path)
    with receiver.listening() as url:
        assert run(tmp_path, webhook(url)) == []
    assert lines(tmp_path).equals(before)


def test_what_each_fault_is_answered_with(tmp_path: Path) -> None:
    release(tmp_path, letters({"aa": 3}), "webhook")

    def told(*faults: str) -> tuple[int, int | None, str | None, int]:
        receiver = Receiver(lambda number, _: faults[min(number, len(faults) - 1)])
        with receiver.listening() as url:
            (tally,) = run(tmp_path, webhook(url, attempts=3))
        return tally.attempts, tally.last_status, tally.last_error, tally.waiting

    assert told("500") == (3, 500, "HTTP 500", 3)
    assert told("429") == (3, 429, "HTTP 429", 3)
    assert told("400") == (1, 400, "HTTP 400", 3)  # nothing that a second try could change
    assert told("301") == (1, 301, "HTTP 301", 3)  # not followed
    assert told("dropped before it acted") == (3, None, "no answer: ProtocolError", 3)
    assert told("acted and late") == (3, None, "no answer within 0.3 s", 3)
    assert told("acted and cut off")[1:] == (None, "no answer: ProtocolError", 3)
    assert told("429 3600") == (1, 429, "HTTP 429", 3)  # longer than the run waits: left alone
    assert told("500", "dropped before it acted", "none") == (3, 200, None, 0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_is_left_alone_for_as_long_as_it_asks(tmp_path: Path, form: str) -> None:
    release(tmp_path, letters({"aa": 3}), "webhook")

    def fault(number: int, _: bytes) -> str:
        soon = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=2)
        return "none" if number else "429 1" if form == "seconds" else f"429 {email.utils.format_datetime(soon)}"

    receiver = Receiver(fault)
    with receiver.listening() as url:
        run(tmp_path, webhook(url, longest_pause_seconds=3))
    assert len(receiver.log) == 3
    # A date has whole seconds: what is left of two is more than one, but for the time that the answer took.
    assert receiver.at[1] - receiver.at[0] >= (1 if form == "seconds" else 0.9)


def test_a_receiver_that_is_down_is_left_alone_and_the_next_run_goes_on(tmp_path: Path) -> None:
    messages = letters(BATCHES)
    release(tmp_path, messages, "webhook")
    with Receiver().listening() as gone:
        pass
    tallies = run(tmp_path, webhook(gone, attempts=2))
    assert sum(tally.requests for tally in tallies) == 3
    assert sum(tally.waiting for tally in tallies) == messages.height
    assert [tally.last_error for tally in tallies] == [LEFT_ALONE] * 3
    receiver = Receiver()
    with receiver.listening() as url:
        assert sum(tally.waiting for tally in run(tmp_path, webhook(url))) == 0
    the_ledger_is_the_receivers_log(tmp_path, receiver, messages)


def test_one_parcel_that_the_receiver_cannot_digest_does_not_hold_up_the_others(tmp_path: Path) -> None:
    messages = letters({"aa": 40})
    release(tmp_path, messages, "webhook")
    receiver = Receiver(lambda _, body: "500" if b'"kaa-008"' in body else "none")
    with receiver.listening() as url:
        (tally,) = run(tmp_path, webhook(url))
    stuck = next(json.loads(body)["messages"] for _, body in receiver.requests if b'"kaa-008"' in body)
    assert tally.waiting == len(stuck) <= 7
    assert tally.attempts == tally.requests + 5
    assert set(receiver.log) == set(messages["idempotency_key"]) - {message["idempotency_key"] for message in stuck}


def test_a_withdrawal_changes_the_request_that_it_concerns_and_no_other(tmp_path: Path) -> None:
    release(tmp_path, letters({"aa": 14}), "webhook")
    receiver = Receiver(lambda *_: "acted and dropped")
    with receiver.listening() as url:
        (tally,) = run(tmp_path, webhook(url, attempts=1))
        receiver.fault = lambda *_: "none"
        run(tmp_path, webhook(url, attempts=1), withdrawn=("aa-000",))
    first, again = receiver.requests[: tally.requests], receiver.requests[tally.requests :]
    changed = [(one, other) for one, other in zip(first, again, strict=True) if one != other]
    assert len(first) > 1 and len(changed) == 1
    assert b"kaa-000" in changed[0][0][1] and b"kaa-000" not in changed[0][1][1]


def test_an_undo_stops_a_delivery_that_runs_and_the_receiver_is_told(tmp_path: Path) -> None:
    messages = letters({"aa": 20})
    release(tmp_path, messages, "webhook")

    def fault(number: int, _: bytes) -> str:
        if number == 0:
            assert take_back(tmp_path, "aa").after_release == 20
        return "none"

    receiver = Receiver(fault)
    with receiver.listening() as url:
        (tally,) = run(tmp_path, webhook(url))
        assert (tally.requests, tally.waiting) == (1, 0)
        assert 0 < len(receiver.log) <= 7
        for _ in range(2):
            assert webhook(url).cancel(cancellation(tmp_path, "aa", "webhook")).taken
    assert set(receiver.cancelled) == set(messages["idempotency_key"])
    (_, first), (key, told), again = receiver.requests
    assert again == (key, told) and key != first
    assert set(json.loads(told)) == {"type", "shop", "as_of", "batch_id", "idempotency_keys"}


def test_what_is_due_and_not_planned_any_more_waits_and_is_told(tmp_path: Path) -> None:
    release(tmp_path, letters({"aa": 5}), "webhook")
    lake_of(tmp_path).write(Messages, "lupe", AS_OF, letters({"aa": 3}))
    receiver = Receiver()
    with receiver.listening() as url:
        (tally,) = run(tmp_path, webhook(url))
    assert (tally.requests, tally.waiting, tally.last_error) == (1, 2, NOT_PLANNED)
    assert len(receiver.log) == 3


def test_nothing_is_tried_again_once_it_has_expired(tmp_path: Path) -> None:
    soon = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=20)
    release(tmp_path, letters({"aa": 3}, soon), "webhook")
    receiver = Receiver(lambda *_: "500")
    with receiver.listening() as url:
        (tally,) = run(tmp_path, webhook(url, attempts=20, backoff_seconds=60, longest_pause_seconds=60))
    # The shortest pause after the first failure would end after the messages' time.
    assert (tally.attempts, tally.waiting) == (1, 3)
