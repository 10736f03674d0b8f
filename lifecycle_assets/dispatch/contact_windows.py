"""In which local hours may a channel speak to people in a place?

Outside the channel's quiet hours (is_quiet), and inside the windows of every law that is in force there on the day
(contact_windows.yaml, each law with its source). Where the region is not known, the laws of all regions of the country hold
together; a country that no law is known of has the quiet hours alone. Public holidays are the national ones.
"""

import datetime as dt
import functools
from collections.abc import Sequence
from importlib import resources
from typing import Annotated

import numpy as np
import pydantic
import yaml
from pydantic import Field

from lifecycle_assets.features.public_holidays import public_holidays
from lifecycle_assets.settings import Channel, ChannelName
from lifecycle_assets.settings.base import Group

HOURS = 24


class Window(Group):
    """Hours of some weekdays (1 = Monday) in which contact is allowed, up to, not including, `until`."""

    days: tuple[Annotated[int, Field(ge=1, le=7)], ...]
    begin: Annotated[int, Field(ge=0, le=23, alias="from")]
    until: Annotated[int, Field(ge=1, le=24)]


class Law(Group):
    """The windows of a law for some channels, from `since` to `until`, both included."""

    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    region: str | None = None
    channels: tuple[ChannelName, ...]
    since: dt.date
    until: dt.date = dt.date.max
    windows: tuple[Window, ...]
    holidays: bool = True
    source: str


@functools.cache
def laws() -> tuple[Law, ...]:
    """All laws that are known, of any time."""
    text = resources.files("lifecycle_assets.dispatch").joinpath("contact_windows.yaml").read_text("utf-8")
    return pydantic.TypeAdapter(tuple[Law, ...]).validate_python(yaml.safe_load(text))


def lawful_hours(channel_name: ChannelName, country: str, region: str | None, days: Sequence[dt.date]) -> np.ndarray:
    """Which hours of each of the days the laws of the place leave open: true or false, days x 24."""
    allowed = np.ones((len(days), HOURS), dtype=bool)
    for law in laws_of(channel_name, country, region):
        closed = () if law.holidays else public_holidays(country, min(days), max(days))
        for row, day in enumerate(days):
            if law.since <= day <= law.until:
                allowed[row] &= _open(law, day) & (closed is None or day not in closed)
    return allowed


def laws_of(channel_name: ChannelName, country: str, region: str | None) -> list[Law]:
    """The laws of any time that concern a channel in a place."""
    return [
        law
        for law in laws()
        if law.country == country and channel_name in law.channels and (region is None or law.region in (None, region))
    ]


def is_quiet(hour: int, channel: Channel) -> bool:
    """Whether a local hour lies in the channel's quiet hours: from their beginning up to, not including, their end."""
    if channel.quiet_hours is None:
        return False
    begin, end = channel.quiet_hours
    return begin <= hour < end if begin <= end else hour >= begin or hour < end


def _open(law: Law, day: dt.date) -> np.ndarray:
    hours = np.zeros(HOURS, dtype=bool)
    for window in law.windows:
        if day.isoweekday() in window.days:
            hours[window.begin : window.until] = True
    return hours
