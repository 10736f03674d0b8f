"""Stages and who moved, the RFM grid and its tiers, loyalty."""

import datetime as dt
from collections import Counter, defaultdict
from typing import Any

import polars as pl

from lifecycle_assets.features.stage import stage_timeline
from lifecycle_assets.settings import Shop
from naive import Rows, share

STAGES = ("new", "active", "won_back", "at_risk", "lapsed")
GOOD, BAD = {"new", "active", "won_back"}, {"at_risk", "lapsed"}


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    if not rows["lifecycle_stage"]:
        nothing = ("customers", "stage.healthy", "moves.slipped", "moves.returned", "moves.joined", "best_cell")
        return dict.fromkeys(nothing, 0) | {"rfm.bins": settings.customer.rfm.bins}
    return _stages(rows, as_of, settings) | _groups(rows, settings.customer.rfm.bins)


def _stages(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    spells = stage_timeline(pl.LazyFrame(rows["orders"]), as_of, settings.customer.stage).to_dicts()
    latest = {r["customer_id"]: r["stage"] for r in rows["lifecycle_stage"]}

    def on(day: dt.date) -> dict[str, str]:
        return {r["customer_id"]: r["stage"] for r in spells if r["since"] <= day <= r["until"]}

    def moves(earlier: dict[str, str]) -> dict[str, int]:
        pairs = Counter((earlier.get(customer), stage) for customer, stage in latest.items())
        return {
            "slipped": sum(count for (then, now), count in pairs.items() if then in GOOD and now in BAD),
            "returned": sum(count for (then, now), count in pairs.items() if then in BAD and now in GOOD),
            "joined": sum(count for (then, _), count in pairs.items() if then is None),
            "lapsed": sum(count for (a, b), count in pairs.items() if a not in {"lapsed", None} and b == "lapsed"),
        }

    earlier = on(as_of - dt.timedelta(days=30))
    month, night = moves(earlier), moves(on(as_of - dt.timedelta(days=1)))
    found: dict[str, Any] = {"customers": len(latest), "customers/before/value": len(earlier)}
    found["stage.healthy"] = sum(stage in GOOD for stage in latest.values())
    found["stage.healthy.share"] = share(found["stage.healthy"], len(latest))
    for stage in STAGES:
        now, then = list(latest.values()).count(stage), list(earlier.values()).count(stage)
        found |= {f"stage.{stage}": now, f"stage.{stage}.share": share(now, len(latest))}
        found |= {f"stage.{stage}/before/value": then, f"stage.{stage}/before/difference": now - then}
    found |= {f"moves.{name}": count for name, count in month.items()}
    found["moves.net"] = month["returned"] - month["slipped"]
    return found | {f"night.{name}": night[name] for name in ("slipped", "returned", "joined")}


def _groups(rows: Rows, bins: int) -> dict[str, Any]:
    spent = {r["customer_id"]: r["purchase_total"] for r in rows["customer_features"]}
    everything = sum(spent.values())
    cells: dict[tuple[int, int], list[str]] = defaultdict(list)
    groups: dict[str, list[str]] = defaultdict(list)
    for tier in ("Champion", "Loyal", "Potential", "Promising", "At-Risk"):
        groups[f"tier.{tier}"] = []
    for segment in ("Platinum", "Gold", "Silver", "Bronze", "At-Risk"):
        groups[f"segment.{segment}"] = []
    for r in rows["customer_rfm"]:
        cells[r["recency_score"], r["frequency_score"]].append(r["customer_id"])
        groups[f"tier.{r['rfm_tier']}"].append(r["customer_id"])
    for r in rows["customer_loyalty"]:
        groups[f"segment.{r['segment']}"].append(r["customer_id"])
    groups["segment.top_two"] = groups["segment.Platinum"] + groups["segment.Gold"]
    groups["best_cell"] = cells.get((bins, bins), [])
    fullest = max(sorted(cells), key=lambda cell: len(cells[cell]))
    found: dict[str, Any] = {"fullest_cell": len(cells[fullest]), "rfm.bins": bins}
    found |= {"fullest_cell.recency": fullest[0], "fullest_cell.frequency": fullest[1]}
    for name, members in groups.items():
        revenue = sum(spent[customer] for customer in members)
        found |= {name: len(members), f"{name}.share": share(len(members), len(spent))}
        found[f"{name}.revenue_share"] = share(revenue, everything)
        if name not in {"best_cell", "segment.top_two"}:
            found[f"{name}.revenue"] = revenue
    return found
