"""What did a raw table hold at the end of a past day?

Inputs are read whole every night, so that tonight's rows tell of the past as well. Rows of a later event were not there yet. Of
those that were, later moments and what came with them are null again, and so is what the input knows as it is tonight alone
(stock, balances, outcomes of campaigns). What bears no date counts as known all along: names and addresses, links between
accounts, consent that is a flag, catalogue prices, an order's status, who asked to be forgotten.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.days import end_of

# Since when a row has been known; a row without that moment always was.
SINCE = {
    "order_lines": "order_date",
    "customers": "created_at",
    "consents": "occurred_at",
    "suppressions": "since",
    "products": "launched_at",
    "web_events": "occurred_at",
    "engagement": "sent_at",
    "campaign_assignments": "assigned_at",
    "survey_responses": "responded_at",
    "support_tickets": "opened_at",
    "payment_events": "occurred_at",
    "subscriptions": "started_at",
    "price_history": "date",
    "costs": "date",
}
# What became known at a moment of its own.
CAME_WITH = {
    "customers": {"plan": "plan_started_at"},
    "engagement": {"order_id": "converted_at", "revenue": "converted_at"},
}
LATEST_ALONE = {
    "products": ("inventory_level",),
    "subscriptions": ("plan", "balance", "quota", "used"),
    "campaign_assignments": ("outcome", "outcome_value", "contaminated"),
}


def as_known(contract: Contract, rows: pl.LazyFrame, day: dt.date, timezone: str) -> pl.LazyFrame:
    """The rows of a raw table as they would have been read at the end of `day`, a local day of `timezone`."""
    end, table = end_of(day, timezone), contract.table
    since = SINCE.get(table)
    if since is not None:
        was_there = pl.col(since) <= day if contract.polars_schema[since] == pl.Date else pl.col(since) < end
        rows = rows.filter(was_there.fill_null(value=True))
    moments = {
        name: name
        for name, column in contract.columns.items()
        if column.nullable and isinstance(contract.polars_schema[name], pl.Datetime)
    }
    then = [
        pl.when(pl.col(moment) < end).then(name).alias(name)
        for name, moment in {**moments, **CAME_WITH.get(table, {})}.items()
    ]
    unknown = [pl.lit(None, dtype=contract.polars_schema[name]).alias(name) for name in LATEST_ALONE.get(table, ())]
    return rows.with_columns(*then, *unknown, as_of=pl.lit(day))
