"""What the experiments have shown, and who of those held out heard of them."""

import datetime as dt
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows

# The 97.5 % point of the normal distribution.
TWO_SIDED = 1.959964


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    whole = [r for r in rows["experiment_results"] if r["variant"] == "all" and r["control"] == "holdout"]
    started = sorted({r["experiment"] for r in whole})
    found: dict[str, Any] = {"experiments.count": len(started), "experiments.confidence": 0.95}
    found["experiments.worth"] = settings.measurement.worth_detecting
    found["experiments.waiting"] = len({r["experiment"] for r in rows["experiments"]} - set(started))
    verdicts, summed = [], []
    for name in started:
        metrics = {r["metric"]: r for r in whole if r["experiment"] == name}
        aim = metrics.get("margin") or metrics["revenue"]
        found |= _of(f"experiments.{name}", aim, metrics)
        verdicts.append(_verdict(aim))
        if verdicts[-1] not in ("mismatched", "few"):
            summed.append(aim)
        held_out = {r["customer_id"] for r in rows["assignments"] if (r["experiment"], r["arm"]) == (name, "holdout")}
        found[f"experiments.{name}.contaminated"] = len(
            held_out & _heard(rows, name, aim["started_on"], as_of, settings)
        )
    found |= {f"experiments.{verdict}": verdicts.count(verdict) for verdict in ("better", "worse", "mismatched")}
    found["experiments.pending"] = len(verdicts) - sum(
        found[f"experiments.{v}"] for v in ("better", "worse", "mismatched")
    )
    if summed:
        total = sum(r["total"] for r in summed)
        half = sum((r["total_hi"] - r["total"]) ** 2 for r in summed) ** 0.5
        found |= {
            "experiments.total": total,
            "experiments.total/lo": total - half,
            "experiments.total/hi": total + half,
        }
    for r in rows["caused_share"]:
        if r["measured"] is not None:
            path = f"experiments.{r['experiment']}"
            found |= {f"{path}.ascribed": r["ascribed"], f"{path}.caused": r["measured"]}
            for end, sign in (("lo", -1), ("hi", 1)):
                found[f"{path}.caused/{end}"] = r["measured"] + sign * TWO_SIDED * r["error"]
    return found


def _of(path: str, aim: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = {
        f"{path}.treated": aim["n_treated"],
        f"{path}.held_out": aim["n_control"],
        f"{path}.started": aim["started_on"],
        f"{path}.days": aim["days"],
    }
    found |= {f"{path}.{name}": aim[name] for name in ("power", "days_to_go", "variance_saved")}
    for end in ("", "_lo", "_hi"):
        to = end.replace("_", "/")
        found[f"{path}.effect{to}"] = aim[f"cuped{end}"]
        found[f"{path}.total{to}"] = aim[f"total{end}"]
        if end:
            found[f"{path}.always{to}"] = aim[f"sequential{end}"]
        for metric, r in metrics.items():
            of = r[f"cuped{end}"] if r["cuped"] is not None else r[end.strip("_") or "difference"]
            found[f"{path}.relative.{metric}{to}"] = None if of is None else of / r["mean_control"]
        if "unsubscribed" in metrics:
            found[f"{path}.unsubscribed{to}"] = metrics["unsubscribed"][f"total{end}"]
    return found


def _verdict(r: dict[str, Any]) -> str:
    if r["mismatch_p"] < 0.001:
        return "mismatched"
    if r["cuped"] is None:
        return "few"
    if r["q_value"] <= 0.05 and r["sequential_lo"] is not None:
        if r["sequential_lo"] > 0 and r["cuped_lo"] > 0:
            return "better"
        if r["sequential_hi"] < 0 and r["cuped_hi"] < 0:
            return "worse"
    return "open"


def _heard(rows: Rows, name: str, first: dt.date, as_of: dt.date, settings: Shop) -> set[str]:
    programmes = {key for key, programme in settings.routing.programmes.items() if programme.experiment == name}
    undone = {r["idempotency_key"] for r in rows["ledger"] if r["event"] == "compensated"}
    return {
        r["customer_id"]
        for r in rows["ledger"]
        if r["event"] == "exported"
        and r["programme"] in programmes
        and r["idempotency_key"] not in undone
        and first <= r["as_of"] + dt.timedelta(days=1) <= as_of
    }
