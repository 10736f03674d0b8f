"""Which released messages are still to be carried to the shop's receiver, and what became of each batch.

The folder of a batch is its release. A shop may have it carried on, to a webhook or to an S3-compatible store
(`dispatch.delivery`). The ledger is the memory of it: its line `planned` says for which receiver a message is meant, so that
what a tool fetched from the folder is never posted as well, when a webhook is configured later. Empty where the folder is all.
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, shop_key, table, text, timestamp
from lifecycle_assets.dispatch.carrying import Tally

_OPEN_DAYS = 3  # a message goes out within two days of its night, wherever the customer lives


@table("dispatch.deliveries", history=True)
class Deliveries(dy.Schema):
    """What became of the batches meant for the shop's receiver: tonight's, and earlier ones that waited for it."""

    shop_id = shop_key()
    as_of = as_of_column()
    batch_id = key("The batch.")
    destination = text("The receiver.", nullable=False, values=["webhook", "s3"])
    requests = count("Parcels that the runs of this night tried to hand over.", "requests")
    messages = count("Messages that were released in the batch.", "messages", minimum=1)
    acknowledged = count("Those that the receiver took.", "messages")
    refused = count("Those that the receiver named as refused.", "messages")
    dropped = count(
        "Those not taken that must not go out any more: expired, or withdrawn since the release.", "messages"
    )
    waiting = count("Those that the next run tries again.", "messages")
    attempts = count("Tries of the parcels, repeated ones included.", "tries")
    last_status = dy.Int64(
        nullable=True, description="HTTP status of the last parcel's last try; null where no answer came."
    )
    last_error = text("Why the latest of the parcels that wait was not taken; null where none waits.")
    first_acknowledged_at = timestamp("When the receiver took the first of its messages.", nullable=True)
    last_acknowledged_at = timestamp("When it took the latest.", nullable=True)


def addressed(lines: pl.DataFrame, destination: str | None) -> pl.DataFrame:
    """New lines of the ledger, with the receiver that their messages are meant for, where there is one."""
    if destination is None:
        return lines
    planned = pl.col("event") == "planned"
    return lines.with_columns(detail=pl.when(planned).then(pl.lit(_meant(destination))).otherwise("detail"))


def due(lines: pl.LazyFrame, destination: str) -> pl.DataFrame:
    """as_of, batch_id, idempotency_key of the messages of the ledger's `lines` that were released for the receiver and
    neither taken, nor refused, nor withdrawn; sorted."""
    event = pl.col("event")
    # A message may be planned again after its plan was taken back; once it is out, one more line takes it back for good.
    taken_back = (event == "cancelled").sum() >= (event == "planned").sum()
    return (
        lines.group_by("as_of", "batch_id", "idempotency_key")
        .agg(
            meant=_is_meant(destination).any(),
            exported=(event == "exported").any(),
            settled=event.is_in(["acknowledged", "delivered", "compensated"]).any() | taken_back,
        )
        .filter("meant", "exported", ~pl.col("settled"))
        .select("as_of", "batch_id", "idempotency_key")
        .sort("as_of", "batch_id", "idempotency_key")
        .collect()
    )


def still_due(messages: pl.DataFrame, lines: pl.LazyFrame, destination: str) -> pl.DataFrame:
    """Those of `messages` that are due by the ledger's `lines`, in the same order."""
    own = lines.join(messages.lazy(), on=["batch_id", "idempotency_key"], how="semi")
    return messages.join(due(own, destination), on=["batch_id", "idempotency_key"], how="semi", maintain_order="left")


def to_cancel(lines: pl.LazyFrame, batch_id: str, destination: str) -> pl.DataFrame:
    """as_of, idempotency_key of the messages of a batch that were released for the receiver and undone since; sorted. It may
    have got any of them: a run that died does not know what it sent last."""
    own = lines.filter(pl.col("batch_id") == batch_id)
    return (
        own.filter(_is_meant(destination))
        .join(own.filter(pl.col("event") == "compensated"), on="idempotency_key", how="semi")
        .select("as_of", "idempotency_key")
        .unique()
        .sort("idempotency_key")
        .collect()
    )


def oldest_night(now: dt.datetime, expiry_hours: int) -> dt.date:
    """The first night of which a message may not have expired by `now`."""
    return (now - dt.timedelta(days=_OPEN_DAYS, hours=expiry_hours)).date()


def deliveries(
    lines: pl.LazyFrame, tallies: list[Tally], before: pl.DataFrame, *, shop_id: str, as_of: dt.date, destination: str
) -> pl.DataFrame:
    """One row of `Deliveries` per batch released tonight for the receiver, and per earlier one that a run of tonight had to
    carry; sorted by batch_id.

    `lines` is the ledger with what the runs wrote, `tallies` is what this one did, `before` the table that earlier runs of
    the night left.
    """
    texts = {"batch_id": pl.String, "last_error": pl.String}
    done = pl.DataFrame(
        [vars(tally) for tally in tallies], {name: texts.get(name, pl.Int64) for name in vars(Tally(""))}
    )
    earlier = before.filter(destination=destination).select(done.columns).with_columns(waiting=0)
    both = pl.concat([earlier, done], how="vertical_relaxed")
    runs = both.group_by("batch_id", maintain_order=True).agg(
        pl.col("requests", "attempts", "waiting").sum(),
        pl.col("last_status").filter(pl.col("requests") > 0).last(),
        pl.col("last_error").last(),
    )
    event, message, at = pl.col("event"), pl.col("idempotency_key"), pl.col("at")
    batches = (
        lines.group_by("batch_id")
        .agg(
            tonight=(_is_meant(destination) & (pl.col("as_of") == as_of)).any(),
            messages=message.filter(event == "exported").n_unique().cast(pl.Int64),
            acknowledged=message.filter(event == "acknowledged").n_unique().cast(pl.Int64),
            refused=message.filter((event == "cancelled") & (pl.col("actor") == destination)).n_unique().cast(pl.Int64),
            first_acknowledged_at=at.filter(event == "acknowledged").min(),
            last_acknowledged_at=at.filter(event == "acknowledged").max(),
        )
        .filter(pl.col("messages") > 0)
    )
    counts = ["requests", "attempts", "waiting"]
    return (
        batches.join(runs.lazy().with_columns(ran=True), on="batch_id", how="left")
        .filter(pl.col("tonight") | pl.col("ran"))
        .with_columns(pl.col(counts).fill_null(0))
        .with_columns(
            shop_id=pl.lit(shop_id),
            as_of=pl.lit(as_of),
            destination=pl.lit(destination),
            dropped=pl.col("messages") - pl.col("acknowledged") - pl.col("refused") - pl.col("waiting"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in Deliveries.polars_schema.items())
        .sort("batch_id")
        .collect()
    )


def left_waiting(delivered: pl.DataFrame) -> str:
    """What to say of the messages that could not be delivered; empty where none waits."""
    left = delivered.filter(pl.col("waiting") > 0)
    if left.is_empty():
        return ""
    (destination,), errors = left["destination"].unique(), left["last_error"].unique().sort()
    return (
        f"{left['waiting'].sum()} of {delivered['messages'].sum()} messages in {left.height} batch(es) still wait for the "
        f"{destination}, which did not take them ({'; '.join(errors)}). They lie in the folder; the next "
        "run carries those that have not expired by then. See dispatch.deliveries."
    )


def _meant(destination: str) -> str:
    return f"for {destination}"


def _is_meant(destination: str) -> pl.Expr:
    return (pl.col("event") == "planned") & (pl.col("detail") == _meant(destination))
