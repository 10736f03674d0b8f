"""Everything that tonight's decision about a customer may depend on, in one row per customer.

It joins the feature tables, the shop's own customer table, who may be reached (contact), what was sent lately (pressure),
complaints, and the arms of the experiments. Customers are those of features.customer_features: profiles, so that what was
sent to, said by or complained of under any of a customer's accounts counts for the customer. What the shop does not record
is null and fulfils no rule. What people query is features.profiles, which holds these fields under the same names.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from lifecycle_assets.dispatch import rules
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.dispatch.offers import channels_in_use
from lifecycle_assets.dispatch.people import people as people_of
from lifecycle_assets.dispatch.pressure import pressure, touches
from lifecycle_assets.features.days import end_of
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.settings import Shop, profile_fields

# What decisions need besides the fields that rules name.
_ALWAYS = {"recency_days", "avg_ticket", "purchase_total", "margin_total", "primary_category", "preferred_channel"}


@dataclass(frozen=True)
class Sources:
    """The tables that decisions read. `sent` are the ledger's lines that went out (see ledger.sent)."""

    customer_features: pl.LazyFrame
    lifecycle_stage: pl.LazyFrame
    customer_rfm: pl.LazyFrame
    customer_loyalty: pl.LazyFrame
    contacts: Contacts
    support_tickets: pl.LazyFrame
    assignments: pl.LazyFrame
    sent: pl.LazyFrame


def profiles(sources: Sources, *, as_of: dt.date, shop: Shop) -> pl.DataFrame:
    """One row per customer, sorted by customer_id: the fields that rules name, and the columns of contact and pressure;
    `complaint_days` since the latest ticket, `arm_<experiment>`, and `timezone` (the customer's, else the shop's)."""
    routing = shop.routing
    wanted = rules.named_fields(routing) | _ALWAYS
    identity_map = sources.contacts.identity_map
    accounts = people_of(sources.contacts.customers, identity_map)
    tables = {
        "features.customer_features": sources.customer_features,
        "features.lifecycle_stage": sources.lifecycle_stage,
        "features.customer_rfm": sources.customer_rfm,
        "features.customer_loyalty": sources.customer_loyalty,
        "raw.customers": accounts,
    }
    people = sources.customer_features.select("customer_id")
    for name, frame in tables.items():
        columns = [
            _field(column, kind) for column, kind in profile_fields.SOURCES[name].items() if _named(column) in wanted
        ]
        if columns:
            people = people.join(frame.select("customer_id", *columns), on="customer_id", how="left")
    people = people.join(_zones(accounts), on="customer_id", how="left").with_columns(
        pl.col("timezone").fill_null(shop.timezone)
    )
    until = end_of(as_of, shop.timezone)
    reach = standing(sources.customer_features, sources.contacts, routing, channels_in_use(routing), until)
    last_purchase = sources.customer_features.select(
        "customer_id", last_purchase=pl.lit(as_of) - pl.duration(days=pl.col("recency_days"))
    )
    messages = touches(
        resolved(sources.sent, identity_map),
        resolved(sources.contacts.engagement, identity_map),
        as_of=as_of,
        timezone=shop.timezone,
    )
    heard = pressure(messages, last_purchase, routing, as_of=as_of)
    people = (
        people.join(reach, on="customer_id", how="left")
        .join(heard, on="customer_id", how="left")
        .join(
            _complaints(resolved(sources.support_tickets, identity_map), as_of, shop.timezone),
            on="customer_id",
            how="left",
        )
    )
    for experiment in sorted({p.experiment for p in routing.programmes.values() if p.enabled and p.experiment}):
        arms = sources.assignments.filter(pl.col("experiment") == experiment)
        people = people.join(
            arms.select("customer_id", pl.col("arm").alias(f"arm_{experiment}")), on="customer_id", how="left"
        )
    counted = cs.starts_with("sent_") | cs.starts_with("seen_")
    return people.with_columns(counted.fill_null(0)).sort("customer_id").collect()


def _named(column: str) -> str:
    return profile_fields.RENAMED.get(column, column)


def _field(column: str, kind: profile_fields.Kind) -> pl.Expr:
    value = pl.col(column)
    return (value.cast(pl.Float64) if kind == "number" else value).alias(_named(column))


def _zones(customers: pl.LazyFrame) -> pl.LazyFrame:
    """customer_id, timezone; a zone that does not exist counts as not stated."""
    return customers.select(
        "customer_id",
        pl.when(pl.col("timezone").is_in(sorted(zoneinfo.available_timezones()))).then("timezone").alias("timezone"),
    )


def _complaints(tickets: pl.LazyFrame, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    opened = pl.col("opened_at").dt.convert_time_zone(timezone).dt.date()
    return (
        tickets.filter(pl.col("opened_at") < end_of(as_of, timezone))
        .group_by("customer_id")
        .agg((pl.lit(as_of) - opened.max()).dt.total_days().alias("complaint_days"))
    )
