"""Sets a report as a tagged PDF on A4: headline, answers and key figures on the first page, then the sections, then the
numbers behind the charts; with bookmarks, page numbers and text that can be selected.

Typst sets it with the project's own type, so that no font of the machine is needed and the bytes are the same everywhere.
Texts reach the template as data: nothing of a shop's is read as markup.
"""

import datetime as dt
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from lifecycle_assets.reports.charts import Picture
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.render import Page, Section

if TYPE_CHECKING:
    import typst

HOME = resources.files("lifecycle_assets.reports")


def pdf(page: Page, as_of: dt.date) -> bytes:
    """The page as a PDF document dated at the end of `as_of`."""
    import typst

    # The type has no narrow space of its own.
    texts = json.dumps(page, default=_plain, ensure_ascii=False).replace("\u202f", "\u00a0")
    date = {"year": as_of.year, "month": as_of.month, "day": as_of.day}
    return typst.compile(
        (HOME / "templates" / "report.typ").read_bytes(),
        font_paths=_fonts(),
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"page": texts, "as_of": json.dumps(date)},
        timestamp=dt.datetime.combine(as_of, dt.time(), dt.UTC),
    )


@cache
def _fonts() -> "typst.Fonts":
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(HOME / "fonts")])


def _plain(thing: Any) -> Any:
    """A part of the page as JSON knows it."""
    match thing:
        case Sentence():
            return thing.text
        case Picture():
            return thing.wide
        case frozenset():
            return sorted(thing)
        case Section():
            return vars(thing) | {"paragraphs": thing.paragraphs}
    return vars(thing)
