"""At which hour does each customer respond best?

The shop's curve over the 168 local hours of the week (week_curve) is smoothed over neighbouring hours. On it stands each
customer's own curve over the day (hour_curves), from the shop's customers to the segment's to the customer's, and their ratio
of weekends to weekdays.

Responses are Poisson in their exposure: the customer's rate on the message's channel (models.channel_posteriors), times the
shop's curve. Messages age as in models.evidence. The hours of a customer's orders that no message led to are weak evidence of
when their curve has its peak, weighed by how well they foretell responses in this shop; without such a relation, as where
orders have dates alone, they weigh nothing.

The lift of the hour chosen is read off its posterior. That is shrunk towards no lift by how much customers were found to
differ, so that choosing the largest of 24 does not overstate it (the winner's curse: Efron, JASA 106, 2011). Its interval is of
the customer's curve; the shop's own counts as known. A customer without evidence has the segment's curves, a shop without
evidence none: the default hour with a lift of 1.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table, text
from lifecycle_assets.days import end_of
from lifecycle_assets.models.evidence import Evidence, weighted
from lifecycle_assets.models.hour_curves import HOURS
from lifecycle_assets.models.message_evidence import hour_of_week
from lifecycle_assets.models.response_cells import Rates
from lifecycle_assets.models.send_time_learning import Curves, learnt
from lifecycle_assets.settings import Channel, Routing

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WINDOW_HOURS = 2


@table("models.send_time_posteriors", needs=("raw.engagement",))
class SendTimePosteriors(dy.Schema):
    """The best local hours of each customer on each enabled channel for the day after as_of, outside the channel's quiet
    hours, and their windows of the week. A lift is the response at the hour over that at the channel's default hour."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    channel = key("The channel.")
    best_hour = count("The hour of the highest expected response.", "hour", maximum=23)
    best_lift = number("Its lift.", "ratio", minimum=0)
    best_lift_lo = number("Lower end of the lift's 90 % interval.", "ratio", minimum=0)
    best_lift_hi = number("Upper end of the lift's 90 % interval.", "ratio", minimum=0)
    second_hour = count("The best hour among the others; null where there is none.", "hour", nullable=True, maximum=23)
    second_lift = number("Its lift.", "ratio", nullable=True, minimum=0)
    third_hour = count("The next one.", "hour", nullable=True, maximum=23)
    third_lift = number("Its lift.", "ratio", nullable=True, minimum=0)
    windows = text(
        "The three best windows of the week in words, with semicolons between, e.g. Tue 18:00-20:00.", nullable=False
    )
    n_sent = count("Settled messages to the customer, on all channels.", "messages")
    n_response = count("Of these, responded to.", "messages")
    borrowed = share("Share of the best hour's posterior that comes from the prior.")


def order_hours(order_lines: pl.LazyFrame, customers: pl.LazyFrame, *, as_of: dt.date, timezone: str) -> pl.LazyFrame:
    """customer_id (the account's), ordered_on and hour (where the customer lives, else in the shop's `timezone`) of the orders
    up to `as_of` that no message led to. `order_lines` and `customers` are the raw tables."""
    zones = customers.select("customer_id", "timezone").collect()
    sold = (pl.col("status") == "completed") & (pl.col("quantity") > 0)
    orders = (
        order_lines.filter(sold & (pl.col("ordered_at") < end_of(as_of, timezone)))
        .drop_nulls("customer_id")
        .group_by("customer_id", "order_id")
        .agg(pl.col("ordered_at").min(), is_own=pl.col("message_id").is_null().all())
        .filter("is_own")
        .collect()
    )
    day = pl.col("ordered_at").dt.convert_time_zone(timezone).dt.date()
    hour = hour_of_week(orders, zones, timezone, "ordered_at").cast(pl.Int64) % HOURS
    return orders.lazy().select("customer_id", ordered_on=day, hour=hour)


def send_time_posteriors(
    evidence: Evidence,
    rates: Rates | None,
    orders: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    routing: Routing,
) -> pl.DataFrame:
    """One row of SendTimePosteriors per customer of the evidence and enabled channel, sorted by them. `rates` are those
    expected of the customers' channels; messages on others count in n_sent and n_response alone. `orders` has the columns
    of `order_hours`, of profiles."""
    channels = {name: channel for name, channel in sorted(routing.channels.items()) if channel.enabled}
    customers = evidence.customers["customer_id"]
    if customers.is_empty() or not channels:
        return SendTimePosteriors.empty()
    from lifecycle_assets.models.send_time_kernel import best_hours

    orders = orders.filter(pl.col("ordered_on") <= as_of).rename({"ordered_on": "sent_on"})
    curves = learnt(evidence, rates, weighted(orders, as_of, routing.posteriors.half_life_days))
    weekday = as_of.isoweekday() % 7
    preference = np.stack([_preference(channel) for channel in channels.values()])
    windows = _windows(preference, weekday)
    unlike, like = _unlike(curves)
    read_by = preference, _ascending(curves, preference[:, 0]), windows
    hours, lifts, best_windows, borrowed = best_hours(unlike, curves.told, curves.model, curves.usual, weekday, read_by)
    width = windows.shape[1]
    words = pl.Series([_words(*window) for of_channel in windows.tolist() for window in of_channel])
    number = best_windows + width * np.arange(len(channels))[:, None]
    each = np.repeat(np.arange(customers.len()), len(channels))

    def of_all(values: np.ndarray) -> pl.Series:
        return pl.Series(values[like].ravel())

    def known(place: int, values: np.ndarray) -> pl.Expr:
        """Of the hour in that place, null where there is none."""
        return pl.when(of_all(hours[:, :, place] >= 0)).then(of_all(values))

    return (
        customers.gather(each)
        .to_frame()
        .select(
            pl.lit(shop_id).alias("shop_id"),
            pl.lit(as_of).alias("as_of"),
            "customer_id",
            channel=pl.Series(list(channels)).gather(np.tile(np.arange(len(channels)), customers.len())),
            best_hour=of_all(hours[:, :, 0]).cast(pl.Int64),
            best_lift=of_all(lifts[:, :, 0]),
            best_lift_lo=of_all(lifts[:, :, 1]),
            best_lift_hi=of_all(lifts[:, :, 2]),
            second_hour=known(1, hours[:, :, 1]).cast(pl.Int64),
            second_lift=known(1, lifts[:, :, 3]),
            third_hour=known(2, hours[:, :, 2]).cast(pl.Int64),
            third_lift=known(2, lifts[:, :, 4]),
            windows=pl.concat_str([words.gather(of_all(number[:, :, place])) for place in range(3)], separator="; "),
            n_sent=pl.Series(curves.sent[each]),
            n_response=pl.Series(curves.responses[each]),
            borrowed=of_all(borrowed),
        )
    )


def _unlike(curves: Curves) -> tuple[np.ndarray, np.ndarray]:
    """The customers to look at, and for each customer the place among them of the one like them: those of whom neither
    responses nor orders tell anything are alike within their segment."""
    responses, _, peaks, segment, _ = curves.told
    alone = segment.max() + 1 + np.arange(segment.size)
    kind = np.where(responses.any(axis=1) | peaks.any(axis=1), alone, segment)
    _, unlike, like = np.unique(kind, return_index=True, return_inverse=True)
    return unlike, like


def _preference(channel: Channel) -> np.ndarray:
    """The hours at which the channel may send, the default first and then those nearest to it; filled up to 24 with -1. A
    default in quiet hours is their end."""
    hour, default = np.arange(HOURS), channel.send_hour
    is_open = np.ones(HOURS, bool)
    if channel.quiet_hours is not None:
        begin, end = channel.quiet_hours
        is_open = (hour - begin) % HOURS >= (end - begin) % HOURS
        default = default if is_open[default] else end
    later, earlier = (hour - default) % HOURS, (default - hour) % HOURS
    nearest = np.lexsort((later, np.minimum(later, earlier)))
    chosen = nearest[is_open[nearest]]
    return np.append(chosen, np.full(HOURS - chosen.size, -1)).astype(np.int8)


def _ascending(curves: Curves, defaults: np.ndarray) -> np.ndarray:
    """Per channel and hour: the curves in the order of their response at the hour over that at the channel's default."""
    lift = curves.relative[None] / curves.relative[defaults][:, None]
    return np.argsort(lift, axis=2, kind="stable").astype(np.int16)


def _windows(preference: np.ndarray, weekday: int) -> np.ndarray:
    """Per channel its windows (day, first hour, hours long): those nearest to the default hour first, of these those soonest
    from `weekday` on. A channel without two open hours in a row has windows of one. Filled up with windows of none."""
    found = np.zeros((len(preference), 7 * HOURS, 3), np.int64)
    for channel, hours in enumerate(preference):
        is_open = np.isin(np.arange(HOURS + 1), hours[hours >= 0])
        whole = [hour for hour in hours if hour >= 0 and is_open[hour : hour + WINDOW_HOURS].all()]
        starts, length = (whole, WINDOW_HOURS) if whole else (hours[hours >= 0], 1)
        for place, (hour, ahead) in enumerate((hour, ahead) for hour in starts for ahead in range(7)):
            found[channel, place] = (weekday + ahead) % 7, hour, length
    return found


def _words(day: int, first: int, length: int) -> str:
    return f"{DAYS[day]} {first:02}:00-{first + length:02}:00"
