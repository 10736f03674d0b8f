"""Everything that tonight's decision about a customer may depend on, in one row per customer.

It joins the feature tables, the shop's own customer table, what the models and the triggers say (model_fields), who may be
reached (contact) and on which channels the day is open (schedule), what was sent lately (pressure), complaints, and the arms
of the experiments. Customers are those of features.customer_features: profiles, so that what was sent to, said by or
complained of under any of a customer's accounts counts for the customer. What the shop does not record is null and fulfils
no rule. What people query is features.profiles, which holds these fields under the same names.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch import rules
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.model_fields import model_fields
from lifecycle_assets.dispatch.offers import channels_in_use
from lifecycle_assets.dispatch.people import people as people_of
from lifecycle_assets.dispatch.pressure import pressure, taken_back, touches
from lifecycle_assets.dispatch.schedule import with_open_channels
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.settings import Routing, Shop, profile_fields

# What decisions need besides the fields that rules name.
_ALWAYS = {
    "country",
    "recency_days",
    "avg_ticket",
    "purchase_total",
    "margin_total",
    "primary_category",
    "preferred_channel",
    "loyalty_segment",
    "weekly_cap",
}


@dataclass(frozen=True)
class Sources:
    """The tables that decisions read. `sent` are the ledger's lines that count as sent (see ledger.heard), `undone` those that
    were taken back (see ledger.undone); `known` are tables of the models and dispatch.triggers by name (see model_fields): the
    fields of those that are not there are null."""

    customer_features: pl.LazyFrame
    lifecycle_stage: pl.LazyFrame
    customer_rfm: pl.LazyFrame
    customer_loyalty: pl.LazyFrame
    contacts: Contacts
    support_tickets: pl.LazyFrame
    assignments: pl.LazyFrame
    sent: pl.LazyFrame
    undone: pl.LazyFrame
    known: Mapping[str, pl.LazyFrame] = field(default_factory=dict)


def profiles(sources: Sources, *, as_of: dt.date, shop: Shop) -> pl.DataFrame:
    """One row per customer, sorted by customer_id: the fields that rules name, the columns of contact and pressure, and
    `open_<channel>` (see schedule.with_open_channels); `complaint_days` since the latest ticket, `arm_<experiment>`
    (the variant, where the experiment has any; null for who is not in it), `timezone`, `country` and `region` (as stated),
    `weekly_cap` and for the triggers of programmes `at_<trigger>`, the moment of the event."""
    routing = shop.routing
    wanted = rules.named_fields(routing) | _ALWAYS
    identity_map = sources.contacts.identity_map
    accounts = people_of(sources.contacts.customers, identity_map)
    tables = _tables(sources, accounts, as_of=as_of, timezone=shop.timezone)
    people = _with_events(_with_fields(sources.customer_features, tables, wanted), tables, routing)
    # No input states a region.
    zones = accounts.select("customer_id", "timezone", region=pl.lit(None, dtype=pl.String))
    # Together once: what the customers' messages are counted from asks for them again.
    people = people.join(zones, on="customer_id", how="left").collect().lazy()
    until = end_of(as_of, shop.timezone)
    channels = channels_in_use(routing)
    reach = standing(sources.customer_features, sources.contacts, routing, channels, until)
    begins = people.select(
        "customer_id",
        *(
            pl.col(f"at_{trigger}").dt.convert_time_zone(shop.timezone).dt.date().alias(f"since_{trigger}")
            for trigger in _triggers(routing)
        ),
        last_purchase=pl.lit(as_of) - pl.duration(days=pl.col("recency_days")),
    )
    messages = touches(
        resolved(sources.sent, identity_map),
        resolved(sources.contacts.engagement, identity_map),
        as_of=as_of,
        timezone=shop.timezone,
    )
    heard = pressure(messages, begins, routing, as_of=as_of)
    kept_from = taken_back(resolved(sources.undone, identity_map), begins, routing, as_of=as_of)
    people = (
        people.join(reach, on="customer_id", how="left")
        .join(heard, on="customer_id", how="left")
        .join(kept_from, on="customer_id", how="left")
        .join(
            _complaints(resolved(sources.support_tickets, identity_map), as_of, shop.timezone),
            on="customer_id",
            how="left",
        )
    )
    people = people.join(_arms(sources.assignments, routing), on="customer_id", how="left")
    counted = cs.starts_with("sent_") | cs.starts_with("seen_")
    together = (
        people.with_columns(counted.fill_null(0), cs.starts_with("undone_").fill_null(value=False))
        .sort("customer_id")
        .collect()
    )
    return with_open_channels(together, channels, shop, as_of)


def fields(sources: Sources, wanted: Collection[str], *, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """customer_id and the profile fields `wanted`, one row per customer."""
    accounts = people_of(sources.contacts.customers, sources.contacts.identity_map)
    return _with_fields(sources.customer_features, _tables(sources, accounts, as_of=as_of, timezone=timezone), wanted)


def _tables(sources: Sources, accounts: pl.LazyFrame, *, as_of: dt.date, timezone: str) -> dict[str, pl.LazyFrame]:
    """The tables that hold profile fields, by name; `accounts` is raw.customers with one row per profile."""
    return {
        "features.customer_features": sources.customer_features,
        "features.lifecycle_stage": sources.lifecycle_stage,
        "features.customer_rfm": sources.customer_rfm,
        "features.customer_loyalty": sources.customer_loyalty,
        "raw.customers": accounts,
        **model_fields(sources.known, as_of=as_of, timezone=timezone),
    }


def _with_fields(customers: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame], wanted: Collection[str]) -> pl.LazyFrame:
    """customer_id and the `wanted` fields; null those of tables that are not there."""
    people = customers.select("customer_id")
    for name, kinds in profile_fields.SOURCES.items():
        columns = {column: kind for column, kind in kinds.items() if _named(column) in wanted}
        if not columns:
            continue
        if name in tables:
            found = tables[name].select("customer_id", *(_field(column, kind) for column, kind in columns.items()))
            people = people.join(found, on="customer_id", how="left")
        else:
            people = people.with_columns(_unknown(column, kind) for column, kind in columns.items())
    return people


def _named(column: str) -> str:
    return profile_fields.RENAMED.get(column, column)


def _field(column: str, kind: profile_fields.Kind) -> pl.Expr:
    value = pl.col(column)
    return (value.cast(pl.Float64) if kind == "number" else value).alias(_named(column))


def _unknown(column: str, kind: profile_fields.Kind) -> pl.Expr:
    """The field of a table that is not there."""
    types = {"number": pl.Float64, "text": pl.String, "flag": pl.Boolean, "date": pl.Date}
    return pl.lit(None, dtype=types[kind]).alias(_named(column))


def _triggers(routing: Routing) -> list[str]:
    """The triggers of the programmes."""
    return sorted({programme.trigger for programme in routing.programmes.values() if programme.trigger})


def _with_events(people: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame], routing: Routing) -> pl.LazyFrame:
    """`people` with at_<trigger> for the triggers of programmes."""
    moments = [f"at_{trigger}" for trigger in _triggers(routing)]
    if "dispatch.triggers" in tables:
        return people.join(tables["dispatch.triggers"].select("customer_id", *moments), on="customer_id", how="left")
    return people.with_columns(pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias(moment) for moment in moments)


def _arms(assignments: pl.LazyFrame, routing: Routing) -> pl.LazyFrame:
    """customer_id, arm_<experiment> for the experiments of the programmes."""
    experiments = sorted({p.experiment for p in routing.programmes.values() if p.enabled and p.experiment})
    arm = pl.coalesce("variant", "arm")
    return (
        assignments.filter(pl.col("experiment").is_in(experiments))
        .group_by("customer_id")
        .agg(pl.when(pl.col("experiment") == name).then(arm).max().alias(f"arm_{name}") for name in experiments)
    )


def _complaints(tickets: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    opened = pl.col("opened_at").dt.convert_time_zone(timezone).dt.date()
    return (
        tickets.filter(pl.col("opened_at") < end_of(as_of, timezone))
        .group_by("customer_id")
        .agg((pl.lit(as_of) - opened.max()).dt.total_days().alias("complaint_days"))
    )
