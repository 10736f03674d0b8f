"""What happened to each customer in the last days that calls for a message?

Each kind of event is a rule over the raw tables, set-based, as known at the end of as_of:

    abandoned_cart  put something in the cart that is neither taken out nor followed by a purchase; at the last cart event
    price_drop      a product viewed in the 30 days before, not looked at or bought since, costs at least 5 % less
    back_in_stock   the same of a product that was out of stock and is there again
    inactivity      the seventh day after the last visit, without one or a purchase since
    order_shipped   an order left the house, where the shop records it
    replenishment   a product bought on four days or more at regular gaps (median 14 to 180 days, coefficient of variation
                    at most a half) is due again on the day of sending or was in the days before it
    birthday        on the day of sending or in the days before it; 29 February is kept on the 28th in other years
    stage_change    the first day of a stage that followed another one

A purchase on the day of a cart or a view counts as a later one, since many shops know the day of an order alone. Prices and
stock over several sales channels or countries count by the highest price and the sum of the stock. Events of unknown visitors
are a customer's where features.identity_map says so. Where the data for an event is missing, it does not happen.
"""

import datetime as dt
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, shop_key, table, text, timestamp
from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.people import people
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.settings.profile_fields import TRIGGERS

FRESH_DAYS = 7  # an older event is nobody's reason to write any more
VIEWED_DAYS = 30
PRICE_DROP = 0.05
ONE_DAY = dt.timedelta(days=1)
INACTIVE = 7 * ONE_DAY
REGULAR_PURCHASES = 4
REGULAR_GAPS = (14, 180)
REGULAR_CV = 0.5


@table("dispatch.triggers", needs=("raw.web_events", "raw.price_history"))
class Triggers(dy.Schema):
    """The latest event of each kind per customer, of the last seven days and the day of sending."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    trigger = dy.String(
        primary_key=True, check=lambda column: column.is_in(TRIGGERS), description=f"One of: {', '.join(TRIGGERS)}."
    )
    occurred_at = timestamp("When; the beginning of the local day where only that is known.")
    product_id = text("The product that it is about.")
    detail = text("The numbers behind it.")


@dataclass(frozen=True)
class Happenings:
    """The tables that the events are found in."""

    web_events: pl.LazyFrame
    order_lines: pl.LazyFrame
    price_history: pl.LazyFrame
    customers: pl.LazyFrame
    lifecycle_stage: pl.LazyFrame
    identity_map: pl.LazyFrame


def triggers(happenings: Happenings, *, shop_id: str, as_of: dt.date, timezone: str) -> pl.DataFrame:
    """One row of `Triggers` per customer of features.lifecycle_stage and kind of event, sorted by the key."""
    until = end_of(as_of, timezone)
    days = _days(as_of, timezone)
    visits = _visits(happenings, until - dt.timedelta(days=VIEWED_DAYS + FRESH_DAYS), until, timezone)
    bought = _bought(happenings, until)
    found = {
        "abandoned_cart": _abandoned_carts(visits, bought),
        "price_drop": _of_viewed(_price_drops(happenings.price_history, as_of), visits, bought, days),
        "back_in_stock": _of_viewed(_restocked(happenings.price_history, as_of), visits, bought, days),
        "inactivity": _inactive(visits, bought),
        "order_shipped": _shipped(happenings),
        "replenishment": _due_again(bought, days, as_of),
        "birthday": _birthdays(people(happenings.customers, happenings.identity_map), days),
        "stage_change": _stage_changes(happenings.lifecycle_stage, days),
    }
    columns = ["customer_id", "trigger", "occurred_at", "product_id", "detail"]
    return (
        pl.concat(
            frame.with_columns(
                pl.lit(name).alias("trigger"),
                pl.col("occurred_at").dt.convert_time_zone("UTC"),
                pl.col("detail").cast(pl.String),
            ).select(columns)
            for name, frame in found.items()
        )
        .filter(pl.col("occurred_at").is_between(until - dt.timedelta(days=FRESH_DAYS), until))
        .join(happenings.lifecycle_stage.select("customer_id"), on="customer_id", how="semi")
        .sort("customer_id", "trigger", "occurred_at", "product_id", descending=[False, False, True, False])
        .unique(["customer_id", "trigger"], keep="first", maintain_order=True)
        .select(pl.lit(shop_id).alias("shop_id"), pl.lit(as_of).alias("as_of"), *columns)
        .collect()
    )


def _days(as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """day, occurred_at: the local days that an event may fall on and their first moments, the day of sending included."""
    days = [as_of + dt.timedelta(days=1 - back) for back in range(FRESH_DAYS + 1)]
    begins = [end_of(day - dt.timedelta(days=1), timezone) for day in days]
    return pl.LazyFrame(
        {"day": days, "occurred_at": begins}, schema={"day": pl.Date, "occurred_at": pl.Datetime("us", "UTC")}
    )


def _visits(happenings: Happenings, since: dt.datetime, until: dt.datetime, timezone: str) -> pl.LazyFrame:
    """customer_id, event_type, product_id, occurred_at, day of what known customers did in the shop."""
    visitors = happenings.identity_map.filter(
        (pl.col("id_type") == "anonymous_id") & pl.col("customer_id").is_not_null()
    ).select(anonymous_id="id", visitor="customer_id")
    events = happenings.web_events.filter((pl.col("occurred_at") >= since) & (pl.col("occurred_at") < until))
    return (
        resolved(events.join(visitors, on="anonymous_id", how="left"), happenings.identity_map)
        .with_columns(pl.coalesce("customer_id", "visitor").alias("customer_id"))
        .filter(pl.col("customer_id").is_not_null())
        .select(
            "customer_id",
            "event_type",
            "product_id",
            "occurred_at",
            day=pl.col("occurred_at").dt.convert_time_zone(timezone).dt.date(),
        )
    )


def _bought(happenings: Happenings, until: dt.datetime) -> pl.LazyFrame:
    """customer_id, product_id, order_date of what was bought, one row per line."""
    lines = happenings.order_lines.filter(
        pl.col("customer_id").is_not_null()
        & (pl.col("status") == "completed")
        & (pl.col("quantity") > 0)
        & (pl.col("ordered_at") < until)
    )
    return resolved(lines.select("customer_id", "product_id", "order_date"), happenings.identity_map)


def _last_orders(bought: pl.LazyFrame) -> pl.LazyFrame:
    return bought.group_by("customer_id").agg(last_order=pl.col("order_date").max())


def _abandoned_carts(visits: pl.LazyFrame, bought: pl.LazyFrame) -> pl.LazyFrame:
    """What is left in carts, the latest first put in of the products named."""
    added = pl.col("event_type") == "add_to_cart"
    purchases = visits.filter(pl.col("event_type") == "purchase")
    left = (
        visits.filter(pl.col("event_type").is_in(["add_to_cart", "remove_from_cart"]))
        .group_by("customer_id", "product_id")
        .agg(
            added_at=pl.col("occurred_at").filter(added).max(),
            removed_at=pl.col("occurred_at").filter(~added).max(),
            day=pl.col("day").filter(added).max(),
        )
        .filter((pl.col("added_at") > pl.col("removed_at")).fill_null(pl.col("added_at").is_not_null()))
        .join(_last_orders(bought), on="customer_id", how="left")
        .join(purchases.group_by("customer_id").agg(paid_at=pl.col("occurred_at").max()), on="customer_id", how="left")
        .filter(
            (pl.col("day") > pl.col("last_order")).fill_null(value=True)
            & (pl.col("added_at") > pl.col("paid_at")).fill_null(value=True)
        )
    )
    checkouts = visits.filter(pl.col("event_type") == "checkout")
    return (
        left.sort("added_at", "product_id", descending=[True, False])
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("added_at").first(), pl.col("product_id").first(), products=pl.len())
        .join(
            checkouts.group_by("customer_id").agg(checkout_at=pl.col("occurred_at").max()), on="customer_id", how="left"
        )
        .select(
            "customer_id",
            pl.max_horizontal("added_at", "checkout_at").alias("occurred_at"),
            "product_id",
            pl.format("{} left in the cart", "products").alias("detail"),
        )
    )


def _price_drops(price_history: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    """product_id, day, detail of prices that fell."""
    before = pl.col("price").shift().over("product_id", order_by="date")
    return (
        _by_day(price_history, as_of, pl.col("price").max())
        .with_columns(before=before)
        .filter(pl.col("price") <= (1 - PRICE_DROP) * pl.col("before"))
        .select("product_id", day="date", detail=pl.format("price {} to {}", "before", "price"))
    )


def _restocked(price_history: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    """product_id, day, detail of products that are there again."""
    stocked = price_history.filter(pl.col("inventory_level").is_not_null())
    before = pl.col("inventory_level").shift().over("product_id", order_by="date")
    return (
        _by_day(stocked, as_of, pl.col("inventory_level").sum())
        .filter((before <= 0) & (pl.col("inventory_level") > 0))
        .select("product_id", day="date", detail=pl.format("{} in stock again", "inventory_level"))
    )


def _by_day(price_history: pl.LazyFrame, as_of: dt.date, value: pl.Expr) -> pl.LazyFrame:
    """One row per product and day up to as_of; what a product was before the days that count is known from VIEWED_DAYS."""
    since = as_of - dt.timedelta(days=FRESH_DAYS + VIEWED_DAYS)
    return (
        price_history.filter((pl.col("date") > since) & (pl.col("date") <= as_of))
        .group_by("product_id", "date")
        .agg(value)
    )


def _of_viewed(changes: pl.LazyFrame, visits: pl.LazyFrame, bought: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    """The changes of products that customers had viewed before, and neither bought nor looked at since."""
    viewed = (
        visits.filter(pl.col("event_type").is_in(["view", "add_to_cart"]) & pl.col("product_id").is_not_null())
        .group_by("customer_id", "product_id")
        .agg(viewed_on=pl.col("day").max())
    )
    owned = bought.group_by("customer_id", "product_id").agg(bought_on=pl.col("order_date").max())
    since_view = (pl.col("day") - pl.col("viewed_on")).dt.total_days()
    return (
        changes.join(days, on="day")
        .join(viewed, on="product_id")
        .filter(since_view.is_between(1, VIEWED_DAYS))
        .join(owned, on=["customer_id", "product_id"], how="left")
        .filter((pl.col("bought_on") < pl.col("viewed_on")).fill_null(value=True))
    )


def _inactive(visits: pl.LazyFrame, bought: pl.LazyFrame) -> pl.LazyFrame:
    return (
        visits.group_by("customer_id")
        .agg(visited_at=pl.col("occurred_at").max(), day=pl.col("day").max())
        .join(_last_orders(bought), on="customer_id", how="left")
        .filter((pl.col("last_order") < pl.col("day")).fill_null(value=True))
        .select(
            "customer_id",
            occurred_at=pl.col("visited_at") + INACTIVE,
            product_id=pl.lit(None, dtype=pl.String),
            detail=pl.format("last visit on {}", "day"),
        )
    )


def _shipped(happenings: Happenings) -> pl.LazyFrame:
    lines = happenings.order_lines.filter(
        pl.col("customer_id").is_not_null()
        & pl.col("shipped_at").is_not_null()
        & (pl.col("status") == "completed")
        & (pl.col("quantity") > 0)
    )
    return resolved(lines.select("customer_id", "order_id", occurred_at="shipped_at"), happenings.identity_map).select(
        "customer_id",
        "occurred_at",
        product_id=pl.lit(None, dtype=pl.String),
        detail=pl.format("order {}", "order_id"),
    )


def _due_again(bought: pl.LazyFrame, days: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    shortest, longest = (dt.timedelta(days=days) for days in REGULAR_GAPS)
    named = bought.filter(pl.col("product_id").is_not_null()).unique()
    # Most products of most customers are not bought often enough, or lately enough: only the others' gaps are sorted.
    often = (
        named.group_by("customer_id", "product_id")
        .agg(purchases=pl.len(), last=pl.col("order_date").max())
        .filter(
            (pl.col("purchases") >= REGULAR_PURCHASES)
            & pl.col("last").is_between(as_of - longest - dt.timedelta(days=FRESH_DAYS), as_of - shortest + ONE_DAY)
        )
    )
    gaps = pl.col("order_date").sort().diff().dt.total_days()
    return (
        named.join(often, on=["customer_id", "product_id"])
        .group_by("customer_id", "product_id")
        .agg(pl.col("last").first(), gap=gaps.median(), spread=gaps.std() / gaps.mean())
        .filter(pl.col("gap").is_between(*REGULAR_GAPS) & (pl.col("spread") <= REGULAR_CV))
        .with_columns(day=pl.col("last") + pl.duration(days=pl.col("gap").round()))
        .join(days, on="day")
        .select(
            "customer_id", "occurred_at", "product_id", detail=pl.format("bought every {} days", pl.col("gap").round(1))
        )
    )


def _birthdays(customers: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    when = days.select("day", "occurred_at", month=pl.col("day").dt.month(), of_month=pl.col("day").dt.day())
    leap_day = when.filter(
        (pl.col("month") == 2) & (pl.col("of_month") == 28) & ~pl.col("day").dt.is_leap_year()
    ).with_columns(of_month=pl.lit(29, dtype=pl.Int8))
    born = customers.select(
        "customer_id", month=pl.col("birth_date").dt.month(), of_month=pl.col("birth_date").dt.day()
    )
    return born.join(pl.concat([when, leap_day]), on=["month", "of_month"]).select(
        "customer_id",
        "occurred_at",
        product_id=pl.lit(None, dtype=pl.String),
        detail=pl.lit(None, dtype=pl.String),
    )


def _stage_changes(lifecycle_stage: pl.LazyFrame, days: pl.LazyFrame) -> pl.LazyFrame:
    return (
        lifecycle_stage.filter(pl.col("previous_stage").is_not_null())
        .join(days, left_on="since", right_on="day")
        .select(
            "customer_id",
            "occurred_at",
            product_id=pl.lit(None, dtype=pl.String),
            detail=pl.format("{} to {}", "previous_stage", "stage"),
        )
    )
