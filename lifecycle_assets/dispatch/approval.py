"""The release of a batch that waits for a person's yes.

With `dispatch.approval` a night only plans: its batches wait, for as long as their messages are valid. An approval writes lines
`approved` and then releases exactly that batch, as `release` does it: with a last look at consent as of now, nothing that has
expired, nothing of a night before one that is out. A run that dies in between leaves an approved batch, which the same command
or the next night releases.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.dispatch import gathering, ledger
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.dispatch.release import Delivery, Facts, Outcome, release
from lifecycle_assets.dispatch.trace import models
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import Shop


class Lake(Protocol):
    """Where tables lie."""

    def scan(self, contract: Contract, shop: str) -> pl.LazyFrame:
        """The shop's current table."""
        ...

    def scan_night(self, contract: Contract, shop: str, as_of: dt.date) -> pl.LazyFrame | None:
        """The slice that a past night left of a table with history, or None."""
        ...


@dataclass(frozen=True)
class Approvals:
    """A shop's batches that wait. `append` adds lines to the ledger; whoever calls holds the shop's ledger lock."""

    lake: Lake
    delivery: Delivery
    append: Callable[[pl.DataFrame], None]
    settings: Shop
    shop: str

    def approve(self, batch_id: str, *, at: dt.datetime, run: str, code_version: str, actor: str) -> Outcome:
        """Release one batch; one that is out already stays as it is. `at` is now, but for nights of a fixed `as_of`.

        Raises DispatchError where there is nothing that may be released.
        """
        lines = self.lake.scan(Ledger, self.shop)
        as_of = ledger.night_of(lines, batch_id)
        now = None if self.settings.as_of == as_of else at
        messages, batches, decisions = (self._night(table, as_of) for table in (Messages, Batches, Decisions))
        own = lines.filter(pl.col("batch_id") == batch_id)
        if not self.delivery.found(self.shop, as_of, batch_id):
            if ledger.pending(own).limit(1).collect().is_empty():
                raise DispatchError(f"batch {batch_id}: nothing of it waits; lifecycle batches tells its state")
            if later := ledger.later_night(lines.filter(pl.col("event") == "exported"), as_of):
                raise DispatchError(
                    f"batch {batch_id}: messages of the night of {later}, after its own, are out already"
                )
            if batch_id not in batches.get_column("batch_id"):
                raise DispatchError(f"batch {batch_id}: the night of {as_of} was planned anew without it")
            self._write_approved(own, at=at, run=run, actor=actor)
        messages, batches = (table.filter(pl.col("batch_id") == batch_id) for table in (messages, batches))
        reasons = dict(decisions.group_by("reason").len().sort("reason").iter_rows())
        lines = self.lake.scan(Ledger, self.shop)
        channels = messages.get_column("channel").unique().sort().to_list()
        return release(
            messages,
            batches,
            standing(messages.lazy(), self._contacts(), self.settings.routing, channels, until=None),
            lines,
            Facts(self.shop, as_of, run, at, code_version, reasons, actor, models(decisions.lazy())),
            shop=self.settings,
            now=now,
            delivery=self.delivery,
            append=self.append,
            approved={batch_id},
            waiting=self.waiting(lines, now).get_column("batch_id").to_list(),
        )

    def resume(self, *, before: dt.date, at: dt.datetime, run: str, code_version: str) -> None:
        """Release what was approved in nights before `before` by runs that did not live to do it; what may not be released any
        more, for messages of a later night are out for instance, stays as it is, for release to settle."""
        lines = self.lake.scan(Ledger, self.shop)
        exported = lines.filter(pl.col("event") == "exported")
        for as_of, batch_id in ledger.approved(lines).iter_rows():
            if as_of >= before or ledger.later_night(exported, as_of):
                continue
            if batch_id in self._night(Batches, as_of).get_column("batch_id"):
                self.approve(batch_id, at=at, run=run, code_version=code_version, actor="nightly run")

    def waiting(self, lines: pl.LazyFrame, now: dt.datetime | None) -> pl.DataFrame:
        """The batches (as_of, batch_id) planned, not out and not taken back, whose messages are still valid at `now`."""
        unfinished = ledger.unfinished(lines)
        expiries = self.expiries(unfinished.get_column("as_of").unique().to_list())
        waiting = unfinished.join(expiries, on="batch_id")
        return waiting if now is None else waiting.filter(pl.col("expires_at") > now)

    def expiries(self, nights: list[dt.date]) -> pl.DataFrame:
        """batch_id, expires_at of the batches that these nights planned."""
        columns = ("batch_id", "expires_at")
        return pl.concat(
            [Batches.empty().select(columns), *(self._night(Batches, night).select(columns) for night in nights)]
        )

    def _write_approved(self, own: pl.LazyFrame, *, at: dt.datetime, run: str, actor: str) -> None:
        """Writes that the batch's messages that wait are approved, unless they were before."""
        given = own.filter(pl.col("event") == "approved").collect()
        new = ledger.pending(own).collect().join(given, on="idempotency_key", how="anti")
        if new.height:
            self.append(ledger.lines_of(new, "approved", at=at, run=run, actor=actor))

    def _night(self, contract: Contract, as_of: dt.date) -> pl.DataFrame:
        slice_ = self.lake.scan_night(contract, self.shop, as_of)
        return contract.empty() if slice_ is None else slice_.collect()

    def _contacts(self) -> Contacts:
        return Contacts(*(self.lake.scan(contract, self.shop) for contract in gathering.CONTACTS))
