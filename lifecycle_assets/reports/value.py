"""What are today's customers expected to bring over the next year, and how far can that be trusted?

The forecast is models.clv_forecast at twelve months; the proof is the row of models.clv_evaluation that was chosen, and the
calibration plot that goes with it. The total has no interval: over many customers their own chances cancel out, and what is
left is by how much the method as a whole is off, of which the race is one observation. It is told as such, with what the
total would be if it came again. Without a race there is no proof, and the report says so.
"""

import datetime as dt
from decimal import Decimal

import polars as pl

from lifecycle_assets.confidence import wilson
from lifecycle_assets.contracts import MONEY
from lifecycle_assets.models.clv_candidates import BASELINE, LEVEL
from lifecycle_assets.models.clv_evaluation import OVERALL, ClvEvaluation
from lifecycle_assets.models.clv_forecast import TIERS, ClvForecast
from lifecycle_assets.reports.facts import Fact, Facts, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

MONTHS = 12
READS = (ClvForecast, ClvEvaluation)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    """Facts `value.customers`, `.total`, `.months`, `.basis` (amount or margin), `.extrapolated` (customers forecast for
    longer than the history), of each tier `value.<tier>.share` (of customers) and `.value_share`; with a race also
    `value.race.months`, `.error` (of the total), `.corrected` (the total without that error), `.mae`, `.baseline`,
    `.coverage` with bounds and `.level`; tables `value_tiers` (name, customers, value, share, value_share) and
    `value_calibration` (bin, customers, predicted, actual)."""
    rows = tables[ClvForecast].filter(pl.col("horizon_months") == MONTHS)
    tiers = {
        tier: (customers, total)
        for tier, customers, total in rows.group_by("clv_tier")
        .agg(pl.len().cast(pl.Int64), pl.col("expected_value").cast(MONEY).sum())
        .collect()
        .iter_rows()
    }
    everyone, total = sum(n for n, _ in tiers.values()), sum(t for _, t in tiers.values())
    table = [
        {
            "name": tier,
            "customers": tiers[tier][0],
            "value": tiers[tier][1],
            "share": part(tiers[tier][0], everyone),
            "value_share": part(tiers[tier][1], total),
        }
        for tier in TIERS
        if tier in tiers
    ]
    basis, extrapolated = rows.select(pl.col("value_basis").min(), pl.col("extrapolated").sum()).collect().row(0)
    told = [
        Fact("value.customers", everyone, "customers"),
        Fact("value.total", total, "currency", everyone),
        Fact("value.months", MONTHS, "months"),
        Fact("value.basis", basis, "basis"),
        Fact("value.extrapolated", extrapolated or 0, "customers", everyone),
    ]
    told += [
        Fact(f"value.{row['name']}.{name}", row[name], "share", everyone)
        for row in table
        for name in ("share", "value_share")
    ]
    race = tables[ClvEvaluation].collect()
    told += _race(race, Decimal(total))
    chosen = race.filter("chosen")["candidate"]
    plot = race.filter(pl.col("candidate").is_in(chosen.implode()), pl.col("bin") != OVERALL).sort("bin")
    calibration = plot.select(
        "bin", customers="n_customers", predicted="predicted_purchases", actual="actual_purchases"
    ).to_dicts()
    return Facts(told, {"value_tiers": table, "value_calibration": calibration})


def _race(race: pl.DataFrame, total: Decimal) -> list[Fact]:
    won = race.filter("chosen", pl.col("mae").is_not_null())
    if won.is_empty():
        return []
    row = won.row(0, named=True)
    baseline = race.filter(candidate=BASELINE, bin=OVERALL)["mae"][0]
    n = row["n_customers"]
    told = [
        Fact("value.race.months", row["months"], "months", n),
        Fact("value.race.mae", row["mae"], "currency", n),
        Fact("value.race.baseline", baseline, "currency", n),
    ]
    if row["total_error_pct"] is not None:
        error = row["total_error_pct"] / 100
        told.append(Fact("value.race.error", error, "share", n))
        if error > -1:
            told.append(Fact("value.race.corrected", round(float(total) / (1 + error), 4), "currency", n))
    if (coverage := row["interval_coverage"]) is not None:
        lo, hi = wilson(coverage, n)
        told += [
            Fact("value.race.coverage", coverage, "share", n, lo=lo, hi=hi),
            Fact("value.race.level", LEVEL, "share"),
        ]
    return told
