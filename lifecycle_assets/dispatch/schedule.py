"""When does each message go out? Send time, quiet hours, law and throttle as one assignment.

A message may go out in one of 24 hours: each local hour of the customer once, from the beginning of the day after as_of in
the customer's zone on, and not before that day has begun for the shop. A local hour that a change to summer time skips is
taken an hour later; one that the change back repeats is taken the first time. Hours are open or closed by quiet hours and
law (contact_windows). For a customer whose zone is not known an hour is open when it is so in every zone of their country
(zones), and named as in the most probable one. Quiet hours of customers who state neither zone nor country are those of the
shop's clock; the law is then kept in every zone of the shop's country.

A message likes best the customer's own best hours (models.send_time_posteriors; without them the channel's send_hour), then
those nearest to the first. It takes the hour it likes best that is open and has room: `contact.throttle` is the room of the
night, a channel's `per_hour` that of the channel in each hour of the clock (UTC). Messages choose one after another (a serial
dictatorship: Svensson, Social Choice and Welfare, 1999), first as many as the night has room for, the best by score, and
among them in the order of what they are worth at their best hour, score times its lift. So a message without room moves to
its customer's next best hour, and where there is no room at all the worst are held.
"""

import datetime as dt
import zoneinfo
from collections.abc import Sequence

import numpy as np
import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.contact_windows import HOURS, is_quiet, lawful_hours
from lifecycle_assets.dispatch.zones import country_code, is_zone, possible_zones
from lifecycle_assets.settings import ChannelName, Routing, Shop

SPOT = ["timezone", "country", "region"]
PLACE = ["channel", *SPOT]
MOMENT = pl.Datetime("us", "UTC")
# Moments are microseconds since 1970.
HOUR = 3_600_000_000
# Zones lie up to 26 hours apart: all that can go out tonight does so within so many hours from the shop's midnight.
NIGHT = 26 + 2 * HOURS
UNLIMITED = np.iinfo(np.int64).max


def schedule(sends: pl.DataFrame, shop: Shop, as_of: dt.date, gone: pl.DataFrame | None = None) -> pl.DataFrame:
    """The hour of every message of tonight.

    `sends`: one row per customer who would get one: customer_id, channel, timezone, country and region (the customer's, null
    when unknown), score, expected_value, best_hour, best_lift, second_hour, third_hour (local hours; each may be null) and
    earliest (UTC; null when the message need not wait). `gone`: channel and send_at of tonight's messages that are out
    already and have taken their room.

    Returns one row per customer, sorted by customer_id: send_at (UTC), send_at_local (naive), moved (the hour liked best is
    closed by quiet hours or law), hour_rank (1 = the hour liked best; closed ones count) and throttled (held: no open hour
    has room). send_at, send_at_local and hour_rank are null where held.
    """
    from lifecycle_assets.dispatch.assignment_kernel import NOWHERE, assign

    sends = sends.with_columns(country_code(pl.col("country")))
    places = sends.select(PLACE).unique().sort(PLACE).with_row_index("place")
    moments, local, is_open = _hours(places, shop, as_of)
    room, buckets, left = _room(places, moments, shop, as_of, gone)
    best_first = _best_first(sends.join(places, on=PLACE, nulls_equal=True), left)
    place = best_first.get_column("place").to_numpy()
    wishes = _wishes(best_first, shop.routing).fill_null(NOWHERE).cast(pl.Int8).to_numpy(order="c")
    earliest = best_first.get_column("earliest").cast(MOMENT).to_physical().fill_null(0).to_numpy()
    hours, better = assign(place, wishes, earliest, _nearest(moments), moments, is_open, buckets, room, left)
    found = pl.Series(hours != NOWHERE)
    return best_first.select(
        "customer_id",
        send_at=pl.when(found).then(pl.Series(moments[place, hours]).cast(MOMENT)),
        send_at_local=pl.when(found).then(pl.Series(local[place, hours]).cast(pl.Datetime("us"))),
        moved=pl.Series(~is_open[place, wishes[:, 0]]),
        hour_rank=pl.when(found).then(pl.Series(better).cast(pl.Int64) + 1),
        throttled=~found,
    ).sort("customer_id")


def with_open_channels(
    people: pl.DataFrame, channels: Sequence[ChannelName], shop: Shop, as_of: dt.date
) -> pl.DataFrame:
    """`people` (timezone, country and region as in schedule) with `open_<channel>` for each channel: whether any hour of
    tonight's 24 is open to it where the customer is."""
    coded = people.select("timezone", country_code(pl.col("country")), "region")
    spots = coded.unique().sort(SPOT)
    places = (
        pl.DataFrame({"channel": channels}, {"channel": pl.String}).join(spots, how="cross").with_row_index("place")
    )
    is_open = _hours(places, shop, as_of)[2].any(axis=1).reshape(len(channels), spots.height)
    of_spots = spots.with_columns(pl.Series(f"open_{name}", row) for name, row in zip(channels, is_open, strict=True))
    of_people = coded.join(of_spots, on=SPOT, how="left", nulls_equal=True, maintain_order="left")
    return people.hstack(of_people.drop(SPOT))


def _best_first(sends: pl.DataFrame, left: int) -> pl.DataFrame:
    """In the order in which they choose."""
    by_score = sends.sort("score", "expected_value", "customer_id", descending=[True, True, False])
    worth = pl.col("score") * pl.col("best_lift").fill_null(1.0)
    # Stable, so that of equal worth the order by score stays.
    return by_score.sort(pl.int_range(pl.len()) < left, worth, descending=True, maintain_order=True)


def _wishes(sends: pl.DataFrame, routing: Routing) -> pl.DataFrame:
    defaults = {name: channel.send_hour for name, channel in routing.channels.items()}
    first = pl.coalesce("best_hour", pl.col("channel").replace_strict(defaults, return_dtype=pl.Int64))
    return sends.select(first, "second_hour", "third_hour")


def _hours(places: pl.DataFrame, shop: Shop, as_of: dt.date) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The 24 hours of every place, by local hour: moment (UTC), local time, whether it is open. There are at most a few
    thousand places, however many customers."""
    days = [as_of + dt.timedelta(days=ahead) for ahead in range(4)]
    begin = end_of(as_of, shop.timezone)
    moments = np.zeros((places.height, HOURS), dtype=np.int64)
    local = np.zeros_like(moments)
    is_open = np.zeros(moments.shape, dtype=np.bool_)
    for row, channel, timezone, country, region in places.iter_rows():
        possible = possible_zones(timezone, country or shop.country, shop.timezone)
        zones = [zoneinfo.ZoneInfo(zone) for zone in possible]
        # Of whom nothing is known it is said that they live by the shop's clock; the law asks for more.
        told = country is not None or is_zone(timezone)
        clocks = zones if told else [zoneinfo.ZoneInfo(shop.timezone)]
        rules = shop.routing.channels[channel]
        lawful = lawful_hours(channel, country or shop.country, region, days)
        for hour in range(HOURS):
            moment = next(at for day in days[1:] if (at := _moment(day, hour, zones[0])) >= begin)
            shown = [moment.astimezone(zone) for zone in zones]
            moments[row, hour] = _microseconds(moment)
            local[row, hour] = _microseconds(shown[0].replace(tzinfo=dt.UTC))
            is_lawful = all(lawful[(at.date() - as_of).days, at.hour] for at in shown)
            is_open[row, hour] = is_lawful and not any(is_quiet(moment.astimezone(at).hour, rules) for at in clocks)
    return moments, local, is_open


def _moment(day: dt.date, hour: int, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    # fold=0 is the first of two equal hours, and takes a skipped hour at the offset before the change: one hour later.
    return dt.datetime.combine(day, dt.time(hour), tzinfo=zone).astimezone(dt.UTC)


def _microseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _nearest(moments: np.ndarray) -> np.ndarray:
    """Per place and hour: all hours, the nearest first; of two as near the later one."""
    gap = moments[:, None, :] - moments[:, :, None]
    return np.argsort(2 * np.abs(gap) - (gap > 0), axis=2, kind="stable").astype(np.int8)


def _room(
    places: pl.DataFrame, moments: np.ndarray, shop: Shop, as_of: dt.date, gone: pl.DataFrame | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The room of each channel in each hour of the night (one row of hours after another), where in it the hours of the
    places are, and the room of the whole night."""
    channels = shop.routing.channels
    number = {name: position for position, name in enumerate(channels)}
    first = _microseconds(end_of(as_of, shop.timezone)) // HOUR
    limits = [UNLIMITED if channel.per_hour is None else channel.per_hour for channel in channels.values()]
    room = np.repeat(np.array(limits, dtype=np.int64), NIGHT)
    rows = places.get_column("channel").replace_strict(number, return_dtype=pl.Int64).to_numpy()
    throttle = shop.routing.contact.throttle
    left = UNLIMITED if throttle is None else throttle
    if gone is not None:
        hour = gone.get_column("send_at").cast(MOMENT).to_physical().to_numpy() // HOUR - first
        taken = gone.get_column("channel").replace_strict(number, return_dtype=pl.Int64).to_numpy() * NIGHT + hour
        np.subtract.at(room, taken[(hour >= 0) & (hour < NIGHT)], 1)
        left = max(left - gone.height, 0)
    return room, rows[:, None] * NIGHT + moments // HOUR - first, left
