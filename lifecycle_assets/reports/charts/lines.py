"""Lines, with ranges."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports.charts.picture import (
    Axes,
    Picture,
    Row,
    colour,
    draw,
)


def against(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str, numbers: str) -> Picture:
    """A line per series, the first with the range of each of its points. rows: x, series, value, and lo and hi where there is a
    range, in order; `numbers` is the format of the axis."""
    import altair as alt

    def chart(width: int) -> Any:
        base = alt.Chart(alt.Data(values=list(rows))).encode(
            x=alt.X("x:O", sort=None, title=axes.x, axis=alt.Axis(labelAngle=0, labelOverlap=True, ticks=False)),
            y=alt.Y("value:Q", title=axes.y, scale=alt.Scale(zero=False), axis=alt.Axis(format=numbers, tickCount=5)),
            color=colour(series),
        )
        ranges = base.transform_filter("isValid(datum.lo)").mark_rule(strokeWidth=2).encode(y="lo:Q", y2="hi:Q")
        lines = base.mark_line(point=alt.OverlayMarkDef(size=50, filled=True))
        return alt.layer(ranges, lines).properties(width=width, height=220)

    return draw(chart, name, axes.locale)
