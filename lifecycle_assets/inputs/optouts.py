"""Opt-outs whose particulars cannot be read count all the same, in the reading that contacts the fewest people.

A row that says "do not contact" is not set aside for a bad field, since that would let the person be contacted again:

- suppressions: a plain address in email_sha256 is hashed; a channel that is none of ours becomes `all`; a `since` that
  cannot be read, lies in the future or before 1990 becomes null, which means ever since.
- erasure_requests: such a `requested_at` becomes null; the request stands.
- consents: a withdrawal without a readable moment, or with one in the future or before 1990, counts as of the last moment
  of `as_of`, as the latest event that the night looks at. A consent *given* at such a moment stays what it is: set aside.
"""

import datetime as dt
import zoneinfo
from collections.abc import Mapping

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.hashing import sha256
from lifecycle_assets.inputs.contracts import CHANNELS, EARLIEST, Consents, ErasureRequests, Suppressions

MOMENTS = {Suppressions: "since", ErasureRequests: "requested_at", Consents: "occurred_at"}
"""When the opt-out was made, by table."""

FUTURE_DAYS = 1


def cautious(
    contract: Contract,
    typed: pl.DataFrame,
    unreadable: Mapping[str, pl.Series],
    as_of: dt.date,
    today: dt.date,
    zone: str,
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """The rows with every doubtful particular of an opt-out replaced, and per column which rows that concerns.

    `unreadable` marks, by column, the values that stood there and could not be read. Tables without opt-outs come back as
    they are, with no column named.
    """
    if contract not in MOMENTS:
        return typed, {}
    name = MOMENTS[contract]
    at = pl.col(name)
    stated = pl.lit(unreadable[name]) if name in unreadable else pl.lit(value=False)
    doubtful = stated | (at < EARLIEST) | is_future(name, today, zone)
    instead = pl.lit(None, dtype=typed.schema[name])
    if contract is Consents:
        doubtful = (at.is_null() | doubtful) & ~pl.col("granted")
        instead = pl.lit(_last_moment(as_of, zone), dtype=typed.schema[name])
    replaced = {name: (doubtful, instead)}
    if contract is Suppressions:
        replaced["channel"] = (~pl.col("channel").is_in([*CHANNELS, "all"]), pl.lit("all"))
    where = typed.select(met.fill_null(value=False).alias(column) for column, (met, _) in replaced.items())
    if contract is Suppressions:
        typed = typed.with_columns(_hashed(typed.get_column("email_sha256")))
    return (
        typed.with_columns(
            pl.when(pl.lit(where[column])).then(value).otherwise(column).alias(column)
            for column, (_, value) in replaced.items()
        ),
        where.to_dict(),
    )


def _hashed(emails: pl.Series) -> pl.Series:
    """The column with every plain address replaced by the SHA-256 of its trimmed, lower-cased form."""
    tidy = emails.str.strip_chars().str.to_lowercase()
    return pl.select(pl.when(tidy.str.contains("@")).then(sha256(tidy)).otherwise(tidy)).to_series().alias(emails.name)


def is_future(column: str, today: dt.date, zone: str) -> pl.Expr:
    """Whether a moment lies later than tomorrow, local time. Tomorrow is allowed: somewhere it is tomorrow already."""
    day = pl.col(column).dt.convert_time_zone(zone).dt.date()
    return (day > today + dt.timedelta(days=FUTURE_DAYS)).fill_null(value=False)


def _last_moment(day: dt.date, zone: str) -> dt.datetime:
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zoneinfo.ZoneInfo(zone))
    return midnight.astimezone(dt.UTC) - dt.timedelta(microseconds=1)
