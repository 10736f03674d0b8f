"""Planted tables of the segmentation: groups, their tree, and who moved, with a truth that the tests know."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from churn_frames import planted
from report_frames import AS_OF

from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramBenchmark, DendrogramLeaves
from lifecycle_assets.models.segment_drift import SegmentDrift
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import SegmentationBenchmark
from lifecycle_assets.models.segmentation_centroids import SegmentationCentroids
from lifecycle_assets.models.subsegment_profiles import SubsegmentProfiles
from lifecycle_assets.models.ward import linkage

Frames = dict[str, pl.LazyFrame]
BEFORE = AS_OF.replace(day=29)
STAGES = ("new", "active", "won_back", "at_risk", "lapsed")


def group(
    number: int, persona: str, stages: Sequence[int], spend: float, frequency: float = 3.0, **more: Any
) -> dict[str, Any]:
    """One group: how often, how much and lately in one word each; customers by stage; mean spend and purchases."""
    how_often, how_much, lately = persona.split()
    return {
        "cluster_id": number,
        "segment_id": f"{BEFORE}/{number}" if number else "none",
        "name": f"group {number}",
        "how_often": how_often,
        "how_much": how_much,
        "lately": lately,
        "n_customers": sum(stages),
        **{f"n_{stage}": n for stage, n in zip(STAGES, stages, strict=True)},
        "avg_spend": spend,
        "avg_frequency": frequency,
        "median_recency_days": 12.0 + number,
        "insight": "growth potential",
        **more,
    }


TEA = {"top_category": "Tea", "top_categories": "Tea, 7UP, cakes"}
HONEY = {"top_category": "Honey", "top_categories": "Honey"}
WEB = {"best_channel": "web", "best_channel_share": 0.55}
STORE = {"best_channel": "store", "best_channel_share": 0.9}
# rising: one group slips more than the others, by different channels; flat: no difference, one channel, nothing
# stable; falling: buyers of one time and the lapsed, no categories; superseded: nothing sold after returns, twins told apart;
# tiny: one group; silent: too few to tell who slips, nothing known beside the orders.
GROUPS: dict[str, list[dict[str, Any]]] = {
    "rising": [
        group(0, "frequent top active", (0, 3, 1, 0, 0), 900.5, 20.0, **TEA, **STORE),
        group(1, "less_frequent low partly_inactive", (5, 40, 15, 50, 90), 41.25, 1.75, **HONEY, **WEB, churn_risk=0.31),
        group(2, "regular average active", (10, 90, 30, 15, 10), 210.0, 4.5, **TEA, churn_risk=0.08, avg_clv_12m=80.25),
        group(3, "frequent top active", (0, 60, 12, 5, 3), 1250.75, 21.0, **TEA, **STORE, churn_risk=0.01, avg_clv_12m=700.0,
              insight="retention & upsell"),
    ],
    "flat": [
        group(1, "regular low active", (0, 60, 10, 15, 15), 50.0, **TEA, **STORE),
        group(2, "regular high active", (0, 61, 9, 16, 14), 150.0, **TEA, **STORE, insight="Our own <rule> 4U"),
    ],
    "falling": [
        group(1, "one_time low inactive", (10, 20, 0, 20, 150), 20.0, 1.25),
        group(2, "less_frequent average inactive", (0, 30, 10, 0, 60), 90.0, 2.5),
        group(3, "frequent high active", (0, 70, 10, 10, 10), 300.0, 9.0),
    ],
    "superseded": [
        group(1, "regular no_net_spend active", (1, 0, 0, 0, 0), -20.5, **HONEY, told_apart_by="category_and_number"),
        group(2, "regular no_net_spend active", (0, 10, 0, 0, 0), -2.0, **HONEY, told_apart_by="category_and_number"),
        group(3, "regular no_net_spend active", (0, 9, 0, 0, 0), 0.0, told_apart_by="number"),
        group(4, "regular no_net_spend active", (0, 9, 0, 0, 0), 0.0, **TEA, told_apart_by="category"),
    ],
    "tiny": [group(1, "regular average active", (2, 3, 0, 1, 0), 33.3)],
    "silent": [
        group(1, "one_time low active", (0, 30, 0, 1, 1), 50.0, 1.25),
        group(2, "regular high active", (0, 10, 0, 0, 1), 180.0),
    ],
}  # fmt: skip

# silhouette and stability of what is in use; whether it is last night's.
USED = {
    "rising": (0.62, 0.91, True),
    "flat": (0.31, 0.4, False),
    "falling": (0.55, 0.8, True),
    "superseded": (0.52, 0.75, False),
    "tiny": (None, None, False),
    "silent": (0.5, 0.74, True),
}
# Moves (from, to, customers); 9 is a group of last night that is no more.
MOVES = {
    "rising": [(1, 2, 30), (2, 3, 8), (3, 2, 4), (9, 1, 2), (0, 3, 1)],
    "flat": [(1, 2, 9), (2, 1, 11)],
    "falling": [(3, 1, 25), (1, 3, 2)],
    "superseded": [(1, 2, 1)],
}


def frames(case: str) -> Frames:
    """The tables of a case of cases.py; those of an unknown case have no rows."""
    if case not in GROUPS:
        return {}
    made = planted(SegmentProfiles, profiles(case)) | planted(SegmentationBenchmark, benchmark(case))
    if case in MOVES:
        made |= planted(SegmentDrift, _moves(MOVES[case]))
    if case in ("rising", "flat"):
        made |= planted(SegmentationCentroids, _centroids()) | planted(SubsegmentProfiles, SUBSEGMENTS)
    return (
        made | {"rising": lambda: tree(200), "flat": lambda: tree(4), "falling": lambda: tree(1, k=1)}.get(case, dict)()
    )


def profiles(case: str) -> list[dict[str, Any]]:
    """models.segment_profiles of a case: shares of the customers and of the revenue from the groups."""
    groups = GROUPS[case]
    customers = sum(row["n_customers"] for row in groups)
    revenue = sum(row["n_customers"] * row["avg_spend"] for row in groups)
    return [
        {
            **row,
            "share_of_customers": row["n_customers"] / customers,
            "share_of_revenue_pct": 100 * row["n_customers"] * row["avg_spend"] / revenue if revenue > 0 else None,
        }
        for row in groups
    ]


def benchmark(case: str) -> list[dict[str, Any]]:
    """Two candidates of KMeans, the one in use first, and one of DBSCAN that may not be chosen; or one segment."""
    silhouette, stability, kept = USED[case]
    if silhouette is None:
        return [{"family": "OneSegment", "parameter": "k 1", "n_clusters": 1, "chosen": True, "eligible": False}]
    rest: dict[str, Any] = {"noise_share": 0.0, "davies_bouldin": 0.7}
    return [
        {**rest, "family": "DBSCAN", "parameter": "eps", "n_clusters": 7, "silhouette": 0.95, "stability": 0.2},
        {
            **rest,
            "family": "KMeans",
            "parameter": "k 2",
            "n_clusters": 2,
            "silhouette": silhouette,
            "stability": stability,
            "kept_from": BEFORE if kept else None,
            "eligible": True,
            "chosen": True,
        },
        {**rest, "family": "KMeans", "parameter": "k 3", "n_clusters": 3, "silhouette": 0.2, "eligible": True},
    ]


def tree(apart: int, k: int = 2, near: int = 60) -> Frames:
    """models.dendrogram and its leaves: customers around 0, and `apart` far from them; cut into k branches."""
    points = np.append(np.arange(near) / 100, 50 + np.arange(apart) / 100)[:, None]
    merges = linkage(points)
    names = ["child1", "child2", "distance", "sample_count"]
    rows = [
        {"merge": place, **dict(zip(names, (int(a), int(b), d, int(n)), strict=True))}
        for place, (a, b, d, n) in enumerate(merges.tolist())
    ]
    leaves = [
        {"position": leaf, "customer_id": f"c{leaf:04}", "leaf": leaf, "cluster_id": 1 if leaf < near or k == 1 else 2}
        for leaf in range(len(points))
    ]
    cuts = [{"k": n, "silhouette": 0.9 - n / 20, "chosen": n == k} for n in (2, 3, 4)] if k > 1 else []
    cut = planted(DendrogramBenchmark, cuts) if cuts else {}
    return planted(Dendrogram, rows) | planted(DendrogramLeaves, leaves) | cut


def _moves(moves: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": f"m{then}{now}-{i}",
            "since": BEFORE,
            "from_segment_id": f"{BEFORE}/{then}" if then else "none",
            "from_segment": then,
            "to_segment_id": f"{BEFORE}/{now}",
            "to_segment": now,
        }
        for then, now, n in moves
        for i in range(n)
    ]


def _centroids() -> list[dict[str, Any]]:
    places = {
        (1, "visit_frequency"): (1.75, -0.6),
        (1, "purchase_total"): (41.25, -0.7),
        (1, "category: 7UP"): (0.125, -0.2),
        (2, "visit_frequency"): (21.0, 1.4),
        (2, "purchase_total"): (1250.75, 2.6),
        (2, "category: 7UP"): (0.5, 0.4),
    }
    means = {"visit_frequency": 6.25, "purchase_total": 333.0, "category: 7UP": 0.25}
    return [
        {"segment": segment, "feature": feature, "value": value, "of_all": means[feature], "scaled": scaled}
        for (segment, feature), (value, scaled) in places.items()
    ]


SUBSEGMENTS: list[dict[str, Any]] = [
    {
        "segment": 1,
        "subsegment": place,
        "code": f"1.{place}",
        "n_customers": n,
        "share_of_segment": n / 200,
        "feature": "purchase_total",
        "feature_mean": mean,
        "segment_mean": 41.25,
    }
    for place, n, mean in ((1, 150, 30.0), (2, 50, 75.0))
] + [{"segment": 2, "subsegment": 1, "code": "2.1", "n_customers": 155, "share_of_segment": 1.0}]
