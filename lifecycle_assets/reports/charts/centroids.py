"""How groups differ: a grid of cells around the mean."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.drawing import INK
from lifecycle_assets.reports.charts.picture import NARROW, WIDE, Axes, Picture, Row, draw, line_axis, wrapped

# Beyond so many standard units a cell has the full colour.
FULL = 2.0


def centroids(rows: Sequence[Row], axes: Axes, name: str) -> Picture:
    """A cell per group and feature: orange above the mean of all, blue below, the darker the further. rows: group, feature,
    value (standard units), label, in order."""
    import altair as alt

    groups = list(dict.fromkeys(row["group"] for row in rows))
    plain = alt.Axis(labelAngle=0, ticks=False, domain=False, labelPadding=6)

    def chart(width: int) -> Any:
        room = width * 0.4
        features = wrapped([row["feature"] for row in rows], room)
        data = [{**row, "feature": features[row["feature"]]} for row in rows]
        base = alt.Chart(alt.Data(values=data)).encode(
            x=alt.X("group:N", sort=groups, title=axes.x, axis=plain),
            y=alt.Y("feature:N", sort=list(features.values()), title=None, axis=line_axis(features.values(), room)),
        )
        colours = alt.Scale(domain=[-FULL, 0, FULL], range=["#0072b2", "#f5f5f5", "#e69f00"], clamp=True)
        cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
            color=alt.Color("value:Q", legend=None, scale=colours)
        )
        roomy = width * 0.6 / len(groups) >= 44
        words = base.mark_text(fontSize=12 if width == WIDE else 11).encode(
            text="label:N",
            color=alt.condition(f"datum.value < {-0.6 * FULL}", alt.value("white"), alt.value(INK)),
        )
        layers = [cells, words] if roomy else [cells]
        return alt.layer(*layers).properties(width=width, height=(44 if width > NARROW else 40) * len(features) + 60)

    return draw(chart, name, axes.locale)
