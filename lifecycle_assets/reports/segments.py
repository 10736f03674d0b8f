"""Into which groups do the customers fall, how clear are they, and what to do about each?

Segments are those of models.segmentation_labels, told by their personas; how clear they are is the silhouette and the
stability of the candidate in use.
"""

import polars as pl

from lifecycle_assets.contracts import MONEY
from lifecycle_assets.reports.facts import Fact, Facts, Row

CLEAR, STABLE = 0.5, 0.75


def segments(profiles: pl.LazyFrame, benchmark: pl.LazyFrame) -> Facts:
    """profiles: models.segment_profiles; benchmark: models.segmentation_benchmark. Facts `personas`, `persona.<number>.share`,
    `.revenue_share`, `persona.silhouette`, `.stability`; table `personas` (cluster_id, name, customers, share, spend,
    frequency, revenue_share, categories, insight)."""
    rows: list[Row] = (
        profiles.sort("cluster_id")
        .select(
            "cluster_id",
            "name",
            "insight",
            customers="n_customers",
            share=pl.col("share_of_customers").round(6),
            spend=pl.col("avg_spend").round(4).cast(MONEY),
            frequency=pl.col("avg_frequency").round(2),
            revenue_share=(pl.col("share_of_revenue_pct") / 100).round(6),
            categories="top_categories",
        )
        .collect()
        .to_dicts()
    )
    facts = [Fact("personas", len(rows), "segments")]
    for row in rows:
        facts += [
            Fact(f"persona.{row['cluster_id']}.{name}", row[name], "share", row["customers"])
            for name in ("share", "revenue_share")
        ]
    used = benchmark.filter("chosen").select("silhouette", "stability").collect()
    if used.height:
        silhouette, stability = used.row(0)
        facts += [Fact("persona.silhouette", silhouette, "ratio"), Fact("persona.stability", stability, "ratio")]
    return Facts(facts, {"personas": rows})
