"""Bars and columns, one or two to a group, labelled."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import DARK, INK
from lifecycle_assets.reports.charts.picture import (
    LINE,
    WIDE,
    Axes,
    Picture,
    Row,
    colour,
    draw,
    line_axis,
    shortened,
    wrapped,
)


def pairs(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str) -> Picture:
    """Two bars per group, labelled. rows: group, series, value (share), label, in order."""
    import altair as alt

    most = max([row["value"] for row in rows], default=1.0)

    def chart(width: int) -> Any:
        room = width * 0.4
        names = wrapped([row["group"] for row in rows], room)
        data = [{**row, "place": place, "group": names[row["group"]]} for place, row in enumerate(rows)]
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y("group:N", sort=list(names.values()), title=None, axis=line_axis(names.values(), room)),
            yOffset=alt.YOffset("series:N", sort=list(series), scale=alt.Scale(paddingInner=0.08)),
            x=alt.X(
                "value:Q",
                title=axes.x,
                scale=alt.Scale(domain=[0, min(1.0, most) * (1.12 if width == WIDE else 1.3)]),
                axis=alt.Axis(format="~%", tickCount=6 if width == WIDE else 3),
            ),
        )
        bars = base.mark_bar().encode(color=colour(series, 2 if width == WIDE else 1))
        labels = base.mark_text(align="left", dx=4, color=INK).encode(text="label:N")
        lines = max((text.count("\n") + 1 for text in names.values()), default=1)
        height = max(46, LINE * (lines + 1)) * len(names) + (70 if width == WIDE else 90)
        return alt.layer(bars, labels).properties(width=width, height=height)

    return draw(chart, name, axes.locale)


def columns(rows: Sequence[Row], series: tuple[str, str], axes: Axes, name: str) -> Picture:
    """Two columns side by side per group. rows: group, series, value, in order."""
    import altair as alt

    data = list(rows)
    groups = list(dict.fromkeys(row["group"] for row in rows))

    def chart(width: int) -> Any:
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar()
            .encode(
                x=alt.X("group:N", sort=groups, title=axes.x, axis=alt.Axis(labelAngle=0, ticks=False)),
                xOffset=alt.XOffset("series:N", sort=list(series)),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(tickCount=5)),
                color=colour(series),
            )
            .properties(width=width, height=240)
        )

    return draw(chart, name, axes.locale)


def bars(rows: Sequence[Row], name: str) -> Picture:
    """One labelled bar per row with its text above it, so that long texts fit a phone. rows: text, value, label."""
    import altair as alt

    def chart(width: int) -> Any:
        letters = (width - 70) // 6
        step = 44
        data = [{**row, "place": place, "text": shortened(row["text"], letters)} for place, row in enumerate(rows)]
        most = max((row["value"] for row in rows), default=1)
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y("place:O", axis=None, scale=alt.Scale(padding=0)),
            x=alt.X("value:Q", axis=None, scale=alt.Scale(domain=[0, most], range=[0, width - 90])),
        )
        marks = base.mark_bar(size=14, color=DARK, yOffset=10)
        numbers = base.mark_text(align="left", dx=5, dy=10, color=INK, fontWeight="bold").encode(text="label:N")
        texts = base.mark_text(align="left", dy=-8, color=INK).encode(x=alt.value(0), text="text:N")
        return alt.layer(marks, numbers, texts).properties(width=width, height=step * len(data))

    return draw(chart, name, "en-US")
