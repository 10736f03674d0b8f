"""Effects with their intervals, one below the other, about the line of no effect."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import AXIS, DARK, INK
from lifecycle_assets.reports.charts.picture import WIDE, Axes, Picture, Row, draw

LETTER = 6.2  # pixels


def forest(rows: Sequence[Row], axes: Axes, name: str, numbers: str) -> Picture:
    """A point and a line from `lo` to `hi` per row, its text and label above them, in order; the point of a row that is `shown`
    is filled. rows: text, value, lo, hi, label, shown; `numbers` is the format of the axis."""
    import altair as alt

    def chart(width: int) -> Any:
        data = [{**row, "place": place} for place, row in enumerate(rows)]
        room = width - LETTER * max((len(row["label"]) for row in rows), default=0) - 16
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y("place:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0.15))
        )
        axis = alt.Axis(format=numbers, tickCount=7 if width == WIDE else 4)
        x = alt.X("lo:Q", title=axes.x, axis=axis, scale=alt.Scale(nice=True, zero=True))
        ranges = base.mark_rule(color=DARK, strokeWidth=2.5, yOffset=10).encode(x=x, x2="hi:Q")
        points = base.mark_point(size=75, color=DARK, yOffset=10, opacity=1, strokeWidth=2).encode(
            x="value:Q",
            fill=alt.condition("datum.shown", alt.value(DARK), alt.value("white")),
        )
        texts = base.mark_text(align="left", dx=4, dy=-9, color=INK, fontWeight="bold", limit=room).encode(
            x=alt.value(0), text="text:N"
        )
        labels = base.mark_text(align="right", dy=-9, color=INK).encode(x=alt.value("width"), text="label:N")
        zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=AXIS, strokeDash=[4, 3]).encode(x=alt.datum(0))
        return alt.layer(zero, ranges, points, texts, labels).properties(width=width, height=46 * len(data) + 40)

    return draw(chart, name, axes.locale)
