"""The batches of a night: messages of one channel and one programme that go out together, under the hash of their content.

A batch that went out already keeps its row, whatever a repeated run of the night is told.
"""

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, money, shop_key, table, text, timestamp


@table("dispatch.batches", history=True)
class Batches(dy.Schema):
    """What goes out tonight: one batch per channel and programme."""

    shop_id = shop_key()
    as_of = as_of_column()
    batch_id = key("Hash of the batch's content.")
    channel = text("How.", nullable=False)
    programme = text("The programme.", nullable=False)
    messages = count("Messages planned in the batch.", "messages", minimum=1)
    first_send_at = timestamp("Earliest message.")
    last_send_at = timestamp("Latest message.")
    expires_at = timestamp("No message of the batch may be sent later than this.")
    expected_value = money("Sum of the messages' expected values, from prior response rates.")
    policy_version = text("The policy that decided it.", nullable=False)
    previous_batch_id = text("The batch before it of the same channel and programme.")
    assumptions = text("What was assumed rather than known; empty where nothing was.", nullable=False)


def batches(
    messages: pl.LazyFrame,
    previous: pl.LazyFrame,
    *,
    assumptions: dict[str, str],
    released: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row of `Batches` per batch_id of `messages`, sorted by it.

    `previous` are the ledger's sent lines of earlier nights; `assumptions` holds a sentence per channel; `released` are
    tonight's batches that went out already.
    """
    before = previous.group_by("channel", "programme").agg(
        previous_batch_id=pl.col("batch_id").sort_by("as_of", "batch_id").last()
    )
    gone = Batches.empty() if released is None else released
    fresh = (
        messages.group_by("shop_id", "as_of", "batch_id", "channel", "programme")
        .agg(
            messages=pl.len(),
            first_send_at=pl.col("send_at").min(),
            last_send_at=pl.col("send_at").max(),
            expires_at=pl.col("expires_at").max(),
            expected_value=pl.col("expected_value").sum(),
            policy_version=pl.col("policy_version").first(),
        )
        .join(before, on=["channel", "programme"], how="left")
        .with_columns(
            assumptions=pl.col("channel").replace_strict(assumptions, default="", return_dtype=pl.String)
            if assumptions
            else pl.lit("")
        )
        .join(gone.lazy(), on="batch_id", how="anti")
        .select(pl.col(name).cast(dtype) for name, dtype in Batches.polars_schema.items())
        .collect()
    )
    return pl.concat([fresh, gone.select(fresh.columns)]).sort("batch_id")


def assumptions(assume_consent: tuple[str, ...]) -> dict[str, str]:
    """Channel -> what the configuration assumes about it, in words."""
    return {
        channel: f"consent for {channel} is assumed by the configuration where a customer has not stated it"
        for channel in assume_consent
    }
