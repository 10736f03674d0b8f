"""Where reports lie: one folder per shop and night, and pages that lead to them.

    reports/<shop>/<as_of>/<name>.<language>.html   the report, whole or not at all
    reports/<shop>/<as_of>/<name>.<language>.json   its facts and text; beside it .pdf to print and .xlsx with its tables
    reports/<shop>/<as_of>/index.json               what of the night the pages below tell; made anew where it is missing
    reports/<shop>/index.html                       the shop's nights, the latest on top; index.es.html, index.pt.html
    reports/index.html                              the latest night of every shop; index.es.html, index.pt.html

Writing the same report again changes no file. Two shops may write at once: the pages are made under a lock.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from lifecycle_assets.reports.gallery import FORMATS, LANGUAGES, Entry, gallery, of_shop, page_name
from lifecycle_assets.reports.report import Report
from resources.files import alone, link_over, replace

LISTING = "index.json"


class ReportStore:
    """The reports of a home."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, *reports: Report) -> list[Path]:
        """Write reports in all their formats and list them; returns the pages' paths. The same again leaves every file as it
        was. Reports of one night and shop are best given together: the pages that lead to them are made once."""
        with ThreadPoolExecutor() as pool:
            contents = list(pool.map(Report.files, reports))  # all are made before the first is written
        pages = []
        for report, files in zip(reports, contents, strict=True):
            folder = self.root / report.shop / report.as_of.isoformat()
            folder.mkdir(parents=True, exist_ok=True)
            for suffix, content in files.items():
                replace(folder / f"{report.name}.{report.language}.{suffix}", content)
            pages.append(folder / f"{report.name}.{report.language}.html")
        with alone(self.root / ".lock"):
            for folder in dict.fromkeys(page.parent for page in pages):
                written = [report for report, page in zip(reports, pages, strict=True) if page.parent == folder]
                self._list(folder, written)
            self._lead(report.shop for report in reports)
        return pages

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
            with alone(self.root / ".lock"):
                self._lead([shop])

    def _list(self, folder: Path, reports: Sequence[Report]) -> None:
        """Bring the night's listing up to date with the reports just written."""
        entries = {(entry.report, entry.language): entry for entry in self._night(folder)}
        entries |= {(report.name, report.language): _entry(folder, report.json) for report in reports}
        rows = [asdict(entry) for _, entry in sorted(entries.items())]
        replace(folder / LISTING, f"{json.dumps(rows, ensure_ascii=False, indent=1)}\n".encode())

    def _lead(self, shops: Iterable[str]) -> None:
        """Make the pages that lead to the reports anew: those of the shops named, and the one over all."""
        for shop in sorted(set(shops)):
            entries = [entry for night in self._nights(shop) for entry in self._night(night)]
            for language in LANGUAGES:
                replace(self.root / shop / page_name(language), of_shop(entries, language).encode())
        folders = sorted(path.name for path in self.root.iterdir() if path.is_dir())
        latest = [entry for shop in folders for entry in self._latest(shop)]
        for language in LANGUAGES:
            replace(self.root / page_name(language), gallery(latest, language).encode())

    def _nights(self, shop: str) -> list[Path]:
        """The folders of the shop's nights, the latest first."""
        return sorted((path for path in (self.root / shop).glob("????-??-??")), reverse=True)

    def _latest(self, shop: str) -> list[Entry]:
        """The reports of the shop's latest night that has any."""
        return next(filter(None, map(self._night, self._nights(shop))), [])

    def _night(self, folder: Path) -> list[Entry]:
        """The reports that lie in the folder of a night."""
        files = {path.name for path in folder.iterdir()}
        try:
            listed = [Entry(**row) for row in json.loads((folder / LISTING).read_text("utf-8"))]
        except (FileNotFoundError, ValueError, TypeError):
            pages = [folder / name for name in sorted(files) if name.endswith(".html")]
            documents = [page.with_suffix(".json") for page in pages if page.with_suffix(".json").name in files]
            listed = [_entry(folder, json.loads(path.read_text("utf-8"))) for path in documents]
        return [entry for entry in (_as_there(entry, files) for entry in listed) if "html" in entry.formats]


def _entry(folder: Path, document: Mapping[str, Any]) -> Entry:
    """What the pages tell of a report; `document` is its JSON."""
    return Entry(
        shop=document["shop_name"],
        folder=folder.parent.name,
        as_of=folder.name,
        report=document["report"],
        title=document["title"],
        language=document["language"],
        headline=document["headline"],
        formats=FORMATS,
    )


def _as_there(entry: Entry, files: Collection[str]) -> Entry:
    """The entry with the formats that lie among the night's files."""
    stem = f"{entry.report}.{entry.language}"
    return replaced(entry, formats=[suffix for suffix in FORMATS if f"{stem}.{suffix}" in files])
