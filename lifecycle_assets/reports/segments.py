"""Into which groups do the customers fall, how clear are they, who of them is slipping, and how does their tree look?

Groups are the segments of models.segment_profiles; how clear they are is the silhouette and the stability of the candidate in
use. A group's share of customers at risk or lapsed is held against that of all other customers: the ratio of the two shares
with its interval by the logarithm (Katz et al., 1978); with fewer than 5 such customers, or fewer than 5 others, on
either side nothing is called. As many groups are looked at and the worst is told, the intervals are made to hold together in 95
of 100 shops (Bonferroni): one by one, one of eight groups alike would be called worse than the others in every fourth shop.
"""

import datetime as dt
import math

import numpy as np
import polars as pl

from lifecycle_assets.confidence import CONFIDENCE
from lifecycle_assets.contracts import MONEY
from lifecycle_assets.models.dendrogram import Dendrogram, DendrogramLeaves, tree_of
from lifecycle_assets.models.dendrogram_figure import Cut, cut_of, top_of, tops_of
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation import SegmentationBenchmark
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Row, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

CLEAR, STABLE = 0.5, 0.75
FEW = 5
STAGES = ("new", "active", "won_back", "at_risk", "lapsed")
# So many branches of the tree can be told apart on a phone.
BRANCHES = 16
UNITS = {
    "number": "segment",
    "customers": "customers",
    "share": "share",
    "revenue_share": "share",
    "spend": "currency",
    "frequency": "expected",
    "recency": "days",
    "at_risk": "customers",
    "lapsed": "customers",
    "churn": "share",
    "clv": "currency",
    "channel_share": "share",
}

READS = (SegmentProfiles, SegmentationBenchmark, Dendrogram, DendrogramLeaves)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    linkage = tree_of(tables[Dendrogram])
    found = segments(tables[SegmentProfiles], tables[SegmentationBenchmark])
    return found | (tree(cut_of(linkage, tables[DendrogramLeaves].collect())) if len(linkage) else Facts([]))


def segments(profiles: pl.LazyFrame, benchmark: pl.LazyFrame) -> Facts:
    """profiles: models.segment_profiles; benchmark: models.segmentation_benchmark.

    Facts `personas` (groups), `persona.silhouette`, `.stability`, and for each group `persona.<number>.` number, customers,
    share, revenue_share, spend, frequency, recency, at_risk, lapsed, slipping (at risk or lapsed; with comparison `others`)
    and, where known, churn, clv, channel_share. Table `personas`: these, and the persona's codes, categories, insight. The
    group 0, of customers in none, stands first in the table and is not counted among `personas`.
    """
    rows: list[Row] = (
        profiles.sort("cluster_id")
        .select(
            "cluster_id",
            "segment_id",
            "how_often",
            "how_much",
            "lately",
            "told_apart_by",
            "insight",
            number="cluster_id",
            customers="n_customers",
            share=pl.col("share_of_customers").round(6),
            spend=pl.col("avg_spend").round(4).cast(MONEY),
            frequency=pl.col("avg_frequency").round(2),
            recency="median_recency_days",
            revenue_share=(pl.col("share_of_revenue_pct") / 100).round(6),
            categories="top_categories",
            category="top_category",
            churn=pl.col("churn_risk").round(6),
            clv=pl.col("avg_clv_12m").round(4).cast(MONEY),
            channel="best_channel",
            channel_share=pl.col("best_channel_share").round(6),
            **{stage: f"n_{stage}" for stage in STAGES},
        )
        .collect()
        .to_dicts()
    )
    everyone = sum(row["customers"] for row in rows)
    gone = sum(row["at_risk"] + row["lapsed"] for row in rows)
    reach = _reach(len(rows))
    facts = [Fact("personas", sum(row["cluster_id"] > 0 for row in rows), "segments", everyone)]
    for row in rows:
        prefix, n = f"persona.{row['cluster_id']}", row["customers"]
        facts += [
            Fact(f"{prefix}.{name}", row[name], unit, n)
            for name, unit in UNITS.items()
            if row[name] is not None or name == "revenue_share"
        ]
        slipping = row["at_risk"] + row["lapsed"]
        others = _against(slipping, n, gone - slipping, everyone - n, reach)
        facts.append(Fact(f"{prefix}.slipping", part(slipping, n), "share", n, {"others": others} if others else {}))
    used = benchmark.filter("chosen").select("silhouette", "stability").collect()
    if used.height:
        silhouette, stability = used.row(0)
        facts += [Fact("persona.silhouette", silhouette, "ratio"), Fact("persona.stability", stability, "ratio")]
    return Facts(facts, {"personas": rows})


def tree(cut: Cut) -> Facts:
    """The top of the tree. Facts `tree.customers`, `tree.branches` (of the cut), `tree.largest`, `tree.smallest` (shares of the
    customers in a branch), `tree.cut` (distance; null with one branch); table `tree`, a row per node: id, x, distance,
    customers, branch (0 above the cut), top (of its branch), one and two (the nodes below it; null at the end)."""
    branches = int(cut.clusters.max())
    nodes, root = top_of(cut, max(BRANCHES, branches) - 1)
    tops = tops_of(nodes)
    everyone = nodes[root].size
    sizes = np.bincount(cut.clusters, cut.sizes)[1:]
    middle = round(float(cut.tree[-branches, 2] + cut.tree[1 - branches, 2]) / 2, 6) if branches > 1 else None
    facts = [
        Fact("tree.customers", everyone, "customers", everyone),
        Fact("tree.branches", branches, "branches", everyone),
        Fact("tree.largest", part(sizes.max(), everyone), "share", everyone),
        Fact("tree.smallest", part(sizes.min(), everyone), "share", everyone),
        Fact("tree.cut", middle, "ratio", everyone),
    ]
    rows = [
        {
            "id": name,
            "x": node.x,
            "distance": round(node.distance, 6),
            "customers": node.size,
            "branch": node.cluster,
            "top": node.cluster > 0 and tops[node.cluster] is node,
            "one": node.children[0] if node.children else None,
            "two": node.children[1] if node.children else None,
        }
        for name, node in sorted(nodes.items())
    ]
    return Facts(facts, {"tree": rows})


def _reach(groups: int) -> float:
    """The normal quantile of intervals that hold for all groups together; two groups make one comparison."""
    from scipy.stats import norm

    return float(norm.isf((1 - CONFIDENCE) / 2 / (groups if groups > 2 else 1)))


def _against(slipping: int, n: int, other: int, n_other: int, reach: float) -> Comparison | None:
    """The share of a group against that of all other customers, its interval `reach` standard errors to each side; None where
    there are no others."""
    if not n_other:
        return None
    share, others = slipping / n, other / n_other
    difference = round(share - others, 6)
    if min(slipping, other, n - slipping, n_other - other) < FEW:
        return Comparison(round(others, 6), difference, "few")
    spread = reach * math.sqrt(1 / slipping - 1 / n + 1 / other - 1 / n_other)
    ratio = math.log(share / others)
    lo, hi = (round(math.exp(ratio + end) - 1, 6) for end in (-spread, spread))
    verdict = "rising" if lo > 0 else "falling" if hi < 0 else "flat"
    return Comparison(round(others, 6), difference, verdict, round(math.exp(ratio) - 1, 6), lo, hi)
