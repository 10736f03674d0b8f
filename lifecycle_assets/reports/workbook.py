"""Writes the tables of a report as a spreadsheet, for those who go on reckoning: cells hold the values, not their texts.

The first sheet says what the report is and leads to the others, one for each table. Texts are written as texts, whatever
they begin with, so that no cell of a shop's data is run as a formula or followed as an address.
"""

import datetime as dt
import io
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from babel import Locale
from babel.numbers import get_currency_precision, get_currency_symbol

from lifecycle_assets.reports.narrative import Shown
from lifecycle_assets.reports.render import Page, Table

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

LONGEST_NAME = 31  # of a sheet, as spreadsheets have it
NARROWEST, WIDEST = 9, 60  # columns, in characters
HEADS = 1  # the row under the caption
FORMATS = {"date": "yyyy-mm-dd", "time": "hh:mm", "share": "0.00%", "ratio": "#,##0.00", "expected": "#,##0.0"}
WHOLE, PARTS = "#,##0", "#,##0.0"  # what is counted


def xlsx(page: Page, as_of: dt.date, currency: str) -> bytes:
    """The page's tables as a workbook dated at the end of `as_of`; `currency` is the shop's."""
    from xlsxwriter import Workbook

    file = io.BytesIO()
    with Workbook(file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        created = dt.datetime.combine(as_of, dt.time(), dt.UTC)
        book.set_properties({"title": page.title.text, "author": page.shop, "created": created})
        forms = FORMATS | {"currency": _money(currency, page.locale), "whole": WHOLE, "parts": PARTS}
        styles = {name: book.add_format({"num_format": form, "valign": "top"}) for name, form in forms.items()}
        styles["text"] = book.add_format({"text_wrap": True, "valign": "top"})
        front = book.add_worksheet(page.words["sheets"])
        sheets = [
            (_name(number, table.caption), place, table) for number, (place, table) in enumerate(_tables(page), 1)
        ]
        _front(book, front, page, sheets)
        for name, _, table in sheets:
            _sheet(book, book.add_worksheet(name), table, styles)
    return file.getvalue()


def _tables(page: Page) -> Iterator[tuple[str, Table]]:
    """Every table of the page with the heading that it stands under."""
    for section in page.sections:
        for table in (*section.tables, *(table for figure in section.figures for table in figure.tables)):
            yield section.title, table


def _name(number: int, caption: str) -> str:
    """A name that spreadsheets take; the number keeps equal captions apart."""
    plain = re.sub(r"[][:*?/\\']", " ", caption)
    return textwrap.shorten(f"{number} {plain}", LONGEST_NAME, placeholder="…")


def _front(book: "Workbook", sheet: "Worksheet", page: Page, sheets: list[tuple[str, str, Table]]) -> None:
    bold, heading = book.add_format({"bold": True}), book.add_format({"bold": True, "font_size": 14})
    link = book.get_default_url_format()
    sheet.set_column(0, 2, WIDEST)
    sheet.write_string(0, 0, page.headline.text, heading)
    lines = [" · ".join((page.shop, page.kind, page.dated.text)), *(notice.text for notice in page.notices)]
    for row, line in enumerate(lines, 1):
        sheet.write_string(row, 0, line)
    first = len(lines) + 2
    sheet.write_string(first, 0, page.words["sheets"], bold)
    for row, (name, place, table) in enumerate(sheets, first + 1):
        sheet.write_url(row, 0, f"internal:'{name}'!A1", link, table.caption)
        sheet.write_string(row, 1, place)
        sheet.write_string(row, 2, " ".join(table.notes))


def _sheet(book: "Workbook", sheet: "Worksheet", table: Table, styles: Mapping[str, "Format"]) -> None:
    bold, head = book.add_format({"bold": True}), book.add_format({"bold": True, "bottom": 1, "text_wrap": True})
    sheet.write_string(0, 0, table.caption, bold)
    for column, title in enumerate(table.columns):
        sheet.write_string(HEADS, column, title, head)
        longest = max((len(row[column]) for row in table.rows), default=0)
        sheet.set_column(column, column, min(max(NARROWEST, len(title) + 4, longest + 2), WIDEST))
    for row, cells in enumerate(table.rows, HEADS + 1):
        for column, cell in enumerate(cells):
            _cell(sheet, row, column, cell, styles)
    sheet.freeze_panes(HEADS + 1, 1)
    if table.rows:
        sheet.autofilter(HEADS, 0, HEADS + len(table.rows), len(table.columns) - 1)


def _cell(sheet: "Worksheet", row: int, column: int, cell: str, styles: Mapping[str, "Format"]) -> None:
    """A value where the cell knows it, else its text; nothing for null."""
    if not isinstance(cell, Shown) or isinstance(cell.value, str):
        sheet.write_string(row, column, str(cell), styles["text"])
    elif isinstance(cell.value, dt.date):
        sheet.write_datetime(row, column, dt.datetime.combine(cell.value, dt.time()), styles["date"])
    elif isinstance(cell.value, dt.time):
        sheet.write_number(row, column, (cell.value.hour * 60 + cell.value.minute) / (24 * 60), styles["time"])
    elif cell.value is not None:
        counted = "whole" if cell.value == int(cell.value) else "parts"
        sheet.write_number(row, column, float(cell.value), styles.get(cell.unit, styles[counted]))


def _money(currency: str, locale: str) -> str:
    """The currency as the reader writes it, in the spreadsheet's own language of formats."""
    pattern = Locale.parse(locale).currency_formats["standard"].pattern.partition(";")[0]
    decimals = "0." + "0" * get_currency_precision(currency)
    symbol = get_currency_symbol(currency, locale=locale).replace('"', "")
    return pattern.replace("0.00", decimals.removesuffix(".")).replace("¤", f'"{symbol}"')
