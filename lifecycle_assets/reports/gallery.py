"""The page that lists a deployment's reports, the latest on top."""

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle_assets.reports import render


@dataclass(frozen=True)
class Entry:
    """One report of one shop: `path` and `facts` are relative to the gallery."""

    shop: str
    as_of: str
    title: str
    language: str
    headline: str
    path: str
    facts: str


def gallery(entries: Sequence[Entry]) -> str:
    """The gallery as a self-contained HTML page: the latest night first, then by shop, title and language."""
    by_name = sorted(entries, key=lambda entry: (entry.shop.casefold(), entry.title, entry.language))
    latest_first = sorted(by_name, key=lambda entry: entry.as_of, reverse=True)
    return render.environment().get_template("gallery.html.j2").render(entries=latest_first)
