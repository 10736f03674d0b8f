"""Whom the shop may reach, and how: erasure, suppression, consent and address, per customer and channel.

The same answer is asked for twice: when the night is planned, from what was known at the end of `as_of`, and again when a
batch is exported, from everything that is known by then.

Consent: the latest event per customer and channel counts (of two at the same moment, the withdrawal); an unsubscribe of a
message is such an event. Without one the flag of the customer table counts. What is not stated is not given, unless the
configuration assumes it for the channel; a refusal is never assumed away.

Where a customer has several accounts (features.identity_map), the refusal of one stops them all: an erasure, a suppression,
the flag of an account that has no later event of its own. Of the events the latest over all accounts counts.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.dispatch.people import PUSH_TOKEN
from lifecycle_assets.dispatch.people import people as people_of
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.hashing import sha256
from lifecycle_assets.settings import ChannelName, Routing

FLAGS = {name: f"consent_{name}" for name in ("email", "sms", "whatsapp", "push", "ads")}
GIVEN = ("event", "flag", "assumed")


@dataclass(frozen=True)
class Contacts:
    """The raw tables that say who may be reached, and whose the accounts are that they name."""

    customers: pl.LazyFrame
    consents: pl.LazyFrame
    suppressions: pl.LazyFrame
    erasure_requests: pl.LazyFrame
    engagement: pl.LazyFrame
    identities: pl.LazyFrame
    identity_map: pl.LazyFrame


def standing(
    customers: pl.LazyFrame,
    contacts: Contacts,
    routing: Routing,
    channels: Collection[ChannelName],
    until: dt.datetime | None,
) -> pl.LazyFrame:
    """One row per customer of `customers` (column customer_id): `erased`, and for every channel `suppressed_<channel>`,
    `consent_<channel>` (event, flag or assumed when given; withdrawn or not_stated when not) and `address_<channel>`;
    and `dialling_country`, in which their telephone numbers are read.

    Only what happened before `until` counts; None takes everything known.
    """
    addresses = people_of(contacts.customers, contacts.identity_map).select(
        "customer_id", "email", "phone", PUSH_TOKEN, dialling_country="country"
    )
    people = customers.select("customer_id").join(addresses, on="customer_id", how="left")
    erased = resolved(_before(contacts.erasure_requests, "requested_at", until), contacts.identity_map)
    people = _marked(people, erased, "erased")
    stop = resolved(_suppressed(contacts, until), contacts.identity_map)
    events = _events(contacts, channels, until)
    for channel in channels:
        people = _marked(people, stop.filter(pl.col("channel").is_in([channel, "all"])), f"suppressed_{channel}")
        said = events.filter(pl.col("channel") == channel)
        people = people.join(_latest(said, contacts), on="customer_id", how="left")
        people = people.join(_flags(channel, said, contacts), on="customer_id", how="left")
        latest, flag = pl.col("latest"), pl.col("flag")
        not_stated = "assumed" if channel in routing.assume_consent else "not_stated"
        basis = (
            pl.when(~latest.fill_null(value=True) | ~flag.fill_null(value=True))
            .then(pl.lit("withdrawn"))
            .when(latest)
            .then(pl.lit("event"))
            .when(flag)
            .then(pl.lit("flag"))
            .otherwise(pl.lit(not_stated))
        )
        address = pl.col(routing.channels[channel].addressed_by).str.strip_chars()
        people = people.with_columns(
            basis.alias(f"consent_{channel}"),
            pl.when(address != "").then(address).alias(f"address_{channel}"),
        ).drop("latest", "flag")
    return people.drop("email", "phone", "push_token")


def _before(frame: pl.LazyFrame, column: str, until: dt.datetime | None) -> pl.LazyFrame:
    return frame if until is None else frame.filter(pl.col(column).is_null() | (pl.col(column) < until))


def _marked(people: pl.LazyFrame, some: pl.LazyFrame, name: str) -> pl.LazyFrame:
    marks = some.select("customer_id").unique().with_columns(pl.lit(value=True).alias(name))
    return people.join(marks, on="customer_id", how="left").with_columns(pl.col(name).fill_null(value=False))


def _suppressed(contacts: Contacts, until: dt.datetime | None) -> pl.LazyFrame:
    """customer_id, channel of every suppression; a hashed address is resolved to all customers who have it, in
    raw.customers or in raw.identities."""
    stop = _before(contacts.suppressions, "since", until).select("customer_id", "email_sha256", "channel").collect()
    by_customer = stop.filter(pl.col("customer_id").is_not_null()).select("customer_id", "channel")
    hashed = stop.filter(pl.col("email_sha256").is_not_null()).select(
        pl.col("email_sha256").str.strip_chars().str.to_lowercase().alias("digest"), "channel"
    )
    if hashed.is_empty():
        return by_customer.lazy()
    tables = (contacts.customers, contacts.identities)
    emails = pl.concat([frame.select("customer_id", "email").drop_nulls("email") for frame in tables]).collect()
    digest = sha256(emails.get_column("email").str.strip_chars().str.to_lowercase()).alias("digest")
    by_address = emails.select("customer_id", digest).join(hashed, on="digest").select("customer_id", "channel")
    return pl.concat([by_customer, by_address]).lazy()


def _events(contacts: Contacts, channels: Collection[str], until: dt.datetime | None) -> pl.LazyFrame:
    """The consent events of every account: customer_id (of the account), channel, granted, occurred_at."""
    unsubscribed = contacts.engagement.filter(pl.col("unsubscribed_at").is_not_null()).select(
        "customer_id", "channel", granted=pl.lit(value=False), occurred_at=pl.col("unsubscribed_at")
    )
    events = pl.concat([contacts.consents.select("customer_id", "channel", "granted", "occurred_at"), unsubscribed])
    return _before(events, "occurred_at", until).filter(pl.col("channel").is_in(list(channels)))


def _latest(said: pl.LazyFrame, contacts: Contacts) -> pl.LazyFrame:
    """customer_id, latest: what the latest event of any of the customer's accounts says."""
    return (
        resolved(said, contacts.identity_map)
        .sort("occurred_at", "granted", descending=[False, True])
        .unique("customer_id", keep="last", maintain_order=True)
        .select("customer_id", latest="granted")
    )


def _flags(channel: str, said: pl.LazyFrame, contacts: Contacts) -> pl.LazyFrame:
    """customer_id, flag: what the accounts' flags say, of the accounts that have no event; a single no counts."""
    if channel not in FLAGS:
        return pl.LazyFrame(schema={"customer_id": pl.String, "flag": pl.Boolean})
    flags = contacts.customers.select("customer_id", flag=FLAGS[channel]).drop_nulls("flag")
    own = resolved(flags.join(said, on="customer_id", how="anti"), contacts.identity_map)
    return own.group_by("customer_id").agg(pl.col("flag").min())
