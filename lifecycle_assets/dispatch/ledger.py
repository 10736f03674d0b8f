"""What was sent, to whom, when and by which run: append-only, and the memory that no message goes out twice.

A message is planned, then the file that holds it is put in place whole, then it is exported. Every state in between is
told apart after a crash: lines planned without a file are taken back (cancelled), lines planned whose file is there are
exported, for the file's appearance is the release.

A batch that was undone before its release has lines `cancelled` that say UNDONE, one that was undone afterwards has lines
`compensated`. These lines are all that keeps its messages from going out again and its customers from the programme: see
`undone` and pressure.taken_back.
"""

import datetime as dt
from collections.abc import Collection

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, shop_key, table, text
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings.base import nearest

EVENTS = ["planned", "approved", "exported", "acknowledged", "delivered", "cancelled", "compensated"]
_MESSAGE = ["idempotency_key", "batch_id"]
_AT_EXPORT = " at export"
UNDONE = "undone"


@table("dispatch.ledger", append_only=True)
class Ledger(dy.Schema):
    """Every step of every message, never changed: planned, exported ... Only retention and erasure take lines out."""

    shop_id = shop_key()
    as_of = as_of_column()
    idempotency_key = key("Hash of shop, customer, programme, step and as_of: a message goes out once per key.")
    batch_id = key("The batch that carries the message.")
    event = dy.String(primary_key=True, check=lambda c: c.is_in(EVENTS), description=f"One of: {', '.join(EVENTS)}.")
    at = dy.Datetime(
        primary_key=True,
        time_zone="UTC",
        description="When the run began that wrote the line; of an answer of the receiver, when it came.",
    )
    customer_id = text("Who gets the message.", nullable=False)
    channel = text("How.", nullable=False)
    programme = text("The programme.", nullable=False)
    step = dy.Int64(min=1, description="The programme's step.", metadata={"unit": "number"})
    offer_id = text("The offer.")
    actor = text("Who caused the event: the nightly run, a person, the sending tool.", nullable=False)
    run = text("The run that wrote the line.", nullable=False)
    detail = text("Why, where an event needs a reason: the gate that a message failed at export, for instance.")


def unfinished(lines: pl.LazyFrame) -> pl.DataFrame:
    """The batches (as_of, batch_id) with messages that were planned, none exported, not all taken back: what a crash leaves."""
    return (
        lines.group_by("as_of", "batch_id")
        .agg(
            planned=(pl.col("event") == "planned").sum(),
            cancelled=(pl.col("event") == "cancelled").sum(),
            exported=(pl.col("event") == "exported").any(),
        )
        .filter((pl.col("planned") > pl.col("cancelled")) & ~pl.col("exported"))
        .select("as_of", "batch_id")
        .sort("as_of", "batch_id")
        .collect()
    )


def pending(lines: pl.LazyFrame) -> pl.LazyFrame:
    """The planned lines that are neither exported nor taken back since."""
    counts = lines.group_by(_MESSAGE).agg(
        open_plans=(pl.col("event") == "planned").sum().cast(pl.Int64)
        - (pl.col("event") == "cancelled").sum().cast(pl.Int64),
        exported=(pl.col("event") == "exported").any(),
    )
    waiting = counts.filter((pl.col("open_plans") > 0) & ~pl.col("exported"))
    planned = lines.filter(pl.col("event") == "planned").unique(_MESSAGE, keep="any")
    return planned.join(waiting.select(_MESSAGE), on=_MESSAGE, how="semi")


def sent(lines: pl.LazyFrame, found: Collection[str]) -> pl.LazyFrame:
    """One line per message that went out: the exported ones, and those planned in a batch whose file is there (`found`,
    of the unfinished batches) although the run ended before it could write so."""
    exported = lines.filter(pl.col("event") == "exported")
    if not found:
        return exported
    return pl.concat([exported, pending(lines.filter(pl.col("batch_id").is_in(list(found))))])


def undone(lines: pl.LazyFrame) -> pl.LazyFrame:
    """One line per message that a person took back: `compensated` after it went out, `cancelled` before."""
    before_release = (pl.col("event") == "cancelled") & (pl.col("detail") == UNDONE)
    taken_back = lines.filter((pl.col("event") == "compensated") | before_release)
    return taken_back.unique("idempotency_key", keep="any")


def heard(lines: pl.LazyFrame, found: Collection[str], *, approval: bool) -> pl.LazyFrame:
    """One line per message that counts as one the customer got: those that went out (see `sent`) and were not undone, and,
    where batches wait for `approval`, those that may still go out."""
    out = sent(lines, found)
    if approval:
        out = pl.concat([out, pending(lines)]).unique("idempotency_key", keep="first")
    return out.join(undone(lines), on="idempotency_key", how="anti")


def night_of(lines: pl.LazyFrame, batch_id: str) -> dt.date:
    """The night that planned the batch; raises DispatchError where the ledger knows no such batch."""
    nights = lines.filter(pl.col("batch_id") == batch_id).select("as_of").head(1).collect()
    if nights.is_empty():
        known = lines.select(pl.col("batch_id").unique().sort()).collect().get_column("batch_id")
        raise DispatchError(f"no batch '{batch_id}' in the ledger{nearest(batch_id, known)}")
    night: dt.date = nights.item()
    return night


def approved(lines: pl.LazyFrame) -> pl.DataFrame:
    """The batches (as_of, batch_id) that were approved, with messages that are neither exported nor taken back since."""
    given = lines.filter(pl.col("event") == "approved")
    return (
        pending(lines)
        .join(given, on=_MESSAGE, how="semi")
        .select("as_of", "batch_id")
        .unique()
        .sort(pl.all())
        .collect()
    )


def later_night(sent_lines: pl.LazyFrame, as_of: dt.date) -> dt.date | None:
    """The latest night after as_of of which a message went out; null while as_of is the shop's latest."""
    return sent_lines.filter(pl.col("as_of") > as_of).select(pl.col("as_of").max()).collect().item()


def at_export(reason: str) -> str:
    """The detail of a line that cancels a message at the last check, for the reason's code."""
    return f"{reason}{_AT_EXPORT}"


def fates(lines: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    """What became of the messages of a night: customer_id, exported (and not undone), withheld; one row per customer of whom
    the ledger holds a line of that night. `withheld` is the code of the latest reason given at export (see `at_export`), or
    null."""
    reason = pl.col("detail").str.strip_suffix(_AT_EXPORT)
    refused = (pl.col("event") == "cancelled") & pl.col("detail").str.ends_with(_AT_EXPORT)
    return (
        lines.filter(pl.col("as_of") == as_of)
        .sort("at", "batch_id")
        .group_by("customer_id")
        .agg(
            exported=(pl.col("event") == "exported").any() & ~(pl.col("event") == "compensated").any(),
            withheld=reason.filter(refused).last(),
        )
    )


def lines_of(
    messages: pl.DataFrame,
    event: str,
    *,
    at: dt.datetime,
    run: str,
    actor: str = "nightly run",
    detail: str | None = None,
) -> pl.DataFrame:
    """Ledger lines that say `event` of each message (or earlier line) in `messages`, sorted by key."""
    return (
        messages.with_columns(
            event=pl.lit(event),
            at=pl.lit(at).dt.convert_time_zone("UTC").dt.cast_time_unit("us"),
            actor=pl.lit(actor),
            run=pl.lit(run),
            detail=pl.lit(detail, dtype=pl.String),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in Ledger.polars_schema.items())
        .sort(Ledger.primary_key)
    )


def offers_used(sent_lines: pl.LazyFrame, totals: pl.LazyFrame, as_of: dt.date) -> dict[str, int]:
    """How many messages of earlier nights carried each offer: those of `sent_lines` and, of batches whose lines have gone,
    those of `totals` (dispatch.ledger_totals)."""
    gone = totals.filter(pl.col("as_of") < as_of)
    told = sent_lines.filter(pl.col("as_of") < as_of).join(gone, on="batch_id", how="anti")
    counted = pl.concat(
        [
            told.select("offer_id", messages=pl.lit(1, dtype=pl.Int64)),
            gone.filter(pl.col("offer_id") != "").select(
                "offer_id", messages=pl.col("exported") - pl.col("compensated")
            ),
        ]
    )
    used = counted.group_by("offer_id").agg(pl.col("messages").sum()).sort("offer_id").collect()
    return {offer: count for offer, count in used.iter_rows() if offer is not None}
