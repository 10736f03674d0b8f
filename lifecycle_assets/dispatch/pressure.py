"""How much each customer has heard from the shop lately, and where each stands in a programme's journey.

Evidence is what was sent: the messages of earlier nights in the ledger and the rows of engagement, counted once where both
hold the same message id. Tonight's own ledger lines never count, so that a repeated night decides alike.

A window of n days ends on, and includes, the day on which tonight's messages go out (the day after as_of). A message of
the ledger belongs to the day after its night, unless engagement says when it was really sent. Opens up to two seconds
after delivery (after sending, where no delivery is reported) are a machine's and do not count, the same rule as in
features.customer_behaviour; channels that cannot report an open cannot be "not opened" either.

Messages that were undone count nowhere here, unless engagement says that they reached the customer all the same. They keep
their customers from the programme instead: for as long as the journey that they belonged to would have lasted.

A discount is promised from the day on which it was sent, for the offer's valid_days or to the end of the offer, whichever
comes first, or to the customer's next purchase.
"""

import datetime as dt

import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.settings import Cap, Programme, Routing

OPENS_ARE_SEEN = ("email", "whatsapp", "push", "in_app")
MACHINE_OPEN = dt.timedelta(seconds=2)
WEEK = Cap(messages=0, days=7)
# The day of sending and the 7 before it, as the evidence counts them.
LOAD = Cap(messages=0, days=8)


def touches(sent: pl.LazyFrame, engagement: pl.LazyFrame, *, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """Every message before tonight: customer_id, message_id, day, channel, programme, step, offer_id, opened.

    `sent` are the lines of the ledger that went out (see ledger.sent); programme and step are null for messages that
    other tools sent.
    """
    until = end_of(as_of, timezone)
    by_machine = pl.col("opened_at") <= pl.coalesce("delivered_at", "sent_at") + MACHINE_OPEN
    reported = engagement.filter(pl.col("sent_at") < until).select(
        "message_id",
        reported_customer="customer_id",
        reported_channel="channel",
        reported_offer="offer_id",
        reported_day=pl.col("sent_at").dt.convert_time_zone(timezone).dt.date(),
        opened=((pl.col("opened_at") < until) & ~by_machine).fill_null(value=False),
    )
    ours = sent.filter(pl.col("as_of") < as_of).select(
        "customer_id",
        "channel",
        "programme",
        "step",
        "offer_id",
        message_id="idempotency_key",
        day=pl.col("as_of").dt.offset_by("1d"),
    )
    return ours.join(reported, on="message_id", how="full", coalesce=True).select(
        pl.coalesce("customer_id", "reported_customer").alias("customer_id"),
        "message_id",
        pl.coalesce("reported_day", "day").alias("day"),
        pl.coalesce("channel", "reported_channel").alias("channel"),
        "programme",
        "step",
        pl.coalesce("offer_id", "reported_offer").alias("offer_id"),
        pl.col("opened").fill_null(value=False),
    )


def pressure(messages: pl.LazyFrame, begins: pl.LazyFrame, routing: Routing, *, as_of: dt.date) -> pl.LazyFrame:
    """One row per customer with messages (see `touches`).

    `begins` holds customer_id, last_purchase (date) and for every trigger t of a programme since_<t>, the date of its latest
    event, null without. Columns: sent_capped, sent_fatigue, sent_week, sent_load, seen_messages (those whose opens are seen, in
    the unopened window), seen_opened, promised_pct (the highest discount that is still open); and per programme p: sent_<p> in
    its cap's window, and of the journey since the last purchase and event last_step_<p>, last_day_<p>, last_opened_<p>.
    """
    contact = routing.contact
    seen = pl.col("channel").is_in(OPENS_ARE_SEEN) & _within(contact.fatigue_unopened, as_of)
    columns = [
        _within(contact.cap, as_of).sum().alias("sent_capped"),
        _within(contact.fatigue, as_of).sum().alias("sent_fatigue"),
        _within(WEEK, as_of).sum().alias("sent_week"),
        _within(LOAD, as_of).sum().alias("sent_load"),
        seen.sum().alias("seen_messages"),
        (seen & pl.col("opened")).sum().alias("seen_opened"),
        pl.col("discount_pct").filter(_is_open(as_of)).max().alias("promised_pct"),
    ]
    for name, programme in routing.programmes.items():
        own = (pl.col("programme") == name).fill_null(value=False)
        journey = own & _under_way(programme, as_of)
        columns += [
            (own & _within(programme.cap or contact.cap, as_of)).sum().alias(f"sent_{name}"),
            pl.col("step").filter(journey).max().alias(f"last_step_{name}"),
            pl.col("day").filter(journey).max().alias(f"last_day_{name}"),
            pl.col("opened").filter(journey).last().alias(f"last_opened_{name}"),
        ]
    return (
        messages.join(begins, on="customer_id")
        .join(_discounts(routing), on="offer_id", how="left")
        .sort("day", "step", "message_id", nulls_last=False)
        .group_by("customer_id")
        .agg(columns)
    )


def taken_back(undone: pl.LazyFrame, begins: pl.LazyFrame, routing: Routing, *, as_of: dt.date) -> pl.LazyFrame:
    """One row per customer of `begins` (see `pressure`) with messages undone (see ledger.undone): undone_<p> for every
    programme p, whether it stays silent towards the customer. A message undone before its release silences it for its night
    only; one undone afterwards for the rest of its journey, tonight's own included."""
    went_out = pl.col("event") == "compensated"
    messages = undone.filter((pl.col("as_of") == as_of) | (went_out & (pl.col("as_of") < as_of))).select(
        "customer_id", "programme", day=pl.col("as_of").dt.offset_by("1d"), is_tonights=pl.col("as_of") == as_of
    )
    return (
        messages.join(begins, on="customer_id")
        .group_by("customer_id")
        .agg(
            ((pl.col("programme") == name) & (pl.col("is_tonights") | _under_way(programme, as_of)))
            .any()
            .alias(f"undone_{name}")
            for name, programme in routing.programmes.items()
        )
    )


def _under_way(programme: Programme, as_of: dt.date) -> pl.Expr:
    """Whether a message of the programme belongs to the journey since the last purchase and event."""
    journey = pl.col("day") > pl.col("last_purchase")
    if programme.trigger:
        journey = journey & (pl.col("day") >= pl.col(f"since_{programme.trigger}")).fill_null(value=False)
    if programme.again_after_days:
        journey = journey & (pl.col("day") > as_of + dt.timedelta(days=1 - programme.again_after_days))
    return journey


def _discounts(routing: Routing) -> pl.LazyFrame:
    """offer_id, discount_pct, valid_days, valid_until of the offers with a discount."""
    rows = [(n, o.discount_pct, o.valid_days, o.valid_until) for n, o in routing.offers.items() if o.discount_pct > 0]
    schema = {"offer_id": pl.String, "discount_pct": pl.Float64, "valid_days": pl.Int64, "valid_until": pl.Date}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def _is_open(as_of: dt.date) -> pl.Expr:
    """Whether the message's discount can still be taken on the day on which tonight's messages go out."""
    day = pl.lit(as_of + dt.timedelta(days=1))
    running = day < pl.col("day") + pl.duration(days=pl.col("valid_days"))
    return (
        running
        & (pl.col("valid_until").is_null() | (pl.col("valid_until") >= day))
        & (pl.col("day") > pl.col("last_purchase"))
    )


def _within(cap: Cap, as_of: dt.date) -> pl.Expr:
    return pl.col("day") > as_of + dt.timedelta(days=1 - cap.days)
