"""What sets each sub-segment apart from its segment?

Size, means in original units, and one sentence that names the feature in which the sub-segment differs most from its segment,
in standard units of all customers. A segment left whole has one sub-segment, which is itself.
"""

import json
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, number, share, shop_key, table, text
from lifecycle_assets.models.segmentation_features import Features


@table("models.subsegment_profiles")
class SubsegmentProfiles(dy.Schema):
    """One row per sub-segment: its size, its centroid, and what sets it apart."""

    shop_id = shop_key()
    as_of = as_of_column()
    segment = dy.Int64(primary_key=True, min=1, description="Number of the segment in models.segmentation_labels.")
    subsegment = dy.Int64(primary_key=True, min=1, description="1 .. inside the segment, by mean spend, ascending.")
    code = text("Both, e.g. 2.1.", nullable=False)
    n_customers = count("Customers in the sub-segment.", "customers", minimum=1)
    share_of_segment = share("Of the segment's customers.")
    avg_spend = number("Mean spend per customer.", "currency")
    centroid = text("Mean of each feature in its own unit, as a JSON object.", nullable=False)
    feature = text("The feature that sets it apart most; null for a segment left whole.")
    feature_mean = number("Its mean in the sub-segment, in its own unit; null for a segment left whole.", nullable=True)
    segment_mean = number(
        "Its mean in the whole segment, in its own unit; null for a segment left whole.", nullable=True
    )
    interpretation = text("What sets it apart from its segment.", nullable=False)


def subsegment_profiles(features: Features, subsegments: pl.DataFrame) -> pl.DataFrame:
    """A row per sub-segment of models.subsegments, ordered by segment and sub-segment."""
    if subsegments.is_empty():
        return SubsegmentProfiles.empty()
    places = pl.DataFrame({"customer_id": features.customers}).with_row_index("place")
    placed = subsegments.join(places, on="customer_id").sort("segment", "subsegment", "customer_id")
    parents = {key[0]: part["place"].to_numpy() for key, part in placed.group_by("segment", maintain_order=True)}
    rows = [
        {**part.row(0, named=True), **_profile(features, part["place"].to_numpy(), parents[key[0]], key)}
        for key, part in placed.group_by("segment", "subsegment", maintain_order=True)
    ]
    return SubsegmentProfiles.conform(pl.LazyFrame(rows, infer_schema_length=None)).collect()


def _profile(features: Features, own: np.ndarray, parent: np.ndarray, key: tuple[Any, ...]) -> dict[str, Any]:
    mean, of_parent = _means(features.original[own]), _means(features.original[parent])
    share_ = own.size / parent.size
    apart = (mean - of_parent) / features.scale
    most = int(np.argmax(np.abs(np.round(apart, 9))))
    name = features.names[most].replace("_", " ")
    is_whole = own.size == parent.size
    if is_whole:
        said = f"Segment {key[0]} as a whole."
    else:
        sense = "higher" if apart[most] > 0 else "lower"
        said = (
            f"{share_:.0%} of segment {key[0]}, with {sense} {name} than the segment as a whole: "
            f"{mean[most]:,.2f} on average against {of_parent[most]:,.2f}."
        )
    return {
        "n_customers": own.size,
        "share_of_segment": share_,
        "avg_spend": float(_means(features.spend[own, None])[0]),
        "centroid": json.dumps(dict(zip(features.names, np.round(mean, 4).tolist(), strict=True))),
        "feature": None if is_whole else features.names[most],
        "feature_mean": None if is_whole else float(mean[most]),
        "segment_mean": None if is_whole else float(of_parent[most]),
        "interpretation": said,
    }


def _means(values: np.ndarray) -> np.ndarray:
    """The mean of each column; sorted first, because sums of floats depend on the order."""
    return np.sort(values, axis=0).mean(axis=0)
