"""Reports on disk: whole or not at all, unchanged when repeated, listed with the latest on top."""

import datetime as dt
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from resources.report_store import ReportStore

DAY = dt.date(2024, 6, 30)


def document(shop: str = "Corner <shop>", headline: str = "Revenue is up", language: str = "en") -> dict[str, Any]:
    return {"shop_name": shop, "title": "Lifecycle report", "language": language, "headline": headline}


def test_a_report_lies_where_it_is_looked_for(tmp_path: Path) -> None:
    path = ReportStore(tmp_path).put("corner", DAY, "lifecycle", "<p>ü</p>", document())
    assert path == tmp_path / "corner" / "2024-06-30" / "lifecycle.en.html"
    assert path.read_text("utf-8") == "<p>ü</p>"
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["headline"] == "Revenue is up"
    assert {file.name for file in path.parent.iterdir()} == {"lifecycle.en.html", "lifecycle.en.json"}


def test_the_gallery_has_the_latest_on_top_and_escapes_names(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put("corner", DAY, "lifecycle", "a", document(headline="the older"))
    store.put("attic", DAY + dt.timedelta(days=1), "lifecycle", "b", document("Attic", "the newer"))
    store.put("corner", DAY - dt.timedelta(days=300), "lifecycle", "c", document(headline="the oldest"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert gallery.index("the newer") < gallery.index("the older") < gallery.index("the oldest")
    assert 'href="corner/2024-06-30/lifecycle.en.html"' in gallery
    assert "Corner &lt;shop&gt;" in gallery and "<shop>" not in gallery
    assert "http" not in gallery.replace("http-equiv", "")


def test_writing_the_same_again_touches_no_file(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put("corner", DAY, "lifecycle", "a", document())
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != ".lock"]
    for file in files:
        os.utime(file, (1, 1))
    store.put("corner", DAY, "lifecycle", "a", document())
    assert len(files) == 4 and all(file.stat().st_mtime == 1 for file in files)


def test_a_new_report_of_the_night_replaces_the_old_one(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    store.put("corner", DAY, "lifecycle", "a", document(headline="before"))
    path = store.put("corner", DAY, "lifecycle", "b", document(headline="after"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert path.read_text() == "b" and "after" in gallery and "before" not in gallery


def test_what_is_gone_is_no_longer_listed_and_a_lost_listing_is_made_anew(tmp_path: Path) -> None:
    store = ReportStore(tmp_path)
    gone = store.put("corner", DAY, "lifecycle", "a", document(headline="gone"))
    store.put("corner", DAY + dt.timedelta(days=1), "lifecycle", "b", document(headline="kept"))
    gone.unlink()
    (tmp_path / "index.json").write_text("[{", "utf-8")
    store.put("corner", DAY + dt.timedelta(days=2), "lifecycle", "c", document(headline="new"))
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert "kept" in gallery and "new" in gallery and "gone" not in gallery


def test_a_failed_write_leaves_the_report_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ReportStore(tmp_path)
    path = store.put("corner", DAY, "lifecycle", "whole", document())

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        store.put("corner", DAY, "lifecycle", "half", document())
    assert path.read_text() == "whole"
    assert {file.name for file in path.parent.iterdir()} == {"lifecycle.en.html", "lifecycle.en.json"}


def _write(root: Path, shop: str) -> None:
    for day in range(5):
        ReportStore(root).put(shop, DAY + dt.timedelta(days=day), "lifecycle", shop, document(shop))


def test_shops_that_write_at_once_are_all_listed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, f"shop{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    gallery = (tmp_path / "index.html").read_text("utf-8")
    assert gallery.count(".en.html") == 15
