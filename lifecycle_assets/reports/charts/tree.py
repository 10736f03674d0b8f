"""The top of a tree of customers."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import AXIS, INK, SERIES_COLOURS
from lifecycle_assets.reports.charts.picture import WIDE, Axes, Picture, Row, draw


def tree(rows: Sequence[Row], cut: float | None, axes: Axes, name: str) -> Picture:
    """Nodes joined upwards at their distance, with a line where the tree is cut. rows: id, x, distance, one, two (the nodes
    below; null at the end), branch (0 above the cut), top (of its branch), label (of an end)."""
    import altair as alt

    nodes = {row["id"]: row for row in rows}
    branches = sorted({row["branch"] for row in rows})
    colours = [SERIES_COLOURS[(branch - 1) % len(SERIES_COLOURS)] if branch else AXIS for branch in branches]
    joins = [
        {"node": row["id"], "branch": row["branch"], "place": place, "x": x, "distance": distance}
        for row in rows
        if row["one"] is not None
        for place, (x, distance) in enumerate(_elbow(row, nodes[row["one"]], nodes[row["two"]]))
    ]
    ends = [row for row in rows if row["one"] is None]
    tops = [row for row in rows if row["top"]]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.6, len(ends) - 0.4], nice=False))

    def chart(width: int) -> Any:
        y = alt.Y("distance:Q", title=axes.y, axis=alt.Axis(tickCount=5))
        lines = (
            alt.Chart(alt.Data(values=joins))
            .mark_line(strokeWidth=2, strokeJoin="miter")
            .encode(
                x=x,
                y=y,
                detail="node:N",
                order="place:Q",
                color=alt.Color("branch:N", legend=None, scale=alt.Scale(domain=branches, range=colours)),
            )
        )
        sizes = (
            alt.Chart(alt.Data(values=ends))
            .mark_text(angle=270, align="right", baseline="middle", dx=-6, fontSize=11, color=INK)
            .encode(x=x, y=alt.datum(0), text="label:N")
        )
        numbers = (
            alt.Chart(alt.Data(values=tops))
            .mark_text(align="left", dx=5, dy=-6, fontSize=13, fontWeight="bold", color=INK)
            .encode(x=x, y="distance:Q", text="branch:N")
        )
        layers = [lines, sizes, numbers]
        if cut is not None:
            line = alt.Chart(alt.Data(values=[{}])).mark_rule(strokeDash=[6, 4], color=INK)
            layers.append(line.encode(y=alt.datum(cut)))
        return alt.layer(*layers).properties(width=width, height=340 if width == WIDE else 280)

    return draw(chart, name, axes.locale)


def _elbow(row: Row, one: Row, two: Row) -> list[tuple[float, float]]:
    high = row["distance"]
    return [(one["x"], one["distance"]), (one["x"], high), (two["x"], high), (two["x"], two["distance"])]
