"""Reports on disk: whole or not at all, unchanged when repeated, in every format, and led to by pages."""

import datetime as dt
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.render import Page
from lifecycle_assets.reports.report import Report
from resources.report_store import ReportStore

DAY = dt.date(2024, 6, 30)
WORDS = dict.fromkeys(
    (
        "skip",
        "contents",
        "data_table",
        "made_from",
        "tiles",
        "notice",
        "numbers",
        "sheets",
        "others",
        "gallery",
    ),
    "word",
)
FORMATS = ["html", "json", "pdf", "xlsx"]
GALLERIES = ["index.es.html", "index.html", "index.pt.html"]


def report(
    shop: str = "Corner <shop>",
    headline: str = "Revenue is up",
    as_of: dt.date = DAY,
    key: str = "corner",
    notice: str = "",
    language: str = "en",
) -> Report:
    """A page with a headline and a notice."""
    said = Sentence(headline)
    page = Page(language, shop, "Lifecycle report", said, said, said, [], [Sentence(notice)], [], [], WORDS)
    return Report("lifecycle", key, as_of, "GBP", page, Facts([]))


def test_a_report_lies_where_it_is_looked_for_in_every_format(tmp_path: Path) -> None:
    (path,) = ReportStore(tmp_path).put(report(notice="ü"))
    assert path == tmp_path / "corner" / "2024-06-30" / "lifecycle.en.html"
    assert "ü" in path.read_text("utf-8")
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["headline"] == "Revenue is up"
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert path.with_suffix(".xlsx").read_bytes().startswith(b"PK")
    assert {file.name for file in path.parent.iterdir()} == {"index.json", *(f"lifecycle.en.{f}" for f in FORMATS)}
    assert sorted(file.name for file in tmp_path.glob("*.*") if file.suffix) == GALLERIES
    assert sorted(file.name for file in (tmp_path / "corner").glob("*.html")) == GALLERIES


def test_the_gallery_has_the_latest_on_top_and_escapes_names(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put(report(headline="the older", notice="a"))
    store.put(report("Attic", "the newer", as_of=DAY + dt.timedelta(days=1), key="attic", notice="b"))
    store.put(report(headline="the oldest", as_of=DAY - dt.timedelta(days=300), notice="c"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert gallery.index("the newer") < gallery.index("the older")
    assert 'href="corner/2024-06-30/lifecycle.en.html"' in gallery and "the oldest" not in gallery
    own = (tmp_path / "corner" / "index.html").read_text("utf-8")
    assert own.index("the older") < own.index('href="2023-09-04/lifecycle.en.html"')
    for page in (gallery, own):
        assert "Corner &lt;shop&gt;" in page and "<shop>" not in page
        assert "http" not in page.replace("http-equiv", "")


def test_writing_the_same_again_touches_no_file(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put(report(notice="a"))
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"]
    for file in files:
        os.utime(file, (1, 1))
    store.put(report(notice="a"))
    assert len(files) == len(FORMATS) + 1 + 2 * len(GALLERIES)
    assert all(file.stat().st_mtime == 1 for file in files)


def test_a_new_report_of_the_night_replaces_the_old_one(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put(report(headline="before", notice="a"))
    (path,) = store.put(report(headline="after", notice="b"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert "</strong>b</p>" in path.read_text() and "after" in gallery and "before" not in gallery


def test_reports_put_together_or_one_by_one_leave_the_same_files(tmp_path: Path) -> None:
    made = [report(language=language, headline=language * 3) for language in ("en", "es", "pt")]
    ReportStore(tmp_path / "a").put(*made)
    for one in reversed(made):
        ReportStore(tmp_path / "b").put(one)
    a, b = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*.*") if p.is_file()} for root in tmp_path.iterdir()
    )
    assert a == b and len(a) == 1 + 3 * len(FORMATS) + 1 + 2 * len(GALLERIES)


def test_what_is_gone_is_no_longer_listed_and_a_lost_listing_is_made_anew(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    (gone,) = store.put(report(headline="gone", notice="a"))
    (kept,) = store.put(report(headline="kept", as_of=DAY + dt.timedelta(days=1), notice="b"))
    gone.unlink()
    kept.with_suffix(".pdf").unlink()
    (kept.parent / "index.json").write_text("[{", "utf-8")
    store.put(report("Attic", "new", key="attic"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert "kept" in gallery and "new" in gallery and "gone" not in gallery
    assert "corner/2024-07-01/lifecycle.en.xlsx" in gallery and "corner/2024-07-01/lifecycle.en.pdf" not in gallery
    store.put(report(headline="latest", as_of=DAY + dt.timedelta(days=2)))
    own = (tmp_path / "corner" / "index.html").read_text("utf-8")
    assert "2024-07-01/lifecycle.en.html" in own and "2024-06-30" not in own


@pytest.mark.parametrize("step", ["fsync", "pdf"])
def test_a_failed_write_leaves_the_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store = ReportStore(tmp_path)
    (path,) = store.put(report(notice="whole"))
    before = {file: file.read_bytes() for file in path.parent.iterdir()}

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr({"fsync": os, "pdf": reports}[step], step, full_disk)
    with pytest.raises(OSError, match="No space left"):
        store.put(report(notice="half"))
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def _write(root: Path, shop: str) -> None:
    for day in range(3):
        ReportStore(root).put(report(shop, as_of=DAY + dt.timedelta(days=day), key=shop))


def test_shops_that_write_at_once_are_all_listed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, f"shop{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert all(f'href="shop{n}/2024-07-02/lifecycle.en.html"' in gallery for n in range(3))
    for n in range(3):
        own = (tmp_path / f"shop{n}" / "index.html").read_text("utf-8")
        assert (
            own.count("/lifecycle.en.html") == 4
        )  # by its title and its format the latest, by its title each older one
