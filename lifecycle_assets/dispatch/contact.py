"""Whom the shop may reach, and how: erasure, suppression, consent and address, per customer and channel.

The same answer is asked for twice: when the night is planned, from what was known at the end of `as_of`, and again when a
batch is exported, from everything that is known by then.

Consent: the latest event per customer and channel counts (of two at the same moment, the withdrawal); an unsubscribe of a
message is such an event. Without one the flag of the customer table counts. What is not stated is not given, unless the
configuration assumes it for the channel; a refusal is never assumed away.
"""

import datetime as dt
import zoneinfo
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.hashing import sha256
from lifecycle_assets.settings import ChannelName, Routing

FLAGS = {name: f"consent_{name}" for name in ("email", "sms", "whatsapp", "push", "ads")}
GIVEN = ("event", "flag", "assumed")


@dataclass(frozen=True)
class Contacts:
    """The raw tables that say who may be reached."""

    customers: pl.LazyFrame
    consents: pl.LazyFrame
    suppressions: pl.LazyFrame
    erasure_requests: pl.LazyFrame
    engagement: pl.LazyFrame


def end_of(day: dt.date, timezone: str) -> dt.datetime:
    """The first moment after the day in the zone, in UTC."""
    zone = zoneinfo.ZoneInfo(timezone)
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zone)
    return midnight.astimezone(dt.UTC)


def standing(
    customers: pl.LazyFrame,
    contacts: Contacts,
    routing: Routing,
    channels: Collection[ChannelName],
    until: dt.datetime | None,
) -> pl.LazyFrame:
    """One row per customer of `customers` (column customer_id): `erased`, and for every channel `suppressed_<channel>`,
    `consent_<channel>` (event, flag or assumed when given; withdrawn or not_stated when not) and `address_<channel>`.

    Only what happened before `until` counts; None takes everything known.
    """
    people = customers.select("customer_id").join(
        contacts.customers.select("customer_id", "email", "phone", **{f"flag_{c}": f for c, f in FLAGS.items()}),
        on="customer_id",
        how="left",
    )
    erased = _before(contacts.erasure_requests, "requested_at", until)
    people = _marked(people, erased, "erased")
    stop = _suppressed(contacts, until)
    events = _events(contacts, channels, until)
    for channel in channels:
        people = _marked(people, stop.filter(pl.col("channel").is_in([channel, "all"])), f"suppressed_{channel}")
        latest = events.filter(pl.col("channel") == channel).select("customer_id", latest="granted")
        flag = pl.col(f"flag_{channel}") if channel in FLAGS else pl.lit(None, dtype=pl.Boolean)
        given = pl.col("latest").fill_null(flag)
        not_stated = "assumed" if channel in routing.assume_consent else "not_stated"
        basis = (
            pl.when(given.is_null())
            .then(pl.lit(not_stated))
            .when(~given)
            .then(pl.lit("withdrawn"))
            .when(pl.col("latest").is_null())
            .then(pl.lit("flag"))
            .otherwise(pl.lit("event"))
        )
        address = pl.col(routing.channels[channel].addressed_by).str.strip_chars()
        people = (
            people.join(latest, on="customer_id", how="left")
            .with_columns(
                basis.alias(f"consent_{channel}"),
                pl.when(address != "").then(address).alias(f"address_{channel}"),
            )
            .drop("latest")
        )
    return people.drop("email", "phone", *(f"flag_{channel}" for channel in FLAGS))


def _before(frame: pl.LazyFrame, column: str, until: dt.datetime | None) -> pl.LazyFrame:
    return frame if until is None else frame.filter(pl.col(column).is_null() | (pl.col(column) < until))


def _marked(people: pl.LazyFrame, some: pl.LazyFrame, name: str) -> pl.LazyFrame:
    marks = some.select("customer_id").unique().with_columns(pl.lit(value=True).alias(name))
    return people.join(marks, on="customer_id", how="left").with_columns(pl.col(name).fill_null(value=False))


def _suppressed(contacts: Contacts, until: dt.datetime | None) -> pl.LazyFrame:
    """customer_id, channel of every suppression, those by hashed address resolved to the customers who have it."""
    stop = _before(contacts.suppressions, "since", until).select("customer_id", "email_sha256", "channel").collect()
    by_customer = stop.filter(pl.col("customer_id").is_not_null()).select("customer_id", "channel")
    hashed = stop.filter(pl.col("email_sha256").is_not_null()).select(
        pl.col("email_sha256").str.strip_chars().str.to_lowercase().alias("digest"), "channel"
    )
    if hashed.is_empty():
        return by_customer.lazy()
    emails = contacts.customers.select("customer_id", "email").filter(pl.col("email").is_not_null()).collect()
    digest = sha256(emails.get_column("email").str.strip_chars().str.to_lowercase()).alias("digest")
    by_address = emails.select("customer_id", digest).join(hashed, on="digest").select("customer_id", "channel")
    return pl.concat([by_customer, by_address]).lazy()


def _events(contacts: Contacts, channels: Collection[str], until: dt.datetime | None) -> pl.LazyFrame:
    """The latest consent event per customer and channel: customer_id, channel, granted."""
    unsubscribed = contacts.engagement.filter(pl.col("unsubscribed_at").is_not_null()).select(
        "customer_id", "channel", granted=pl.lit(value=False), occurred_at=pl.col("unsubscribed_at")
    )
    events = pl.concat([contacts.consents.select("customer_id", "channel", "granted", "occurred_at"), unsubscribed])
    return (
        _before(events, "occurred_at", until)
        .filter(pl.col("channel").is_in(list(channels)))
        .sort("occurred_at", "granted", descending=[False, True])
        .unique(["customer_id", "channel"], keep="last", maintain_order=True)
    )
