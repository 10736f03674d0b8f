"""When a message goes out: the channel's hour on the day after as_of, in the customer's own time zone.

Quiet hours move a message to their end, on the same day or the next; they never drop it. A local hour that a change to
summer time skips is taken an hour later; one that the change back repeats is taken the first time.
"""

import datetime as dt
import zoneinfo
from collections.abc import Iterable, Mapping

import polars as pl

from lifecycle_assets.settings import Channel, ChannelName

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "channel": pl.String,
    "timezone": pl.String,
    "send_at": pl.Datetime("us", "UTC"),
    "send_at_local": pl.Datetime("us"),
    "moved": pl.Boolean,
}


def send_times(pairs: pl.DataFrame, channels: Mapping[ChannelName, Channel], as_of: dt.date) -> pl.DataFrame:
    """The time of every (channel, timezone) in `pairs`: send_at (UTC), send_at_local (naive, in that zone) and `moved`
    (by quiet hours). There are at most a few hundred pairs, however many customers."""
    rows = []
    for channel, timezone in pairs.select("channel", "timezone").unique().sort("channel", "timezone").iter_rows():
        at, moved = send_time(channels[channel], timezone, as_of)
        rows.append((channel, timezone, at, at.astimezone(zoneinfo.ZoneInfo(timezone)).replace(tzinfo=None), moved))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def send_time(channel: Channel, timezone: str, as_of: dt.date) -> tuple[dt.datetime, bool]:
    """The moment (UTC) at which the channel sends to a zone, and whether quiet hours moved it."""
    zone = zoneinfo.ZoneInfo(timezone)
    day = as_of + dt.timedelta(days=1)
    at = _moment(day, channel.send_hour, zone)
    if not is_quiet(at.astimezone(zone).hour, channel):
        return at, False
    if channel.quiet_hours is None:
        raise AssertionError("only quiet hours can be quiet")
    begin, end = channel.quiet_hours
    after_midnight = begin < end or channel.send_hour < end
    return _moment(day if after_midnight else day + dt.timedelta(days=1), end, zone), True


def is_quiet(hour: int, channel: Channel) -> bool:
    """Whether a local hour lies in the channel's quiet hours: from their beginning up to, not including, their end."""
    if channel.quiet_hours is None:
        return False
    begin, end = channel.quiet_hours
    hours: Iterable[int] = range(begin, end) if begin <= end else [*range(begin, 24), *range(end)]
    return hour in hours


def _moment(day: dt.date, hour: int, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    # fold=0 is the first of two equal hours, and takes a skipped hour at the offset before the change: one hour later.
    return dt.datetime.combine(day, dt.time(hour), tzinfo=zone).astimezone(dt.UTC)
