"""Bars over weeks and over the hours of a day."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import DARK
from lifecycle_assets.reports.charts.picture import NARROW, SHORT_NUMBERS, Axes, Picture, Row, colour, draw


def weekly(rows: Sequence[Row], axes: Axes, series: Sequence[str], name: str) -> Picture:
    """Stacked bars over time. rows: week_ending (date), one number per name in `series`."""
    import altair as alt

    data = [
        {"week": f"{row['week_ending']}T00:00:00", "series": label, "place": place, "value": float(row[label])}
        for row in rows
        for place, label in enumerate(series)
    ]

    def chart(width: int) -> Any:
        bar = max(2.0, (width - 70) / max(len(rows), 8) * 0.78)
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar(size=bar)
            .encode(
                x=alt.X(
                    "week:T",
                    title=axes.x,
                    axis=alt.Axis(
                        tickCount=4 if width == NARROW else 8,
                        format="%b %Y",
                        labelOverlap=True,
                        grid=False,
                        labelFlush=True,
                    ),
                    scale=alt.Scale(padding=bar),
                ),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(labelExpr=SHORT_NUMBERS, tickCount=5)),
                color=colour(series) if len(series) > 1 else alt.value(DARK),
                order=alt.Order("place:Q"),
            )
            .properties(width=width, height=220)
        )

    return draw(chart, name, axes.locale)


def hours(rows: Sequence[Row], axes: Axes, series: Sequence[str], name: str) -> Picture:
    """Stacked bars over the hours of a day. rows: hour, series, value."""
    import altair as alt

    data = [{**row, "place": list(series).index(row["series"])} for row in rows]

    def chart(width: int) -> Any:
        return (
            alt.Chart(alt.Data(values=data))
            .mark_bar(size=(width - 60) / 24 * 0.8)
            .encode(
                x=alt.X(
                    "hour:Q",
                    title=axes.x,
                    scale=alt.Scale(domain=[-0.5, 23.5], nice=False),
                    axis=alt.Axis(values=list(range(0, 24, 6 if width == NARROW else 3)), grid=False, format="d"),
                ),
                y=alt.Y("value:Q", title=axes.y, axis=alt.Axis(labelExpr=SHORT_NUMBERS, tickCount=4)),
                color=colour(series) if len(series) > 1 else alt.value(DARK),
                order=alt.Order("place:Q"),
            )
            .properties(width=width, height=200)
        )

    return draw(chart, name, axes.locale)
