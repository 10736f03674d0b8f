"""Where a law is stricter than quiet hours: by country, region, channel, weekday, holiday, and from its day on."""

import datetime as dt

import pytest

from lifecycle_assets.dispatch.contact_windows import is_quiet, lawful_hours, laws
from lifecycle_assets.settings import Channel

ANY = Channel()


def hours(channel: str, country: str, region: str | None, day: str, rule: Channel = ANY) -> list[int]:
    allowed = lawful_hours(channel, country, region, [dt.date.fromisoformat(day)])
    return [hour for hour in range(24) if allowed[0, hour] and not is_quiet(hour, rule)]


def span(*windows: tuple[int, int]) -> list[int]:
    return [hour for begin, end in windows for hour in range(begin, end)]


@pytest.mark.parametrize(
    ("channel", "country", "region", "day", "windows"),
    [
        ("email", "US", "FL", "2025-03-04", [(0, 24)]),
        ("sms", "DE", None, "2025-03-04", [(0, 24)]),
        ("sms", "US", "NY", "2025-03-04", [(8, 21)]),
        ("sms", "US", "FL", "2021-06-30", [(8, 21)]),  # the day before the law
        ("sms", "US", "FL", "2021-07-01", [(8, 20)]),
        ("sms", "US", "TX", "2025-08-31", [(8, 21)]),  # a Sunday; texts are covered from the next day on
        ("sms", "US", "TX", "2025-09-07", [(12, 21)]),
        ("sms", "US", "TX", "2025-09-06", [(9, 21)]),
        ("call", "US", "TX", "2025-08-31", [(12, 21)]),
        ("sms", "US", None, "2021-06-30", [(8, 21)]),  # no region: all of them together
        ("sms", "US", None, "2022-11-01", [(8, 20)]),
        ("sms", "US", None, "2023-10-01", [(9, 20)]),
        ("sms", "US", None, "2025-09-07", [(12, 20)]),
        ("call", "US", None, "2025-03-04", [(10, 18)]),
        ("call", "US", None, "2025-03-09", []),  # a Sunday
        ("call", "US", "NY", "2025-03-09", [(8, 21)]),
        ("call", "FR", None, "2023-02-28", [(0, 24)]),
        ("call", "FR", None, "2023-03-01", [(10, 13), (14, 20)]),
        ("call", "FR", None, "2023-03-04", []),  # a Saturday
        ("call", "FR", None, "2023-07-14", []),  # a Friday, the national holiday
        ("call", "ES", None, "2025-03-04", [(9, 21)]),
        ("call", "ES", None, "2025-08-15", []),
        ("call", "CA", "QC", "2025-03-08", [(10, 18)]),
        ("call", "AU", None, "2025-03-08", [(9, 17)]),
        ("call", "AU", None, "2025-04-25", []),  # Anzac Day
    ],
)
def test_the_hours_of_a_place(
    channel: str, country: str, region: str | None, day: str, windows: list[tuple[int, int]]
) -> None:
    assert hours(channel, country, region, day) == span(*windows)


def test_quiet_hours_hold_inside_the_law_over_midnight_and_not() -> None:
    assert hours("sms", "US", "NY", "2025-03-04", Channel(quiet_hours=(20, 9))) == span((9, 20))
    assert hours("sms", "US", "NY", "2025-03-04", Channel(quiet_hours=(12, 14))) == span((8, 12), (14, 21))
    assert hours("call", "FR", None, "2025-03-04", Channel(quiet_hours=(9, 20))) == []


def test_every_law_names_its_source_and_ends_after_it_begins() -> None:
    for law in laws():
        assert len(law.source) > 5
        assert law.since <= law.until
        assert all(window.begin < window.until for window in law.windows)
