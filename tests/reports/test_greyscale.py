"""Charts printed without colour: series that stand for different things differ in lightness, or say what they are."""

import itertools
import re

import pytest
from cases import REPORTS, told

from lifecycle_assets.drawing import DARK, LIGHT, SERIES_COLOURS
from lifecycle_assets.reports.charts import Axes, columns

# Two greys that differ by less look alike side by side.
APART = 10


def lightness(colour: str) -> float:
    """CIE L* of an sRGB colour, 0 black to 100 white."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 216 / 24389 else luminance * 24389 / 27


def legend(picture: str) -> list[str]:
    """The colours that a chart's legend explains, in order."""
    entries = re.findall(r'role-legend-symbol"[^>]*><path ([^>]*)', picture)
    return [colour for entry in entries for colour in re.findall(r'(?:fill|stroke)="(#[0-9a-f]{6})"', entry)[:1]]


def are_apart(colours: list[str]) -> bool:
    return all(abs(lightness(a) - lightness(b)) >= APART for a, b in itertools.combinations(colours, 2))


def test_lightness_is_that_of_the_standard() -> None:
    assert lightness("#ffffff") == pytest.approx(100) and lightness("#000000") == 0
    assert lightness("#777777") == pytest.approx(50.0, abs=0.1)


def test_the_colours_of_series_differ_in_lightness() -> None:
    assert are_apart(list(SERIES_COLOURS[:5])) and are_apart([DARK, LIGHT])
    assert not are_apart(["#e69f00", "#56b4e9"])


def test_what_a_legend_explains_is_found() -> None:
    data = [{"group": group, "series": name, "value": 1, "label": "1"} for group in "ab" for name in "xyz"]
    drawn = columns(data, "xyz", Axes("Months", "Revenue", "en-US"), "c")
    assert legend(drawn.wide) == legend(drawn.narrow) == list(SERIES_COLOURS[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_what_the_legends_of_a_report_explain_is_told_apart(name: str) -> None:
    for figure in told(name, "rising", "en-US").figures:
        assert are_apart(legend(figure.picture.wide)), figure.id
