"""The fan chart of the shop's revenue: past months, months ahead, and their intervals. As SVG, without a browser."""

from typing import Any

import polars as pl

from lifecycle_assets.drawing import AXIS, DARK, INK, svg
from lifecycle_assets.models.forecast_series import DailySeries

WIDTH = 700
PAST_MONTHS = 24


def fan_chart(series: DailySeries, months: pl.DataFrame, name: str) -> str:
    """The full calendar months of a series and those forecast, with both intervals; empty text where there are none."""
    import altair as alt

    ahead = months.filter((pl.col("series") == name) & (pl.col("basis") == "calendar") & ~pl.col("is_partial")).select(
        "month", pl.col("value", "lo80", "hi80", "lo95", "hi95").cast(pl.Float64)
    )
    if ahead.is_empty():
        return ""
    past = (
        series.long()
        .filter(pl.col("series") == name)
        .group_by(month=pl.col("date").dt.truncate("1mo"))
        .agg(pl.col("value").sum(), days=pl.len())
        .filter(pl.col("days") == pl.col("month").dt.month_end().dt.day())
        .sort("month")
        .tail(PAST_MONTHS)
        .select("month", "value")
    )
    x = alt.X("month:T", title=None, axis=alt.Axis(format="%b %Y", labelAngle=0))
    history, fan = _base(past), _base(ahead)
    y = alt.Y("value:Q", title=f"{series.kind} per month", axis=alt.Axis(format="~s"), scale=alt.Scale(zero=False))
    layers: list[Any] = [
        fan.mark_area(color=DARK, opacity=opacity).encode(x=x, y=alt.Y(f"lo{level}:Q"), y2=f"hi{level}:Q")
        for level, opacity in (("95", 0.15), ("80", 0.25))
    ]
    layers += [
        history.mark_line(color=INK).encode(x=x, y=y),
        fan.mark_line(color=DARK, point=alt.OverlayMarkDef(color=DARK)).encode(x=x, y=y),
        fan.mark_rule(color=AXIS, strokeDash=[2, 2]).encode(x=alt.X("min(month):T")),
    ]
    return svg(alt.layer(*layers).properties(width=WIDTH, height=300))


def _base(rows: pl.DataFrame) -> Any:
    import altair as alt

    return alt.Chart(alt.Data(values=rows.with_columns(pl.col("month").cast(pl.String)).to_dicts()))
