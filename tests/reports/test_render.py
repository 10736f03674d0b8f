"""How the parts of a page are set."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.render import WALL, Section, html
from tests.reports import sample_page


def section(*lengths: int) -> Section:
    return Section(
        "s",
        "S",
        [Sentence(f"{place}".ljust(length, "x"), ((f"f{place}", ""),)) for place, length in enumerate(lengths)],
    )


@pytest.mark.parametrize(
    ("lengths", "sentences_each"),
    [
        ((), []),
        ((40,), [1]),
        ((WALL + 200,), [1]),
        ((200, 200, 100), [3]),
        ((100,) * 8, [4, 4]),
        ((150,) * 12, [3, 3, 3, 3]),
        ((450, 100, 100), [1, 2]),
    ],
)
def test_a_wall_of_text_is_set_as_paragraphs_of_about_the_same_length(
    lengths: tuple[int, ...], sentences_each: list[int]
) -> None:
    assert [len(paragraph.numbers) for paragraph in section(*lengths).paragraphs] == sentences_each


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), max_size=30))
def test_paragraphs_say_every_sentence_once_and_in_order(lengths: list[int]) -> None:
    made = section(*lengths)
    assert " ".join(map(str, made.paragraphs)) == " ".join(map(str, made.sentences))
    assert all(len(paragraph.text) < WALL + 2 * 300 for paragraph in made.paragraphs)


@pytest.mark.parametrize(("tiles", "columns"), [(1, 1), (4, 4), (6, 6), (7, 4), (8, 4)])
def test_no_key_figure_is_left_alone_in_a_row(tiles: int, columns: int) -> None:
    page = sample_page.page()
    shown = html(replace(page, tiles=[page.tiles[0]] * tiles), "sample")
    assert re.findall(r"--columns:(\d+)", shown) == [str(columns)]
