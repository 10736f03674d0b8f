"""The pages that lead to the reports: the latest night of every shop, and all the nights of one shop.

Each is made from what lies there, in every language that reports may have; an older night has one line, so that a page stays
small however many nights there are.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from babel.dates import format_date, format_skeleton

from lifecycle_assets.reports import render
from lifecycle_assets.reports.narrative import catalogue
from lifecycle_assets.settings.reports import ReportLanguage

LANGUAGES: tuple[str, ...] = get_args(ReportLanguage)
FORMATS = ("html", "pdf", "xlsx", "json")
FIRST = "lifecycle"  # the report that leads to the others
# As a reader needs them; others follow by name.
ORDER = (FIRST, "segmentation", "forecast", "experiments", "backtest", "data_dictionary")


@dataclass(frozen=True)
class Entry:
    """One report in one language: `shop` is the shop's name, `folder` that of its reports, `formats` the suffixes there."""

    shop: str
    folder: str
    as_of: str
    report: str
    title: str
    language: str
    headline: str
    formats: Sequence[str]


def page_name(language: str) -> str:
    """The file of a gallery in a language; the first language's is what a folder shows by itself."""
    return "index.html" if language == LANGUAGES[0] else f"index.{language}.html"


def gallery(latest: Iterable[Entry], language: str) -> str:
    """The page over all shops, of the latest night of each; the latest night first, then by shop."""
    by_shop = sorted(latest, key=lambda entry: (entry.shop.casefold(), entry.folder))
    nights = [_night(list(entries), language) for _, entries in groupby(by_shop, lambda entry: entry.folder)]
    nights.sort(key=lambda night: night["as_of"], reverse=True)
    return _page(language, shop=None, nights=nights, older={}, up="")


def of_shop(entries: Iterable[Entry], language: str) -> str:
    """The page of one shop's nights: the latest with all that belongs to it, the older ones by month."""
    latest_first = sorted(entries, key=lambda entry: entry.as_of, reverse=True)
    nights = [_night(list(found), language) for _, found in groupby(latest_first, lambda entry: entry.as_of)]
    older = {month: list(found) for month, found in groupby(nights[1:], lambda night: night["month"])}
    return _page(language, shop=nights[0]["shop"] if nights else "", nights=nights[:1], older=older, up="../")


def _page(language: str, **what: Any) -> str:
    words = {word: catalogue(language).pick(f"gallery.{word}") for word in ("title", "empty", "older", "all")}
    pages = {other: page_name(other) for other in LANGUAGES}
    template = render.environment().get_template("gallery.html.j2")
    return template.render(language=language, words=words, pages=pages, **what)


def _night(entries: Sequence[Entry], language: str) -> Mapping[str, Any]:
    """One night of one shop, its reports as the page shows them."""
    date = dt.date.fromisoformat(entries[0].as_of)
    by_report = sorted(entries, key=lambda entry: (_rank(entry.report), entry.report, entry.language))
    return {
        "shop": entries[0].shop,
        "folder": entries[0].folder,
        "as_of": entries[0].as_of,
        "dated": catalogue(language).pick("gallery.night").format(date=format_date(date, "long", locale=language)),
        "month": format_skeleton("yMMMM", date, locale=language),
        "reports": [_report(list(found), language) for _, found in groupby(by_report, lambda entry: entry.report)],
    }


def _rank(report: str) -> int:
    return ORDER.index(report) if report in ORDER else len(ORDER)


def _report(entries: Sequence[Entry], language: str) -> Mapping[str, Any]:
    """One report in all its languages; told in the page's language where there is one."""
    told = next((entry for entry in entries if entry.language == language), entries[0])
    files = [
        (entry.language, [(suffix, _file(entry, suffix)) for suffix in FORMATS if suffix in entry.formats])
        for entry in entries
    ]
    return {"entry": told, "path": _file(told, "html"), "files": files}


def _file(entry: Entry, suffix: str) -> str:
    """Where the file lies, from the folder of the shop."""
    return f"{entry.as_of}/{entry.report}.{entry.language}.{suffix}"
