"""How good the scores of past month ends were."""

import datetime as dt
from statistics import mean
from typing import Any

from lifecycle_assets.settings import Shop
from naive import Rows

TOLD_BY = {"clv": "mae", "forecast_revenue": "mape", "recommendations": "ndcg_at_10"}
PERCENT = ("mape", "total_error_pct")


def naive(rows: Rows, as_of: dt.date, settings: Shop) -> dict[str, Any]:
    settled = [r for r in rows["backtest"] if r["value"] is not None]
    mute = [r for r in rows["backtest"] if r["value"] is None]
    late = [r for r in mute if r["note"].startswith("not settled")]
    found: dict[str, Any] = {"backtest.confidence": 0.95, "backtest.unsettled": len(late)}
    found["backtest.mute"] = len(mute) - len(late)
    for model, target in sorted({(r["model"], r["target"]) for r in settled}):
        told_by = TOLD_BY.get(model, "auc")
        own = [r for r in settled if (r["model"], r["target"]) == (model, target)]
        main = [r for r in own if r["metric"] == told_by]
        if not main:
            continue
        path, sign = f"backtest.{model}.{target}", -1 if told_by in ("mae", "mape") else 1
        scale = 0.01 if told_by in PERCENT else 1
        found |= {f"{path}.value": scale * mean(r["value"] for r in main), f"{path}.months": len(main)}
        found[f"{path}.simple"] = scale * mean(r["simple"] for r in main)
        if target.endswith(" months"):
            found[f"{path}.horizon"] = int(target.split()[0])
        found[f"{path}.won"] = sum(sign * r["value"] > sign * r["simple"] for r in main)
        for name, metric, of in (("calibration", "calibration", 1), ("error", "total_error_pct", 0.01)):
            values = [r["value"] for r in own if r["metric"] == metric]
            found |= {f"{path}.{name}": of * mean(values)} if values else {}
    judged = {path.rsplit(".", 1)[0] for path in found if path.endswith(".won")}
    found["backtest.scores"] = len(judged)
    # Of rows with intervals: the mean lead is more than half of a mean interval.
    found["backtest.won"] = sum(
        found[f"{path}.value"] - found[f"{path}.simple"]
        > _half([r for r in settled if path.endswith(r["model"] + ".all")])
        for path in judged
    )
    origins = [r["origin"] for r in settled]
    return found | ({"backtest.first": min(origins), "backtest.last": max(origins)} if origins else {})


def _half(rows: list[dict[str, Any]]) -> float:
    return mean((r["hi"] - r["lo"]) / 2 for r in rows if r["metric"] == "auc")
