"""The Qini curve of a campaign as a picture, as SVG, without a browser and without a network."""

from typing import Any

import polars as pl

from lifecycle_assets.drawing import AXIS, DARK, LIGHT, svg
from lifecycle_assets.models.uplift_trial import RESPONSE_MODEL

WIDTH, HEIGHT = 700, 300


def qini_curve(curve: pl.DataFrame, campaign_id: str) -> str:
    """Responses won per 100 treated customers over the share targeted: the chosen scores, the response model, a random order.
    `curve` is models.uplift_curve."""
    import altair as alt

    of_campaign = curve.filter(pl.col("campaign_id") == campaign_id)
    chosen = of_campaign.filter("chosen")
    lines = pl.concat(
        [
            chosen.select("targeted_pct", won="gain", order=pl.lit("by uplift")),
            of_campaign.filter(pl.col("candidate") == RESPONSE_MODEL).select(
                "targeted_pct", won="gain", order=pl.lit("by expected response")
            ),
            chosen.select("targeted_pct", won="random_gain", order=pl.lit("at random")),
        ]
    ).with_columns(pl.col("won") * 100)
    names = lines["order"].unique(maintain_order=True).to_list()
    base: Any = alt.Chart(alt.Data(values=lines.to_dicts())).encode(
        x=alt.X("targeted_pct:Q", title="customers targeted, %"),
        y=alt.Y("won:Q", title="responses won per 100 treated"),
        color=alt.Color(
            "order:N",
            scale=alt.Scale(domain=names, range=[DARK, LIGHT, AXIS]),
            legend=alt.Legend(title=None, orient="top"),
        ),
    )
    return svg(base.mark_line(strokeWidth=2).properties(width=WIDTH, height=HEIGHT))
