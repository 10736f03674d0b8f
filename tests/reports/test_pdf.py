"""The report on paper: what a PDF reader, a printer and a screen reader find in it."""

import datetime as dt
import io
from functools import cache
from typing import Any

import pytest
import sample_page
import typst
from pypdf import PdfReader
from sample_page import AS_OF, BAD

from lifecycle_assets.reports.pdf import HOME, pdf
from lifecycle_assets.reports.render import Page

A4 = (595, 842)


@cache
def document(language: str = "en", rows: int = 200) -> PdfReader:
    return PdfReader(io.BytesIO(pdf(sample_page.page(language, rows=rows), AS_OF)))


def texts(reader: PdfReader) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in reader.pages]


def test_it_is_a4_and_says_what_it_is() -> None:
    reader = document("pt")
    assert {tuple(round(float(side)) for side in page.mediabox[2:]) for page in reader.pages} == {A4}
    assert reader.metadata and reader.metadata.title == "Corner: sample report"
    assert (reader.metadata.author or "").startswith("Corner & Sons")
    assert reader.metadata.creation_date == dt.datetime(2024, 6, 30, tzinfo=dt.UTC)
    root = reader.trailer["/Root"]
    assert root["/Lang"] == "pt" and root["/MarkInfo"]["/Marked"]


def test_the_first_page_holds_what_the_first_screen_holds() -> None:
    first = texts(document())[0]
    for said in (
        "Revenue is up",
        "Consent is assumed.",
        "What changed",
        "What goes out",
        "Customers 1,234",
        "Contents",
    ):
        assert said in first
    assert "Products:" not in first


def test_every_page_but_the_first_is_headed_and_all_are_numbered() -> None:
    pages = texts(document())
    assert len(pages) > 5
    for number, text in enumerate(pages, 1):
        assert f"{number} / {len(pages)}" in text
        assert text.startswith("Corner: sample report") == (number > 1)


def test_headings_are_bookmarks() -> None:
    marks = [mark if not isinstance(mark, list) else [m.title for m in mark] for mark in document().outline]
    titles = [mark if isinstance(mark, list) else mark.title for mark in marks]
    assert titles[:2] == ["Sales", ["Revenue rose"]]
    assert titles[2:5] == ["Reading", "Nothing yet", "All tables"]
    assert titles[-1] == "Numbers behind the charts"


def test_a_long_table_goes_on_with_its_head_on_every_page_and_loses_no_row() -> None:
    pages = texts(document())
    rows = [[n for n in range(200) if f"P{n:03} " in text] for text in pages]
    own = [(text, found) for text, found in zip(pages, rows, strict=True) if len(found) > 1]
    assert len(own) > 3
    assert sorted({n for _, found in own for n in found}) == list(range(200))
    assert all("Product A B C D E F Note" in text for text, _ in own)


def test_texts_are_set_as_they_are() -> None:
    whole = " ".join(texts(document()))
    for word in ('#panic("x")', "$1/0$", "*b*", "`r`", "@ref", "<b>&amp;</b>", "{{ 7*7 }}"):
        assert word in whole.replace("\u2060", ""), word
    assert "“so”… ñãç" in whole and "€3" in whole and "R$ 4" in whole and "£5" in whole
    assert BAD not in (HOME / "templates" / "report.typ").read_text("utf-8")


def test_every_sign_has_its_shape_and_the_type_is_shipped() -> None:
    """A narrow space or a triangle that the type lacks would show as a box; a font of the machine would differ elsewhere."""
    fonts = {
        font.get_object()["/BaseFont"].split("+")[1]
        for page in document().pages
        for font in page["/Resources"].get("/Font", {}).values()
    }
    assert fonts == {"LiberationSans", "LiberationSans-Bold"}
    assert "10:00 AM" in " ".join(texts(document())).replace("\u00a0", " ")


def test_a_chart_is_text_that_can_be_found() -> None:
    (page,) = [text for text in texts(document()) if "By month" in text]
    assert "Revenue, GBP" in page and "Months" in page


def test_it_holds_what_accessible_documents_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """The typesetter refuses a document that breaks PDF/UA: pictures without a text, headings out of order, no language.
    Nor has it anything to warn of."""
    warnings = []

    def strictly(*arguments: Any, **named: Any) -> bytes:
        made, found = typst.compile_with_warnings(*arguments, **named, pdf_standards=["ua-1"])
        warnings.extend(warning.message for warning in found)
        return made

    monkeypatch.setattr(typst, "compile", strictly)
    assert pdf(sample_page.page(), AS_OF).startswith(b"%PDF")
    assert pdf(sample_page.page(rows=1, bad="long " * 300), AS_OF).startswith(b"%PDF")
    assert warnings == []


def test_the_same_page_gives_the_same_bytes() -> None:
    assert pdf(sample_page.page(rows=9), AS_OF) == pdf(sample_page.page(rows=9), AS_OF)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_page_with_next_to_nothing_is_set_as_well(rows: int) -> None:
    bare = Page("en", "s", "k", *[document_text()] * 3, [], [], [], [], sample_page.WORDS)
    assert len(PdfReader(io.BytesIO(pdf(bare, AS_OF))).pages) <= 2
    assert len(document(rows=rows).pages) < 7


def document_text() -> sample_page.Sentence:
    return sample_page.Sentence("Nothing yet")
