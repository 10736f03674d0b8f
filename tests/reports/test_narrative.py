"""How facts are said: formats, plurals, and catalogues that hold together."""

import datetime as dt
import re
import string
from decimal import Decimal

import pytest

from lifecycle_assets.dispatch.eligibility import REASONS
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.features.stage import STAGES
from lifecycle_assets.reports.facts import Comparison, Fact, Facts
from lifecycle_assets.reports.narrative import Writer, catalogue, languages

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


def test_the_shops_country_decides_only_where_the_language_is_spoken() -> None:
    assert writer(country="US", currency="USD").number("day") == "June 30, 2024"
    assert writer(country="GB").number("day") == "30 June 2024"
    # German habits would write 12.346, which an English reader takes for twelve and a bit.
    assert writer(country="DE", currency="EUR").number("money") == "€12,346"
    assert writer(country="JP", currency="JPY").number("cents") == "¥12"


def test_a_sentence_knows_where_its_numbers_come_from() -> None:
    said = writer().say("tonight.programme", count="many", first="first", words={"programme": "{x}", "channel": "<b>"})
    assert said.text == "{x} by <b>: 1,234 messages at 09:30."
    assert set(said.numbers) == {("many", "1,234"), ("first", "09:30")}


def test_the_count_picks_the_plural() -> None:
    say = writer().say
    assert say("tile.joined", count="one", days="many").text == "1 new in 1,234 days"
    assert say("tonight.holdout", count="one").text.startswith("1 customer who qualifies is kept back")
    assert say("tonight.holdout", count="many").text.startswith("1,234 customers who qualify are kept back")
    assert say("tonight.holdout", count="none").text.startswith("0 customers")


def test_numbers_of_words_inside_a_sentence_are_kept() -> None:
    write = writer()
    items = [write.say("chart.reason.item", words={"reason": r}, count=c) for r, c in (("a", "one"), ("b", "many"))]
    said = write.say("chart.held.alt", words={"groups": write.enumerate(items)})
    assert said.text.endswith("a: 1; b: 1,234.")
    assert said.numbers == (("one", "1"), ("many", "1,234"))


def test_an_unknown_language_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"language 'xx'.*en"):
        writer(language="xx")


def test_a_missing_message_or_fact_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="no message no.such"):
        writer().say("no.such")
    with pytest.raises(KeyError, match="no_such_fact"):
        writer().say("value.positive", value="no_such_fact")


@pytest.mark.parametrize("language", languages())
def test_no_message_holds_a_number_of_its_own(language: str) -> None:
    for key, message in catalogue(language).messages.items():
        forms = [message] if isinstance(message, str) else list(message.values())
        assert not any(re.search(r"\d", form) for form in forms), key


@pytest.mark.parametrize("language", languages())
def test_every_language_says_the_same_things(language: str) -> None:
    def holes(message: object) -> set[str | None]:
        forms = [message] if isinstance(message, str) else list(message.values())  # type: ignore[attr-defined]
        return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}

    english, other = catalogue("en").messages, catalogue(language).messages
    assert set(other) == set(english)
    for key, message in english.items():
        assert holes(other[key]) <= holes(message) | {"count"}, key


def test_every_reason_and_stage_has_its_words() -> None:
    words = catalogue("en")
    assert {reason for reason in REASONS if f"reason.{reason}" not in words} == {"best_action"}
    assert all(f"stage.{stage}" in words for stage in STAGES)
