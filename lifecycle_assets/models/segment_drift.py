"""Who moved from one segment to another since the latest night before?

A segment is followed by its identity, not by its number. New customers have not moved, nor has anybody on the first night:
the table is then empty.
"""

import polars as pl

from lifecycle_assets.contracts import count, date, table, text
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.markdown import markdown


@table("models.segment_drift")
class SegmentDrift(PerCustomer):
    """One row per customer whose segment is another one than on the latest night before."""

    since = date("The night compared with.")
    from_segment_id = text("Segment on that night.", nullable=False)
    from_segment = count("Its number on that night; 0 is in no segment.", "segment")
    to_segment_id = text("Segment tonight.", nullable=False)
    to_segment = count("Its number tonight; 0 is in no segment.", "segment")


def segment_drift(tonight: pl.LazyFrame, before: pl.LazyFrame | None) -> pl.DataFrame:
    """The movers between two nights' models.segmentation_labels, ordered by customer_id."""
    if before is None:
        return SegmentDrift.empty()
    then = before.select(
        "customer_id",
        pl.col("as_of").alias("since"),
        pl.col("segment_id").alias("from_segment_id"),
        pl.col("segment").alias("from_segment"),
    )
    moved = (
        tonight.rename({"segment_id": "to_segment_id", "segment": "to_segment"})
        .join(then, on="customer_id")
        .filter(pl.col("from_segment_id") != pl.col("to_segment_id"))
        .sort("customer_id")
    )
    return SegmentDrift.conform(moved).collect()


def flows(drift: pl.DataFrame, n_customers: int) -> str:
    """The movers counted by where from and where to, as markdown."""
    if drift.is_empty():
        return "nobody moved"
    counted = (
        drift.group_by("from_segment_id", "to_segment_id")
        .len("customers")
        .sort("customers", "from_segment_id", "to_segment_id", descending=[True, False, False])
    )
    return f"{drift.height:,} of {n_customers:,} customers moved\n\n{markdown(counted)}"
