"""Which messages does a sending tool take? Addresses, sizes and times that it would refuse are told beforehand."""

import datetime as dt

import polars as pl

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])$"
_E164 = r"^\+[1-9][0-9]{6,14}$"

is_e164 = pl.col("address").str.contains(_E164)
# Dot-atom addresses of RFC 5321 in ASCII, with the lengths of its section 4.5.3.1. Quoted and international local parts
# exist, but no tool here takes them.
is_email = (
    pl.col("address").str.contains(_EMAIL)
    & (pl.col("address").str.len_bytes() <= 254)
    & (pl.col("address").str.find("@", literal=True) <= 64)
)


def bytes_of(*columns: str) -> pl.Expr:
    """Bytes of the columns' text in UTF-8."""
    return pl.sum_horizontal(pl.col(column).str.len_bytes() for column in columns)


def unfit(messages: pl.DataFrame, **fits: pl.Expr) -> pl.DataFrame:
    """customer_id, reason of the messages that do not fit: the first reason of `fits` (reason -> what must hold)."""
    reason = pl.coalesce(pl.when(~fit.fill_null(value=False)).then(pl.lit(name)) for name, fit in fits.items())
    return messages.select("customer_id", reason=reason).drop_nulls("reason")


def in_window(at: dt.datetime, earliest: dt.timedelta, latest: dt.timedelta) -> pl.Expr:
    """Whether the message is to be sent between so long and so long after `at`."""
    return pl.col("send_at").is_between(pl.lit(at) + earliest, pl.lit(at) + latest)
