"""What had a visitor done by each moment of a visit?

Every event of raw.web_events with the state of the visit and of the visitor at that moment. All of it is running sums and first
values over the events in the order of time, so that nothing later can be in it. Time on a page and scroll depth are known once
the page has been left: they are of the pages before.

A visit is the shop's session id; events without one make a visit as long as no more than 30 minutes pass between them (Catledge
and Pitkow, Characterizing browsing strategies in the World-Wide Web, 1995, rounded up as web analytics does). A visitor is an
anonymous id. An event without one is of the visitor who was last seen in its session: whoever signs in goes on with the visit.
Without web events there are no rows.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.features.identity import resolved
from lifecycle_assets.features.identity_ids import ID_TYPES

VISITOR = ID_TYPES[1]
SILENCE = dt.timedelta(minutes=30)
COUNTED = {
    "views": "view",
    "searches": "search",
    "carts": "add_to_cart",
    "removals": "remove_from_cart",
    "checkouts": "checkout",
    "purchases": "purchase",
}
# Feature columns of a moment; what each means stands in visitor_intent.
NUMBERS = (
    "events",
    "views",
    "products",
    "categories",
    "searches",
    "carts",
    "removals",
    "checkouts",
    "cart_value",
    "minutes",
    "seconds_per_page",
    "scroll_depth",
    "hour",
    "earlier_visits",
    "days_since_last_visit",
    "earlier_carts",
    "earlier_purchases",
)
CATEGORIES = ("device", "referrer", "weekday")


def moments(
    web_events: pl.LazyFrame, products: pl.LazyFrame, as_of: dt.date, timezone: str, weeks: int
) -> pl.DataFrame:
    """One row per event of the last `weeks` weeks up to `as_of`, sorted by anonymous_id and time: the state after it.

    anonymous_id, visit (a number), at, week (0: the seven days that end with as_of, 1: those before, ...), silent_days (from
    the event to the end of its week), is_known (someone had signed in under the id), purchases (of the visit so far) and the
    columns of NUMBERS and CATEGORIES.
    """
    nights = ends_of_weeks(as_of, timezone, weeks)
    at = pl.col("occurred_at")
    events = _of_visitors(web_events.filter(at < nights[0]))
    recent = events.filter(at >= nights[-1]).select(VISITOR).unique()
    events = (
        events.join(recent, on=VISITOR, how="semi")
        .join(products.select("product_id", product_category="category"), on="product_id", how="left")
        .sort(VISITOR, "occurred_at", "event_id")
        .collect()
    )
    states = _states(_in_visits(events), timezone).filter(at >= nights[-1])
    week = week_of(states["occurred_at"], nights)
    ends = pl.Series(nights, dtype=states.schema["occurred_at"]).gather(week)
    return states.with_columns(week, silent_days=_days(ends - at)).rename({"occurred_at": "at"})


def purchases(web_events: pl.LazyFrame, identity_map: pl.LazyFrame, until: dt.datetime) -> pl.DataFrame:
    """anonymous_id, at: every purchase of each visitor before `until`, under the anonymous id itself or as the profile that the
    visitor has turned out to be."""
    bought = web_events.filter(pl.col("occurred_at") < until)
    visitors = identity_map.filter((pl.col("id_type") == VISITOR) & pl.col("customer_id").is_not_null()).select(
        "customer_id", pl.col("id").alias(VISITOR)
    )
    as_profile = resolved(bought.drop(VISITOR), identity_map).join(visitors, on="customer_id")
    both = pl.concat(
        rows.filter(pl.col("event_type") == "purchase").select(VISITOR, at="occurred_at")
        for rows in (_of_visitors(bought), as_profile)
    )
    return both.unique().sort(VISITOR, "at").collect()


def ends_of_weeks(as_of: dt.date, timezone: str, weeks: int) -> list[dt.datetime]:
    """The end of `as_of` and of every seventh day before it, `weeks` of them, the latest first."""
    return [end_of(as_of - dt.timedelta(weeks=back), timezone) for back in range(weeks + 1)]


def week_of(at: pl.Series, ends: list[dt.datetime]) -> pl.Series:
    """The week in which each moment lies: 0 for the one that ends at `ends[0]`."""
    ascending = pl.Series(ends[::-1], dtype=at.dtype)
    return (len(ends) - 1 - ascending.search_sorted(at, side="right").cast(pl.Int64)).alias("week")


def _of_visitors(web_events: pl.LazyFrame) -> pl.LazyFrame:
    """The events of visitors, each with its anonymous id."""
    last_seen = pl.col(VISITOR).forward_fill().over("session_id", order_by=["occurred_at", "event_id"])
    of_session = pl.when(pl.col("session_id").is_not_null()).then(last_seen)
    return web_events.with_columns(pl.coalesce(VISITOR, of_session)).drop_nulls(VISITOR)


def _in_visits(events: pl.DataFrame) -> pl.DataFrame:
    """The events, in the order of visitor and time, with `visit`."""
    at, unnamed = pl.col("occurred_at"), pl.col("session_id").is_null()
    pause = (at.diff() > SILENCE).over(VISITOR, "session_id").fill_null(value=False)
    events = events.with_columns(stretch=(pause & unnamed).cast(pl.Int64).cum_sum().over(VISITOR, "session_id"))
    visit = [VISITOR, "session_id", "stretch"]
    numbered = events.select(visit).unique(maintain_order=True).with_row_index("visit")
    return events.join(numbered, on=visit, how="left", nulls_equal=True, maintain_order="left")


def _states(events: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """The state after each event."""
    kind, at, value = pl.col("event_type"), pl.col("occurred_at"), pl.col("value").abs().fill_null(0.0)
    cart = pl.when(kind == "add_to_cart").then(value).when(kind == "remove_from_cart").then(-value).otherwise(0.0)
    category = pl.coalesce("category", "product_category")
    begins = pl.col("visit").is_first_distinct()
    # A page's time and scroll depth come with the event that opens it and are known when the next one follows.
    left = {name: pl.col(name).shift().over("visit") for name in ("seconds_on_page", "scroll_depth")}
    events = events.with_columns(
        *((kind == word).cast(pl.Int64).alias(name) for name, word in COUNTED.items()),
        **left,
        events=pl.lit(1),
        begins=begins.cast(pl.Int64),
        products=pl.struct("visit", "product_id").is_first_distinct() & pl.col("product_id").is_not_null(),
        categories=pl.struct("visit", category).is_first_distinct() & category.is_not_null(),
        cart_value=cart,
        since_last=pl.when(begins).then(_days(at.diff().over(VISITOR))),
    )
    sums = ["events", *COUNTED, "products", "categories", "cart_value"]
    mean = {
        name: pl.col(name).fill_null(0.0).cum_sum().over("visit") / pl.col(name).cum_count().over("visit")
        for name in left
    }
    of_visitor = {
        name: pl.col(column).cum_sum().over(VISITOR)
        for name, column in (("visits", "begins"), ("all_carts", "carts"), ("all_purchases", "purchases"))
    }
    local = at.dt.convert_time_zone(timezone)
    return (
        events.with_columns(
            *(
                pl.col(name).cast(pl.Float64 if name == "cart_value" else pl.Int64).cum_sum().over("visit")
                for name in sums
            ),
            pl.col("device").first().over("visit"),
            _site(pl.col("referrer").first().over("visit")),
            **of_visitor,
            minutes=(at - at.first().over("visit")).dt.total_seconds() / 60,
            seconds_per_page=mean["seconds_on_page"].fill_nan(None),
            scroll_depth=mean["scroll_depth"].fill_nan(None),
            hour=local.dt.hour().cast(pl.Int64),
            weekday=local.dt.strftime("%A"),
            days_since_last_visit=pl.col("since_last").first().over("visit"),
            is_known=pl.col("customer_id").is_not_null().cast(pl.Int8).cum_max().over(VISITOR) == 1,
        )
        .with_columns(
            pl.col("cart_value").clip(0).round(4),
            earlier_visits=pl.col("visits") - 1,
            earlier_carts=pl.col("all_carts") - pl.col("carts"),
            earlier_purchases=pl.col("all_purchases") - pl.col("purchases"),
        )
        .select(VISITOR, "visit", "occurred_at", "is_known", "purchases", *NUMBERS, *CATEGORIES)
    )


def _days(span: pl.Expr) -> pl.Expr:
    return span.dt.total_seconds() / 86_400


def _site(referrer: pl.Expr) -> pl.Expr:
    """The site of an address; other words as they are."""
    return referrer.str.to_lowercase().str.extract(r"^(?:[a-z]+://)?(?:www\.)?([^/?#:]+)")
