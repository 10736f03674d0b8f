"""Every number in every sentence of every report is a fact, is shown as the reader writes numbers, and is what the rows of
the tables say when they are counted once more by other code; no digit stands in a sentence besides."""

import datetime as dt
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import product

import pytest
from cases import CASES, READERS, REPORTS, Reader, facts_of, naive_of, told, undrawn

from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.report import Report, sentences

MONTHS = {
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with undrawn():
        yield


def every_sentence(report: Report) -> list[Sentence]:
    page = report.page
    return [page.title, page.dated, *(sentence for _, sentence in sentences(page))]


def own_words(facts: Facts) -> list[str]:
    """What the shop calls things may hold digits."""
    texts = [value for rows in facts.tables.values() for row in rows for value in row.values()]
    texts += [fact.value for fact in facts.facts.values()]
    return [text for text in texts if isinstance(text, str) and re.search(r"[^\W\d]", text)]


def left_over(sentence: Sentence, own: list[str]) -> str:
    """The sentence without the numbers that it notes and without the shop's own words."""
    rest = sentence.text
    for shown in sorted({shown for _, shown in sentence.numbers} | set(own), key=len, reverse=True):
        if re.search(r"\d", shown):
            rest = re.sub(rf"(?<!\d)(?<!\d[.,]){re.escape(shown)}(?![.,]?\d)", "", rest)
    return rest


def read(shown: str, reader: Reader) -> tuple[float, float]:
    """The number that a reader takes from the text, and half of its last digit."""
    digits = re.sub(rf"[^\d{re.escape(reader.decimal)}]", "", shown).strip(reader.decimal)
    decimals = len(digits.partition(reader.decimal)[2])
    assert re.fullmatch(
        rf"\D*(\d{{1,3}}({re.escape(reader.thousands)}\d{{3}})+|\d+)({re.escape(reader.decimal)}\d+)?\D*", shown
    )
    scale = 0.01 if "%" in shown else 1.0
    return float(digits.replace(reader.decimal, ".")) * scale, 0.5000001 * 10.0**-decimals * scale


def says(shown: str, value: object, reader: Reader) -> bool:
    """Whether what is shown is the value, to the digits shown."""
    if value is None or isinstance(value, str):
        return shown == (value or "–")
    if isinstance(value, dt.date):
        # A month has no day; it is told by its first.
        day, year = sorted([*map(int, re.findall(r"\d+", shown)), 1][:2])
        month = next(i for i, name in enumerate(MONTHS[reader.language].split(), start=1) if name[:3] in shown)
        return dt.date(year, month, day) == value
    if isinstance(value, dt.time):
        hour, minute = (int(number) for number in re.findall(r"\d+", shown))
        hour = hour % 12 + 12 * ("PM" in shown) if "M" in shown else hour
        return dt.time(hour, minute) == value.replace(second=0, microsecond=0)
    assert isinstance(value, int | float | Decimal)
    number, half = read(shown, reader)
    sign = -1 if "−" in shown else 1 if "+" in shown else None
    return abs(abs(float(value)) - number) <= half and (sign is None or sign * float(value) > 0)


def canonical(path: str, known: dict[str, object]) -> str:
    return f"{path}/value" if path not in known and f"{path}/value" in known else path


@pytest.mark.parametrize(("name", "case", "reader"), list(product(REPORTS, CASES, READERS)))
def test_every_number_is_a_fact_in_the_readers_digits(name: str, case: str, reader: str) -> None:
    facts = facts_of(name, case)
    own = own_words(facts)
    for sentence in every_sentence(told(name, case, reader)):
        for path, shown in sentence.numbers:
            assert says(shown, facts.value(path), READERS[reader]), (sentence.text, path, shown, facts.value(path))
        assert not re.search(r"\d", left_over(sentence, own)), sentence.text


def runs_upwards(ends: tuple[str, str], reader: Reader) -> bool:
    """Whether a range is written from its lower to its upper end; a dash stands for no end."""
    if "–" in ends:
        return True
    lo, hi = (read(end, reader)[0] * (-1 if "−" in end else 1) for end in ends)
    return lo <= hi


@pytest.mark.parametrize(("name", "case", "reader"), list(product(REPORTS, CASES, READERS)))
def test_every_range_runs_from_its_lower_to_its_upper_end(name: str, case: str, reader: str) -> None:
    who, report = READERS[reader], told(name, case, reader)
    for sentence in every_sentence(report):
        shown = dict(sentence.numbers)
        for path, lo in shown.items():
            hi = shown.get(f"{path[:-2]}hi", "–") if path.endswith("/lo") else "–"
            # Of a loss told without its sign the upper end comes first.
            first, last = (lo, hi) if runs_upwards((lo, hi), who) else (hi, lo)
            assert hi == "–" or re.search(rf"{re.escape(first)}\D*{re.escape(last)}", sentence.text), sentence.text
    for section in report.page.sections:
        for table in (*section.tables, *(table for figure in section.figures for table in figure.tables)):
            for cell in (cell for row in table.rows for cell in row if " … " in cell):
                first, last = cell.split(" … ")
                assert runs_upwards((first, last), who), (table.caption, cell)


@pytest.mark.parametrize(("name", "case"), list(product(REPORTS, CASES)))
def test_every_number_is_what_the_rows_say(name: str, case: str) -> None:
    facts, again = facts_of(name, case), naive_of(case)
    said = {path for reader in READERS for s in every_sentence(told(name, case, reader)) for path, _ in s.numbers}
    unknown = sorted(path for path in said if canonical(path, again) not in again)
    assert not unknown, f"said, but not recomputed: {unknown}"
    for path in sorted(said):
        got, expected = facts.value(path), again[canonical(path, again)]
        if isinstance(expected, float | Decimal) and got is not None:
            assert float(str(got)) == pytest.approx(float(expected), rel=1e-6, abs=6e-5), path
        else:
            assert got == expected, path


def test_a_number_from_elsewhere_would_be_found() -> None:
    reader = READERS["es-ES"]
    assert says("1234,5 €", Decimal("1234.5"), reader) and not says("1.234,50 €", Decimal("1234.60"), reader)
    assert not says("−12 %", 0.12, reader) and not says("12 %", 0.13, reader)
    assert not says("1 de julio de 2024", dt.date(2024, 6, 1), reader)
    assert runs_upwards(("−12 %", "3 %"), reader) and not runs_upwards(("3,5 €", "−1234,5 €"), reader)
    assert left_over(Sentence("13 de 3", (("a", "3"),)), []) == "13 de "
    assert left_over(Sentence("1.300 de 300", (("a", "300"),)), []) == "1.300 de "
