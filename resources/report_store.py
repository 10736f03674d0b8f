"""Where reports lie: one folder per shop and night, and a gallery over all of them.

    reports/<shop>/<as_of>/<name>.<language>.html   the report, whole or not at all
    reports/<shop>/<as_of>/<name>.<language>.json   its facts and text
    reports/index.html                              the gallery, the latest night on top
    reports/index.json                              what the gallery lists; made anew from the reports when it is missing

Writing the same report again changes no file. Two shops may write at once: the gallery is updated under a lock.
"""

import datetime as dt
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lifecycle_assets.reports.gallery import Entry, gallery
from resources.files import link_over, replace


class ReportStore:
    """The reports of a home."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, shop: str, as_of: dt.date, name: str, html: str, document: Mapping[str, Any]) -> Path:
        """Write a report and list it; returns the page's path.

        `document` is the report as plain values and must hold shop_name, title, language and headline, which the gallery
        shows. The same content again leaves every file as it was.
        """
        folder = self.root / shop / as_of.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{name}.{document['language']}.html"
        facts = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
        replace(page.with_suffix(".json"), f"{facts}\n".encode())
        replace(page, html.encode())
        with self._lock():
            self._list([*self._listed(), self._entry(page, document)])
        return page

    def put_back(self, shop: str, folder: Path) -> None:
        """Make what a folder laid out like the shop's holds its reports again; what the folder lacks goes."""
        own = self.root / shop
        for page in sorted({path.relative_to(place) for place in (own, folder) for path in place.glob("*/*")}):
            if not (folder / page).exists():
                (own / page).unlink(missing_ok=True)
            elif not ((own / page).exists() and (own / page).samefile(folder / page)):
                (own / page).parent.mkdir(parents=True, exist_ok=True)
                link_over(folder / page, own / page)
        if self.root.exists():
            with self._lock():
                self._list(self._found())

    def _list(self, entries: Sequence[Entry]) -> None:
        """Write the gallery; of two entries of a page the later one counts."""
        by_path = {entry.path: entry for entry in entries}
        there = [entry for path, entry in sorted(by_path.items()) if (self.root / path).exists()]
        listing = [asdict(entry) for entry in there]
        replace(self.root / "index.json", f"{json.dumps(listing, ensure_ascii=False, indent=1)}\n".encode())
        replace(self.root / "index.html", gallery(there).encode())

    def _listed(self) -> list[Entry]:
        try:
            return [Entry(**row) for row in json.loads((self.root / "index.json").read_text("utf-8"))]
        except (FileNotFoundError, ValueError, TypeError):
            return self._found()

    def _found(self) -> list[Entry]:
        """What lies there, whatever the gallery lists."""
        return [
            self._entry(page, json.loads(page.with_suffix(".json").read_text("utf-8")))
            for page in sorted(self.root.glob("*/*/*.html"))
            if page.with_suffix(".json").exists()
        ]

    def _entry(self, page: Path, document: Mapping[str, Any]) -> Entry:
        return Entry(
            shop=document["shop_name"],
            as_of=page.parent.name,
            title=document["title"],
            language=document["language"],
            headline=document["headline"],
            path=page.relative_to(self.root).as_posix(),
            facts=page.with_suffix(".json").relative_to(self.root).as_posix(),
        )

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
