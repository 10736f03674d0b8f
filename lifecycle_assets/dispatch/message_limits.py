"""What a channel can carry: parts of a text message, characters of a title and a text, values of an approved template."""

import polars as pl

from lifecycle_assets.dispatch import sms
from lifecycle_assets.dispatch.rendering import SMS, Rendered
from lifecycle_assets.settings import Channel


def measured(written: pl.DataFrame, channel_name: str, channel: Channel, rendered: Rendered) -> pl.DataFrame:
    """Adds `encoding` and `parts` (text messages; null for others), and `over_limit`: the first limit that a message
    breaks, in words, or null. `written` are messages of one group, on the channel, with their texts."""
    if channel_name == SMS:
        written = written.hstack(sms.encoding_and_parts(written.get_column("body_text")))
    else:
        written = written.with_columns(encoding=pl.lit(None, pl.String), parts=pl.lit(None, pl.Int64))
    empty = [number for number, value in enumerate(rendered.parameters, 1) if not value]
    if empty:
        return written.with_columns(over_limit=pl.lit(f"parameter {empty[0]} is empty"))
    limits = [
        _over(pl.col("parts"), channel.max_parts, "parts"),
        _over(pl.col("subject").str.len_chars(), channel.max_subject, "characters of title"),
        _over(pl.col("body_text").str.len_chars(), channel.max_body, "characters of text"),
    ]
    return written.with_columns(over_limit=pl.coalesce(limits))


def _over(length: pl.Expr, limit: int | None, of: str) -> pl.Expr:
    if limit is None:
        return pl.lit(None, pl.String)
    return pl.when(length > limit).then(pl.format(f"{{}} {of}, at most {limit}", length))
