"""How facts are said: formats, plurals, and catalogues that hold together."""

import datetime as dt
import re
from decimal import Decimal

import pytest

from lifecycle_assets.reports.facts import Comparison, Fact, Facts
from lifecycle_assets.reports.narrative import Writer

FACTS = Facts(
    [
        Fact(
            "money",
            Decimal("12345.6"),
            "currency",
            3,
            {"before": Comparison(Decimal(10), Decimal(-2), "falling", -0.2)},
        ),
        Fact("cents", Decimal("12.5"), "currency"),
        Fact("one", 1, "messages"),
        Fact("many", 1234, "messages"),
        Fact("none", 0, "messages"),
        Fact("two", 2, "messages"),
        Fact("million", 1_000_000, "messages"),
        Fact("share", 0.1234, "share"),
        Fact("nothing", None, "currency"),
        Fact("day", dt.date(2024, 6, 30), "date"),
        Fact("first", dt.time(9, 30), "time"),
    ]
)


def writer(language: str = "en", country: str = "GB", currency: str = "GBP") -> Writer:
    return Writer(language, country, currency, FACTS)


@pytest.mark.parametrize(
    ("value", "unit", "style", "shown"),
    [
        (Decimal("12345.6"), "currency", "", "£12,346"),
        (Decimal("1234567.8"), "currency", "", "£1,234,568"),
        (Decimal("1234567.8"), "currency", "compact", "£1.23M"),
        (Decimal("12345.6"), "currency", "compact", "£12,346"),
        (Decimal("999.5"), "currency", "", "£999.50"),
        (Decimal("-3.2"), "currency", "signed", "−\u2060£3.20"),
        (Decimal("3.2"), "currency", "signed", "+\u2060£3.20"),
        (Decimal("-3.2"), "currency", "abs", "£3.20"),
        (Decimal("-0.001"), "currency", "", "£0.00"),
        (0.1234, "share", "", "12%"),
        (0.0512, "share", "", "5.1%"),
        (0.09951, "share", "", "10%"),
        (0.0004, "share", "", "0.04%"),
        (0.0, "share", "signed", "0%"),
        (1.0, "share", "", "100%"),
        (-0.5, "share", "signed", "−50%"),
        (1234, "customers", "", "1,234"),
        (2.346, "ratio", "", "2.35"),
        (1.5, "times", "", "1.5"),
        (None, "currency", "", "–"),
        (dt.date(2024, 6, 30), "date", "", "30 June 2024"),
        (dt.time(9, 30), "time", "", "09:30"),
    ],
)
def test_numbers_are_written_as_their_unit_wants(value: object, unit: str, style: str, shown: str) -> None:
    assert writer().format(value, unit, style) == shown  # type: ignore[arg-type]


READERS = {
    "en-US": ("en", "US", "USD"),
    "es-ES": ("es", "ES", "EUR"),
    "es-MX": ("es", "MX", "MXN"),
    "pt-BR": ("pt", "BR", "BRL"),
}
# By CLDR; a space inside a number never breaks. In Spain a thousand has no mark, ten thousand has one.
SHOWN = [
    (1234, "customers", "", "1,234", "1234", "1,234", "1.234"),
    (12345, "customers", "", "12,345", "12.345", "12,345", "12.345"),
    (1_000_000, "rows", "", "1,000,000", "1.000.000", "1,000,000", "1.000.000"),
    (124.5, "expected", "", "124", "124", "124", "124"),
    (99.96, "times", "", "100", "100", "100", "100"),
    (98.76, "times", "", "98.8", "98,8", "98.8", "98,8"),
    (2.346, "ratio", "", "2.35", "2,35", "2.35", "2,35"),
    (Decimal("9.5"), "currency", "", "$9.50", "9,50_€", "$9.50", "R$_9,50"),
    (Decimal("1234.56"), "currency", "", "$1,235", "1235_€", "$1,235", "R$_1.235"),
    (Decimal("9999.6"), "currency", "", "$10,000", "10.000_€", "$10,000", "R$_10.000"),
    (Decimal("1234567.8"), "currency", "", "$1,234,568", "1.234.568_€", "$1,234,568", "R$_1.234.568"),
    (Decimal("1234567.8"), "currency", "compact", "$1.23M", "1,23_M_€", "$1.23_M", "R$_1,23_mi"),
    (Decimal("-3.2"), "currency", "signed", "−\u2060$3.20", "−\u20603,20_€", "−\u2060$3.20", "−\u2060R$_3,20"),
    (0.1234, "share", "", "12%", "12_%", "12%", "12%"),
    (0.0512, "share", "signed", "+5.1%", "+5,1_%", "+5.1%", "+5,1%"),
    (12.5, "share", "", "1,250%", "1250_%", "1,250%", "1.250%"),
    (
        dt.date(2024, 6, 30),
        "date",
        "",
        "June 30, 2024",
        "30 de junio de 2024",
        "30 de junio de 2024",
        "30 de junho de 2024",
    ),
    (dt.date(2024, 6, 30), "date", "short", "Jun 30, 2024", "30 jun 2024", "30 jun 2024", "30 de jun. de 2024"),
    (dt.time(9, 30), "time", "", "9:30_AM", "9:30", "9:30_a.m.", "09:30"),
    (dt.time(21, 5), "time", "", "9:05_PM", "21:05", "9:05_p.m.", "21:05"),
    (None, "currency", "", "–", "–", "–", "–"),
]


@pytest.mark.parametrize(
    ("value", "unit", "style", "reader", "shown"),
    [
        (v, unit, style, reader, text)
        for v, unit, style, *texts in SHOWN
        for reader, text in zip(READERS, texts, strict=True)
    ],
)
def test_each_reader_gets_the_habits_of_the_country(
    value: object, unit: str, style: str, reader: str, shown: str
) -> None:
    said = writer(*READERS[reader]).format(value, unit, style)  # type: ignore[arg-type]
    assert re.sub("[\u00a0\u202f]", "_", said) == shown


@pytest.mark.parametrize(
    ("reader", "listed"),
    [("en-US", "a, b, and c"), ("es-ES", "a, b y c"), ("es-MX", "a, b y c"), ("pt-BR", "a, b e c")],
)
def test_lists_are_written_as_the_language_does(reader: str, listed: str) -> None:
    assert str(writer(*READERS[reader]).join(["a", "b", "c"])) == listed


@pytest.mark.parametrize(
    ("reader", "fact", "said"),
    [
        ("en-US", "none", "0 rows (12%) broke"),
        ("en-US", "one", "1 row (12%) broke"),
        ("en-US", "two", "2 rows (12%) broke"),
        ("en-US", "million", "1,000,000 rows (12%) broke"),
        ("es-ES", "none", "0 filas (12_%) incumplieron"),
        ("es-ES", "one", "1 fila (12_%) incumplió"),
        ("es-ES", "two", "2 filas (12_%) incumplieron"),
        ("es-ES", "million", "1.000.000 filas (12_%) incumplieron"),
        ("es-MX", "million", "1,000,000 filas (12%) incumplieron"),
        # In Portuguese nothing is one thing less than two.
        ("pt-BR", "none", "0 linha (12%) violou"),
        ("pt-BR", "one", "1 linha (12%) violou"),
        ("pt-BR", "two", "2 linhas (12%) violaram"),
        ("pt-BR", "million", "1.000.000 linhas (12%) violaram"),
    ],
)
def test_plurals(reader: str, fact: str, said: str) -> None:
    text = writer(*READERS[reader]).say("quality.broken", count=fact, share="share").text
    assert text.replace("\u00a0", "_").startswith(said)


def test_the_shops_country_decides_only_where_the_language_is_spoken() -> None:
    assert writer(country="US", currency="USD").number("day") == "June 30, 2024"
    assert writer(country="GB").number("day") == "30 June 2024"
    # German habits would write 12.346, which an English reader takes for twelve and a bit.
    assert writer(country="DE", currency="EUR").number("money") == "€12,346"
    assert writer(country="JP", currency="JPY").number("cents") == "¥12"


def test_a_sentence_knows_where_its_numbers_come_from() -> None:
    said = writer().say("tonight.programme", count="many", first="first", words={"programme": "{x}", "channel": "<b>"})
    assert said.text == "{x} (<b>, 09:30): 1,234 messages."
    assert set(said.numbers) == {("many", "1,234"), ("first", "09:30")}


def test_the_count_picks_the_plural() -> None:
    say = writer().say
    assert say("quality.read", count="one", kept="many").text == "1 row was read, and 1,234 kept."
    assert say("tonight.holdout", count="one").text.startswith("1 customer who qualifies is kept back")
    assert say("tonight.holdout", count="many").text.startswith("1,234 customers who qualify are kept back")
    assert say("tonight.holdout", count="none").text.startswith("0 customers")


def test_numbers_of_words_inside_a_sentence_are_kept() -> None:
    write = writer()
    items = [write.say("chart.reason.item", words={"reason": r}, count=c) for r, c in (("a", "one"), ("b", "many"))]
    said = write.say("chart.held.alt", words={"groups": write.enumerate(items)})
    assert said.text.endswith("a: 1; b: 1,234.")
    assert said.numbers == (("one", "1"), ("many", "1,234"))


def test_a_missing_message_or_fact_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="no message no.such"):
        writer().say("no.such")
    with pytest.raises(KeyError, match="no_such_fact"):
        writer().say("value.positive", value="no_such_fact")
