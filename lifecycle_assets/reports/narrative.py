"""Says facts in whole sentences, in a reader's language.

Every sentence is a message of the catalogue `locales/<language>/*.yaml`; every number in it is looked up among the facts by
its path and formatted by Babel for the reader's language and the shop's country, so a text can neither hold a number that
is not in the facts nor be glued together from fragments that another grammar would order differently. Messages hold no
digits. A message with plural forms (`one`, `other` ... as the language needs) picks its form by its `count` number.

In a message `{value}` is a number as its unit wants it, `{value:abs}` without its sign, `{value:signed}` always with it.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import yaml
from babel import Locale, dates, lists, numbers
from babel.languages import get_official_languages

from lifecycle_assets.reports.facts import Facts, Value

LOCALES = resources.files("lifecycle_assets.reports") / "locales"
MILLION = 1_000_000
HUNDRED = 99.95  # from here on a tenth tells nothing
# Where a thousand is written without a mark and ten thousand with one (CLDR: minimumGroupingDigits, which Babel leaves out).
FOUR_DIGITS_BARE = {"es", "es_ES", "pt_PT"}
# The plural forms that languages have (CLDR): a mapping of these is one message, any other a family of messages.
PLURALS = {"zero", "one", "two", "few", "many", "other"}
Message = str | Mapping[str, str]


@dataclass(frozen=True)
class Sentence:
    """A text and where each of its numbers comes from: (path among the facts, the number as it is shown)."""

    text: str
    numbers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.text


def together(sentences: Sequence[Sentence]) -> Sentence:
    """Whole sentences one after the other, as one paragraph."""
    said = tuple(pair for sentence in sentences for pair in sentence.numbers)
    return Sentence(" ".join(sentence.text for sentence in sentences), said)


class Shown(str):
    """A value as it is shown, which still knows what it is: spreadsheets take the value itself."""

    value: Value
    unit: str
    __slots__ = ("unit", "value")

    def __new__(cls, text: str, value: Value, unit: str) -> "Shown":
        shown = super().__new__(cls, text)
        shown.value, shown.unit = value, unit
        return shown


class Catalogue:
    """The messages of one language, by dotted key."""

    def __init__(self, language: str, messages: Mapping[str, Message]) -> None:
        self.language = language
        self.messages = messages

    def __contains__(self, key: str) -> bool:
        return key in self.messages

    def pick(self, key: str, plural_form: str | None = None) -> str:
        """The text under a key; raises KeyError naming the key and the language when it is missing."""
        if key not in self.messages:
            raise KeyError(f"locales/{self.language} has no message {key}")
        message = self.messages[key]
        if isinstance(message, str):
            return message
        return message.get(plural_form or "other", message["other"])


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language, out of all its files; raises KeyError naming a message that two of them hold."""
    messages: dict[str, Message] = {}
    files = [file for file in (LOCALES / language).iterdir() if file.name.endswith(".yaml")]
    for file in sorted(files, key=lambda file: file.name):
        for key, message in _flat(yaml.safe_load(file.read_text("utf-8"))):
            if key in messages:
                raise KeyError(f"locales/{language}/{file.name}: message {key} stands in another file already")
            messages[key] = message
    return Catalogue(language, messages)


class Writer:
    """Writes sentences about facts for one shop's readers."""

    def __init__(self, language: str, country: str, currency: str, facts: Facts) -> None:
        self.catalogue = catalogue(language)
        self.locale = _locale(language, country)
        self.currency = currency
        self.facts = facts

    def say(
        self, key: str, *, count: str | None = None, words: Mapping[str, str | Sentence] | None = None, **paths: str
    ) -> Sentence:
        """The message `key`: `paths` fill it with numbers from the facts, `words` with text, `count` picks its plural."""
        words = words or {}
        shown = {name: _Number(self, path) for name, path in paths.items()}
        if count:
            shown["count"] = _Number(self, count)
        form = self.locale.plural_form(abs(int(float(str(self.facts.value(count) or 0))))) if count else None
        text = self.catalogue.pick(key, form).format(**shown, **{name: str(word) for name, word in words.items()})
        said = [pair for number in shown.values() for pair in number.said]
        said += [pair for word in words.values() if isinstance(word, Sentence) for pair in word.numbers]
        return Sentence(text, tuple(said))

    def word(self, key: str, fallback: str | None = None) -> str:
        """A term or label; `fallback` serves names that come from the configuration and have no message."""
        if fallback is not None and key not in self.catalogue:
            return fallback
        return self.catalogue.pick(key)

    def number(self, path: str, style: str = "") -> "Shown":
        """One number of the facts, formatted."""
        return self.format(self.facts.value(path), self.facts.unit(path), style)

    def format(self, value: Value, unit: str, style: str = "") -> "Shown":
        """A value as its unit wants it; a dash for null."""
        if value is None:
            return Shown("–", None, unit)
        if isinstance(value, dt.date) and unit == "month":
            shown = dates.format_skeleton("yMMM" if style == "short" else "yMMMM", value, locale=self.locale)
        elif isinstance(value, dt.date):
            shown = dates.format_date(value, "medium" if style == "short" else "long", locale=self.locale)
        elif isinstance(value, dt.time):
            shown = dates.format_time(value, "short", locale=self.locale)
        elif isinstance(value, str):
            shown = value
        elif style == "compact" and unit == "currency" and value >= MILLION:
            shown = self._millions(value)
        else:
            text = self._amount(abs(value), unit)
            shown = text if style == "abs" else self._sign(value, text, unit, style) + text
        return Shown(shown, value, unit)

    def join(self, words: Sequence[str | Sentence]) -> Sentence:
        """`a, b and c`, as the language writes it."""
        said = [pair for word in words if isinstance(word, Sentence) for pair in word.numbers]
        return Sentence(lists.format_list([str(word) for word in words], locale=self.locale), tuple(said))

    def enumerate(self, words: Sequence[str | Sentence]) -> Sentence:
        """`a; b; c`, for items that hold commas of their own."""
        said = [pair for word in words if isinstance(word, Sentence) for pair in word.numbers]
        return Sentence("; ".join(str(word) for word in words), tuple(said))

    def _millions(self, value: int | float | Decimal) -> str:
        """1.23 M on the side of the currency where the country puts its amounts: the short patterns get Mexico wrong."""
        amount = numbers.format_compact_decimal(value, locale=self.locale, fraction_digits=2)
        pattern = self.locale.currency_formats["standard"].pattern
        symbol = numbers.get_currency_symbol(self.currency, locale=self.locale)
        return re.sub(r"[#,.0]+", lambda _: amount, pattern, count=1).replace("¤", symbol)

    def _sign(self, value: int | float | Decimal, text: str, unit: str, style: str) -> str:
        if not any(digit in text for digit in "123456789"):
            return ""
        symbols = self.locale.number_symbols.get("latn", {})
        sign = symbols.get("minusSign", "-") if value < 0 else symbols.get("plusSign", "+") if style == "signed" else ""
        # A word joiner keeps a line from breaking between the sign and the currency.
        return sign.replace("-", "−") + ("\u2060" if sign and unit == "currency" else "")

    def _amount(self, value: Any, unit: str) -> str:
        bare = str(self.locale) in FOUR_DIGITS_BARE and round(value) < 10_000
        how: dict[str, Any] = {"locale": self.locale, "group_separator": not bare}
        if unit == "currency":
            pattern = self.locale.currency_formats["standard"].pattern
            if value < 1000:
                return numbers.format_currency(value, self.currency, pattern, **how)
            # Cents tell nothing about thousands.
            whole = pattern.replace(".00", "")
            return numbers.format_currency(value, self.currency, whole, currency_digits=False, **how)
        if unit == "share":
            decimals = "#,##0" if value == 0 or value >= 0.0995 else "#,##0.0" if value >= 0.001 else "#,##0.0##"
            percent = self.locale.percent_formats[None].pattern
            return numbers.format_percent(value, percent.replace("#,##0", decimals), **how)
        if unit == "ratio":
            return numbers.format_decimal(value, "#,##0.00", **how)
        if unit in {"expected", "points"}:
            # A little is not nothing.
            few = "#,##0.0" if value >= 0.05 else "#,##0.0##"
            return numbers.format_decimal(value, "#,##0" if value >= HUNDRED else few, **how)
        return numbers.format_decimal(value, "#,##0" if value >= HUNDRED else "#,##0.#", **how)


class _Number:
    """A number inside a message: formats itself and notes what was said."""

    def __init__(self, writer: Writer, path: str) -> None:
        self.writer = writer
        self.path = path
        self.said: list[tuple[str, str]] = []

    def __format__(self, style: str) -> str:
        text = self.writer.number(self.path, style)
        self.said.append((self.path, text))
        return text


def chart_locale(locale: Locale) -> str:
    """The name under which the chart renderer knows the reader's numbers and dates; it has one for each habit, not for each
    country."""
    point = locale.number_symbols["latn"]["decimal"] == "."
    return {"es": "es-MX" if point else "es-ES", "pt": "pt-BR"}.get(locale.language, "en-US")


def _locale(language: str, country: str) -> Locale:
    """The country's own habits where its people speak the language; else the language's: 1.234 in an English text about
    a German shop would be read as a little more than one."""
    spoken = get_official_languages(country, regional=True, de_facto=True)
    return Locale.parse(f"{language}_{country}") if language in spoken else Locale.parse(language)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Message]]:
    found: list[tuple[str, Message]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and not ("other" in value and PLURALS.issuperset(value)):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value))
    return found
