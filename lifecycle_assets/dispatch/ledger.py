"""What was sent, to whom, when and by which run: append-only, and the memory that no message goes out twice.

A message is planned, then the file that holds it is put in place whole, then it is exported. Every state in between is
told apart after a crash: lines planned without a file are taken back (cancelled), lines planned whose file is there are
exported, for the file's appearance is the release.
"""

import datetime as dt
from collections.abc import Collection

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, shop_key, table, text

EVENTS = ["planned", "approved", "exported", "acknowledged", "delivered", "cancelled", "compensated"]
_MESSAGE = ["idempotency_key", "batch_id"]
_AT_EXPORT = " at export"


@table("dispatch.ledger", append_only=True)
class Ledger(dy.Schema):
    """Every step of every message, never changed and never taken out: planned, exported, delivered, cancelled ..."""

    shop_id = shop_key()
    as_of = as_of_column()
    idempotency_key = key("Hash of shop, customer, programme, step and as_of: a message goes out once per key.")
    batch_id = key("The batch that carries the message.")
    event = dy.String(primary_key=True, check=lambda c: c.is_in(EVENTS), description=f"One of: {', '.join(EVENTS)}.")
    at = dy.Datetime(primary_key=True, time_zone="UTC", description="When the run began that wrote the line.")
    customer_id = text("Who gets the message.", nullable=False)
    channel = text("How.", nullable=False)
    programme = text("The programme.", nullable=False)
    step = dy.Int64(min=1, description="The programme's step.", metadata={"unit": "number"})
    offer_id = text("The offer.")
    actor = text("Who caused the event: the nightly run, a person, the sending tool.", nullable=False)
    run = text("The run that wrote the line.", nullable=False)
    detail = text("Why, where an event needs a reason: the gate that a message failed at export, for instance.")


def unfinished(lines: pl.LazyFrame) -> pl.DataFrame:
    """The batches (as_of, batch_id) that were planned and are neither exported nor cancelled: what a crash leaves."""
    return (
        lines.group_by("as_of", "batch_id")
        .agg(
            planned=(pl.col("event") == "planned").sum(),
            cancelled=(pl.col("event") == "cancelled").sum(),
            exported=(pl.col("event") == "exported").any(),
        )
        .filter((pl.col("planned") > 0) & ~pl.col("exported"))
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


def later_night(sent_lines: pl.LazyFrame, as_of: dt.date) -> dt.date | None:
    """The latest night after as_of of which a message went out; null while as_of is the shop's latest."""
    return sent_lines.filter(pl.col("as_of") > as_of).select(pl.col("as_of").max()).collect().item()


def at_export(reason: str) -> str:
    """The detail of a line that cancels a message at the last check, for the reason's code."""
    return f"{reason}{_AT_EXPORT}"


def fates(lines: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    """What became of the messages of a night: customer_id, exported, withheld; one row per customer of whom the ledger
    holds a line of that night. `withheld` is the code of the latest reason given at export (see `at_export`), or null."""
    reason = pl.col("detail").str.strip_suffix(_AT_EXPORT)
    refused = (pl.col("event") == "cancelled") & pl.col("detail").str.ends_with(_AT_EXPORT)
    return (
        lines.filter(pl.col("as_of") == as_of)
        .sort("at", "batch_id")
        .group_by("customer_id")
        .agg(exported=(pl.col("event") == "exported").any(), withheld=reason.filter(refused).last())
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


def offers_used(sent_lines: pl.LazyFrame, as_of: dt.date) -> dict[str, int]:
    """How many messages of earlier nights carried each offer."""
    counted = sent_lines.filter(pl.col("as_of") < as_of).group_by("offer_id").agg(pl.len()).sort("offer_id")
    return {offer: count for offer, count in counted.collect().iter_rows() if offer is not None}
