"""A finished report: a page in one language and the facts behind it, as documents to read, print, download and query."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Sentence, Writer
from lifecycle_assets.reports.pdf import pdf
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.reports.workbook import xlsx
from lifecycle_assets.settings import Shop


@dataclass(frozen=True)
class Report:
    """One report in one language. `own` holds the keys of its JSON that no other report has."""

    name: str
    shop: str
    as_of: dt.date
    currency: str
    page: render.Page
    facts: Facts
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def language(self) -> str:
        return self.page.language

    @property
    def headline(self) -> str:
        return self.page.headline.text

    @property
    def summary(self) -> list[str]:
        """The answers of the first screen."""
        return [sentence.text for _, sentences in self.page.answers for sentence in sentences]

    @property
    def figures(self) -> list[render.Figure]:
        return [figure for section in self.page.sections for figure in section.figures]

    @property
    def html(self) -> str:
        return render.html(self.page, self.name)

    @property
    def json(self) -> dict[str, Any]:
        """Facts, the small tables behind the charts, and every sentence with the facts that it rests on."""
        return {
            "report": self.name,
            "shop": self.shop,
            "shop_name": self.page.shop,
            "as_of": self.as_of.isoformat(),
            "language": self.language,
            "currency": self.currency,
            "title": self.page.kind,
            "headline": self.headline,
            **self.own,
            "text": [
                {"place": place, "text": sentence.text, "facts": sorted({path for path, _ in sentence.numbers})}
                for place, sentence in sentences(self.page)
            ],
            **self.facts.to_json(),
        }

    def files(self) -> dict[str, bytes]:
        """What lies on disk, by suffix."""
        facts = json.dumps(self.json, ensure_ascii=False, indent=1, allow_nan=False)
        return {
            "json": f"{facts}\n".encode(),
            "html": self.html.encode(),
            "pdf": pdf(self.page, self.as_of),
            "xlsx": xlsx(self.page, self.as_of, self.currency),
        }


def in_languages(write: Callable[[str], Report], languages: Sequence[str]) -> dict[str, Report]:
    """The report in each language, at the same time: drawing is the slow part and uses one processor a picture."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(languages, pool.map(write, languages), strict=True))


def sentences(page: render.Page) -> list[tuple[str, Sentence]]:
    """Every sentence of a page with the place it stands at, in reading order."""
    said = [("headline", page.headline)]
    said += [("answer", sentence) for _, answer in page.answers for sentence in answer]
    said += [("notice", notice) for notice in page.notices]
    said += [("tile", text) for tile in page.tiles for text in (tile.label, tile.value, tile.note)]
    for section in page.sections:
        titles = [text for figure in section.figures for text in (figure.title, figure.subtitle, figure.alternative)]
        texts = [*section.sentences, *section.notes, *(text for _, text in section.terms), *titles]
        said += [(section.id, text) for text in texts]
    return said


def teller(facts: Facts, settings: Shop, language: str) -> Teller:
    """Tells the facts in a language, with the shop's own currency and its country's habits."""
    return Teller(Writer(language, settings.country, settings.currency, facts), settings)


def page(
    tell: Teller,
    kind: str,
    headline: Sentence,
    answers: Sequence[tuple[str, Sequence[Sentence]]],
    sections: Sequence[render.Section],
    tiles: Sequence[render.Tile] = (),
    notices: Sequence[Sentence] = (),
) -> render.Page:
    """A page of the given kind (`<kind>.title`, `<kind>.document`); the facts hold `as_of`."""
    words = ("skip", "contents", "data_table", "made_from")
    return render.Page(
        language=tell.language,
        shop=tell.settings.name,
        kind=tell.word(f"{kind}.title"),
        title=tell.say(f"{kind}.document", words={"shop": tell.settings.name}, date="as_of"),
        dated=tell.say("report.as_of", date="as_of"),
        headline=headline,
        answers=answers,
        notices=notices,
        tiles=tiles,
        sections=sections,
        words={
            **{word: tell.word(f"report.{word}") for word in words},
            **{word: tell.word(f"document.{word}") for word in ("numbers", "sheets", "others", "gallery")},
            "tiles": tell.word("tile.heading"),
            "notice": tell.word("notice.label"),
        },
        locale=str(tell.writer.locale),
        languages=tell.settings.reports.languages,
    )
