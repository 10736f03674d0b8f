"""Where does each segment lie: the mean of its customers in each feature, in the feature's own unit?

Without customers, or for customers in no segment, there are no rows. An unknown value counts as the median of all.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, shop_key, table
from lifecycle_assets.models.segmentation_features import Features


@table("models.segmentation_centroids")
class SegmentationCentroids(dy.Schema):
    """The mean of each segment in each feature."""

    shop_id = shop_key()
    as_of = as_of_column()
    segment = dy.Int64(primary_key=True, min=1, description="Number of the segment in models.segmentation_labels.")
    feature = key("Column of features.customer_features, or a category that is 0 or 1.")
    value = number("Mean of the segment's customers, in the feature's unit.")
    of_all = number("Mean of all customers, in the feature's unit.")
    scaled = number("Mean of the segment's customers, scaled as the segmentation sees it.", "scaled features")
    n_customers = count("Customers in the segment.", "customers", minimum=1)


def segmentation_centroids(features: Features, labels: pl.DataFrame, shop: str, as_of: dt.date) -> pl.DataFrame:
    """A row per segment and feature of `labels` (a row per customer of the features), ordered by both as given."""
    segments = labels.sort("customer_id")["segment"].to_numpy()
    rows = []
    for segment in np.unique(segments[segments > 0]).tolist():
        inside = segments == segment
        for place, name in enumerate(features.names):
            # Sorted, so that a sum does not depend on the customers' names.
            value, of_all = (
                float(np.sort(v).mean()) for v in (features.original[inside, place], features.original[:, place])
            )
            scaled = (value - features.center[place]) / features.scale[place]
            rows.append((segment, name, value, of_all, scaled, int(inside.sum())))
    names = ["segment", "feature", "value", "of_all", "scaled", "n_customers"]
    frame = pl.DataFrame(rows, schema=names, orient="row") if rows else SegmentationCentroids.empty().select(names)
    return SegmentationCentroids.conform(
        frame.lazy().with_columns(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"))
    ).collect()
