"""Parts of text messages: by the figures of 3GPP TS 23.038, and against counting one character after the other."""

import unicodedata

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.sms import (
    BASIC,
    EXTENSION,
    PLAIN_LETTERS,
    TYPOGRAPHIC,
    encoding_and_parts,
    is_gsm,
    typewritten,
)


def told(text: str) -> tuple[str, int]:
    return encoding_and_parts(pl.Series([text])).row(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 1)),
        ("a" * 160, ("GSM-7", 1)),
        ("a" * 161, ("GSM-7", 2)),
        ("é" * 160, ("GSM-7", 1)),
        ("a" * 306, ("GSM-7", 2)),
        ("a" * 307, ("GSM-7", 3)),
        ("€" * 80, ("GSM-7", 1)),
        ("€" * 80 + "a", ("GSM-7", 2)),
        # The euro sign would be cut in two by the end of the first part and moves to the second as a whole.
        ("a" * 152 + "€" + "b" * 151, ("GSM-7", 2)),
        ("a" * 152 + "€" + "b" * 152, ("GSM-7", 3)),
        ("í" * 70, ("UCS-2", 1)),
        ("í" * 71, ("UCS-2", 2)),
        ("í" * 134, ("UCS-2", 2)),
        ("í" * 135, ("UCS-2", 3)),
        ("😀" * 35, ("UCS-2", 1)),
        ("😀" * 36, ("UCS-2", 2)),
        ("í" * 66 + "😀" + "í" * 66, ("UCS-2", 3)),
        ("¿Mañana? ¡Sí!", ("UCS-2", 1)),
        ("ç", ("UCS-2", 1)),
    ],
)
def test_parts_by_the_standard(text: str, expected: tuple[str, int]) -> None:
    assert told(text) == expected


def one_after_the_other(text: str) -> tuple[str, int]:
    gsm = all(letter in BASIC or letter in EXTENSION for letter in text)
    weights = [1 + (letter in EXTENSION) if gsm else len(letter.encode("utf-16-le")) // 2 for letter in text]
    if sum(weights) <= (160 if gsm else 70):
        return ("GSM-7" if gsm else "UCS-2", 1)
    parts, room = 1, 153 if gsm else 67
    for weight in weights:
        if weight > room:
            parts, room = parts + 1, 153 if gsm else 67
        room -= weight
    return ("GSM-7" if gsm else "UCS-2", parts)


@settings(max_examples=60, deadline=None)
@example(["\x1b" * 161, "\x1b{" * 90])
@given(st.lists(st.text(alphabet=st.sampled_from("aé€{í😀\n\x1b"), max_size=700), min_size=1, max_size=20))
def test_any_text_as_counted_one_character_after_the_other(texts: list[str]) -> None:
    assert encoding_and_parts(pl.Series(texts)).rows() == [one_after_the_other(text) for text in texts]


def test_what_is_written_plainly_can_be_written_in_gsm() -> None:
    assert typewritten("“Café” – it’s…") == '"Café" - it\'s...'
    assert all(is_gsm(sign) for sign in TYPOGRAPHIC.values())
    assert all(is_gsm(plain) for plain in PLAIN_LETTERS.values())
    for letter, plain in PLAIN_LETTERS.items():
        assert not is_gsm(letter)
        assert unicodedata.name(letter).startswith(unicodedata.name(plain))
