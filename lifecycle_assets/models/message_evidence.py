"""What came of each message, once its outcome is settled?

An event log that the posteriors are made of: every message is told once, on the first night on which its time to be answered
has passed. A response is a click by a person, or an order that the shop ascribes to the message (converted_at, or an order
line that names it), within `response_days` by the shop's clock. Clicks count as in models.propensity_messages: on channels
that tell of them, later than MACHINE after delivery; earlier ones are privacy proxies and link scanners. A message counts when
it was delivered; on a channel where the shop never records deliveries, when it was sent.

Each night's slice holds the days of sending since the newest one told before. A message that reaches the input after its day
was told is left out, since its night's numbers stand. Slices are read in the order of their nights, each for later days than
those before it: a slice made afterwards for an earlier night counts nothing twice. Without engagement there is no evidence.
"""

import datetime as dt
import zoneinfo
from collections.abc import Sequence

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, share, shop_key, table, text
from lifecycle_assets.models.propensity_messages import MACHINE, TELL_CLICKS
from lifecycle_assets.settings import Shop

WEEK = dt.timedelta(days=7)
PART = 2_000_000


@table("models.message_evidence", history=True, needs=("raw.engagement",))
class MessageEvidence(dy.Schema):
    """The delivered messages whose time to be answered ended since the night before that has such rows: the events that the
    posteriors are made of. The slices of all nights together are the whole evidence."""

    shop_id = shop_key()
    as_of = as_of_column()
    message_id = key("The message.")
    customer_id = text("The account that got it, as in raw.engagement.", nullable=False)
    channel = text("How.", nullable=False)
    content_type = text("Kind of content.")
    discount_pct = number("Discount offered; null where nothing is recorded.", "percent", nullable=True, minimum=0)
    sent_on = date("Day on which it was sent, in the shop's time zone.")
    hour_of_week = count("Hour of sending where the customer lives, 0 is Monday 00:00 to 01:00.", "hour", maximum=167)
    messages_7d = count("Messages that the account got in the 7 days before it.", "messages")
    responded = flag("A person clicked, or it was followed by an order ascribed to it, in time.")
    ordered = flag("An order came of it in time.")
    unsubscribed = flag("The customer left the channel with it in time.")
    propensity = share("Probability with which it was chosen, where that was logged.", nullable=True)
    is_delivered = flag("Its delivery is on record; null where an earlier release wrote the row.", nullable=True)


def message_evidence(
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    customers: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
    after: dt.date | None,
) -> pl.LazyFrame:
    """The slice of the night `as_of`, sorted by message_id: messages sent on days later than `after`, the newest day told
    before (None on the first night). `engagement`, `order_lines` and `customers` are the raw tables.

    A first night may have tens of millions: they are held in small types, and spelled out as the slice is written."""
    messages = delivered(engagement, order_lines, as_of=as_of, shop=shop)
    if after is not None:
        # The week before is needed to count messages_7d.
        messages = messages.filter(pl.col("sent_on") >= after - WEEK)
    labels = pl.col("customer_id", "channel", "content_type").cast(pl.Categorical)
    zones = customers.select("customer_id", "timezone").collect()
    rows = messages.with_columns(labels).collect(engine="streaming")
    rows = rows.with_columns(messages_7d=_messages_7d(rows))
    if after is not None:
        rows = rows.filter(pl.col("sent_on") > after)
    # Raw tables come in the order of their keys.
    if not rows["message_id"].is_sorted():
        rows = rows.sort("message_id")
    told = rows.with_columns(hour_of_week=hour_of_week(rows, zones, shop.timezone)).lazy()
    return MessageEvidence.conform(told.with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of)))


def delivered(engagement: pl.LazyFrame, order_lines: pl.LazyFrame, *, as_of: dt.date, shop: Shop) -> pl.LazyFrame:
    """The delivered messages settled by the end of `as_of` in any night, with what came of them."""
    days = shop.routing.posteriors.response_days
    named = (
        order_lines.filter(
            pl.col("message_id").is_not_null() & (pl.col("status") == "completed") & (pl.col("quantity") > 0)
        )
        .group_by("message_id")
        .agg(pl.col("ordered_at").min())
    )

    def local(moment: str) -> pl.Expr:
        return pl.col(moment).dt.convert_time_zone(shop.timezone).dt.replace_time_zone(None)

    # By the shop's clock, so that the last moment to answer is on the same day for all messages of a day.
    deadline = local("sent_at") + dt.timedelta(days=days)

    def in_time(moment: str) -> pl.Expr:
        return (local(moment) <= deadline).fill_null(value=False)

    by_a_person = pl.col("clicked_at") > pl.coalesce("delivered_at", "sent_at") + MACHINE
    clicked = in_time("clicked_at") & by_a_person & pl.col("channel").is_in(TELL_CLICKS)
    ordered = in_time("converted_at") | in_time("ordered_at")
    settled = (
        engagement.with_columns(sent_on=local("sent_at").dt.date())
        .filter(pl.col("sent_on") <= as_of - dt.timedelta(days=days))
        .with_columns(arrived=in_time("delivered_at"))
    )
    recorded = settled.filter("arrived").select("channel", is_recorded=pl.lit(value=True)).unique()
    return (
        settled.join(recorded, on="channel", how="left", maintain_order="left")
        .filter(pl.col("arrived") | pl.col("is_recorded").is_null())
        .join(named, on="message_id", how="left", maintain_order="left")
        .select(
            "message_id", "customer_id", "channel", "content_type", "discount_pct", "sent_on", "sent_at",
            responded=clicked | ordered,
            ordered=ordered,
            unsubscribed=in_time("unsubscribed_at"),
            # Some inputs give a probability as a rounded sum.
            propensity=pl.col("propensity").clip(0, 1),
            is_delivered=pl.col("arrived"),
        )
    )  # fmt: skip


def whole(slices: Sequence[pl.LazyFrame], ledger: pl.LazyFrame) -> pl.LazyFrame:
    """All evidence of the slices (one per night, in any order): every message once, without those that the ledger
    (dispatch.ledger) says were undone and of which nothing says that they arrived all the same."""
    undone = ledger.filter(pl.col("event") == "compensated").select("idempotency_key", is_undone=True).unique()
    rows = _once(slices).join(undone, left_on="message_id", right_on="idempotency_key", how="left")
    return rows.filter(pl.col("is_undone").is_null() | pl.col("is_delivered")).drop("is_undone")


def newest_day(slices: Sequence[pl.LazyFrame]) -> dt.date | None:
    """The newest day of sending that the slices tell of; None where they tell of nothing."""
    return _once(slices).select(pl.col("sent_on").max()).collect().item()


def left_out(messages: pl.LazyFrame, slices: Sequence[pl.LazyFrame], after: dt.date | None) -> int:
    """How many of the `delivered` messages reached the input after the slices, whose newest day is `after`, had told of
    their day."""
    if after is None:
        return 0
    sent = messages.filter(pl.col("sent_on") <= after).group_by("sent_on").agg(sent=pl.len())
    told = _once(slices).group_by("sent_on").agg(told=pl.len())
    more = pl.col("sent").cast(pl.Int64) - pl.col("told").fill_null(0)
    return sent.join(told, on="sent_on", how="left").select(more.clip(0).sum()).collect(engine="streaming").item()


def _once(slices: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """The rows of the slices; of each those on days of sending later than all that earlier nights tell of."""
    rows = pl.concat([MessageEvidence.empty().lazy(), *slices])
    nights = (
        rows.group_by("as_of")
        .agg(pl.col("sent_on").max())
        .sort("as_of")
        .select("as_of", told=pl.col("sent_on").cum_max().shift(1))
    )
    is_later = pl.col("told").is_null() | (pl.col("sent_on") > pl.col("told"))
    return rows.join(nights, on="as_of", how="left").filter(is_later).drop("told")


def _messages_7d(messages: pl.DataFrame) -> pl.Series:
    """Of each message, in any order: how many its account got in the week before it."""
    from lifecycle_assets.models.evidence_kernel import within

    second = pl.col("sent_at").dt.epoch("s")
    week = WEEK // dt.timedelta(seconds=1)
    account = pl.col("customer_id").to_physical().cast(pl.Int64)
    # One rising number over all accounts: no message is within a week of another account's.
    apart = account * (second.max() - second.min() + week + 1) + second - second.min()
    moment = messages.select(apart).to_series().to_numpy()
    return pl.Series(within(moment, np.argsort(moment), week))


def hour_of_week(events: pl.DataFrame, zones: pl.DataFrame, default: str, moment: str = "sent_at") -> pl.Series:
    """The hour of the week of each event's `moment` (UTC) where the customer lives: `zones` has customer_id and timezone, one
    that does not exist counts as not stated, and `default` stands in."""
    known = zones.filter(pl.col("timezone").is_in(sorted(zoneinfo.available_timezones())))
    known = known.cast({"customer_id": events.schema["customer_id"]})
    hours = np.empty(events.height, np.uint8)
    # By parts, so that memory stays bounded.
    for part in events.select("customer_id", at=moment).with_row_index("row").iter_slices(PART):
        rows = part.join(known, on="customer_id", how="left").with_columns(pl.col("timezone").fill_null(default))
        for (zone,), there in rows.partition_by("timezone", as_dict=True).items():
            at = pl.col("at").dt.convert_time_zone(str(zone))
            hour = (at.dt.weekday().cast(pl.Int16) - 1) * 24 + at.dt.hour()
            hours[there["row"].to_numpy()] = there.select(hour).to_series().to_numpy()
    return pl.Series(hours)
