"""The release of a night's batches: the last look at consent, the files, and the lines of the ledger around them.

In this order, so that a run may die at any point and the next one ends alike without a second message to anyone:

1. What an earlier run left unfinished is settled: batches whose folder is there are exported, the others taken back.
2. Where messages of a later night are out, nothing more of this one is: it was planned without knowing of them.
3. Per batch: lines `planned` for its messages, and `cancelled` for those that no longer may go out (consent
   withdrawn, suppressed or erased since the night was planned, or the message expired) and for those that the channel or
   its destination cannot carry, which the batch lists in set_aside.csv.
4. The batch's folder appears, whole, by one rename: that is the release.
5. Lines `exported`.

Where batches wait for approval, steps 4 and 5 are left to the run that approves them (see approval): until then they stay
`planned`, over as many nights as their messages are valid. A message that a person undid does not go out again.

Nights that were missed are therefore caught up oldest first, and only within their messages' expiry. The caller holds the
shop's ledger lock from before `lines` are read until `release` is done.
"""

import datetime as dt
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import polars as pl

from lifecycle_assets.dispatch import ledger
from lifecycle_assets.dispatch.contact import GIVEN
from lifecycle_assets.dispatch.destinations import catalogue
from lifecycle_assets.settings import Shop

NOT_RELEASED = "not released: the run ended early, the plan changed, or nobody approved it in time"

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
    """What a manifest and the ledger say besides the batch; `actor` is who releases it, `models` as trace.models tells them."""

    shop: str
    as_of: dt.date
    run: str
    at: dt.datetime
    code_version: str
    reasons: Mapping[str, int]
    actor: str = "nightly run"
    models: Mapping[str, object] = field(default_factory=dict)


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
            .when(pl.col("over_limit").is_not_null())
            .then(pl.lit("over_limit"))
        )
        concerned = (
            messages.lazy().filter(pl.col("channel") == channel).select("customer_id", "expires_at", "over_limit")
        )
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
    shop: Shop,
    now: dt.datetime | None,
    delivery: Delivery,
    append: Callable[[pl.DataFrame], None],
    approved: Collection[str] | None = None,
    waiting: Collection[str] = (),
) -> Outcome:
    """Put tonight's batches out. Nothing happens for batches that are out already; running it again changes nothing.

    `lines` is the shop's whole ledger, `append` adds lines to it; messages that have expired by `now` stay in (null: none
    is held to have expired, for a night that is looked at as if it were that day). Only the `approved` batches go out (null:
    all); those `waiting` for approval are not taken back. Raises whatever delivery and append raise: the next run goes on
    from there.
    """
    found = recovered_batches(lines, facts.shop, delivery)
    sent = ledger.sent(lines, found)
    later = ledger.later_night(sent, facts.as_of)
    if later is not None:
        batches = batches.clear()
    recovered = _settle(lines, {*waiting, *batches.get_column("batch_id")}, facts, delivery, append)
    out = sent.filter(pl.col("as_of") == facts.as_of).select("customer_id", "batch_id").unique().collect()
    messages = messages.join(ledger.undone(lines).collect(), on="idempotency_key", how="anti")
    messages = catalogue.addressed(messages, standing, shop)
    refused = withheld(messages, standing, now)
    exported = cancelled = released = 0
    for batch in batches.filter(~pl.col("batch_id").is_in(out.get_column("batch_id").unique().implode())).iter_rows(
        named=True
    ):
        own = messages.filter(pl.col("batch_id") == batch["batch_id"])
        # Another run of the same night may have served a customer since this one was planned.
        own = own.join(out, on="customer_id", how="anti")
        destination = shop.routing.channels[batch["channel"]].destination
        allowed = own.join(refused, on="customer_id", how="anti")
        unfit = catalogue.rejected(destination, allowed, now)
        kept = allowed.join(unfit, on="customer_id", how="anti")
        dropped = own.join(pl.concat([refused, unfit]), on="customer_id")
        cancelled += _announce(kept, dropped, lines, facts, append)
        if kept.is_empty() or not (approved is None or batch["batch_id"] in approved):
            continue
        counts = dict(dropped.group_by("reason").len().sort("reason").iter_rows())
        delivery.put(
            facts.shop,
            facts.as_of,
            batch["batch_id"],
            {**catalogue.files(destination, kept, shop.dispatch.destinations), **catalogue.set_aside(dropped)},
            lambda hashes, batch=batch, destination=destination, kept=kept, counts=counts: _manifest(
                batch, catalogue.described(destination), kept.height, counts, hashes, facts
            ),
        )
        append(ledger.lines_of(kept, "exported", at=facts.at, run=facts.run, actor=facts.actor))
        out = pl.concat([out, kept.select("customer_id", "batch_id")])
        exported += kept.height
        released += 1
    return Outcome(exported, cancelled, recovered, released, later)


def _settle(
    lines: pl.LazyFrame,
    to_come: Collection[str],
    facts: Facts,
    delivery: Delivery,
    append: Callable[[pl.DataFrame], None],
) -> int:
    """Ends what earlier runs left unfinished, except the batches that this run or a later one puts out."""
    recovered = 0
    for as_of, batch_id in ledger.unfinished(lines).iter_rows():
        left = ledger.pending(lines.filter(pl.col("batch_id") == batch_id)).collect()
        if delivery.found(facts.shop, as_of, batch_id):
            append(
                ledger.lines_of(
                    left,
                    "exported",
                    at=facts.at,
                    run=facts.run,
                    actor=facts.actor,
                    detail="found released after a crash",
                )
            )
            recovered += left.height
        elif left.height and batch_id not in to_come:
            append(
                ledger.lines_of(left, "cancelled", at=facts.at, run=facts.run, actor=facts.actor, detail=NOT_RELEASED)
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
    settled = ever_cancelled.join(waiting, on=of_batch, how="anti")
    taken_back = dropped.join(settled, on=of_batch, how="anti")
    # What is taken back was planned: whoever counts both sees that it may be planned anew.
    planned = pl.concat([kept, taken_back.drop("reason")]).join(waiting, on=of_batch, how="anti")
    parts = [ledger.lines_of(planned, "planned", at=facts.at, run=facts.run, actor=facts.actor)]
    parts += [
        ledger.lines_of(
            part, "cancelled", at=facts.at, run=facts.run, actor=facts.actor, detail=ledger.at_export(reason)
        )
        for (reason,), part in taken_back.group_by("reason", maintain_order=True)
    ]
    new = pl.concat(parts).sort("idempotency_key", "batch_id", "event")
    if new.height:
        append(new)
    return taken_back.height


def _manifest(
    batch: Mapping[str, object],
    destination: Mapping[str, str | int],
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
        "model_versions": dict(facts.models),
        "destination": dict(destination),
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
