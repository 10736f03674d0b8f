"""The tables of a report in a spreadsheet: values instead of texts, and nothing that a spreadsheet would run."""

import datetime as dt
import io
import zipfile
from functools import cache

import openpyxl
import pytest
import sample_page
from openpyxl import Workbook
from sample_page import ADDRESS, AS_OF, BAD, FORMULA

from lifecycle_assets.reports.workbook import xlsx


@cache
def book(locale: str = "en_GB", currency: str = "GBP") -> Workbook:
    return openpyxl.load_workbook(io.BytesIO(xlsx(sample_page.page(locale=locale), AS_OF, currency)))


def test_the_first_sheet_says_what_it_is_and_leads_to_the_others() -> None:
    front, *sheets = book().worksheets
    texts = [cell.value for (cell,) in front.iter_rows(max_col=1) if cell.value]
    assert texts[0] == "Revenue is up" and "As of 30 June 2024" in texts[1] and texts[2] == "Consent is assumed."
    assert texts[3] == "Tables"
    links = [cell.hyperlink.location for (cell,) in front.iter_rows(max_col=1) if cell.hyperlink]
    assert [link.rpartition("!")[0].strip("'") for link in links] == [sheet.title for sheet in sheets]
    assert all(len(sheet.title) <= 31 for sheet in sheets)
    assert [sheet.cell(1, 1).value for sheet in sheets] == texts[4:]


def test_there_is_a_sheet_for_every_table_and_no_more() -> None:
    captions = [sheet.cell(1, 1).value for sheet in book().worksheets[1:]]
    assert captions == [f"Products: {BAD}", "Weekly: revenue", f"Products: {BAD}"]


def test_cells_hold_values_with_formats_of_their_units() -> None:
    sheet = book().worksheets[1]
    assert [cell.value for cell in sheet[2]] == ["Product", *"ABCDEF", "Note"]
    first, second = sheet[3], sheet[4]
    assert [cell.value for cell in first[1:4]] == [0, 12345.678, 0.12345]
    assert first[4].value.date() == AS_OF and first[5].value == dt.time(9, 30)
    assert first[6].value == 1.5 and second[6].value is None
    formats = [cell.number_format for cell in first[1:7]]
    assert formats == ["#,##0", '"£"#,##0.00', "0.00%", "yyyy-mm-dd", "hh:mm", "#,##0.00"]
    assert sheet.max_row == 202


@pytest.mark.parametrize(
    ("locale", "currency", "shown"),
    [
        ("es_ES", "EUR", '#,##0.00\xa0"€"'),
        ("es_MX", "MXN", '"$"#,##0.00'),
        ("pt_BR", "BRL", '"R$"\xa0#,##0.00'),
        ("en_US", "JPY", '"¥"#,##0'),
    ],
)
def test_money_is_written_as_the_reader_writes_it(locale: str, currency: str, shown: str) -> None:
    assert book(locale, currency).worksheets[1].cell(3, 3).number_format == shown


def test_nothing_of_a_shops_is_run_or_followed() -> None:
    notes = [cell for (cell,) in book().worksheets[1].iter_rows(min_row=3, min_col=8)]
    assert {cell.value for cell in notes} == {FORMULA, ADDRESS}
    assert {cell.data_type for cell in notes} == {"s"} and not any(cell.hyperlink for cell in notes)
    with zipfile.ZipFile(io.BytesIO(xlsx(sample_page.page(rows=3), AS_OF, "GBP"))) as parts:
        sheets = [parts.read(name).decode() for name in parts.namelist() if "sheet" in name]
    assert not any("<f>" in text or "evil.example" in text for text in sheets)


def test_heads_stay_in_sight_and_filter() -> None:
    sheet = book().worksheets[1]
    assert sheet.freeze_panes == "B3" and sheet.auto_filter.ref == "A2:H202"


def test_the_same_page_gives_the_same_bytes() -> None:
    assert xlsx(sample_page.page(), AS_OF, "GBP") == xlsx(sample_page.page(), AS_OF, "GBP")
