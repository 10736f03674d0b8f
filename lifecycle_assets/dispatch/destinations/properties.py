"""What a sending tool's own template may use of a message: its texts, and what it is about."""

import polars as pl

from lifecycle_assets.dispatch.destinations.bodies import record, stamp

_TEXTS = ("customer_id", "batch_id", "programme", "offer_id", "content_type", "language", "subject", "cta", "url")


def properties(prefix: str = "") -> pl.Expr:
    """A structure of every message's properties, each named with the prefix. All are there for every message, an empty
    text where there is nothing to say: a tool that keeps them would else show those of the message before."""
    fields = {
        "message_id": pl.col("idempotency_key"),
        **{name: pl.col(name) for name in _TEXTS},
        "step": pl.col("step"),
        "variant": pl.col("variant").fill_null(""),
        "discount_pct": pl.col("discount_pct").fill_null(0.0),
        "send_at": stamp("send_at"),
        "expires_at": stamp("expires_at"),
        "text": pl.col("body_text"),
        "html": pl.col("body_html"),
    }
    return record({f"{prefix}{name}": value for name, value in fields.items()})
