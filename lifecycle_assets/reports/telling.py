"""What every part of the report needs to tell its facts: sentences with a comparison, cells, names, tables."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import BOUNDS, Row
from lifecycle_assets.reports.narrative import Sentence, Writer, chart_locale
from lifecycle_assets.settings import Shop


class Teller:
    """A writer with the shop's settings."""

    def __init__(self, writer: Writer, settings: Shop) -> None:
        self.writer = writer
        self.say, self.word, self.facts = writer.say, writer.word, writer.facts
        self.settings = settings
        self.language = writer.catalogue.language
        self.locale = chart_locale(writer.locale)

    @property
    def anyone(self) -> bool:
        return bool(self.facts.value("customers"))

    def compared(self, key: str, fact: str, comparison: str = "before", **paths: Any) -> Sentence:
        """The message of `key` for the fact's verdict against an earlier time."""
        found = f"{fact}/{comparison}"
        if found in self.facts:
            paths |= {"before": f"{found}/value", "change": f"{found}/change", "lo": f"{found}/lo", "hi": f"{found}/hi"}
        return self.say(f"{key}.{self.facts.verdict(fact, comparison)}", value=fact, **paths)

    def section(
        self,
        name: str,
        sentences: Sequence[Sentence],
        tables: Sequence[render.Table] = (),
        figures: Sequence[render.Figure] = (),
        notes: Sequence[Sentence] = (),
    ) -> render.Section:
        return render.Section(name, self.word(f"section.{name}"), sentences, notes, tables, figures)

    def table(
        self, name: str, heads: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int] | None = None
    ) -> render.Table:
        columns = [self.word(f"table.{head}", head) for head in heads]
        return render.Table(self.word(f"table.{name}"), columns, rows, frozenset(texts or ()))

    def value(self, path: str) -> float:
        """A number to choose the words by."""
        return float(str(self.facts.value(path)))

    def number(self, path: str) -> Sentence:
        """A number that stands alone, short enough for a tile."""
        shown = self.writer.number(path, "compact")
        return Sentence(shown, ((path, shown),))

    def cell(self, path: str, style: str = "") -> str:
        return self.writer.number(path, style) if path in self.facts else "–"

    def span(self, comparison: str) -> str:
        if comparison not in self.facts or self.facts.value(f"{comparison}/lo") is None:
            return "–"
        return " … ".join(self.writer.number(f"{comparison}/{end}", "signed") for end in ("lo", "hi"))

    def show(self, value: Any, unit: str) -> str:
        return self.writer.format(value, unit, "short")

    def ends(self, row: Row, unit: str) -> str:
        """The range of a row with `lo` and `hi`."""
        return " … ".join(self.show(row[end], unit) for end in BOUNDS)

    def reasons(self, told: Sequence[tuple[str, str]]) -> Sentence:
        """`reason: count` for each (text, path of its count)."""
        return self.writer.enumerate(
            [self.say("chart.reason.item", words={"reason": text}, count=path) for text, path in told]
        )

    def programme_name(self, programme: str) -> str:
        return self.word(f"programme.{programme}", self.sentence_case(programme.replace("_", " ")))

    def offer_name(self, offer: str | None) -> str:
        if offer is None:
            return self.word("table.no_offer")
        known = self.settings.routing.offers.get(offer)
        return known.name if known else offer

    def hours(self, first: Any, last: Any) -> str:
        """The local time, or from when to when."""
        return " – ".join(dict.fromkeys(self.show(time, "time") for time in (first, last)))

    def channel_name(self, channel: str) -> str:
        return self.word(f"channel.{channel}", channel)

    def reason_text(self, reason: str) -> str:
        return self.word(f"reason.{reason}", reason.replace("_", " "))

    def capital(self, key: str) -> str:
        return self.sentence_case(self.word(key))

    @staticmethod
    def sentence_case(text: str) -> str:
        return text[:1].upper() + text[1:]
