"""From the texts of an export to typed values, a whole column at a time.

How a column's texts are to be read - decimal comma or point, day or month first, `17850.0` as the id 17850 - is told from
the values of the whole input: `tally` counts what speaks for which reading, batch by batch, and `decide` chooses. A value
that cannot be read becomes null and is marked; nothing is guessed for a single value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from lifecycle_assets.settings import TableMapping

Decimal = Literal[".", ","]
UTC_TIME = pl.Datetime("us", "UTC")
MISSING = ["", "null", "NULL", "None", "nan", "NaN", "<NA>", "#N/A", "\\N"]
MONTH_FIRST_COUNTRIES = frozenset({"US", "PH", "PR", "GU", "VI", "PW", "FM", "MH"})

_TRUE = [
    *("true", "t", "yes", "y", "1", "1.0", "on", "sí", "si", "s", "sim", "verdadero", "verdadeiro", "x"),
    *("ja", "wahr", "oui", "vrai"),
]
_FALSE = ["false", "f", "no", "n", "0", "0.0", "off", "não", "nao", "falso", "nein", "falsch", "non", "faux"]

_SLASHED = r"^\s*\d{1,2}[/.\-]\d{1,2}[/.\-]\d{2,4}\b"
_OFFSET = r"(?i)(?::\d{2}(?:[.,]\d+)?)\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
_COMMA_DECIMAL = r",(?:\d{1,2}|\d{4,})\D*$|\.\d{3},|\.\d{3}\.\d{3}"
_POINT_DECIMAL = r"\.(?:\d{1,2}|\d{4,})\D*$|,\d{2,3}\.|,\d{2,3},\d{3}"
_CODE = r"(?:[A-Z]{3}|US|R|A|C|NZ|HK|S/|kr\.?|Rs\.?|zł|Kč|Fr\.?|лв)"
_NUMBER = (
    rf"^(?P<open>\()?(?P<sign>[-+−]?)(?:{_CODE}?\p{{Sc}}?)(?P<inner>[-−]?)"
    rf"(?P<digits>[0-9.,]*[0-9][.,]?)(?:\p{{Sc}}|{_CODE})?(?P<after>-?)\)?$"
)
_GROUPED = {
    ".": r"^(?:\d+|\d{1,3}(?:,\d{2,3})*,\d{3})?(?:\.\d*)?$",
    ",": r"^(?:\d+|\d{1,3}(?:\.\d{2,3})*\.\d{3})?(?:,\d*)?$",
}

_ISO = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%dT%H%M%S",
]
_WORDED = ["%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y", "%a, %d %b %Y"]
_CLOCKS = [
    "",
    " %H:%M",
    " %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
    ", %H:%M",
    ", %I:%M %p",
    ", %H:%M:%S",
    " %I:%M%p",
    " %H:%M:%S%.f",
]


@dataclass(frozen=True)
class Tally:
    """How many values of a column speak for each of two readings."""

    first: int = 0
    second: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.first + other.first, self.second + other.second)


@dataclass(frozen=True)
class Reading:
    """How the texts of one table are to be read, by column."""

    decimal: Mapping[str, Decimal] = field(default_factory=dict)
    day_first: Mapping[str, bool] = field(default_factory=dict)
    float_ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Parsed:
    """A column's values, and which of them stood there but could not be read."""

    values: pl.Series
    unreadable: pl.Series


def tally(texts: pl.Series, dtype: pl.DataType, so_far: Tally = Tally()) -> Tally:
    """What the texts say about their own reading; (0, 0) for typed columns.

    Numbers: (decimal commas, decimal points). Dates: (day first, month first). Ids: (whole floats like 17850.0, others).
    """
    if texts.dtype != pl.String or texts.is_empty():
        return Tally()
    if dtype == pl.String:
        if so_far.second or not texts.name.endswith("_id"):
            # One id that is no float is enough to leave them all as they are.
            return Tally()
        present = texts.drop_nulls().str.strip_chars()
        present = present.filter(~present.is_in(MISSING))
        floats = _count(present, r"^\d+\.0$")
        return Tally(floats, len(present) - floats)
    if dtype.is_numeric():
        return Tally(_count(texts, _COMMA_DECIMAL), _count(texts, _POINT_DECIMAL))
    if dtype.is_temporal():
        dated = texts.filter(texts.str.contains(_SLASHED).fill_null(False))
        numbers = dated.str.extract_groups(r"^\s*(\d{1,2})([/.\-])(\d{1,2})").struct.unnest()
        one, mark, two = (numbers[name] for name in numbers.columns)
        one, two = one.cast(pl.Int64), two.cast(pl.Int64)
        # 03.04.2024 is written where the day comes first.
        day = (one > 12) | ((mark == ".") & (two <= 12))
        return Tally(int(day.sum()), int((two > 12).sum()))
    return Tally()


def decide(
    tallies: Mapping[str, Tally], dtypes: Mapping[str, pl.DataType], asked: TableMapping, country: str
) -> Reading:
    """The reading that most values speak for; where a column is silent the table's other columns decide, then the country."""

    def favour(column: str, wanted: bool | None, otherwise: bool) -> bool:
        if wanted is not None:
            return wanted
        own = tallies[column]
        alike = [
            t
            for c, t in tallies.items()
            if dtypes[c].is_numeric() == dtypes[column].is_numeric() and dtypes[c] != pl.String
        ]
        for votes in (own, sum(alike, Tally())):
            if votes.first != votes.second:
                return votes.first > votes.second
        return otherwise

    comma = None if asked.decimal == "auto" else asked.decimal == ","
    by_country = country not in MONTH_FIRST_COUNTRIES
    return Reading(
        {c: "," if favour(c, comma, False) else "." for c in tallies if dtypes[c].is_numeric()},
        {c: favour(c, asked.day_first, by_country) for c in tallies if dtypes[c].is_temporal()},
        frozenset(c for c, t in tallies.items() if dtypes[c] == pl.String and t.first and not t.second),
    )


def parse(values: pl.Series, dtype: pl.DataType, reading: Reading, zone: str) -> Parsed:
    """A column as `dtype`: String, Float64, Int64, Boolean, Date or Datetime (in UTC; naive times are in `zone`).

    NaN and infinities stay as they are in Float64; empty texts and the usual words for "nothing" are null.
    """
    if values.dtype == pl.Categorical or isinstance(values.dtype, pl.Enum):
        values = values.cast(pl.String)
    present = values.is_not_null()
    if values.dtype == pl.String and dtype != pl.String:
        values = values.str.strip_chars()
        missing = values.is_in(MISSING) & ~values.is_in(["nan", "NaN"])
        values = values.set(missing, None)
        present = values.is_not_null()
    name = values.name
    if dtype == pl.String:
        result = _text(values, name in reading.float_ids)
        return Parsed(result, pl.repeat(False, len(values), eager=True))
    if dtype == pl.Float64:
        result = _number(values, reading.decimal.get(name, "."))
    elif dtype == pl.Int64:
        number = _number(values, reading.decimal.get(name, "."))
        whole = number.is_finite() & (number == number.round()) & (number.abs() < 2**53)
        result = number.zip_with(
            whole.fill_null(False), pl.Series([None], dtype=pl.Float64).new_from_index(0, len(number))
        ).cast(pl.Int64)
    elif dtype == pl.Boolean:
        result = _boolean(values)
    elif dtype == pl.Date:
        result = _date(values, reading.day_first.get(name, True), zone)
    else:
        result = _instant(values, reading.day_first.get(name, True), zone)
    result = result.alias(name)
    return Parsed(result, present & result.is_null())


def localize(naive: pl.Series, zone: str) -> pl.Series:
    """Local times of a zone as instants in UTC. A time that occurs twice is its first occurrence; a time that the clocks
    skip is moved forward by as much as they skip."""
    if zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    skipped = local.is_null() & naive.is_not_null()
    if skipped.any():
        # With the offset of three hours before, the time comes out as far behind the gap as it lies in it.
        before = naive.filter(skipped).dt.offset_by("-3h")
        moved = before.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
        local = local.dt.convert_time_zone("UTC").scatter(skipped.arg_true(), moved.dt.offset_by("3h"))
    return local.dt.convert_time_zone("UTC")


# --- kinds ------------------------------------------------------------------------------------------------------------


def _text(values: pl.Series, float_ids: bool) -> pl.Series:
    if values.dtype.is_float():
        # An id column with gaps arrives as 17850.0.
        whole = values.is_finite() & (values == values.round()) & (values.abs() < 2**53)
        as_integer = values.set(~whole.fill_null(False), None).cast(pl.Int64).cast(pl.String)
        return as_integer.zip_with(
            whole.fill_null(False), values.set(values.is_nan().fill_null(False), None).cast(pl.String)
        )
    if values.dtype == pl.Binary:
        values = values.cast(pl.String, strict=False)
    if values.dtype.is_nested():
        return pl.DataFrame(values).select(pl.struct(pl.all()).struct.json_encode()).to_series().alias(values.name)
    texts = values.cast(pl.String).str.strip_chars()
    texts = texts.set(texts.is_in(MISSING), None)
    return texts.str.strip_suffix(".0") if float_ids else texts


def _number(values: pl.Series, decimal: Decimal) -> pl.Series:
    if values.dtype != pl.String:
        return (
            values.cast(pl.Float64, strict=False)
            if values.dtype.is_numeric() or values.dtype == pl.Boolean
            else _nulls(values, pl.Float64)
        )
    plain = values.cast(pl.Float64, strict=False)
    todo = values.is_not_null() & plain.is_null()
    if decimal == ",":
        # 1.234 is plain to the computer, and 1234 to whoever writes commas.
        todo = todo | (values.is_not_null() & values.str.contains(r"[.,]"))
    if not todo.any():
        return plain
    compact = values.filter(todo).str.replace_all(r"[\s\u00a0\u202f'’]", "")
    parts = compact.str.extract_groups(_NUMBER).struct.unnest()
    digits = parts["digits"]
    twice = (parts["sign"] != "") & (parts["inner"] != "")
    digits = digits.set(~digits.str.contains(_GROUPED[decimal]).fill_null(False) | twice.fill_null(False), None)
    digits = (
        digits.str.replace_all(",", "")
        if decimal == "."
        else digits.str.replace_all(".", "", literal=True).str.replace(",", ".")
    )
    minus = (parts["open"] == "(") | parts["sign"].is_in(["-", "−"]) | (parts["inner"] != "") | (parts["after"] == "-")
    sign = pl.select(pl.when(minus.fill_null(False)).then(-1.0).otherwise(1.0)).to_series()
    return plain.scatter(todo.arg_true(), digits.cast(pl.Float64, strict=False) * sign)


def _boolean(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    if values.dtype.is_numeric():
        return pl.select(pl.when(values == 1).then(True).when(values == 0).then(False)).to_series()
    texts = values.cast(pl.String).str.to_lowercase()
    return pl.select(pl.when(texts.is_in(_TRUE)).then(True).when(texts.is_in(_FALSE)).then(False)).to_series()


def _date(values: pl.Series, day_first: bool, zone: str) -> pl.Series:
    if values.dtype == pl.Date:
        return values
    if isinstance(values.dtype, pl.Datetime):
        return (values.dt.convert_time_zone(zone) if values.dtype.time_zone else values).dt.date()
    return _instant(values, day_first, zone).dt.convert_time_zone(zone).dt.date()


def _instant(values: pl.Series, day_first: bool, zone: str) -> pl.Series:
    if values.dtype == pl.Date:
        return localize(values.cast(pl.Datetime("us")), zone)
    if isinstance(values.dtype, pl.Datetime):
        if values.dtype.time_zone:
            return values.dt.convert_time_zone("UTC").cast(UTC_TIME)
        return localize(values.cast(pl.Datetime("us")), zone)
    if values.dtype.is_numeric():
        return _counted(values.cast(pl.Float64), zone)
    if values.dtype != pl.String:
        return _nulls(values, UTC_TIME)
    return _written(values, day_first, zone)


def _written(texts: pl.Series, day_first: bool, zone: str) -> pl.Series:
    """Instants from texts: those with an offset by it, the rest local."""
    offset = texts.str.extract(_OFFSET, 1)
    if offset.null_count() == len(offset):
        return _naive(texts, day_first, zone)
    has = offset.is_not_null()
    with_offset = texts.filter(has)
    local = with_offset.str.replace(r"(?i)\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2})$", "")
    parts = offset.filter(has).str.extract_groups(r"([+-])(\d{2}):?(\d{2})?").struct.unnest()
    sign, hours, minutes = (parts[name] for name in parts.columns)
    minutes_east = (hours.cast(pl.Int64) * 60 + minutes.cast(pl.Int64).fill_null(0)).fill_null(0)
    minutes_east = pl.select(pl.when(sign == "-").then(-minutes_east).otherwise(minutes_east)).to_series()
    utc = _naive(local, day_first, "UTC") - (minutes_east * 60_000_000).cast(pl.Duration("us"))
    result = pl.Series(texts.name, [None], dtype=UTC_TIME).new_from_index(0, len(texts)).scatter(has.arg_true(), utc)
    return result.scatter((~has).arg_true(), _naive(texts.filter(~has), day_first, zone))


def _naive(texts: pl.Series, day_first: bool, zone: str) -> pl.Series:
    result = pl.Series(texts.name, [None], dtype=pl.Datetime("us")).new_from_index(0, len(texts))
    counted = texts.cast(pl.Float64, strict=False)
    open_rows = texts.is_not_null() & counted.is_null()
    for pattern in _formats(texts, day_first):
        if not open_rows.any():
            break
        left = texts.filter(open_rows)
        found = _by_pattern(left, pattern)
        if found.null_count() == len(found):
            continue
        result = result.scatter(open_rows.arg_true().filter(found.is_not_null()), found.drop_nulls())
        open_rows = open_rows & result.is_null()
    instants = localize(result, zone)
    if counted.null_count() < len(counted):
        at = counted.is_not_null().arg_true()
        instants = instants.scatter(at, _counted(counted.drop_nulls(), zone))
    return instants


def _formats(texts: pl.Series, day_first: bool) -> list[str]:
    """Patterns to try, those that fit the first values first."""
    sample = texts.drop_nulls().head(5)
    iso = sorted(_ISO, key=lambda pattern: -_parsed(sample, pattern))
    if _parsed(sample, iso[0]) == len(sample) > 0:
        return [*iso, *_other_formats(day_first)]
    return sorted([*_ISO, *_other_formats(day_first)], key=lambda pattern: -_parsed(sample, pattern))


def _other_formats(day_first: bool) -> list[str]:
    numeric = []
    for mark in "/.-":
        order = f"%d{mark}%m{mark}" if day_first else f"%m{mark}%d{mark}"
        numeric += [f"{order}{year}{clock}" for clock in _CLOCKS for year in ("%y", "%Y")]
    worded = [day + clock for day in _WORDED for clock in _CLOCKS]
    return [*numeric, *worded]


def _parsed(sample: pl.Series, pattern: str) -> int:
    return len(sample) - _by_pattern(sample, pattern).null_count()


def _by_pattern(texts: pl.Series, pattern: str) -> pl.Series:
    if "%H" in pattern or "%I" in pattern:
        found = texts.str.to_datetime(pattern, strict=False, time_unit="us")
    else:
        found = texts.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))
    # %Y takes 24 for the year 24; that text is for another pattern.
    return found.set((found.dt.year() < 1000).fill_null(False), None)


def _counted(numbers: pl.Series, zone: str) -> pl.Series:
    """Instants from numbers: Excel's days since 1899-12-30, seconds to nanoseconds since 1970, or 20240131."""
    name = numbers.name
    finite = numbers.set(~numbers.is_finite().fill_null(False), None)
    serial = finite.set(~finite.is_between(20_000, 80_000).fill_null(False), None)
    excel = pl.Series([0]).cast(pl.Datetime("us")).new_from_index(0, len(serial)).dt.offset_by("-25569d") + (
        (serial * 86_400).round().cast(pl.Int64) * 1_000_000
    ).cast(pl.Duration("us"))
    day = finite.set(~finite.is_between(19_000_101, 21_001_231).fill_null(False), None).cast(pl.Int64)
    calendar = day.cast(pl.String).str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us"))
    result = localize(excel.zip_with(serial.is_not_null(), calendar), zone)
    for per_second, unit in ((1, 1_000_000), (1_000, 1_000), (1_000_000, 1)):
        low, high = 1e8 * per_second, 5e9 * per_second
        instant = finite.set(~finite.is_between(low, high).fill_null(False), None)
        result = result.zip_with(
            result.is_not_null(),
            (instant * unit).round().cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        )
    return result.alias(name)


def _nulls(values: pl.Series, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    return pl.Series(values.name, [None], dtype=dtype).new_from_index(0, len(values))


def _count(texts: pl.Series, pattern: str) -> int:
    return int(texts.str.contains(pattern).sum() or 0)
