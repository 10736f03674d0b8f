"""Texts to values, held against Python's own date, number and zone arithmetic."""

import datetime as dt
import hashlib
import math
import zoneinfo
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_assets.hashing import sha256
from lifecycle_assets.inputs import parsing
from lifecycle_assets.settings import TableMapping

FLOAT, TIME, DATE = pl.Float64(), pl.Datetime("us", "UTC"), pl.Date()
ZONE = "Europe/Madrid"


def parse(
    values: list[object],
    dtype: pl.DataType,
    *,
    name: str = "value_id",
    country: str = "ES",
    zone: str = ZONE,
    **asked: object,
) -> list[object]:
    """The values as an input would give them; `!` stands for what could not be read."""
    series = pl.Series(name, values)
    tallies = {name: parsing.tally(series, dtype)}
    reading = parsing.decide(tallies, {name: dtype}, TableMapping.model_validate(asked), country)
    parsed = parsing.parse(series, dtype, reading, zone)
    assert parsed.values.dtype == dtype
    return ["!" if bad else value for value, bad in zip(parsed.values, parsed.unreadable, strict=True)]


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1,234.56", "1,234", "12.5", ".5", "5.", "1e3"], [1234.56, 1234, 12.5, 0.5, 5, 1000]),
        (["1.234,56", "1.234", "12,5", "1 234,5", "1\u202f234,5", "1'234,5"], [1234.56, 1234, 12.5, 1234.5, 1234.5, 1234.5]),
        (["1.234.567", "2"], [1234567, 2]),
        (["1,00,000.50", "3"], [100000.5, 3]),
        (["1.234", "2.345"], [1.234, 2.345]),
        (["$3.20", "€ 3.20", "3.20 €", "USD 3.20", "3.20 EUR", "R$ 3.20", "£3.20"], [3.2] * 7),
        (["-5", "(5.00)", "5-", "−5", "-$5", "$-5", "+5"], [-5, -5, -5, -5, -5, -5, 5]),
        (["abc", "1,2,3", "--5", "5 apples", "1.2.3.4", "12/5", "#DIV/0!"], ["!"] * 7),
        (["", " ", "NULL", "null", "None", "\\N", "#N/A", None], [None] * 8),
    ],
)  # fmt: skip
def test_numbers(texts: list[object], expected: list[object]) -> None:
    assert parse(texts, FLOAT) == expected


def test_nan_and_infinity_stay_what_they_are() -> None:
    nan, inf = parse(["NaN", "-inf"], FLOAT)
    assert math.isnan(nan) and inf == -math.inf  # type: ignore[arg-type]


def test_the_majority_decides_and_the_others_are_unreadable() -> None:
    assert parse(["1,50", "2,75", "3.999.5"], FLOAT) == [1.5, 2.75, "!"]


def test_a_configured_decimal_mark_wins() -> None:
    assert parse(["1.234"], FLOAT, decimal=",") == [1234]
    assert parse(["1,234"], FLOAT, decimal=".") == [1234]


def test_columns_without_evidence_follow_the_others() -> None:
    tallies = {"quantity": parsing.Tally(), "unit_price": parsing.Tally(first=3)}
    reading = parsing.decide(tallies, dict.fromkeys(tallies, FLOAT), TableMapping(), "US")
    assert reading.decimal == {"quantity": ",", "unit_price": ","}


@given(
    st.lists(st.decimals(-(10**9), 10**9, places=2, allow_nan=False), min_size=1, max_size=20),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("", ","), ("", "."), ("'", ".")]),
    st.sampled_from(["{}", "€{}", "{} EUR", " {} "]),
)
def test_any_amount_written_with_two_decimals_is_read_back(
    amounts: list[Decimal], marks: tuple[str, str], frame: str
) -> None:
    thousands, decimal = marks
    texts = [
        frame.format(f"{amount:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands))
        for amount in amounts
    ]
    assert parse(list(texts), FLOAT) == [float(amount) for amount in amounts]


def test_whole_numbers() -> None:
    assert parse(["1", "2.0", "2.5", "x", ""], pl.Int64()) == [1, 2, "!", "!", None]


def test_truth_values() -> None:
    texts = ["true", "FALSE", "Yes", "no", "1", "0", "sí", "não", "maybe", ""]
    assert parse(list(texts), pl.Boolean()) == [True, False, True, False, True, False, True, False, "!", None]
    assert parse([1, 0, 2], pl.Boolean()) == [True, False, "!"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31 10:00:00", utc(2024, 1, 31, 9)),
        ("2024-07-31T10:00", utc(2024, 7, 31, 8)),
        ("2024-01-31 10:00:00.123456", utc(2024, 1, 31, 9, 0, 0, 123456)),
        ("2024-01-31T10:00:00Z", utc(2024, 1, 31, 10)),
        ("2024-01-31 10:00:00 UTC", utc(2024, 1, 31, 10)),
        ("2024-01-31 10:00:00 +0530", utc(2024, 1, 31, 4, 30)),
        ("2024-01-31T10:00:00.5-08:00", utc(2024, 1, 31, 18, 0, 0, 500000)),
        ("2024-01-31T10:00:00+02", utc(2024, 1, 31, 8)),
        ("2024-01-31", utc(2024, 1, 30, 23)),
        ("2024/01/31", utc(2024, 1, 30, 23)),
        ("20240131", utc(2024, 1, 30, 23)),
        ("31.01.2024 10:00", utc(2024, 1, 31, 9)),
        ("31-01-24", utc(2024, 1, 30, 23)),
        ("31 Jan 2024", utc(2024, 1, 30, 23)),
        ("Jan 31, 2024 10:00 AM", utc(2024, 1, 31, 9)),
        ("45322.416666666664", utc(2024, 1, 31, 9)),
        ("1706691600", utc(2024, 1, 31, 9)),
        ("1706691600000", utc(2024, 1, 31, 9)),
        ("2024-02-30", "!"),
        ("31/31/2024", "!"),
        ("12", "!"),
        ("yesterday", "!"),
        ("", None),
    ],
)
def test_timestamps(text: str, expected: object) -> None:
    assert parse([text], TIME) == [expected]


def test_many_ways_of_writing_in_one_column() -> None:
    texts = ["2024-01-31 10:00:00", "31/01/2024", "2024-01-31T10:00:00Z", "nonsense", None, "45322"]
    expected = [utc(2024, 1, 31, 9), utc(2024, 1, 30, 23), utc(2024, 1, 31, 10), "!", None, utc(2024, 1, 30, 23)]
    assert parse(list(texts), TIME) == expected


@pytest.mark.parametrize(
    ("texts", "country", "day"),
    [
        (["3/4/2024", "13/4/2024"], "US", 3),
        (["3/4/2024", "4/13/2024"], "ES", 4),
        (["3/4/2024"], "US", 4),
        (["3/4/2024"], "ES", 3),
        (["3.4.2024"], "US", 3),
    ],
)
def test_day_or_month_first_is_told_from_all_values_then_from_the_country(
    texts: list[str], country: str, day: int
) -> None:
    found = parse(list(texts), DATE, country=country)[0]
    assert isinstance(found, dt.date)
    assert found.day == day


def test_a_configured_order_of_day_and_month_wins() -> None:
    assert parse(["3/4/2024"], DATE, day_first=False) == [dt.date(2024, 3, 4)]


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("Europe/Madrid", "2024-10-27 02:30:00", utc(2024, 10, 27, 0, 30)),  # twice: the first
        ("Europe/Madrid", "2024-03-31 02:30:00", utc(2024, 3, 31, 1, 30)),  # skipped: 03:30
        ("Australia/Lord_Howe", "2024-10-06 02:15:00", utc(2024, 10, 5, 15, 45)),  # half an hour is skipped: 02:45
        ("America/New_York", "2024-11-03 01:30:00", utc(2024, 11, 3, 5, 30)),
        ("UTC", "2024-03-31 02:30:00", utc(2024, 3, 31, 2, 30)),
    ],
)
def test_hours_that_occur_twice_or_never(zone: str, local: str, expected: dt.datetime) -> None:
    assert parse([local], TIME, zone=zone) == [expected]


@given(
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"]),
)
def test_local_times_agree_with_zoneinfo(moment: dt.datetime, zone: str) -> None:
    moment = moment.replace(microsecond=0)
    # Python reads a skipped time with the offset before the gap, and the first of two with fold=0: our rules exactly.
    expected = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=0).astimezone(dt.UTC)
    assert parse([moment.isoformat(" ")], TIME, zone=zone) == [expected]
    assert parse([moment], TIME, zone=zone) == [expected]


@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)), st.integers(-14 * 4, 14 * 4))  # noqa: DTZ001
def test_any_offset_is_honoured(moment: dt.datetime, quarters: int) -> None:
    aware = moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=15 * quarters)))
    assert parse([aware.isoformat()], TIME) == [aware.astimezone(dt.UTC)]


def test_typed_times_and_dates_pass_through() -> None:
    zoned = pl.Series("t", [utc(2024, 1, 31, 10)]).dt.convert_time_zone("Asia/Tokyo")
    parsed = parsing.parse(zoned, TIME, parsing.Reading(), ZONE)
    assert parsed.values.to_list() == [utc(2024, 1, 31, 10)]
    assert parse([dt.date(2024, 1, 31)], TIME) == [utc(2024, 1, 30, 23)]
    assert parse([utc(2024, 1, 31, 23, 30)], DATE) == [dt.date(2024, 2, 1)]


@given(
    st.lists(
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers().map(str)),
        max_size=20,
    )
)
def test_texts_are_only_trimmed(texts: list[str | None]) -> None:
    series = pl.Series("note", texts, dtype=pl.String)
    parsed = parsing.parse(series, pl.String(), parsing.Reading(), "UTC").values.to_list()
    for given_text, found in zip(texts, parsed, strict=True):
        assert (
            found is None
            if given_text is None or given_text.strip() in parsing.MISSING
            else found == given_text.strip()
        )


def test_ids_from_typed_columns() -> None:
    assert parse([17850.0, None, float("nan"), 1.5], pl.String()) == ["17850", None, None, "1.5"]
    assert parse([7, None], pl.String()) == ["7", None]
    categories = pl.Series("c", ["A", None]).cast(pl.Categorical)
    assert parsing.parse(categories, pl.String(), parsing.Reading(), "UTC").values.to_list() == ["A", None]


def test_sha256_is_pythons() -> None:
    assert sha256(pl.Series("e", ["ana@example.org", None])).to_list() == [
        hashlib.sha256(b"ana@example.org").hexdigest(),
        None,
    ]
