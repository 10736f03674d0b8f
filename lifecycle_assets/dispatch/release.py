"""The release of a night's batches: the last look at consent, the files, and the lines of the ledger around them.

In this order, so that a run may die at any point and the next one ends alike without a second message to anyone:

1. What an earlier run left unfinished is settled: batches whose folder is there are exported, the others taken back.
2. Where messages of a later night are out, nothing more of this one is: it was planned without knowing of them.
3. Per batch: lines `planned` for the messages that still may go out, `cancelled` for those that no longer may (consent
   withdrawn, suppressed or erased since the night was planned, or the message expired).
4. The batch's folder appears, whole, by one rename: that is the release.
5. Lines `exported`.

Nights that were missed are therefore caught up oldest first, and only within their messages' expiry. The caller holds the
shop's ledger lock from before `lines` are read until `release` is done.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import polars as pl

from lifecycle_assets.dispatch import ledger
from lifecycle_assets.dispatch.contact import GIVEN
from lifecycle_assets.dispatch.destinations import generic

Writer = Callable[[BinaryIO], None]


class Delivery(Protocol):
    """Where batches are put."""

    def found(self, shop: str, as_of: dt.date, batch_id: str) -> bool:
        """Whether the batch is there, whole."""
        ...

    def put(
        self,
        shop: str,
        as_of: dt.date,
        batch_id: str,
        files: Mapping[str, Writer],
        manifest: Callable[[Mapping[str, str]], bytes],
    ) -> None:
        """Let the batch appear with all its files and its manifest (made from the files' SHA-256), or not at all."""
        ...


@dataclass(frozen=True)
class Facts:
    """What a manifest says besides its batch."""

    shop: str
    as_of: dt.date
    run: str
    at: dt.datetime
    code_version: str
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """What a release did, in messages and batches; `later`: the later night for which nothing was released."""

    exported: int
    cancelled: int
    recovered: int
    batches: int
    later: dt.date | None = None


def recovered_batches(lines: pl.LazyFrame, shop: str, delivery: Delivery) -> list[str]:
    """The batches that a run released without living to write so: planned in the ledger, and their folder is there."""
    unfinished = ledger.unfinished(lines)
    return [batch_id for as_of, batch_id in unfinished.iter_rows() if delivery.found(shop, as_of, batch_id)]


def withheld(messages: pl.DataFrame, standing: pl.LazyFrame, now: dt.datetime | None) -> pl.DataFrame:
    """customer_id, reason of the messages that must not go out any more; `standing` as contact.standing gives it, from
    everything known now. Messages that expire at `now` or before have expired; without a `now` none has."""
    reasons = []
    expired = pl.lit(value=False) if now is None else pl.col("expires_at") <= now
    for channel in messages.get_column("channel").unique().sort():
        allowed = pl.col(f"consent_{channel}").is_in(list(GIVEN))
        reason = (
            pl.when("erased")
            .then(pl.lit("erased"))
            .when(f"suppressed_{channel}")
            .then(pl.lit("suppressed"))
            .when(~allowed)
            .then(pl.lit("no_consent"))
            .when(expired)
            .then(pl.lit("expired"))
        )
        concerned = messages.lazy().filter(pl.col("channel") == channel).select("customer_id", "expires_at")
        reasons.append(concerned.join(standing, on="customer_id").select("customer_id", reason=reason))
    if not reasons:
        return pl.DataFrame(schema={"customer_id": pl.String, "reason": pl.String})
    return pl.concat(reasons).filter(pl.col("reason").is_not_null()).collect()


def release(
    messages: pl.DataFrame,
    batches: pl.DataFrame,
    standing: pl.LazyFrame,
    lines: pl.LazyFrame,
    facts: Facts,
    *,
    now: dt.datetime | None,
    delivery: Delivery,
    append: Callable[[pl.DataFrame], None],
) -> Outcome:
    """Put tonight's batches out. Nothing happens for batches that are out already; running it again changes nothing.

    `lines` is the shop's whole ledger, `append` adds lines to it; messages that have expired by `now` stay in (null: none
    is held to have expired, for a night that is looked at as if it were that day). Raises whatever delivery and append
    raise: the next run goes on from there.
    """
    found = recovered_batches(lines, facts.shop, delivery)
    sent = ledger.sent(lines, found)
    later = ledger.later_night(sent, facts.as_of)
    if later is not None:
        batches = batches.clear()
    recovered = _settle(lines, batches, facts, delivery, append)
    out = sent.filter(pl.col("as_of") == facts.as_of).select("customer_id", "batch_id").unique().collect()
    refused = withheld(messages, standing, now)
    exported = cancelled = released = 0
    for batch in batches.filter(~pl.col("batch_id").is_in(out.get_column("batch_id").unique().implode())).iter_rows(
        named=True
    ):
        own = messages.filter(pl.col("batch_id") == batch["batch_id"])
        # Another run of the same night may have served a customer since this one was planned.
        own = own.join(out, on="customer_id", how="anti")
        kept = own.join(refused, on="customer_id", how="anti")
        dropped = own.join(refused, on="customer_id")
        cancelled += _announce(kept, dropped, lines, facts, append)
        if kept.is_empty():
            continue
        counts = dict(dropped.group_by("reason").len().sort("reason").iter_rows())
        delivery.put(
            facts.shop,
            facts.as_of,
            batch["batch_id"],
            generic.files(kept),
            lambda hashes, batch=batch, kept=kept, counts=counts: _manifest(batch, kept.height, counts, hashes, facts),
        )
        append(ledger.lines_of(kept, "exported", at=facts.at, run=facts.run))
        out = pl.concat([out, kept.select("customer_id", "batch_id")])
        exported += kept.height
        released += 1
    return Outcome(exported, cancelled, recovered, released, later)


def _settle(
    lines: pl.LazyFrame, batches: pl.DataFrame, facts: Facts, delivery: Delivery, append: Callable[[pl.DataFrame], None]
) -> int:
    """Ends what earlier runs left unfinished, except the batches that this run puts out itself."""
    recovered = 0
    for as_of, batch_id in ledger.unfinished(lines).iter_rows():
        left = ledger.pending(lines.filter(pl.col("batch_id") == batch_id)).collect()
        if delivery.found(facts.shop, as_of, batch_id):
            append(ledger.lines_of(left, "exported", at=facts.at, run=facts.run, detail="found released after a crash"))
            recovered += left.height
        elif left.height and batch_id not in batches.get_column("batch_id"):
            append(
                ledger.lines_of(
                    left, "cancelled", at=facts.at, run=facts.run, detail="not released: the run ended early"
                )
            )
    return recovered


def _announce(
    kept: pl.DataFrame, dropped: pl.DataFrame, lines: pl.LazyFrame, facts: Facts, append: Callable[[pl.DataFrame], None]
) -> int:
    """Writes what is planned and what is taken back, where the ledger does not say so yet; returns the cancelled ones."""
    of_batch = ["idempotency_key", "batch_id"]
    own = pl.concat([kept.select(of_batch), dropped.select(of_batch)])
    known = lines.join(own.lazy(), on=of_batch, how="semi").collect()
    waiting = ledger.pending(known.lazy()).select(of_batch).collect()
    ever_cancelled = known.filter(pl.col("event") == "cancelled").select(of_batch)
    planned = kept.join(waiting, on=of_batch, how="anti")
    settled = ever_cancelled.join(waiting, on=of_batch, how="anti")
    taken_back = dropped.join(settled, on=of_batch, how="anti")
    parts = [ledger.lines_of(planned, "planned", at=facts.at, run=facts.run)]
    parts += [
        ledger.lines_of(part, "cancelled", at=facts.at, run=facts.run, detail=ledger.at_export(reason))
        for (reason,), part in taken_back.group_by("reason", maintain_order=True)
    ]
    new = pl.concat(parts).sort("idempotency_key", "batch_id", "event")
    if new.height:
        append(new)
    return taken_back.height


def _manifest(
    batch: Mapping[str, object],
    messages: int,
    withheld_at_export: Mapping[str, int],
    hashes: Mapping[str, str],
    facts: Facts,
) -> bytes:
    def moment(value: object) -> str:
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if isinstance(value, dt.datetime) else ""

    manifest = {
        "batch_id": batch["batch_id"],
        "shop": facts.shop,
        "as_of": facts.as_of.isoformat(),
        "channel": batch["channel"],
        "programme": batch["programme"],
        "run": facts.run,
        "code_version": facts.code_version,
        "policy_version": batch["policy_version"],
        "model_versions": {},
        "destination": {"adapter": generic.NAME, "version": generic.VERSION},
        "messages": messages,
        "withheld_at_export": dict(withheld_at_export),
        "decisions_by_reason": dict(sorted(facts.reasons.items())),
        "first_send_at": moment(batch["first_send_at"]),
        "last_send_at": moment(batch["last_send_at"]),
        "expires_at": moment(batch["expires_at"]),
        "previous_batch": batch["previous_batch_id"],
        "assumptions": [batch["assumptions"]] if batch["assumptions"] else [],
        "files": {name: {"sha256": digest} for name, digest in sorted(hashes.items())},
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
