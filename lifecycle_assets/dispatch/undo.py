"""Taking a batch back: before its release it is gone, afterwards the sending tool is told to cancel it.

Before: lines `cancelled`; the messages never go out, and from the next night on their customers may get anything.
After: a cancel file appears beside the batch's folder, whole, with every message's idempotency key; then lines
`compensated`, and the receiver that the batch was released for is told (jobs.take_back). From then on nothing counts the
messages (offers used, caps, fatigue, evidence) unless engagement says that they arrived all the same, and their customers are
kept from the programme until a new journey of it may begin (pressure.taken_back).

A run may die at any point and undo is run again: the same file, the same lines. Undone twice is undone once.
The caller holds the shop's ledger lock from before `lines` are read until `undo` is done.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import polars as pl

from lifecycle_assets.dispatch import ledger
from lifecycle_assets.dispatch.release import Delivery

FIELDS = ["idempotency_key", "batch_id", "customer_id", "channel", "programme", "step"]


@dataclass(frozen=True)
class Undone:
    """What undo did: messages taken back, after they went out or before; `folder`: that of the cancel file, by its name."""

    after_release: int
    before_release: int
    folder: str | None


def cancel_name(batch_id: str) -> str:
    """The name of the folder of a batch's cancel file."""
    return f"{batch_id}.cancel"


def undo(
    lines: pl.LazyFrame,
    batch_id: str,
    *,
    shop: str,
    at: dt.datetime,
    run: str,
    actor: str,
    delivery: Delivery,
    append: Callable[[pl.DataFrame], None],
) -> Undone:
    """Take a batch back. `lines` is the shop's whole ledger, `append` adds lines to it.

    Raises DispatchError where the ledger knows no such batch.
    """
    night = ledger.night_of(lines, batch_id)
    own = lines.filter(pl.col("batch_id") == batch_id)
    is_out = delivery.found(shop, night, batch_id)
    sent = ledger.sent(own, [batch_id] if is_out else []).unique("idempotency_key").sort("idempotency_key").collect()
    if sent.height:
        delivery.put(
            shop,
            night,
            cancel_name(batch_id),
            _files(sent),
            lambda hashes: _manifest(batch_id, shop, night, sent.height, hashes, at=at, run=run, actor=actor),
        )
    taken_back = own.filter(pl.col("event") == "compensated")
    compensated = sent.join(taken_back.collect(), on="idempotency_key", how="anti")
    waiting = ledger.pending(own).collect()
    # A run that died between the folder and its lines leaves messages that are out and not written so.
    unwritten = waiting.join(sent, on="idempotency_key", how="semi")
    cancelled = waiting.join(sent, on="idempotency_key", how="anti")
    new = pl.concat(
        [
            ledger.lines_of(unwritten, "exported", at=at, run=run, detail="found released after a crash"),
            ledger.lines_of(compensated, "compensated", at=at, run=run, actor=actor, detail=ledger.UNDONE),
            ledger.lines_of(cancelled, "cancelled", at=at, run=run, actor=actor, detail=ledger.UNDONE),
        ]
    ).sort("idempotency_key", "event")
    if new.height:
        append(new)
    return Undone(compensated.height, cancelled.height, cancel_name(batch_id) if sent.height else None)


def _files(sent: pl.DataFrame) -> Mapping[str, Callable[[BinaryIO], None]]:
    told = sent.select(FIELDS)

    def csv(target: BinaryIO) -> None:
        told.write_csv(target, line_terminator="\n")

    def jsonl(target: BinaryIO) -> None:
        told.write_ndjson(target)

    return {"cancel.csv": csv, "cancel.jsonl": jsonl}


def _manifest(
    batch_id: str,
    shop: str,
    as_of: dt.date,
    messages: int,
    hashes: Mapping[str, str],
    *,
    at: dt.datetime,
    run: str,
    actor: str,
) -> bytes:
    manifest = {
        "cancels": batch_id,
        "shop": shop,
        "as_of": as_of.isoformat(),
        "at": at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        "actor": actor,
        "run": run,
        "messages": messages,
        "files": {name: {"sha256": digest} for name, digest in sorted(hashes.items())},
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
