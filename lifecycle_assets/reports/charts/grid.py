"""Grids of cells."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import INK
from lifecycle_assets.reports.charts.picture import NARROW, Axes, Picture, Row, draw


def heat_map(rows: Sequence[Row], bins: int, axes: Axes, name: str) -> Picture:
    """A grid of cells with their count and a second line of text. rows: x, y, value, line_1, line_2."""
    import altair as alt

    data = list(rows)
    top = max((row["value"] for row in data), default=1)
    grid = [str(score) for score in range(1, bins + 1)]
    plain = alt.Axis(labelAngle=0, ticks=False, domain=False, titleLimit=NARROW)

    def chart(width: int) -> Any:
        base = alt.Chart(alt.Data(values=data)).encode(
            x=alt.X("x:O", title=axes.x, scale=alt.Scale(domain=grid), axis=plain),
            y=alt.Y("y:O", title=axes.y, scale=alt.Scale(domain=grid[::-1]), axis=plain),
        )
        cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
            color=alt.Color("value:Q", legend=None, scale=alt.Scale(domain=[0, top], range=["#eef5fb", "#003f6b"]))
        )
        ink = alt.condition(f"datum.value > {top * 0.58}", alt.value("white"), alt.value(INK))
        roomy = width / bins >= 55
        first = base.mark_text(dy=-7 if roomy else 0, fontWeight="bold", fontSize=12 if roomy else 9).encode(
            text="line_1:N", color=ink
        )
        layers = [cells, first]
        if roomy:
            layers.append(base.mark_text(dy=9, fontSize=11).encode(text="line_2:N", color=ink))
        return alt.layer(*layers).properties(width=width, height=min(width, 400))

    return draw(chart, name, axes.locale)
