"""In which segment is each customer tonight, and which of last night's segments is that?

Segments are numbered by mean spend, ascending, so that a number keeps its meaning; customers in no segment have the number
0. A segment also has an identity that outlives its number: tonight's segments are matched to last night's by the most
members in common (Hungarian algorithm, Kuhn, 1955), and a matched one keeps the id that it got on its first night. Those in
common must be more than half of the smaller of the two, or LEAST_JACCARD of both together: else it is a new segment.
"""

import datetime as dt

import numpy as np
import polars as pl

from lifecycle_assets.contracts import count, number, table, text
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.models.cluster_quality import NOISE
from lifecycle_assets.models.segmentation import LastNight, Points
from lifecycle_assets.models.segmentation_families import centroids_of
from lifecycle_assets.models.segmentation_features import Features

NO_SEGMENT = "none"
LEAST_JACCARD = 0.3


@table("models.segmentation_labels", history=True)
class SegmentationLabels(PerCustomer):
    """The segment of each customer."""

    segment = count("1 .. by mean spend, ascending; 0 is in no segment.", "segment")
    segment_id = text(
        "Identity of the segment from night to night: the night and number under which it first appeared, or none.",
        nullable=False,
    )
    distance = number(
        "From the customer to the segment's centroid; null in no segment.", "scaled features", nullable=True, minimum=0
    )


def by_spend(labels: np.ndarray, spend: np.ndarray) -> np.ndarray:
    """The labels as numbers 1 .. by mean spend, ascending, 0 for noise; of equal means the label met first comes first: give
    the rows in an order of their values."""
    names, first, own = np.unique(labels, return_index=True, return_inverse=True)
    # Whole ten-thousandths: the order in which they are summed does not decide.
    means = np.bincount(own, np.round(spend * 10_000)) / np.bincount(own)
    means[names == NOISE] = -np.inf
    place = np.argsort(np.lexsort((first, means)))
    return place[own] + (0 if names[0] == NOISE else 1)


def segmentation_labels(
    labels: np.ndarray,
    these: Points,
    features: Features,
    shop: str,
    as_of: dt.date,
    last: LastNight | None,
) -> pl.DataFrame:
    """The row of each customer of the features, ordered by customer_id; `labels` numbers the rows of `these`, -1 for none."""
    if not labels.size:
        return SegmentationLabels.empty()
    segments = by_spend(labels, features.spend[these.order])
    centroids = centroids_of(these.rows, segments - 1)
    own = np.append(centroids, [np.full(these.rows.shape[1], np.nan)], axis=0)[segments - 1]
    frame = (
        pl.DataFrame(
            {
                "customer_id": features.customers.gather(these.order),
                "segment": segments,
                "distance": pl.Series(np.sqrt(((these.rows - own) ** 2).sum(axis=1))).fill_nan(None),
            }
        )
        .join(_identities(features, these, segments, as_of, last), on="segment", how="left")
        .sort("customer_id")
    )
    return SegmentationLabels.conform(
        frame.lazy().with_columns(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"))
    ).collect()


def _identities(
    features: Features, these: Points, segments: np.ndarray, as_of: dt.date, last: LastNight | None
) -> pl.DataFrame:
    """segment -> segment_id, for all of tonight's segments."""
    found = pl.DataFrame({"segment": np.unique(segments)}).with_columns(
        pl.when(pl.col("segment") == 0)
        .then(pl.lit(NO_SEGMENT))
        .otherwise(pl.format(f"{as_of}/{{}}", "segment"))
        .alias("own")
    )
    if last is None:
        return found.rename({"own": "segment_id"})
    tonight = pl.DataFrame({"customer_id": features.customers.gather(these.order), "segment": segments})
    kept = _matched(tonight.filter(pl.col("segment") > 0), last.labels.filter(pl.col("segment") > 0))
    return found.join(kept, on="segment", how="left").select(
        "segment", pl.coalesce("segment_id", "own").alias("segment_id")
    )


def _matched(tonight: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """segment -> last night's segment_id, one to one, by the most members in common, where these are enough."""
    from scipy.optimize import linear_sum_assignment

    sizes, ids = tonight["segment"].value_counts(name="now"), before["segment_id"].value_counts(name="then")
    common = (
        tonight.join(before.select("customer_id", "segment_id"), on="customer_id")
        .group_by("segment", "segment_id")
        .len("members")
        .join(sizes, on="segment")
        .join(ids, on="segment_id")
        .sort("segment", "segment_id")
    )
    rows, columns = (common[name].rank("dense").to_numpy().astype(np.int64) - 1 for name in ("segment", "segment_id"))
    members = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1))
    members[rows, columns] = common["members"]
    matched = np.zeros(members.shape, dtype=bool)
    matched[linear_sum_assignment(members, maximize=True)] = True
    both, smaller = pl.col("now") + pl.col("then") - pl.col("members"), pl.min_horizontal("now", "then")
    is_same = (2 * pl.col("members") > smaller) | (pl.col("members") >= LEAST_JACCARD * both)
    return common.filter(pl.Series(matched[rows, columns]) & is_same).select("segment", "segment_id")
