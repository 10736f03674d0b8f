"""Draws the report's charts as SVG, without a browser and without a network.

Altair describes a chart, vl-convert renders it. Each chart is drawn twice, for a wide page and for a phone, since text that
shrinks with its picture cannot be read. Colours are from Okabe and Ito's palette (safe for colour-blind readers), differ in
lightness, and never carry a meaning alone: every mark is labelled or stands in a legend in the same order.
Titles are not part of the picture; the page sets them as text.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lifecycle_assets.drawing import SERIES_COLOURS, svg

if TYPE_CHECKING:
    import altair as alt

WIDE, NARROW = 700, 312
# The usual width of a letter and the height of a line, in pixels.
LETTER, LINE = 6, 14
SHORT_NUMBERS = "format(datum.value, '~s')"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """One chart, drawn for a wide page and for a narrow one."""

    wide: str
    narrow: str


@dataclass(frozen=True)
class Axes:
    """What stands along the axes, in the reader's language."""

    x: str
    y: str
    locale: Any


def draw(chart: Any, name: str, locale: Any) -> Picture:
    return Picture(
        *(
            _own_ids(_shorter_paths(svg(chart(width), locale)), f"{name}-{size}")
            for width, size in ((WIDE, "wide"), (NARROW, "narrow"))
        )
    )


def colour(series: Sequence[str], columns: int = 2) -> "alt.Color":
    import altair as alt

    colours = [SERIES_COLOURS[place % len(SERIES_COLOURS)] for place in range(len(series))]
    legend = alt.Legend(title=None, orient="top", labelLimit=220, columns=columns, columnPadding=24)
    return alt.Color("series:N", sort=list(series), legend=legend, scale=alt.Scale(domain=list(series), range=colours))


def wrapped(texts: Iterable[str], room: float) -> dict[str, str]:
    """Each text broken into lines that fit into `room` pixels; see line_axis."""
    return {text: "\n".join(wrap(text, int(room / LETTER))) for text in texts}


def line_axis(texts: Iterable[str], room: float) -> "alt.Axis":
    """An axis of names at the left of the rows, in lines as `wrapped` breaks them, each name at the middle of its row."""
    import altair as alt

    lines = max((text.count("\n") + 1 for text in texts), default=1)
    return alt.Axis(
        ticks=False,
        domain=False,
        labelPadding=8,
        labelLimit=room,
        labelExpr="split(datum.label, '\\n')",
        labelLineHeight=LINE,
        labelBaseline="line-top" if lines > 1 else "middle",
        labelOffset=-lines * LINE / 2 if lines > 1 else 0,
    )


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def _shorter_paths(picture: str) -> str:
    """Outlines to a hundredth of a pixel: half the size, nothing to be seen."""

    def rounded(path: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0])

    return re.sub(r' d="[^"]*"', rounded, picture)


def _own_ids(picture: str, prefix: str) -> str:
    """Ids are counted anew in every picture; a page that holds many needs them apart. The page names the picture, so that
    the roles that the renderer writes for each mark are taken out: they would be read aloud one by one."""
    picture = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', picture)
    picture = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", picture)
    picture = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', picture)
    return re.sub(r' (?:aria-[a-z]+|role)="[^"]*"', "", picture)
