"""In which time zones may a customer be? The zones of each country from zone.tab of the IANA time zone database, where those
of a country's more populous parts come first."""

import functools
import zoneinfo
from collections.abc import Mapping
from importlib import resources
from typing import TypeGuard

import polars as pl


def country_code(country: pl.Expr) -> pl.Expr:
    """The country as ISO 3166-1 alpha-2 code in capitals; null where it is not one."""
    code = country.str.strip_chars().str.to_uppercase()
    return pl.when(code.is_in(sorted(_by_country()))).then(code)


def possible_zones(timezone: str | None, country: str, shop_zone: str) -> list[str]:
    """The zones in which a customer may be, the most probable one first: the one that is stated; else those of the country,
    the shop's before the others. A zone that does not exist is not stated; a country without zones has the shop's."""
    if is_zone(timezone):
        return [timezone]
    zones = _by_country().get(country, [shop_zone])
    return sorted(zones, key=lambda zone: zone != shop_zone)


def is_zone(timezone: str | None) -> TypeGuard[str]:
    return timezone in _existing()


@functools.cache
def _existing() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


@functools.cache
def _by_country() -> Mapping[str, list[str]]:
    text = resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text("utf-8")
    zones: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            country, _, zone, *_ = line.split("\t")
            zones.setdefault(country, []).append(zone)
    return zones
