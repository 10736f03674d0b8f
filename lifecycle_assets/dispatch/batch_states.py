"""In what state is each batch that the ledger knows?"""

import datetime as dt
from collections.abc import Collection

import polars as pl

from lifecycle_assets.dispatch import ledger


def batch_states(
    lines: pl.LazyFrame, found: Collection[str], expiries: pl.DataFrame, now: dt.datetime | None
) -> pl.DataFrame:
    """One row per batch, the latest night first: as_of, batch_id, channel, programme, messages, state, expires_at.

    `lines` are the shop's ledger, `found` batches that are out although the ledger does not say so, `expiries` (batch_id,
    expires_at) those of dispatch.batches of all nights. Without a `now` none has expired since.
    The states: planned (waits, or its run died), approved (the same, with a person's yes), exported (put out), acknowledged
    (taken by the sending tool), undone (taken back by a person), expired (not released in time), cancelled (not released for
    another reason).
    """

    def any_of(event: str) -> pl.Expr:
        return (pl.col("event") == event).any()

    batches = lines.group_by("as_of", "batch_id", "channel", "programme").agg(
        messages=pl.col("idempotency_key").n_unique(),
        is_undone=any_of("compensated") | (pl.col("detail") == ledger.UNDONE).any(),
        is_acknowledged=any_of("acknowledged"),
        is_exported=any_of("exported"),
        is_approved=any_of("approved"),
        had_expired=(pl.col("detail") == ledger.at_export("expired")).any(),
    )
    expires = pl.lit(value=False) if now is None else pl.col("expires_at") <= now
    waiting = ledger.pending(lines).select("batch_id", waits=pl.lit(value=True)).unique()
    has_expired = pl.when(pl.col("waits").is_null()).then("had_expired").otherwise(expires)
    state = (
        pl.when("is_undone").then(pl.lit("undone"))
        .when("is_acknowledged").then(pl.lit("acknowledged"))
        .when(pl.col("is_exported") | pl.col("batch_id").is_in(list(found))).then(pl.lit("exported"))
        .when(has_expired).then(pl.lit("expired"))
        .when(pl.col("waits").is_null()).then(pl.lit("cancelled"))
        .when("is_approved").then(pl.lit("approved"))
        .otherwise(pl.lit("planned"))
    )  # fmt: skip
    return (
        batches.join(waiting, on="batch_id", how="left")
        .join(expiries.lazy(), on="batch_id", how="left")
        .select("as_of", "batch_id", "channel", "programme", "messages", state.alias("state"), "expires_at")
        .sort("as_of", "batch_id", descending=[True, False])
        .collect()
    )
