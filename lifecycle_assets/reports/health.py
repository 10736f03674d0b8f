"""Is each model in use still fit to be used?

One row per model of models.registry that is in force: how old it is, how well it ordered the last snapshot, which it had not
seen, beside the simple rule on the same rows, and how far customers and outcomes have moved since (models.drift). Its verdict:

poor      not shown to be better than chance and its rule, so that its scores are not used (see classifier_evaluation.is_used)
drifted   those whom it scores, its scores, or what happens of what it foretells have moved beyond what is allowed
ageing    for more than AGEING days every later training was refused as worse (see models.champion)
fit       none of these

Beside it stands what the backtest says of the shop's scores, where there is one (see backtest).
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.models.backtest import Backtest
from lifecycle_assets.models.champion import headline
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.drift import CALIBRATION, Drift
from lifecycle_assets.models.propensity_buy import PropensityBuyEvaluation
from lifecycle_assets.models.propensity_respond import OUTCOMES, PropensityRespondEvaluation
from lifecycle_assets.models.propensity_upgrade import PropensityUpgradeEvaluation
from lifecycle_assets.models.registry import Registry
from lifecycle_assets.models.visitor_intent_evaluation import SESSION, SEVEN_DAYS, VisitorIntentEvaluation
from lifecycle_assets.reports import backtest
from lifecycle_assets.reports.facts import Fact, Facts, Row
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

ALL = "all"
# Model of the registry -> its evaluation table, and the target that its rows have there.
MODELS: Mapping[str, tuple[Contract, str]] = {
    "churn_risk": (ChurnRiskEvaluation, ALL),
    "propensity_buy": (PropensityBuyEvaluation, ALL),
    **{f"propensity_respond_{outcome}": (PropensityRespondEvaluation, outcome) for outcome in OUTCOMES},
    "propensity_upgrade": (PropensityUpgradeEvaluation, ALL),
    **{f"visitor_intent_{target}": (VisitorIntentEvaluation, target) for target in (SEVEN_DAYS, SESSION)},
}
READS = (Registry, Drift, Backtest, *dict.fromkeys(contract for contract, _ in MODELS.values()))
AGEING = 28
FIT, AGED, DRIFTED, POOR = "fit", "ageing", "drifted", "poor"


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Facts `health.models`, `health.fit`, `health.least` (cases of each kind that a training needs), and of each model in
    force `health.<model>.<number>` (see `_numbers`); tables `health` (model, verdict and the numbers), `health_untaught`
    (models that could not be trained) and `health_backtest` (model, is_better)."""
    in_force = {
        row["model"]: row
        for row in tables[Registry]
        .filter(pl.col("is_champion") & pl.col("candidate").is_not_null())
        .collect()
        .to_dicts()
    }
    drift = tables[Drift].collect()
    most_days = max(AGEING, settings.retrain_days(settings.scores.retrain_days))
    rows = [
        _row(
            model,
            in_force[model],
            tables[contract].filter(pl.col("target") == target).collect(),
            drift,
            as_of,
            most_days,
        )
        for model, (contract, target) in MODELS.items()
        if model in in_force
    ]
    facts = [
        Fact("health.models", len(rows), "models"),
        Fact("health.fit", sum(row["verdict"] == FIT for row in rows), "models"),
        Fact("health.least", settings.scores.min_class, "cases"),
        *(fact for row in rows for fact in _numbers(row)),
    ]
    judged = backtest.facts(tables, as_of, settings).tables["told"]
    made = tables[Backtest].select(pl.col("as_of").filter(pl.col("as_of") <= as_of).max()).collect().item()
    if judged:
        facts.append(Fact("health.backtest", made, "date"))
    return Facts(
        facts,
        {
            "health": rows,
            "health_untaught": [{"model": model} for model in MODELS if model not in in_force],
            "health_backtest": [
                {"model": row["model"], "is_better": row["verdict"] == backtest.BETTER} for row in judged
            ],
        },
    )


def _row(model: str, stored: Row, evaluation: pl.DataFrame, drift: pl.DataFrame, as_of: dt.date, most_days: int) -> Row:
    told = headline(evaluation.with_columns(target=pl.lit(ALL)))
    rule = evaluation.filter(candidate="baseline", split="out_of_time")["roc_auc"]
    own = drift.filter(pl.col("model") == model, pl.col("statistic").is_not_null())
    moved = own.filter(pl.col("kind") != CALIBRATION).sort(
        pl.col("statistic") / pl.col("threshold"), "name", descending=[True, False]
    )
    off = own.filter(pl.col("kind") == CALIBRATION)
    row = {
        "model": model,
        "trained": stored["trained_as_of"],
        "age": (as_of - stored["trained_as_of"]).days,
        "auc": told.get("roc_auc"),
        "lo": told.get("roc_auc_lo"),
        "hi": told.get("roc_auc_hi"),
        "rule": rule[0] if rule.len() else None,
        "train_rows": told.get("train_rows"),
        "test_rows": told.get("test_rows"),
        "positive_rate": told.get("positive_rate"),
        **_most(moved, "moved"),
        **_most(off, "off"),
    }
    verdicts = {
        POOR: not told.get("is_used"),
        DRIFTED: bool(own["is_drifted"].any()),
        AGED: row["age"] > most_days,
        FIT: True,
    }
    return {**row, "verdict": next(verdict for verdict, holds in verdicts.items() if holds)}


def _most(rows: pl.DataFrame, prefix: str) -> Row:
    """statistic, threshold and is_drifted of the first row, with a prefix; null without one."""
    columns = ("statistic", "threshold", "is_drifted")
    first = rows.row(0, named=True) if rows.height else dict.fromkeys(columns)
    return {f"{prefix}_{column}": first[column] for column in columns}


def _numbers(row: Row) -> Iterator[Fact]:
    """trained, age, auc with bounds, rule, train_rows, test_rows, positive_rate; moved and moved_threshold (of the feature or
    score that has moved most for what is allowed), off and off_threshold (what happened over what was foretold, less 1,
    without its sign)."""
    name, n = f"health.{row['model']}", row["test_rows"]
    yield Fact(f"{name}.trained", row["trained"], "date")
    yield Fact(f"{name}.age", row["age"], "days")
    if row["auc"] is not None:
        yield Fact(f"{name}.auc", row["auc"], "share", n, lo=row["lo"], hi=row["hi"])
    units = {
        "rule": "share",
        "train_rows": "rows",
        "test_rows": "rows",
        "positive_rate": "share",
        "moved_statistic": "ratio",
        "moved_threshold": "ratio",
        "off_statistic": "share",
        "off_threshold": "share",
    }
    for column, unit in units.items():
        if row[column] is not None:
            yield Fact(f"{name}.{column.removesuffix('_statistic')}", row[column], unit, n)
