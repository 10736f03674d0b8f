"""What are today's customers expected to bring over the next year, and how far can that be trusted?

The forecast is models.clv_forecast at twelve months; the proof is the row of models.clv_evaluation that was chosen, and the
calibration plot that goes with it. Without a race there is no proof, and the report says so.
"""

import polars as pl

from lifecycle_assets.contracts import MONEY
from lifecycle_assets.reports.facts import Fact, Facts, part

MONTHS = 12
TIERS = ("High", "Medium", "Low")


def value(forecast: pl.LazyFrame, evaluation: pl.LazyFrame) -> Facts:
    """Facts `value.total`, `.months`, `.basis`, `.high.share` (of customers), `.high.value_share`; with a race also
    `value.race.months`, `.error` (of the total), `.mae`, `.baseline`, `.coverage`; tables `value_tiers` (name, customers,
    value, share, value_share) and `value_calibration` (bin, customers, predicted, actual)."""
    rows = forecast.filter(pl.col("horizon_months") == MONTHS)
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
    facts = [Fact("value.total", total, "currency", everyone), Fact("value.months", MONTHS, "months")]
    facts += [
        Fact(f"value.{row['name']}.{name}", row[name], "share", everyone)
        for row in table
        for name in ("share", "value_share")
    ]
    race = evaluation.collect()
    facts += _race(race)
    chosen = race.filter("chosen")["candidate"]
    plot = race.filter(pl.col("candidate").is_in(chosen.implode()), pl.col("bin") != "all").sort("bin")
    calibration = plot.select(
        "bin", customers="n_customers", predicted="predicted_purchases", actual="actual_purchases"
    ).to_dicts()
    return Facts(facts, {"value_tiers": table, "value_calibration": calibration})


def _race(race: pl.DataFrame) -> list[Fact]:
    won = race.filter("chosen", pl.col("mae").is_not_null())
    if won.is_empty():
        return []
    row = won.row(0, named=True)
    baseline = race.filter(candidate="past_rate", bin="all")["mae"][0]
    n = row["n_customers"]
    facts = [
        Fact("value.race.months", row["months"], "months", n),
        Fact("value.race.mae", row["mae"], "currency", n),
        Fact("value.race.baseline", baseline, "currency", n),
    ]
    if row["total_error_pct"] is not None:
        facts.append(Fact("value.race.error", row["total_error_pct"] / 100, "share", n))
    if row["interval_coverage"] is not None:
        facts.append(Fact("value.race.coverage", row["interval_coverage"], "share", n))
    return facts
