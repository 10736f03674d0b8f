"""Which groups hide inside each segment?

KMeans (Lloyd, 1982) inside every segment, on the same scaled features, for each number of sub-segments in question. The
highest silhouette wins, then the lowest Davies-Bouldin index. A segment with fewer than 2k customers, or no more than k
different ones, is not cut into k; cut into none, it is left whole, and its row says so.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, number, shop_key, table, text
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.cluster_quality import quality
from lifecycle_assets.models.dbscan import distinct
from lifecycle_assets.models.segmentation_families import Candidate, fit, one_thread
from lifecycle_assets.models.segmentation_features import Features
from lifecycle_assets.models.segmentation_labels import by_spend
from lifecycle_assets.settings import Segmentation

SEED_OF = "models.subsegment_benchmark"


@table("models.subsegment_benchmark")
class SubsegmentBenchmark(dy.Schema):
    """Every cut of every segment that was tried, and which one is in use."""

    shop_id = shop_key()
    as_of = as_of_column()
    segment = dy.Int64(primary_key=True, min=1, description="Number of the segment in models.segmentation_labels.")
    k = dy.Int64(primary_key=True, min=1, description="Sub-segments; 1 is the segment left whole.")
    n_customers = count("Customers in the segment.", "customers", minimum=1)
    silhouette = number("Mean silhouette inside the segment; null when whole.", nullable=True, minimum=-1, maximum=1)
    davies_bouldin = number("Spread over distance; lower is better; null when whole.", nullable=True, minimum=0)
    calinski_harabasz = number("Variance between over within; null when whole.", nullable=True, minimum=0)
    chosen = flag("The cut in use.")
    note = text("Why this one, for the one in use.")


@table("models.subsegments")
class Subsegments(PerCustomer):
    """The sub-segment of each customer in a segment."""

    segment = dy.Int64(min=1, description="Number of the segment in models.segmentation_labels.")
    subsegment = dy.Int64(min=1, description="1 .. inside the segment, by mean spend, ascending.")
    code = text("Both, e.g. 2.1.", nullable=False)


def subsegment_benchmark(
    features: Features, labels: pl.DataFrame, shop: str, as_of: dt.date, settings: Segmentation, seed: int
) -> pl.DataFrame:
    """The cuts of each segment of models.segmentation_labels, ordered by segment and k."""
    rows = []
    for segment, where in _members(features, labels).items():
        points = features.scaled[where]
        n_different = len(distinct(points)[0])
        ks = [k for k in settings.subsegment_k if len(points) >= 2 * k and n_different > k]
        figures = quality(points, _cuts(points, ks, settings, shop, seed), generator(shop, SEED_OF, seed))
        tried = [
            {"segment": segment, "n_customers": len(points), "k": k, **measured._asdict()}
            for k, measured in zip(ks, figures, strict=True)
        ]
        rows += _with_choice(tried) if tried else [_whole(segment, len(points), settings)]
    frame = pl.DataFrame(rows, infer_schema_length=None) if rows else SubsegmentBenchmark.empty()
    dated = frame.lazy().with_columns(pl.lit(shop).alias("shop_id"), pl.lit(as_of).alias("as_of"))
    return SubsegmentBenchmark.conform(dated).sort("segment", "k").collect()


def subsegments(
    features: Features,
    labels: pl.DataFrame,
    benchmark: pl.DataFrame,
    settings: Segmentation,
    seed: int,
) -> pl.DataFrame:
    """The row of each customer in a segment, by the cuts that `subsegment_benchmark` chose, ordered by customer_id.

    `labels` has a row per customer of the features, in their order.
    """
    chosen = dict(benchmark.filter("chosen").select("segment", "k").rows())
    number = np.zeros(labels.height, np.int64)
    for segment, where in _members(features, labels).items():
        points = features.scaled[where]
        k = chosen[segment]
        cut = _cuts(points, [k], settings, labels["shop_id"][0], seed)[0] if k > 1 else np.zeros(len(points), np.int64)
        number[where] = by_spend(cut, features.spend[where])
    inside = labels.with_columns(pl.Series("subsegment", number)).filter(pl.col("segment") > 0)
    return Subsegments.conform(
        inside.lazy().with_columns(pl.format("{}.{}", "segment", "subsegment").alias("code"))
    ).collect()


def _members(features: Features, labels: pl.DataFrame) -> dict[int, np.ndarray]:
    """Segment -> the places of its customers, sorted by the values of their features."""
    order = np.lexsort(features.scaled.T[::-1])
    segments = labels["segment"].to_numpy()[order]
    return {segment: order[segments == segment] for segment in np.unique(segments[segments > 0]).tolist()}


def _cuts(points: np.ndarray, ks: Sequence[int], settings: Segmentation, shop: str, seed: int) -> list[np.ndarray]:
    state = int(generator(shop, SEED_OF, seed).integers(2**31))
    with one_thread():
        return [made.labels for made in fit("KMeans", points, [Candidate(f"k {k}", k) for k in ks], settings, state)]


def _with_choice(tried: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ranked = sorted(tried, key=lambda row: (-row["silhouette"], row["davies_bouldin"]))
    best = ranked[0]
    others = ", ".join(f"{row['silhouette']:.3f} with {row['k']}" for row in ranked[1:])
    against = f", against {others}" if others else "; no other number could be tried"
    note = f"{best['k']} sub-segments: silhouette {best['silhouette']:.3f}{against}"
    return [{**row, "chosen": row is best, "note": note if row is best else None} for row in tried]


def _whole(segment: int, n: int, settings: Segmentation) -> dict[str, Any]:
    least = min(settings.subsegment_k)
    few = f"fewer than {2 * least} customers" if n < 2 * least else f"no more than {least} different customers"
    return {"segment": segment, "n_customers": n, "k": 1, "chosen": True, "note": f"left whole: {few}"}
