"""Pairs in baskets, recommendations and their test, steps up."""

import datetime as dt
from collections import Counter
from decimal import Decimal
from typing import Any

from scipy.stats import binomtest, false_discovery_control

from lifecycle_assets.settings import Shop
from naive import Rows, share


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cross.min_support": settings.products.cross_sell.min_support,
        "cross.days": settings.products.cross_sell.window_days,
        "upsell.days": settings.products.upsell.horizon_days,
    }
    return found | _pairs(rows["cross_sell_matrix"]) | _recommended(rows) | _steps(rows["upsell_suggestions"])


def _pairs(matrix: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    levels = [level for level in ("category", "item") if any(r["level"] == level for r in matrix)]
    for level in levels:
        once = [r for r in matrix if r["level"] == level and r["item_i"] < r["item_j"]]
        sure = tied(matrix, level)
        if once:
            found |= {f"cross.{level}.tested": len(once), f"cross.{level}.significant": len(sure)}
        for place, r in enumerate(sorted(sure, key=lambda r: (-r["lift_lo"], r["item_i"]))[:3], start=1):
            found |= _lift(f"cross.{level}.{place}.lift", r) | {f"cross.{level}.{place}.baskets": r["support_ij"]}
    for level in levels[:1]:
        pairs = {(r["item_i"], r["item_j"]) for r in tied(matrix, level)}
        alone = [r for r in matrix if r["level"] == level and r["item_i"] == r["item_j"]]
        top = {r["item_i"] for r in sorted(alone, key=lambda r: (-r["support_i"], r["item_i"]))[:10]}
        of = [r for r in matrix if r["level"] == level]
        among = [r for r in of if {r["item_i"], r["item_j"]} <= top and (r["item_i"], r["item_j"]) in pairs]
        if among:
            found |= _lift("cross.map.lift", max(among, key=lambda r: r["lift_lo"]))
    return found


def tied(matrix: list[dict[str, Any]], level: str) -> list[dict[str, Any]]:
    """Each pair once: those that stay when the chance of false ones among them is held at 5 %, over all pairs of items."""
    of = [r for r in matrix if r["level"] == level]
    items = len([r for r in of if r["item_i"] == r["item_j"]])
    sure = [r for r in of if r["item_i"] < r["item_j"] and r["lift_lo"] > 1]
    chances = [1.0] * (items * (items - 1) // 2)
    for place, r in enumerate(sure):
        fewer, more = sorted([r["support_i"], r["support_j"]])
        chances[place] = binomtest(r["support_ij"], fewer, more / _baskets(r), "greater").pvalue
    return [r for r, q in zip(sure, false_discovery_control(chances), strict=False) if q <= 0.05]


def _baskets(r: dict[str, Any]) -> float:
    """All baskets there are, by the lift: with * baskets / (one * other)."""
    return r["lift"] * r["support_i"] * r["support_j"] / r["support_ij"]


def _lift(path: str, row: dict[str, Any]) -> dict[str, Any]:
    return {path: row["lift"], f"{path}/lo": row["lift_lo"], f"{path}/hi": row["lift_hi"]}


def _recommended(rows: Rows) -> dict[str, Any]:
    lists, test = rows["user_recommendations"], rows["recommendation_evaluation"]
    customers = len({r["customer_id"] for r in lists})
    found: dict[str, Any] = {
        "recommended.customers": customers,
        "recommended.per_customer": share(len(lists), customers),
    }
    for source, listed in Counter(r["source"] for r in lists).items():
        found[f"recommended.{source}.share"] = listed / len(lists)
    for row in test:
        if row["ndcg_at_10"] is None:
            continue
        found["recommended.test.users"] = row["n_users"]
        found["recommended.test.from"] = row["split_date"] + dt.timedelta(days=1)
        found["recommended.test.until"] = row["holdout_until"]
        for name, is_meant in {"used": row["chosen"], "popular": row["model"] == "popular"}.items():
            if is_meant:
                found |= {
                    f"recommended.{name}.ndcg": row["ndcg_at_10"],
                    f"recommended.{name}.ndcg/lo": row["ndcg_lo"],
                    f"recommended.{name}.ndcg/hi": row["ndcg_hi"],
                    f"recommended.{name}.recall": row["recall_at_10"],
                    f"recommended.{name}.coverage": row["coverage"],
                }
    return found


def _steps(suggestions: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "upsell.suggestions": len(suggestions),
        "upsell.customers": len({r["customer_id"] for r in suggestions}),
    }
    for basis in {r["basis"] for r in suggestions}:
        found[f"upsell.{basis}.extra"] = sum(Decimal(str(r["expected_extra_margin"])) for r in suggestions)
    return found
