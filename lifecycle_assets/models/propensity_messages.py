"""Which messages did each customer get, what did a person do with each, and what was known when it was sent?

Deeds count as in features.customer_behaviour: opens and clicks on channels that report them, later than MACHINE after delivery
(after sending, where delivery is unknown); earlier ones are privacy proxies and link scanners. A purchase answers a message
when the shop ascribes it: converted_at, or an order line that names the message. On a channel where the shop ascribes nothing,
it is the customer's next order. Deeds later than RESPOND_DAYS after sending are no answer. What was known at a moment is of
messages sent, deeds done and order lines placed before it, by running sums in the order of time: a customer of many messages
costs no more than as many customers of one. A deed dated before its message counts from its sending; lines of one moment are
one order, and later returns are not looked at.
"""

import datetime as dt

import polars as pl

MACHINE = dt.timedelta(seconds=2)
TELL_OPENS = ["email", "whatsapp", "push", "in_app"]
TELL_CLICKS = [*TELL_OPENS, "sms", "ads"]
OPEN, CLICK, BUY = DEEDS = ["open", "click", "buy"]
NUMBERS = (
    "messages",
    "messages_30d",
    "days_since_message",
    "open_rate",
    "click_rate",
    "buy_rate",
    "days_since_open",
    "days_since_click",
    "days_since_buy",
    "orders",
    "orders_30d",
    "orders_90d",
    "days_since_order",
    "days_since_first_order",
    "spend_90d",
    "avg_order",
)
RESPOND_DAYS = 7
DAY = 86_400
# Signed, so that one may be taken from another.
COUNT = pl.len().cast(pl.Int64)


def messages(engagement: pl.LazyFrame, order_lines: pl.LazyFrame, until: dt.datetime) -> pl.LazyFrame:
    """The messages sent before `until`, out of raw.engagement and raw.order_lines, both of profiles.

    Columns message_id, customer_id, campaign_id, channel, content_type, discount_pct, sent_at; open_at, click_at, buy_at (null
    where it did not happen in time and before `until`); open_told, click_told, buy_told (whether the channel tells of it).
    """
    human = pl.coalesce("delivered_at", "sent_at") + MACHINE

    in_time = pl.min_horizontal(pl.lit(until), pl.col("sent_at") + dt.timedelta(days=RESPOND_DAYS))

    def deed(moment: str, channels: list[str]) -> pl.Expr:
        is_human = (pl.col(moment) > human) & (pl.col(moment) < in_time)
        return pl.when(is_human & pl.col("channel").is_in(channels)).then(moment)

    lines = order_lines.filter(
        (pl.col("status") == "completed") & (pl.col("quantity") > 0) & (pl.col("ordered_at") < until)
    )
    named = (
        lines.filter(pl.col("message_id").is_not_null()).group_by("message_id").agg(ordered=pl.col("ordered_at").min())
    )
    told = engagement.filter(pl.col("sent_at") < until)
    # Sorting everybody's orders would cost more than finding those of people who were written to.
    placed = lines.join(told, on="customer_id", how="semi").select("customer_id", next_at="ordered_at")
    sent = told.join(named, on="message_id", how="left")
    converted = pl.when(pl.col("converted_at") < until).then("converted_at")
    answer = pl.when("ascribes").then("ascribed").otherwise("next_at")
    return (
        sent.with_columns(ascribed=pl.min_horizontal(converted, "ordered"))
        .with_columns(ascribes=pl.col("ascribed").is_not_null().any().over("channel"))
        .sort("sent_at", "message_id")
        .join_asof(
            placed.sort("next_at"),
            left_on="sent_at",
            right_on="next_at",
            by="customer_id",
            strategy="forward",
            check_sortedness=False,
        )
        .select(
            "message_id", "customer_id", "campaign_id", "channel", "content_type", "discount_pct", "sent_at",
            open_at=deed("opened_at", TELL_OPENS),
            click_at=deed("clicked_at", TELL_CLICKS),
            buy_at=pl.when(answer < in_time).then(answer),
            open_told=pl.col("channel").is_in(TELL_OPENS),
            click_told=pl.col("channel").is_in(TELL_CLICKS),
            buy_told=pl.lit(value=True),
        )
    )  # fmt: skip


def known_at(moments: pl.LazyFrame, sent: pl.LazyFrame, order_lines: pl.LazyFrame) -> pl.LazyFrame:
    """customer_id, moment and NUMBERS for each distinct customer_id and moment of `moments` that has an order before it;
    `sent` are `messages`, `order_lines` raw.order_lines of profiles."""
    amount = pl.col("amount").sum()
    orders = _running(_orders(order_lines), pl.col("ordered_at"), orders=COUNT, amount=amount).with_columns(
        first_at=pl.col("at").min().over("customer_id")
    )
    told = {f"{deed}_told": pl.col(f"{deed}_told").sum() for deed in DEEDS}
    known = moments.select("customer_id", "moment").unique().sort("moment")
    known = _as_of(known, orders, "order").filter(pl.col("order_at").is_not_null())
    for days in (30, 90):
        known = _as_of(known, orders, f"order_{days}d", days)
    mails = _running(sent, pl.col("sent_at"), messages=COUNT, **told)
    known = _as_of(_as_of(known, mails, "message"), mails, "message_30d", 30)
    for deed in DEEDS:
        done = sent.filter(pl.col(f"{deed}_at").is_not_null())
        known = _as_of(known, _running(done, pl.max_horizontal("sent_at", f"{deed}_at"), n=COUNT), deed)

    def lately(kind: str, name: str, days: int) -> pl.Expr:
        return pl.col(f"{kind}_{name}").fill_null(0) - pl.col(f"{kind}_{days}d_{name}").fill_null(0)

    numbers = {
        "messages": pl.col("message_messages").fill_null(0),
        "messages_30d": lately("message", "messages", 30),
        **{f"{deed}_rate": _rate(deed) for deed in DEEDS},
        **{f"days_since_{event}": _days(f"{event}_at") for event in ("message", "order", *DEEDS)},
        "days_since_first_order": _days("order_first_at"),
        "orders": pl.col("order_orders"),
        "orders_30d": lately("order", "orders", 30),
        "orders_90d": lately("order", "orders", 90),
        "spend_90d": lately("order", "amount", 90),
        "avg_order": pl.col("order_amount").cast(pl.Float64) / pl.col("order_orders"),
    }
    return known.select("customer_id", "moment", *(numbers[name].cast(pl.Float64).alias(name) for name in NUMBERS))


def _running(events: pl.LazyFrame, at: pl.Expr, **sums: pl.Expr) -> pl.LazyFrame:
    """customer_id, at and the running sums over the customer's events up to each moment, in the order of time."""
    return (
        events.group_by("customer_id", at.alias("at"))
        .agg(**sums)
        .sort("at")
        .with_columns(pl.col(*sums).cum_sum().over("customer_id"))
    )


def _as_of(known: pl.LazyFrame, running: pl.LazyFrame, prefix: str, days: int = 0) -> pl.LazyFrame:
    """`known`, which is in the order of moment, with the columns of `running` as they stood before the moment, or, with `days`,
    once the moment so many days earlier had passed; their names begin with the prefix."""
    named = running.select("customer_id", pl.exclude("customer_id").name.prefix(f"{prefix}_"))
    return known.with_columns(until=pl.col("moment") - pl.duration(days=days)).join_asof(
        named,
        left_on="until",
        right_on=f"{prefix}_at",
        by="customer_id",
        strategy="backward",
        allow_exact_matches=days > 0,
        check_sortedness=False,
    )


def _orders(order_lines: pl.LazyFrame) -> pl.LazyFrame:
    """customer_id, ordered_at, amount of what was bought at each moment."""
    return (
        order_lines.filter(
            (pl.col("status") == "completed") & (pl.col("quantity") > 0) & pl.col("customer_id").is_not_null()
        )
        .group_by("customer_id", "ordered_at")
        .agg(pl.col("amount").sum())
    )


def _rate(deed: str) -> pl.Expr:
    told = pl.col(f"message_{deed}_told")
    return pl.when(told > 0).then(pl.col(f"{deed}_n").fill_null(0) / told)


def _days(column: str) -> pl.Expr:
    return (pl.col("moment") - pl.col(column)).dt.total_seconds() / DAY
