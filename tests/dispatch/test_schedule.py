"""When messages go out: quiet hours, zones, and both changes of the clock."""

import datetime as dt
import zoneinfo

import polars as pl
import pytest
from dispatch_world import LAPSED, World
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_assets.dispatch.schedule import is_quiet, send_time, send_times
from lifecycle_assets.settings import Channel

MADRID, NEW_YORK, LORD_HOWE = "Europe/Madrid", "America/New_York", "Australia/Lord_Howe"


def local(channel: Channel, zone: str, as_of: str) -> str:
    at, _ = send_time(channel, zone, dt.date.fromisoformat(as_of))
    return at.astimezone(zoneinfo.ZoneInfo(zone)).strftime("%m-%d %H:%M%z")


@pytest.mark.parametrize(
    ("zone", "as_of", "hour", "expected"),
    [
        (MADRID, "2024-02-28", 10, "02-29 10:00+0100"),  # the leap day
        (MADRID, "2025-03-28", 10, "03-29 10:00+0100"),
        (MADRID, "2025-03-29", 10, "03-30 10:00+0200"),  # the clock went forward that night
        (MADRID, "2025-03-29", 2, "03-30 03:00+0200"),  # 02:00 does not exist
        (MADRID, "2025-10-25", 2, "10-26 02:00+0200"),  # 02:00 exists twice: the first
        (MADRID, "2025-10-25", 10, "10-26 10:00+0100"),
        (NEW_YORK, "2025-03-08", 2, "03-09 03:00-0400"),
        (LORD_HOWE, "2025-10-04", 2, "10-05 02:30+1100"),  # a change of half an hour
    ],
)
def test_the_hour_is_local_on_both_changes_of_the_clock(zone: str, as_of: str, hour: int, expected: str) -> None:
    assert local(Channel(send_hour=hour), zone, as_of) == expected


@pytest.mark.parametrize(
    ("hour", "quiet", "expected"),
    [
        (20, (21, 8), "03-02 20:00+0100"),
        (21, (21, 8), "03-03 08:00+0100"),
        (23, (21, 8), "03-03 08:00+0100"),
        (0, (21, 8), "03-02 08:00+0100"),
        (7, (21, 8), "03-02 08:00+0100"),
        (8, (21, 8), "03-02 08:00+0100"),
        (13, (12, 14), "03-02 14:00+0100"),
    ],
)
def test_quiet_hours_move_the_hour_and_never_drop_the_message(hour: int, quiet: tuple[int, int], expected: str) -> None:
    assert local(Channel(send_hour=hour, quiet_hours=quiet), MADRID, "2025-03-01") == expected


@given(
    st.integers(0, 23),
    st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda pair: pair[0] != pair[1]),
    st.sampled_from(sorted(zoneinfo.available_timezones())),
    st.dates(dt.date(2000, 1, 1), dt.date(2035, 12, 31)),
)
def test_no_message_goes_out_in_quiet_hours_nor_before_its_day(
    hour: int, quiet: tuple[int, int], zone: str, as_of: dt.date
) -> None:
    channel = Channel(send_hour=hour, quiet_hours=quiet)
    at, moved = send_time(channel, zone, as_of)
    shown = at.astimezone(zoneinfo.ZoneInfo(zone))
    assert not is_quiet(shown.hour, channel)
    assert as_of < shown.date() <= as_of + dt.timedelta(days=2)
    assert moved or shown.hour == hour or shown.utcoffset() != (shown - dt.timedelta(hours=3)).utcoffset()


def test_every_pair_gets_its_time_once() -> None:
    pairs = pl.DataFrame({"channel": ["email", "email", "sms"], "timezone": [MADRID, MADRID, NEW_YORK]})
    channels = {"email": Channel(send_hour=10), "sms": Channel(send_hour=9)}
    times = send_times(pairs, channels, dt.date(2025, 3, 1))
    assert times.select("channel", "timezone").rows() == [("email", MADRID), ("sms", NEW_YORK)]
    assert times["send_at"].dt.hour().to_list() == [9, 14]


def test_a_customers_own_zone_counts_and_one_that_does_not_exist_does_not() -> None:
    shop = World(
        {
            "ana": {**LAPSED, "timezone": "America/Mexico_City"},
            "bea": {**LAPSED, "timezone": "Mars/Olympus"},
            "eva": LAPSED,
        }
    )
    decided = shop.decide()
    assert decided["send_at"].dt.hour().to_list() == [16, 9, 9]
    assert set(decided["send_at_local"].dt.hour()) == {10}
