"""Which days are public holidays in the shop's country? The national ones of the library holidays, known years ahead."""

import datetime as dt

import polars as pl


def public_holidays(country: str, first: dt.date, last: dt.date) -> pl.Series | None:
    """The holidays from `first` to `last`, ascending; None for a country (ISO 3166-1 alpha-2) whose holidays are not known."""
    import holidays

    if country not in holidays.list_supported_countries():
        return None
    known = holidays.country_holidays(country, years=range(first.year, last.year + 1))
    return pl.Series("date", sorted(day for day in known if first <= day <= last), dtype=pl.Date)
