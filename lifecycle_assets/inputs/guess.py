"""A first configuration for a shop, told from what its input looks like.

A known export is recognised by its columns. Otherwise tables are told by their names and columns by theirs
(vocabulary.py) and, where a required column goes by no known name, by the shape of its values.
Every line of the result says why it is there, so that a person can correct it; nothing is hidden behind the guess.
"""

import datetime as dt
import json
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import yaml

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.inputs import ingest, parsing, vocabulary
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.inputs.feed import Feed, Source
from lifecycle_assets.inputs.formats import FORMATS
from lifecycle_assets.inputs.mapping import DERIVED, normal, required
from lifecycle_assets.inputs.vocabulary import folded
from lifecycle_assets.night import Night
from lifecycle_assets.settings import InputMapping, Inputs, Shop, TableMapping

OLD_DAYS = 30
SAMPLE_ROWS = 20_000
LISTED = 40
OWN_NAME = "its own name"

_HOMES = {"online_retail": ("Europe/London", "GBP", "GB"), "complete_journey": ("America/New_York", "USD", "US")}
_MAIN_ZONES = {
    "US": "America/New_York",
    "BR": "America/Sao_Paulo",
    "MX": "America/Mexico_City",
    "AR": "America/Argentina/Buenos_Aires",
    "CL": "America/Santiago",
    "EC": "America/Guayaquil",
    "ES": "Europe/Madrid",
    "PT": "Europe/Lisbon",
    "DE": "Europe/Berlin",
    "CA": "America/Toronto",
    "AU": "Australia/Sydney",
    "NZ": "Pacific/Auckland",
    "GB": "Europe/London",
}


@dataclass(frozen=True)
class _Answer:
    value: str
    why: str


@dataclass
class _TableGuess:
    file: str
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The export's column -> (the table's column, why)."""
    unused: list[str] = field(default_factory=list)


def shop_yaml(
    source: Source,
    *,
    name: str,
    place: str,
    timezone: str | None,
    currency: str | None,
    country: str | None,
    today: dt.date,
    contracts: Sequence[Contract],
    folder: Path,
) -> str:
    """The text of `shops/<shop>.yaml` for an input, with a reason behind every guess.

    `place` is the input as people gave it; what they said about zone, currency and country is taken as it is. The order
    lines are read once, into `folder`, to find the last day of the data; when that lies more than 30 days before `today` the
    text fixes `as_of` there. Raises InputError when the input cannot be read.
    """
    feeds = {table: feed for table in source.names() if (feed := source.find(table))}
    preset, why = _preset(feeds)
    tables = {} if preset else _tables(feeds, contracts)
    zone, money, land = _place(feeds, preset, tables, timezone, currency, country)
    mapping = InputMapping(
        preset=preset,
        tables={
            table: TableMapping(
                file=guess.file, columns={column: target for column, (target, _) in guess.columns.items()}
            )
            for table, guess in tables.items()
        },
    )
    shop = Shop(
        name=name,
        timezone=zone.value,
        currency=money.value,
        country=land.value,
        input=place,
        mapping=mapping,
        inputs=Inputs(quarantine_limit=1.0),
    )
    lines = [
        "# Guessed from the input's headers and values. Correct what is wrong, then run: lifecycle check",
        f"name: {_text(name)}",
        f"timezone: {zone.value}  # {zone.why}",
        f"currency: {money.value}  # {money.why}",
        f"country: {land.value}  # {land.why}",
        f"input: {_text(place)}",
        *_mapping_lines(preset, why, tables),
        *_as_of_lines(source, shop, today, folder),
    ]
    return "\n".join(lines) + "\n"


# --- what the input is ------------------------------------------------------------------------------------------------


def _preset(feeds: Mapping[str, Feed]) -> tuple[str | None, str]:
    for known in FORMATS.values():
        if known.name == "canonical":
            continue
        for table, feed in feeds.items():
            if known.recognises(feed.columns):
                return known.name, f"'{table}' has the columns of this export"
    return None, ""


def _tables(feeds: Mapping[str, Feed], contracts: Sequence[Contract]) -> dict[str, _TableGuess]:
    """For each raw table that an input seems to be: which one, and its columns."""
    guesses: dict[str, _TableGuess] = {}
    for contract in contracts:
        words = {folded(contract.table), *vocabulary.TABLES.get(contract.table, ())}
        named = [table for table in feeds if folded(table) in words]
        if not named and contract is OrderLines:
            # Whatever has most of an order line's columns is the order lines.
            fit = {table: len(_columns(contract, feed).columns) for table, feed in feeds.items()}
            named = [max(fit, key=lambda table: fit[table])] if fit and max(fit.values()) >= 3 else []
        if named:
            guess = _columns(contract, feeds[named[0]])
            guess.file = named[0]
            guesses[contract.table] = guess
    return guesses


def _columns(contract: Contract, feed: Feed) -> _TableGuess:
    guess = _TableGuess(file="")
    free = list(feed.columns)
    targets = [target for target in contract.columns if target not in DERIVED]

    def take(column: str, target: str, why: str) -> None:
        guess.columns[column] = (target, why)
        free.remove(column)

    for target in targets:
        same = [column for column in free if normal(column) == normal(target)]
        if same:
            take(same[0], target, OWN_NAME)
    for target in targets:
        if target in _taken(guess):
            continue
        called = [column for column in free if folded(column) in vocabulary.COLUMNS.get(target, ())]
        if called:
            take(called[0], target, f"a usual name for {target}")
    if contract is OrderLines and "unit_price" not in _taken(guess):
        totals = [column for column in free if folded(column) in vocabulary.TOTALS]
        if totals:
            take(totals[0], "unit_price", "a total, taken as the price of one unit; no quantity is read")
            guess.columns = {column: pair for column, pair in guess.columns.items() if pair[0] != "quantity"}
    missing = [target for target in required(contract) if target not in _taken(guess)]
    if missing and free:
        sample = _sample(feed)
        for target in missing:
            shaped = [
                column for column in free if column in sample.columns and _has_shape(sample[column], contract, target)
            ]
            if len(shaped) == 1:
                take(shaped[0], target, f"the only column left whose values could be {target}; please check")
    guess.unused = free
    return guess


def _taken(guess: _TableGuess) -> set[str]:
    return {target for target, _ in guess.columns.values()}


def _has_shape(values: pl.Series, contract: Contract, target: str) -> bool:
    dtype = contract.polars_schema[target]
    if dtype == pl.String:
        return False
    reading = parsing.decide({values.name: parsing.tally(values, dtype)}, {values.name: dtype}, TableMapping(), "US")
    parsed = parsing.parse(values, dtype, reading, "UTC").values
    if dtype.is_temporal() and values.dtype.is_numeric():
        return False
    return parsed.len() > 0 and parsed.null_count() <= 0.2 * parsed.len()


def _sample(feed: Feed) -> pl.DataFrame:
    batch = next(iter(feed.batches()), None)
    return batch.rows.head(SAMPLE_ROWS) if batch else pl.DataFrame(schema=dict.fromkeys(feed.columns, pl.String))


# --- where the shop is ------------------------------------------------------------------------------------------------


def _place(
    feeds: Mapping[str, Feed],
    preset: str | None,
    tables: Mapping[str, _TableGuess],
    timezone: str | None,
    currency: str | None,
    country: str | None,
) -> tuple[_Answer, _Answer, _Answer]:
    """Zone, currency and country: as given, as the data set is known for, as its columns say, else one from another."""
    home = _HOMES.get(preset or "")
    order_feed = feeds.get(tables["order_lines"].file) if "order_lines" in tables else next(iter(feeds.values()), None)
    sample = _sample(order_feed) if order_feed and not (timezone and currency and country) and not home else None
    land = (
        _given(country)
        or (_Answer(home[2], "where this data comes from") if home else None)
        or _from_column(sample, vocabulary.COLUMNS["country"], _country_code, "country")
        or _from_zone(timezone)
        or _from_currency(currency)
        or _Answer("US", "a guess without a reason in the data: please set it")
    )
    money = (
        _given(currency)
        or (_Answer(home[1], "where this data comes from") if home else None)
        or _from_column(sample, vocabulary.COLUMNS["currency"], _currency_code, "currency")
        or _currency_of(land)
    )
    zone = _given(timezone) or (_Answer(home[0], "where this data comes from") if home else None) or _zone_of(land)
    return zone, money, land


def _given(value: str | None) -> _Answer | None:
    return _Answer(value, "as given") if value else None


def _from_column(
    sample: pl.DataFrame | None, words: Sequence[str], code: Callable[[str], str | None], what: str
) -> _Answer | None:
    if sample is None:
        return None
    for column in sample.columns:
        if folded(column) in words:
            counted = sample[column].cast(pl.String).drop_nulls().str.strip_chars().value_counts(sort=True)
            for value in counted[column].head(5):
                if found := code(value):
                    return _Answer(found, f"the most frequent {what} in the column '{column}'")
    return None


def _country_code(value: str) -> str | None:
    from babel import Locale

    if len(value) == 2 and value.upper() in Locale("en").territories:
        return value.upper()
    for language in ("en", "es", "pt", "de", "fr"):
        for code, name in Locale(language).territories.items():
            if name.lower() == value.lower() and len(code) == 2 and code.isalpha():
                return str(code)
    return None


def _currency_code(value: str) -> str | None:
    from babel.numbers import list_currencies

    return value.upper() if value.upper() in list_currencies() else None


def _from_zone(timezone: str | None) -> _Answer | None:
    from babel.core import get_global

    code = get_global("zone_territories").get(timezone) if timezone else None
    return _Answer(str(code), f"the country of {timezone}") if code else None


def _from_currency(currency: str | None) -> _Answer | None:
    """The country that the currency is named after: its code begins with the country's."""
    if not currency or currency == "EUR":
        return None
    return _Answer(currency[:2], f"the country of {currency}") if _country_code(currency[:2]) else None


def _currency_of(land: _Answer) -> _Answer:
    from babel.numbers import get_territory_currencies

    found = get_territory_currencies(land.value)
    return _Answer(found[0] if found else "USD", f"the currency of {land.value}")


def _zone_of(land: _Answer) -> _Answer:
    from babel.core import get_global

    if land.value in _MAIN_ZONES:
        return _Answer(_MAIN_ZONES[land.value], f"the main zone of {land.value}")
    known = zoneinfo.available_timezones()
    zones = sorted(
        zone for zone, code in get_global("zone_territories").items() if code == land.value and zone in known
    )
    if not zones:
        return _Answer("UTC", f"no zone is known for {land.value}: please set it")
    return _Answer(
        zones[0], f"a zone of {land.value}" + (f", which has {len(zones)}: please check" if len(zones) > 1 else "")
    )


# --- the text ---------------------------------------------------------------------------------------------------------


def _mapping_lines(preset: str | None, why: str, tables: Mapping[str, _TableGuess]) -> list[str]:
    if preset:
        return [f"mapping: {preset}  # {why}"]
    if not tables:
        return [
            "# No table of the input was understood.",
            "# Name the order lines' file and columns under mapping.tables.order_lines.",
        ]
    lines: list[str] = []
    for table, guess in tables.items():
        renamed = {column: pair for column, pair in guess.columns.items() if pair[1] != OWN_NAME}
        own_file = guess.file in (
            FORMATS["canonical"].tables[table].names if table in FORMATS["canonical"].tables else (table,)
        )
        if renamed or not own_file:
            lines.append(f"    {table}:")
            lines += [] if own_file else [f"      file: {_text(guess.file)}"]
            lines += ["      columns:"] if renamed else []
            lines += [f"        {_text(column)}: {target}  # {why}" for column, (target, why) in renamed.items()]
        if guess.unused:
            rest = f" and {len(guess.unused) - LISTED} more" if len(guess.unused) > LISTED else ""
            lines.append(f"    # {table}: not used: {' '.join(', '.join(guess.unused[:LISTED]).split())}{rest}")
    if all(line.lstrip().startswith("#") for line in lines):
        return ["mapping: canonical  # tables and columns carry the names of this project", *lines]
    return ["mapping:", "  tables:", *lines]


def _as_of_lines(source: Source, shop: Shop, today: dt.date, folder: Path) -> list[str]:
    noon = dt.datetime.combine(today, dt.time(12), tzinfo=dt.UTC)
    try:
        read = ingest.ingest(OrderLines, source, Night("guess", today, today, noon, shop), folder).read
    except LifecycleError as error:
        return [f"# The order lines cannot be read like this yet: {line}" for line in str(error).splitlines()]
    last_at: dt.datetime | None = read["last_at"][0]
    if last_at is None and read["rows_read"][0]:
        return [
            f"# None of the {read['rows_read'][0]} order lines can be read like this yet; lifecycle check says why."
        ]
    if last_at is None:
        return ["# The input has no order lines yet."]
    last = last_at.astimezone(zoneinfo.ZoneInfo(shop.timezone)).date()
    if (today - last).days <= OLD_DAYS:
        return []
    return [
        f"# The data ends on {last}. Without the next line a night looks at yesterday, when every customer would long",
        "# be lapsed; take it out once fresh data arrives.",
        f"as_of: {last}",
    ]


def _text(value: str) -> str:
    try:
        simple = yaml.safe_load(f"k: {value}") == {"k": value} and yaml.safe_load(f"{value}: 1") == {value: 1}
    except yaml.YAMLError:
        simple = False
    return value if simple else json.dumps(value, ensure_ascii=False)
