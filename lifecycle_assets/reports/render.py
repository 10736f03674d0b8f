"""What a report shows, and how it is set as one HTML page: no script, no address outside of it, readable on a phone, by
keyboard and by ear, and printable on A4.

The template escapes every text; only the pictures, which the renderer has escaped, go in as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, groupby

import markupsafe
from babel import Locale
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from lifecycle_assets.reports.charts import Picture
from lifecycle_assets.reports.narrative import Sentence, together

WALL = 500  # characters: a longer paragraph is hard to read


@dataclass(frozen=True)
class Table:
    """Formatted cells; the first column heads each row, the others are aligned as numbers unless named in `texts`. A table
    with an `id` stands under a heading of its own, with `notes` and `code` before the rows, and is listed at the head of its
    section."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[int] = frozenset()
    id: str = ""
    notes: Sequence[str] = ()
    code: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture with the finding as its title, a text alternative, and its numbers as tables."""

    id: str
    title: Sentence
    subtitle: Sentence
    alternative: Sentence
    picture: Picture
    tables: Sequence[Table]


@dataclass(frozen=True)
class Section:
    """A heading with sentences, a list of notes, tables and figures, terms with their meaning."""

    id: str
    title: str
    sentences: Sequence[Sentence] = ()
    notes: Sequence[Sentence] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    terms: Sequence[tuple[str, Sentence]] = ()

    @property
    def paragraphs(self) -> list[Sentence]:
        """The sentences as paragraphs of about the same length, as few as keep them short."""
        length = sum(len(sentence.text) for sentence in self.sentences)
        ends = accumulate(len(sentence.text) for sentence in self.sentences)
        middles = [end - len(sentence.text) / 2 for end, sentence in zip(ends, self.sentences, strict=True)]
        places = [int(middle / length * math.ceil(length / WALL)) for middle in middles]
        told = groupby(zip(places, self.sentences, strict=True), key=lambda placed: placed[0])
        return [together([sentence for _, sentence in placed]) for _, placed in told]


@dataclass(frozen=True)
class Tile:
    """A key figure: label, value, and what it is held against; `verdict` chooses its mark."""

    label: Sentence
    value: Sentence
    note: Sentence
    verdict: str


@dataclass(frozen=True)
class Page:
    """All that a report shows, in order."""

    language: str
    shop: str
    kind: str
    title: Sentence
    dated: Sentence
    headline: Sentence
    answers: Sequence[tuple[str, Sequence[Sentence]]]
    notices: Sequence[Sentence]
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    words: dict[str, str] = field(default_factory=dict)
    locale: str = "en"  # the reader's habits, by Babel's name
    languages: Sequence[str] = ()  # in which the report is written


def html(page: Page, name: str) -> str:
    """The page as a self-contained HTML document; `name` is the report's, by which its other languages and formats lie
    beside it."""
    return environment().get_template("lifecycle.html.j2").render(page=page, name=name)


@cache
def environment() -> SandboxedEnvironment:
    """Where the templates are found and run: sandboxed, with every text escaped."""
    environment = SandboxedEnvironment(
        loader=PackageLoader("lifecycle_assets.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["picture"] = _inline
    environment.filters["language_name"] = _language_name
    return environment


def _language_name(language: str) -> str:
    """A language's own name for itself."""
    return str(Locale(language).display_name).capitalize()


def _inline(svg: str, name: str) -> markupsafe.Markup:
    """The picture as part of the page, named for screen readers by the element with the id `name`."""
    head = markupsafe.Markup('<svg role="img" aria-labelledby="{0}-title" aria-describedby="{0}-text" ').format(name)
    return head + markupsafe.Markup(svg.removeprefix("<svg ").strip())  # noqa: S704 - rendered and escaped by vl-convert
