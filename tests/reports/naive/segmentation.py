"""What the segmentation report adds to the groups: the race, the middle of each group, who moved, what goes together."""

import datetime as dt
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows
from naive.products import tied


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    people = rows["segment_profiles"]
    everyone = sum(r["n_customers"] for r in people)
    slipping = sum(r["n_at_risk"] + r["n_lapsed"] for r in people)
    found: dict[str, Any] = {
        "grouped": everyone,
        "slipping": slipping,
        "slipping.share": slipping / everyone if everyone else None,
    }
    found |= {f"persona.{r['cluster_id']}.stake": r["n_at_risk"] * r["avg_spend"] for r in people}
    found |= {
        "setting.least": 10,
        "setting.smallest": settings.segmentation.min_cluster_share,
        "setting.noise": settings.segmentation.max_noise_share,
        "setting.confidence": 0.95,
    }
    tried = [r for r in rows["segmentation_benchmark"] if r["family"] != "OneSegment"]
    found |= {"race.tried": len(tried), "race.eligible": sum(r["eligible"] for r in tried)}
    for used in (r for r in tried if r["chosen"] and r["kept_from"]):
        found["race.kept"] = used["kept_from"]
    for cut in (r for r in rows["dendrogram_benchmark"] if r["chosen"]):
        found |= {"tree.silhouette": cut["silhouette"], "tree.tried": len(rows["dendrogram_benchmark"])}
    return found | _middle(rows) | _moved(rows, everyone) | _together(rows)


def _middle(rows: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {}
    places = sorted(rows["segmentation_centroids"], key=lambda r: -abs(r["scaled"]))
    for row in places[:1]:
        found |= {"centroid.value": row["value"], "centroid.of_all": row["of_all"]}
    parts = [r for r in rows["subsegment_profiles"] if r["share_of_segment"] < 1]
    found["subsegments"] = len({r["segment"] for r in parts})
    for row in parts:
        path = f"subsegment.{row['code']}"
        found |= {f"{path}.share": row["share_of_segment"], f"{path}.mean": row["feature_mean"]}
        found[f"{path}.of_group"] = row["segment_mean"]
    return found


def _moved(rows: Rows, everyone: int) -> dict[str, Any]:
    moves = rows["segment_drift"]
    known = {r["segment_id"]: r["cluster_id"] for r in rows["segment_profiles"]}
    pairs = [(known.get(r["from_segment_id"]), r["to_segment"]) for r in moves]
    found: dict[str, Any] = {"drift": len(moves), "drift.share": len(moves) / everyone if everyone else None}
    found |= {
        "drift.up": sum(bool(then and now and now > then) for then, now in pairs),
        "drift.down": sum(bool(then and now and now < then) for then, now in pairs),
    }
    return found | ({"drift.since": moves[0]["since"]} if moves else {})


def _together(rows: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {}
    sure = [{r["item_i"], r["item_j"]} for r in tied(rows["cross_sell_matrix"], "category")]
    for person in rows["segment_profiles"]:
        pairs = [
            r
            for r in rows["cross_sell_matrix"]
            if r["level"] == "category" and r["item_i"] == person["top_category"] and {r["item_i"], r["item_j"]} in sure
        ]
        # Baskets with both beyond what chance would give, even at the low end of the lift.
        beyond = {r["item_j"]: r["support_ij"] - r["support_ij"] / r["lift_lo"] for r in pairs}
        for pair in (r for r in pairs if beyond[r["item_j"]] == max(beyond.values())):
            path = f"companion.{person['cluster_id']}"
            found |= {f"{path}.lift": pair["lift"], f"{path}.together": pair["support_ij"] / pair["support_i"]}
            found |= {f"{path}.lift/lo": pair["lift_lo"], f"{path}.lift/hi": pair["lift_hi"]}
    return found
