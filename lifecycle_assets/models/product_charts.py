"""Pictures of the product tables for the asset pages, as SVG, without a browser and without a network."""

from typing import Any

import polars as pl

from lifecycle_assets.drawing import AXIS, DARK, LIGHT, svg

WIDTH = 700
CATEGORIES = 15


def category_heat_map(matrix: pl.DataFrame) -> str:
    """Lift between the most bought categories of models.cross_sell_matrix; empty text without categories."""
    import altair as alt

    cells = matrix.filter(pl.col("level") == "category")
    most = cells.filter(pl.col("item_i") == pl.col("item_j")).head(CATEGORIES)["item_i"].to_list()
    shown = cells.filter(
        pl.col("item_i").is_in(most) & pl.col("item_j").is_in(most) & (pl.col("item_i") != pl.col("item_j"))
    )
    if shown.is_empty():
        return ""
    data = shown.select("item_i", "item_j", "lift", label=pl.col("lift").round(1).cast(pl.String)).to_dicts()
    base: Any = alt.Chart(alt.Data(values=data)).encode(
        x=alt.X("item_j:N", sort=most, title=None, axis=alt.Axis(labelAngle=-40, labelLimit=120)),
        y=alt.Y("item_i:N", sort=most, title=None, axis=alt.Axis(labelLimit=140)),
    )
    # A lift of 1 is chance: as pale as can be.
    scale = alt.Scale(domain=[0, 1, max(2.0, *shown["lift"])], range=[LIGHT, "#f5f7fa", DARK])
    colour = alt.Color("lift:Q", scale=scale, legend=alt.Legend(title="lift", format=".1f"))
    grid = alt.layer(base.mark_rect().encode(color=colour), base.mark_text(fontSize=9).encode(text="label:N"))
    return svg(grid.properties(width=WIDTH))


def price_ladder(outcomes: pl.DataFrame, product_id: str, optimize_for: str) -> str:
    """Expected profit or revenue of a product at each candidate price, with its interval; today's and the advised price."""
    import altair as alt

    rows = outcomes.filter(pl.col("product_id") == product_id).select(
        "price",
        mark=pl.when("is_best").then(pl.lit("advised")).when("is_current").then(pl.lit("today")).otherwise(pl.lit("other")),
        value=f"expected_{optimize_for}",
        low=f"expected_{optimize_for}_lo",
        high=f"expected_{optimize_for}_hi",
    )  # fmt: skip
    base: Any = alt.Chart(alt.Data(values=rows.to_dicts())).encode(
        x=alt.X("price:Q", title="price", scale=alt.Scale(zero=False))
    )
    band = base.mark_rule(color=AXIS).encode(y=alt.Y("low:Q", title=f"expected {optimize_for}"), y2="high:Q")
    colour = alt.Color(
        "mark:N",
        scale=alt.Scale(domain=["advised", "today", "other"], range=[DARK, LIGHT, AXIS]),
        legend=alt.Legend(title=None, orient="top"),
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(y="value:Q", color=colour)
    return svg(alt.layer(band, points).properties(width=WIDTH, height=260))
