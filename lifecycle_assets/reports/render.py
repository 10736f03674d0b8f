"""Sets a report as one HTML page: no script, no address outside of it, readable on a phone, by keyboard and by ear, and
printable on A4. The template escapes every text; only the pictures, which the renderer has escaped, go in as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import markupsafe
from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from lifecycle_assets.reports.charts import Picture
from lifecycle_assets.reports.narrative import Sentence


@dataclass(frozen=True)
class Table:
    """Formatted cells; the first column heads each row, the others are aligned as numbers unless named in `texts`."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[int] = frozenset()


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
    """A heading with a paragraph of sentences, a list of notes, tables and figures, terms with their meaning."""

    id: str
    title: str
    sentences: Sequence[Sentence] = ()
    notes: Sequence[Sentence] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    terms: Sequence[tuple[str, Sentence]] = ()


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


def html(page: Page, template: str = "lifecycle.html.j2") -> str:
    """The page as a self-contained HTML document."""
    return environment().get_template(template).render(page=page)


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
    return environment


def _inline(svg: str, name: str) -> markupsafe.Markup:
    """The picture as part of the page, named for screen readers by the element with the id `name`."""
    head = markupsafe.Markup('<svg role="img" aria-labelledby="{0}-title" aria-describedby="{0}-text" ').format(name)
    return head + markupsafe.Markup(svg.removeprefix("<svg ").strip())  # noqa: S704 - rendered and escaped by vl-convert
