"""The whole segmentation of a shop's customers: four families, every number of segments, stability, labels and sub-segments.

The rival is what one would write with scikit-learn on the customers it can hold: the same candidates fitted and scored by
its own classes with the exact silhouette, without any bootstrap refit.
"""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.models import segmentation as race
from lifecycle_assets.models.segmentation_features import Features, feature_matrix
from lifecycle_assets.models.segmentation_labels import segmentation_labels
from lifecycle_assets.models.subsegments import subsegment_benchmark, subsegments
from lifecycle_assets.settings import Segmentation

TITLE = "Segmentation"
RIVAL_CUSTOMERS = 10_000
AS_OF = dt.date(2025, 3, 1)
SHOP = "bench"


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """The section of the report, for a tenth of `sizes` customers."""
    del work, memory_limit  # nothing is stored, and the SQL engine has no part in it
    rows, steps = [], {}
    for size in sizes:
        customers = size // 10
        compared = min(customers, RIVAL_CUSTOMERS)
        ours = measure("bench.segmentation:ours", customers=customers)
        same = measure("bench.segmentation:ours", customers=compared)
        rival = measure("bench.segmentation:rival", customers=compared)
        assert abs(same.value["silhouette"] - rival.value["silhouette"]) < 0.02, (same.value, rival.value)
        rows.append(
            [
                f"{customers:,}",
                f"{ours.seconds:.0f} s ({ours.cpu_seconds:.0f} s CPU), {ours.peak_gb:.1f} GB",
                f"{same.seconds:.1f} s, {same.peak_gb:.1f} GB",
                f"{rival.seconds:.1f} s, {rival.peak_gb:.1f} GB",
                f"{rival.seconds / same.seconds:.1f} x",
                f"{same.value['silhouette']:.3f} and {rival.value['silhouette']:.3f}",
            ]
        )
        steps[customers] = ours.value["seconds"]
    header = [
        "customers",
        "this project",
        f"at {compared:,}",
        f"scikit-learn at {compared:,}",
        "faster",
        "best KMeans silhouettes",
    ]
    names = list(next(iter(steps.values())))
    parts = [[name, *(f"{seconds[name]:.1f}" for seconds in steps.values())] for name in names]
    return "\n\n".join(
        [
            "Four families, 2 to 10 segments each, five bootstrap refits of every candidate, labels, and sub-segments.",
            table(header, rows),
            "Of which (seconds):",
            table(["step", *(f"{customers:,}" for customers in steps)], parts),
        ]
    )


def ours(customers: int) -> dict[str, Any]:
    """The seconds of each step, and the best silhouette of KMeans."""
    settings, seconds = Segmentation(), {}
    frame = generate(customers).lazy()

    def timed(name: str, call: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        made = call(*arguments)
        seconds[name] = round(time.perf_counter() - started, 2)
        return made

    features: Features = timed("features", feature_matrix, frame, settings)
    these = timed("order", race.points, features, None)
    scored = [timed(family, race.score, family, these, SHOP, AS_OF, settings, 0) for family in settings.families]
    benchmark = race.segmentation_benchmark(pl.concat(scored), customers, SHOP, AS_OF, settings)
    labels = timed("labels", race.labels_of, benchmark, these, SHOP, settings, 0)
    table_ = timed("identities", segmentation_labels, labels, these, features, SHOP, AS_OF, None)
    cuts = timed("sub-segments tried", subsegment_benchmark, features, table_, SHOP, AS_OF, settings, 0)
    timed("sub-segments", subsegments, features, table_, cuts, settings, 0)
    best = benchmark.filter(pl.col("family") == "KMeans")["silhouette"].max()
    return {"seconds": seconds, "silhouette": best}


def rival(customers: int) -> dict[str, float]:
    """The best silhouette of KMeans, all families having been fitted and scored the plain way."""
    from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
    from sklearn.mixture import GaussianMixture

    points = feature_matrix(generate(customers).lazy(), Segmentation()).scaled
    best = -1.0
    for k in range(2, 11):
        for model in (
            KMeans(k, n_init=10, random_state=0),
            GaussianMixture(k, random_state=0),
            AgglomerativeClustering(k),
        ):
            labels = model.fit_predict(points)
            silhouette = float(silhouette_score(points, labels))
            davies_bouldin_score(points, labels)
            calinski_harabasz_score(points, labels)
            best = max(best, silhouette) if isinstance(model, KMeans) else best
    labels = DBSCAN(eps=0.4, min_samples=5).fit_predict(points)
    if np.unique(labels[labels >= 0]).size > 1:
        silhouette_score(points, labels)
    return {"silhouette": best}


def generate(customers: int) -> pl.DataFrame:
    """Features of customers whose visits, spend and categories hang together as in real shops: many small, few large."""
    rng = np.random.default_rng(11)
    visits = rng.geometric(0.25, customers)
    spend = np.round(visits * rng.gamma(2, 20, customers), 2)
    categories = np.minimum(visits, rng.integers(1, 9, customers))
    made = pl.DataFrame(
        {
            "customer_id": pl.Series([f"c{number:08d}" for number in range(customers)]),
            "visit_frequency": visits,
            "purchase_total": spend,
            "category_diversity": categories,
        }
    )
    missing = [pl.lit(None).alias(name) for name in CustomerFeatures.columns if name not in made.columns]
    return CustomerFeatures.conform(made.lazy().with_columns(missing)).collect()
