"""How many customers are likely to leave, what is at stake, what goes with the risk, and how good is the score?

The score is models.churn_risk; what weighs in it is models.churn_drivers; the proof is the winner of
models.churn_risk_evaluation on outcomes that it had not seen, beside the simple rule. How many will leave is bounded by chance
(at 95 %) plus the score's calibration error in that test, on all customers in the same direction: wider than either alone.

Which way a driver points is Spearman's rank correlation of the figure with the probability over the customers scored, its
interval after Bonett and Wright ("Sample size requirements for estimating Pearson, Kendall and Spearman correlations", 2000).
It says what goes with the risk, not what causes it. Without a model only the number of customers is known.
"""

import datetime as dt
import math
from decimal import Decimal

import polars as pl

from lifecycle_assets.confidence import Z, wilson
from lifecycle_assets.contracts import MONEY
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import ChurnLabels, label_days
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.profiles import RISK_BANDS
from lifecycle_assets.features.subscription_facts import subscription_facts
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.models.churn_drivers import EVERYONE, ChurnDrivers
from lifecycle_assets.models.churn_features import RATIOS
from lifecycle_assets.models.churn_risk import VALUE_MONTHS, ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.classifier_race import BASELINE
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.reports.facts import Fact, Facts, Row, part
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

READS = (
    ChurnRisk,
    ChurnDrivers,
    ChurnRiskEvaluation,
    ChurnLabels,
    ClvForecast,
    CustomerOrders,
    CustomerBehaviour,
    Subscriptions,
    IdentityMap,
)
MOST_DRIVERS = 6
# A weaker correlation is not told as a direction, however many customers make it certain.
LEAST_CORRELATION = 0.1
LEAST_PAIRS = 10
MEASURED = ("roc_auc", "roc_auc_lo", "roc_auc_hi", "top_decile_lift", "calibration_error", "positive_rate")
EXACT = pl.Decimal(38, 9)
UNKNOWN: Row = {"correlation": None, "lo": None, "hi": None, "direction": "unknown"}


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Facts `churn.scored`, `.left`, `.usable`, `.window`, `.least`, `.months`, `.bound.High`, `.bound.Medium`; with a score
    `.expected` with its bounds and, of each band that has customers, `churn.<band>`, `.share`, `.value` and `.value_share` (the
    last two where a value is expected of any); with a test `churn.test.auc`, `.rule`, `.lift` with bounds, `.calibration`,
    `.rate`; of each driver told `churn.driver.<feature>` with its weight and `.correlation`. Tables `churn_bands` (name,
    customers, share, leavers, value, value_share) and `churn_drivers` (feature, weight, correlation, lo, hi, direction)."""
    scores, churn = settings.scores, settings.customer.churn
    risk = tables[ChurnRisk]
    test, off = _test(tables[ChurnRiskEvaluation])
    told, bands = _bands(risk, tables[ClvForecast], off)
    drivers = _drivers(tables, as_of, settings)
    labels = tables[ChurnLabels].select(pl.col("churned").sum())
    scored = risk.select(pl.len(), pl.col("is_used").sum()).collect().row(0)
    constant = [
        Fact("churn.scored", scored[0], "customers"),
        Fact("churn.usable", scored[1] or 0, "customers"),
        Fact("churn.left", labels.collect().item() or 0, "customers"),
        Fact("churn.window", label_days(churn), "days"),
        Fact("churn.least", scores.min_class, "customers"),
        Fact("churn.months", VALUE_MONTHS, "months"),
        Fact("churn.bound.High", scores.risk_bands.high, "share"),
        Fact("churn.bound.Medium", scores.risk_bands.medium, "share"),
    ]
    weights = [
        fact
        for row in drivers
        for fact in (
            Fact(f"churn.driver.{row['feature']}", row["weight"], "share", row["customers"]),
            Fact(
                f"churn.driver.{row['feature']}.correlation",
                row["correlation"],
                "ratio",
                row["customers"],
                lo=row["lo"],
                hi=row["hi"],
            ),
        )
    ]
    return Facts([*constant, *told, *test, *weights], {"churn_bands": bands, "churn_drivers": drivers})


def _bands(risk: pl.LazyFrame, forecast: pl.LazyFrame, off: float | None) -> tuple[list[Fact], list[Row]]:
    """Who is in each band, how many of them are expected to leave, and what all of the band is expected to bring."""
    value = forecast.filter(pl.col("horizon_months") == VALUE_MONTHS).select(
        "customer_id", value=pl.col("expected_value").cast(MONEY)
    )
    everything = value.select(pl.col("value").sum()).collect().item()
    chance = pl.col("churn_probability")
    found = (
        risk.filter(chance.is_not_null())
        .join(value, on="customer_id", how="left")
        .group_by("risk_band")
        .agg(
            pl.len().cast(pl.Int64).alias("customers"),
            chance.cast(EXACT).sum().alias("leavers"),
            (chance * (1 - chance)).cast(EXACT).sum().alias("variance"),
            pl.when(pl.col("value").count() > 0).then(pl.col("value").sum()).alias("value"),
        )
        .collect()
        .to_dicts()
    )
    if not found:
        return [], []
    by_band = {row["risk_band"]: row for row in found}
    scored = sum(row["customers"] for row in found)
    rows: list[Row] = [
        {
            "name": band,
            "customers": row["customers"],
            "share": part(row["customers"], scored),
            "leavers": _people(row["leavers"]),
            "value": row["value"],
            "value_share": None if row["value"] is None else part(row["value"], everything),
        }
        for band in RISK_BANDS
        if (row := by_band.get(band))
    ]
    leavers, variance = (float(sum(row[name] for row in found)) for name in ("leavers", "variance"))
    told = []
    if off is not None:
        margin = Z * math.sqrt(variance) + off * scored
        lo, hi = max(0.0, leavers - margin), min(float(scored), leavers + margin)
        told.append(
            Fact("churn.expected", _people(leavers), "customers", scored, lo=_people(lo), hi=_people(hi)),
        )
    for row in rows:
        told += [
            Fact(f"churn.{row['name']}", row["customers"], "customers", scored),
            Fact(f"churn.{row['name']}.share", row["share"], "share", scored),
        ]
        if row["value_share"] is not None:
            told += [
                Fact(f"churn.{row['name']}.value", row["value"], "currency", row["customers"]),
                Fact(f"churn.{row['name']}.value_share", row["value_share"], "share", row["customers"]),
            ]
    return told, rows


def _people(number: float | Decimal) -> float:
    """An expected number of customers as it can be said: whole ones, unless there are few."""
    return round(float(number), 0 if number >= 10 else 1)


def _test(evaluation: pl.LazyFrame) -> tuple[list[Fact], float | None]:
    """How the model did on outcomes that it had not seen, and by how much its probabilities were off; none without a test."""
    tested = evaluation.filter(pl.col("split") == "out_of_time").drop_nulls(MEASURED)
    winner, baseline = tested.filter("chosen").collect(), tested.filter(pl.col("candidate") == BASELINE).collect()
    if winner.is_empty() or baseline.is_empty():
        return [], None
    row, rule = winner.row(0, named=True), baseline.row(0, named=True)
    n, rate, lift = row["test_rows"], row["positive_rate"], row["top_decile_lift"]
    tenth = wilson(min(1.0, lift * rate), math.ceil(n / 10))
    told = [
        Fact(name, figures["roc_auc"], "share", n, lo=figures["roc_auc_lo"], hi=figures["roc_auc_hi"])
        for name, figures in (("churn.test.auc", row), ("churn.test.rule", rule))
    ]
    # The base rate is known far better than that of a tenth of the rows: it is taken as given.
    told += [
        Fact("churn.test.customers", n, "customers", n),
        Fact("churn.test.lift", lift, "times", n, lo=tenth[0] / rate, hi=tenth[1] / rate),
        Fact("churn.test.rate", rate, "share", n),
        Fact("churn.test.calibration", 100 * row["calibration_error"], "points", n),
    ]
    return told, row["calibration_error"]


def _drivers(tables: Tables, as_of: dt.date, settings: Shop) -> list[Row]:
    """What weighs most in the score, and which way it points."""
    heaviest = (
        tables[ChurnDrivers]
        .filter(pl.col("segment") == EVERYONE, pl.col("rank") <= MOST_DRIVERS, pl.col("share_of_all") > 0)
        .sort("rank")
        .select("feature", "customers", weight=pl.col("share_of_all").round(6))
        .collect()
        .to_dicts()
    )
    sources = [tables[CustomerOrders], tables[CustomerBehaviour]]
    if settings.customer.churn.business_type != "ecommerce":
        subscriptions = resolved(tables[Subscriptions], tables[IdentityMap])
        sources.append(subscription_facts(subscriptions, as_of, settings.timezone).lazy())
    figures = tables[ChurnRisk].select("customer_id", "churn_probability")
    for source in sources:
        figures = figures.join(_numbers(source), on="customer_id", how="left")
    figures = figures.with_columns(**RATIOS)
    known = set(figures.collect_schema()) & {row["feature"] for row in heaviest}
    pairs = figures.select("customer_id", "churn_probability", *sorted(known)).sort("customer_id").collect()
    return [{**row, **(_direction(pairs, row["feature"]) if row["feature"] in known else UNKNOWN)} for row in heaviest]


def _numbers(table: pl.LazyFrame) -> pl.LazyFrame:
    """Categories and dates have no direction."""
    numeric = [name for name, dtype in table.collect_schema().items() if dtype.is_numeric()]
    return table.select("customer_id", *(pl.col(name).cast(pl.Float64) for name in numeric))


def _direction(pairs: pl.DataFrame, feature: str) -> Row:
    both = pairs.select("churn_probability", feature).drop_nulls()
    if both.height < LEAST_PAIRS or 1 in both.select(pl.all().n_unique()).row(0):
        return UNKNOWN
    ranks = both.select(pl.all().rank())
    r = ranks.select(pl.corr("churn_probability", feature)).item()
    middle, spread = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, r))), Z * math.sqrt((1 + r * r / 2) / (both.height - 3))
    lo, hi = math.tanh(middle - spread), math.tanh(middle + spread)
    clear = abs(r) >= LEAST_CORRELATION and lo * hi > 0
    direction = ("rising" if r > 0 else "falling") if clear else "none"
    return {"correlation": round(r, 4), "lo": round(lo, 4), "hi": round(hi, 4), "direction": direction}
