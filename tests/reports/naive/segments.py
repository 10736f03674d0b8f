"""The groups of customers and the top of their tree."""

import datetime as dt
from typing import Any

from scipy.stats.contingency import relative_risk

from lifecycle_assets.settings import Shop
from naive import Rows, share

PLAIN = {"spend": "avg_spend", "frequency": "avg_frequency", "recency": "median_recency_days", "churn": "churn_risk"}
PLAIN |= {"clv": "avg_clv_12m", "channel_share": "best_channel_share", "at_risk": "n_at_risk", "lapsed": "n_lapsed"}


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    people = rows["segment_profiles"]
    everyone = sum(r["n_customers"] for r in people)
    revenue = sum(r["n_customers"] * r["avg_spend"] for r in people)
    found: dict[str, Any] = {"personas": len([r for r in people if r["cluster_id"]])}
    for row in people:
        path, n = f"persona.{row['cluster_id']}", row["n_customers"]
        found |= {f"{path}.{name}": row[column] for name, column in PLAIN.items() if row[column] is not None}
        found |= {f"{path}.number": row["cluster_id"], f"{path}.customers": n, f"{path}.share": n / everyone}
        found[f"{path}.revenue_share"] = share(n * row["avg_spend"], revenue)
        found |= _slipping(f"{path}.slipping", row, people)
    for used in (r for r in rows["segmentation_benchmark"] if r["chosen"]):
        found |= {"persona.silhouette": used["silhouette"], "persona.stability": used["stability"]}
    return found | _tree(rows)


def _slipping(path: str, row: dict[str, Any], people: list[dict[str, Any]]) -> dict[str, Any]:
    others = [r for r in people if r is not row]
    own, n = row["n_at_risk"] + row["n_lapsed"], row["n_customers"]
    gone = sum(r["n_at_risk"] + r["n_lapsed"] for r in others)
    rest = sum(r["n_customers"] for r in others)
    found: dict[str, Any] = {path: own / n}
    if rest and min(own, gone, n - own, rest - gone) >= 5:
        risk = relative_risk(own, n, gone, rest)
        comparisons = len(people) if len(people) > 2 else 1
        interval = risk.confidence_interval(1 - 0.05 / comparisons)
        against = {"value": gone / rest, "change": risk.relative_risk - 1}
        against |= {"lo": interval.low - 1, "hi": interval.high - 1}
        found |= {f"{path}/others/{name}": value for name, value in against.items()}
    return found


def _tree(rows: Rows) -> dict[str, Any]:
    leaves = rows["dendrogram_leaves"]
    if not rows["dendrogram"]:
        return {}
    sizes = [sum(r["cluster_id"] == branch for r in leaves) for branch in {r["cluster_id"] for r in leaves}]
    found: dict[str, Any] = {"tree.customers": len(leaves), "tree.branches": len(sizes)}
    return found | {"tree.largest": max(sizes) / len(leaves), "tree.smallest": min(sizes) / len(leaves)}
