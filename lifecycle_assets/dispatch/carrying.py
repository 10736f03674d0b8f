"""Carries released messages to the shop's receiver, parcel by parcel, and writes into the ledger what became of them.

A line `acknowledged` is written after the receiver took a message. A run that dies in between sends again: the same
parcels under the same keys, so that a receiver which acts once per key is left with each message once. Nothing is sent that
has expired, was undone meanwhile, or whose customer has withdrawn since the release. A parcel that is not taken waits for
the next run, and the others go on; only a receiver that takes nothing any more is left alone.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from lifecycle_assets.dispatch import ledger
from lifecycle_assets.hashing import SEPARATOR, sha256

GIVEN_UP_IN_A_ROW = 3
"""A receiver that took none of so many parcels one after another is down."""
LEFT_ALONE = f"not tried: the receiver took none of {GIVEN_UP_IN_A_ROW} requests in a row"
NOT_PLANNED = "dispatch.messages does not hold them any more: their night was planned anew without them"
LINES_AT_ONCE = 10_000
"""The ledger gets a file per so many lines, and one per batch: what the next run sends again after a crash, at most."""


@dataclass(frozen=True)
class Parcel:
    """What is handed over at once: messages of one batch, sorted by idempotency_key. None may go out at `expires_at` or
    later (null: an archive, of which nothing expires)."""

    shop: str
    as_of: dt.date
    batch_id: str
    messages: pl.DataFrame
    expires_at: dt.datetime | None

    @property
    def key(self) -> str:
        """The same for the same messages, whenever they are sent."""
        parts = [self.batch_id, *self.messages.get_column("idempotency_key")]
        return hashlib.sha256(SEPARATOR.join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Receipt:
    """What became of a parcel. `refused`: idempotency_key -> reason."""

    at: dt.datetime
    taken: bool
    attempts: int
    status: int | None = None
    error: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


class Carrier(Protocol):
    """The way to a receiver. `chunk`: messages of a parcel at most; null where a batch goes as it was released."""

    destination: str
    chunk: int | None

    def clock(self) -> dt.datetime:
        """What time it is."""
        ...

    def carry(self, parcel: Parcel) -> Receipt:
        """Hand the parcel over, tried as often as the settings say and not after it expired. Never raises for what the
        receiver, or the way to it, is to blame for."""
        ...

    def cancel(self, parcel: Parcel) -> Receipt:
        """Tell the receiver that none of the parcel's messages is to be sent, as `carry` hands one over. Only the keys of
        its messages are looked at."""
        ...


@dataclass(frozen=True)
class Stock:
    """Where a run finds what it carries and writes what became of it.

    `load`: the rows of dispatch.messages of a batch. `still_due`: those of some messages that are due at this moment, asked
    before each parcel, for a person may undo a batch while it is carried. `withdrawn`: customer_id of those of some messages
    who must not get theirs any more. `append` adds lines to the ledger, `tell` logs a line. In an archive nothing expires.
    """

    shop: str
    run: str
    load: Callable[[dt.date, str], pl.DataFrame]
    still_due: Callable[[pl.DataFrame], pl.DataFrame]
    withdrawn: Callable[[pl.DataFrame], pl.DataFrame]
    append: Callable[[pl.DataFrame], None]
    tell: Callable[[str], None]
    archive: bool


@dataclass
class Tally:
    """What a run did for a batch: parcels, tries, messages left waiting, the last status, and why the latest of those
    that wait was not taken."""

    batch_id: str
    requests: int = 0
    attempts: int = 0
    waiting: int = 0
    last_status: int | None = None
    last_error: str | None = None


def carry(due: pl.DataFrame, carrier: Carrier, stock: Stock) -> list[Tally]:
    """Carry every message of `due` (as_of, batch_id, idempotency_key) that may still go out, in its order.

    One tally per batch. Raises what `stock` raises.
    """
    tallies = []
    failed_in_a_row = 0
    for as_of, batch_id in due.select("as_of", "batch_id").unique(maintain_order=True).iter_rows():
        tally = Tally(batch_id)
        tallies.append(tally)
        batch = stock.load(as_of, batch_id)
        of_batch = due.filter(batch_id=batch_id)
        lost = of_batch.join(batch, on="idempotency_key", how="anti")
        if lost.height:
            tally.waiting += lost.height
            tally.last_error = NOT_PLANNED
        with _Notes(carrier, stock) as notes:
            for parcel in _parcels(batch, of_batch, as_of, batch_id, carrier, stock):
                if failed_in_a_row >= GIVEN_UP_IN_A_ROW:
                    tally.waiting += parcel.messages.height
                    tally.last_error = LEFT_ALONE
                    continue
                receipt = carrier.carry(parcel)
                tally.requests += 1
                tally.attempts += receipt.attempts
                tally.last_status = receipt.status
                if receipt.taken:
                    failed_in_a_row = 0
                    notes.take(parcel, receipt)
                else:
                    failed_in_a_row += 1
                    tally.waiting += parcel.messages.height
                    tally.last_error = receipt.error
                    stock.tell(f"{parcel.messages.height} messages of batch {batch_id} wait: {receipt.error}")
    return tallies


def _parcels(
    batch: pl.DataFrame, due: pl.DataFrame, as_of: dt.date, batch_id: str, carrier: Carrier, stock: Stock
) -> Iterator[Parcel]:
    """What may still go out of a batch. The cuts follow the whole batch, not what is left of it: a parcel without an
    answer is the same one in the next run."""
    batch = batch.sort("idempotency_key")
    withdrawn = stock.withdrawn(batch).select("customer_id", withdrawn=True)
    left = (
        batch.with_columns(parcel=_cuts(batch["idempotency_key"], carrier.chunk) if carrier.chunk else pl.lit(0))
        .join(due, on="idempotency_key", how="semi", maintain_order="left")
        .join(withdrawn, on="customer_id", how="left", maintain_order="left")
    )
    for part in left.partition_by("parcel", maintain_order=True):
        may_go = stock.still_due(part.filter(pl.col("withdrawn").is_null()))
        if not stock.archive:
            may_go = may_go.filter(pl.col("expires_at") > carrier.clock())
        if may_go.height:
            expires_at: dt.datetime | None = None if stock.archive else may_go.select(pl.col("expires_at").min()).item()
            yield Parcel(stock.shop, as_of, batch_id, may_go if carrier.chunk else part, expires_at)


def _cuts(keys: pl.Series, most: int) -> pl.Series:
    """The parcel of each key, `most` to a parcel: a parcel with more is halved by the next bit of its keys' hashes, so that
    a message that goes, by an erasure for instance, leaves all parcels but its own as they were."""
    bits = sha256(keys).str.head(15).str.to_integer(base=16)
    cut = pl.col("cut")
    parcels = bits.alias("bits").to_frame().with_columns(cut=pl.lit(1, dtype=pl.Int64))
    for bit in reversed(range(60)):
        too_many = pl.len().over("cut") > most
        if not parcels.select(too_many.any()).item():
            break
        # The halves of parcel n are 2n and 2n + 1: no two parcels ever have the same number.
        parcels = parcels.with_columns(
            cut=pl.when(too_many).then(2 * cut + pl.col("bits") // 2**bit % 2).otherwise(cut)
        )
    return parcels.get_column("cut")


class _Notes:
    """Writes the ledger's lines many at a time, and whatever happens, those of the parcels that were taken."""

    def __init__(self, carrier: Carrier, stock: Stock) -> None:
        self.actor = carrier.destination
        self.stock = stock
        self.lines: list[pl.DataFrame] = []

    def __enter__(self) -> "_Notes":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def take(self, parcel: Parcel, receipt: Receipt) -> None:
        """Note what the receiver took of a parcel, and what it refused."""
        reason = pl.col("idempotency_key").replace_strict(receipt.refused, default=None, return_dtype=pl.String)
        told = parcel.messages.with_columns(reason=reason)
        for (why,), part in told.group_by("reason", maintain_order=True):
            event, detail = ("cancelled", f"refused by the receiver: {why}") if why else ("acknowledged", None)
            line = {"at": receipt.at, "run": self.stock.run, "actor": self.actor, "detail": detail}
            self.lines.append(ledger.lines_of(part, event, **line))
        if sum(lines.height for lines in self.lines) >= LINES_AT_ONCE:
            self._write()

    def _write(self) -> None:
        if self.lines:
            lines, self.lines = pl.concat(self.lines), []
            self.stock.append(lines)
            self.stock.tell(f"{lines.height} messages of batch {lines['batch_id'][0]} answered by the {self.actor}")
