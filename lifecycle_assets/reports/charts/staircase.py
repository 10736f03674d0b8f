"""Pairs of things as a staircase: each step is named, and below and left of the names stand the pairs."""

import math
from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import INK
from lifecycle_assets.reports.charts.picture import WIDE, Picture, Row, draw


def staircase(names: Sequence[str], pairs: Sequence[Row], name: str) -> Picture:
    """A cell for each pair of names, as dark as its value is above 1 (on a log scale); a pair that is not in `pairs` has an
    empty cell. A name stands at the end of its row and on top of its column, so that long ones need no turning. pairs:
    first, second (names), value (above 1), wide, narrow (its text)."""
    import altair as alt

    place = {step: at for at, step in enumerate(names)}
    most = max((math.log(pair["value"]) for pair in pairs), default=1.0)
    filled = {}
    for pair in pairs:
        column, row = sorted((place[pair["first"]], place[pair["second"]]))
        filled[column, row] = {**pair, "shade": math.log(pair["value"]) / most}

    def chart(width: int) -> Any:
        side, tall, size = (50, 30, 12) if width == WIDE else (21, 24, 9)
        shown = "wide" if width == WIDE else "narrow"
        room = width - 8

        def box(column: int, row: int) -> dict[str, Any]:
            left, top = column * side, row * tall
            return {"left": left, "right": left + side - 2, "top": top, "bottom": top + tall - 2}

        cells = [
            {**box(*at), "text": pair[shown], "shade": pair["shade"], "x": at[0] * side + side / 2 - 1}
            for at, pair in filled.items()
        ]
        blank = [box(column, row) for row in range(len(names)) for column in range(row) if (column, row) not in filled]
        across = alt.Scale(domain=[0, room], range=[0, room], nice=False)
        x = alt.X("left:Q", axis=None, scale=across)
        y = alt.Y("top:Q", axis=None, scale=alt.Scale(domain=[len(names) * tall, 0], nice=False))

        def boxes(data: list[dict[str, Any]], colour: Any) -> Any:
            return (
                alt.Chart(alt.Data(values=data)).mark_rect().encode(x=x, x2="right:Q", y=y, y2="bottom:Q", color=colour)
            )

        ground = alt.Color("shade:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=["#e3eef8", "#003f6b"]))
        ink = alt.condition("datum.shade > 0.55", alt.value("white"), alt.value(INK))
        texts = (
            alt.Chart(alt.Data(values=cells))
            .mark_text(dy=tall / 2, baseline="middle", fontSize=size)
            .encode(x=alt.X("x:Q", axis=None, scale=across), y=y, text="text:N", color=ink)
        )
        # Each name has the room that its row leaves.
        written = [
            alt.Chart(alt.Data(values=[{"left": at * side, "top": at * tall, "name": step}]))
            .mark_text(align="left", dx=4, dy=tall / 2, baseline="middle", color=INK, limit=room - at * side - 4)
            .encode(x=x, y=y, text="name:N")
            for step, at in place.items()
        ]
        layers = [boxes(blank, alt.value("#f1f3f5")), boxes(cells, ground), texts, *written]
        return alt.layer(*layers).properties(width=width, height=len(names) * tall)

    return draw(chart, name, "en-US")
