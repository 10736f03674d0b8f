"""What was and what is expected: lines with an inner and an outer range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle_assets.drawing import DARK, INK
from lifecycle_assets.reports.charts.picture import NARROW, SHORT_NUMBERS, WIDE, Axes, Picture, Row, draw, shortened

# Light enough to tell the lines from them, and different enough to tell one from the other in grey.
INNER, OUTER = "#86b9dd", "#d3e6f4"
MONTHLY = "%b %Y"


@dataclass(frozen=True)
class Legend:
    """The names of what is drawn, in the reader's language."""

    past: str
    ahead: str
    inner: str
    outer: str


def fan(
    past: Sequence[Row], ahead: Sequence[Row], axes: Axes, legend: Legend, name: str, times: str = MONTHLY
) -> Picture:
    """A line of what was, a dashed one of what is expected, and its ranges. past: time (date), value; ahead also lo80, hi80,
    lo95, hi95; both in order. `times`: how the axis writes a date."""

    def chart(width: int) -> Any:
        ticks = 3 if width == NARROW else 8
        return _layers(past, ahead, axes, legend, times, ticks).properties(width=width, height=260)

    return draw(chart, name, axes.locale)


def fans(panels: Sequence[tuple[str, Sequence[Row], Sequence[Row]]], axes: Axes, legend: Legend, name: str) -> Picture:
    """A small fan for each of the panels (title, past, ahead), each with a scale of its own."""
    import altair as alt

    def chart(width: int) -> Any:
        columns = 2 if width == WIDE else 1
        inner = width // columns - 62
        small = [
            _layers(past, ahead, axes, legend, MONTHLY, 3).properties(
                width=inner,
                height=105,
                title=alt.TitleParams(
                    shortened(title, inner // 7), anchor="start", fontSize=13, color=INK, offset=4, frame="group"
                ),
            )
            for title, past, ahead in panels
        ]
        # Measured from axis to axis, so that the panels stand in line whatever their labels.
        return alt.concat(*small, columns=columns, spacing={"row": 62, "column": 62}, bounds="flush")

    return draw(chart, name, axes.locale)


def _layers(past: Sequence[Row], ahead: Sequence[Row], axes: Axes, legend: Legend, times: str, ticks: int) -> Any:
    import altair as alt

    names = (legend.past, legend.ahead, legend.inner, legend.outer)
    colour = alt.Color(
        "series:N",
        sort=list(names),
        legend=alt.Legend(title=None, orient="top", labelLimit=220, columns=2, columnPadding=24),
        scale=alt.Scale(domain=list(names), range=[INK, DARK, INNER, OUTER]),
    )
    x = alt.X(
        "time:T",
        title=axes.x or None,
        axis=alt.Axis(format=times, tickCount=ticks, labelOverlap=True, labelSeparation=10, grid=False),
    )
    axis = alt.Axis(labelExpr=SHORT_NUMBERS, tickCount=4)

    def y(column: str) -> Any:
        return alt.Y(f"{column}:Q", title=axes.y or None, axis=axis, scale=alt.Scale(zero=True))

    def base(rows: Sequence[Row], series: str) -> Any:
        # A list would be copied row by row at each step from here to the whole picture; a tuple is not.
        return alt.Chart(alt.Data(values=tuple(_drawn(row) | {"series": series} for row in rows))).encode(
            x=x, color=colour
        )

    bands = [
        base(ahead, series).mark_area().encode(y=y(f"lo{level}"), y2=f"hi{level}:Q")
        for series, level in ((legend.outer, 95), (legend.inner, 80))
    ]
    # The forecast's line begins where the past ends, so that neither hangs in the air.
    lines = [
        base([*past[-1:], *ahead], legend.ahead).mark_line(strokeDash=[6, 3], strokeWidth=2).encode(y=y("value")),
        base(past, legend.past).mark_line(strokeWidth=2).encode(y=y("value")),
    ]
    return alt.layer(*bands, *lines)


def _drawn(row: Row) -> dict[str, Any]:
    numbers = {column: float(row[column]) for column in ("value", "lo80", "hi80", "lo95", "hi95") if column in row}
    return {"time": f"{row['time']}T00:00:00", **numbers}
