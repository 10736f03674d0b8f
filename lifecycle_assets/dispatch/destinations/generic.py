"""CSV and JSON lines that any sending tool can load: `messages.csv` and `messages.jsonl`, the same rows in both.

Version 1. Columns in the order of FIELDS; text in UTF-8; timestamps in ISO 8601, UTC with a Z; one line per message, in the
order of idempotency_key. In CSV a value with a comma, a quote or a line break is quoted, and a quote inside is doubled.
"""

from collections.abc import Callable, Mapping
from typing import BinaryIO

import polars as pl

NAME = "generic"
VERSION = 1
FIELDS = [
    "idempotency_key",
    "batch_id",
    "customer_id",
    "address",
    "channel",
    "programme",
    "step",
    "offer_id",
    "content_type",
    "variant",
    "discount_pct",
    "language",
    "send_at",
    "expires_at",
    "subject",
    "body_text",
    "body_html",
    "cta",
    "url",
]
SLICE = 100_000


def rejected(messages: pl.DataFrame) -> pl.DataFrame:
    """customer_id, reason of no message at all: files refuse nothing."""
    return messages.select("customer_id", reason=pl.lit(None, pl.String)).clear()


def files(messages: pl.DataFrame) -> Mapping[str, Callable[[BinaryIO], None]]:
    """File name -> a function that writes the file; rows are written slice by slice, so memory stays bounded."""
    order = messages.select("idempotency_key").with_row_index("row").sort("idempotency_key").get_column("row")

    def slices() -> list[pl.Series]:
        return [order.slice(start, SLICE) for start in range(0, len(order), SLICE)] or [order]

    def csv(target: BinaryIO) -> None:
        for number, rows in enumerate(slices()):
            _plain(messages, rows).write_csv(target, include_header=number == 0, line_terminator="\n")

    def jsonl(target: BinaryIO) -> None:
        for rows in slices():
            _plain(messages, rows).write_ndjson(target)

    return {"messages.csv": csv, "messages.jsonl": jsonl}


def _plain(messages: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("send_at", "expires_at")]
    return messages[rows].select(FIELDS).with_columns(times)
