"""How good was each score, month by month, held against what then happened?

The scores of past month ends are made again by the nights' own assets, trained anew on what was known then; outcomes come from
tonight's tables (backtest_values, _probabilities, _months, _lists). Nothing that came after a day is there when its scores are
made: `predictions_hash` stays the same whatever happened later. Outcomes that are not complete by the end of the data are left
out, and said, as are scores that could not be made or judged. The uplift of a campaign is judged on its own customers, in
models.uplift_evaluation.

Replayed nights forecast the whole shop's revenue alone, since its parts are not judged, and without a limit of time, so that
the race ends alike on every machine.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import Contract, as_of_column, count, date, key, number, shop_key, table, text
from lifecycle_assets.errors import SettingsError
from lifecycle_assets.hashing import content_hash, digests
from lifecycle_assets.models.backtest_figures import Figure
from lifecycle_assets.models.backtest_known import ONE_KIND, UNTRAINED, Judged, Known, Scores
from lifecycle_assets.models.backtest_lists import recommendations
from lifecycle_assets.models.backtest_months import forecast_revenue
from lifecycle_assets.models.backtest_probabilities import churn_risk, propensity_buy, propensity_respond
from lifecycle_assets.models.backtest_values import clv
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.churn_risk_evaluation import ChurnRiskEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.propensity_buy import PropensityBuy
from lifecycle_assets.models.propensity_respond import PropensityRespond
from lifecycle_assets.models.recommendations import UserRecommendations
from lifecycle_assets.settings import Shop

METRICS = [
    "auc",
    "top_decile_lift",
    "brier",
    "calibration",
    "mae",
    "total_error_pct",
    "spearman",
    "interval_coverage",
    "mape",
    "ndcg_at_10",
    "recall_at_10",
]
# Score -> its table, the column that says what was foretold, and the metric it is told by.
SCORES: dict[str, tuple[Contract, str, str]] = {
    "clv": (ClvForecast, "expected_value", "mae"),
    "churn_risk": (ChurnRisk, "churn_probability", "auc"),
    "propensity_buy": (PropensityBuy, "probability", "auc"),
    "propensity_respond": (PropensityRespond, "probability", "auc"),
    "forecast_revenue": (ForecastRevenue, "value", "mape"),
    "recommendations": (UserRecommendations, "item_id", "ndcg_at_10"),
}
JUDGES: dict[str, Callable[[Scores, dt.date, Known], Iterator[Judged]]] = {
    "clv": clv,
    "churn_risk": churn_risk,
    "propensity_buy": propensity_buy,
    "propensity_respond": propensity_respond,
    "forecast_revenue": forecast_revenue,
    "recommendations": recommendations,
}
# What a replayed night has to make.
WANTED: list[Contract] = [*(contract for contract, _, _ in SCORES.values()), ChurnRiskEvaluation]
MOST_MONTHS = 12


@table("models.backtest")
class Backtest(dy.Schema):
    """How good each score of past month ends was, beside a simple rule on the same rows. Made by `lifecycle backtest`."""

    shop_id = shop_key()
    as_of = as_of_column()
    origin = dy.Date(primary_key=True, description="The past day whose scores are judged.")
    model = dy.String(
        primary_key=True, check=lambda column: column.is_in(list(SCORES)), description=f"One of: {', '.join(SCORES)}."
    )
    target = key("What was foretold, where a score foretells several: 6 months, open, click ...; `all` or `shop` else.")
    metric = dy.String(
        primary_key=True,
        check=lambda column: column.is_in(METRICS),
        description="auc: chance that a random positive scores above a random negative; top_decile_lift: frequency in the "
        "tenth with the highest scores over that of all; brier: mean squared error of the probability; calibration: what "
        "happened over what was expected, 1 is right; mae: mean absolute error per customer, currency; total_error_pct: error "
        "of the total, percent of what came; spearman: rank correlation; interval_coverage: share inside the 80 % interval; "
        "mape: mean absolute error per month, percent; ndcg_at_10, recall_at_10: of lists of ten products.",
    )
    value = number("The figure; null where note says why.", "see metric", nullable=True)
    lo = number("Lower end of its 95 % interval; null where there is none.", "see metric", nullable=True)
    hi = number("Upper end of its 95 % interval.", "see metric", nullable=True)
    simple = number("The same figure of the simple rule; null where it has none.", "see metric", nullable=True)
    n = count("Rows judged: customers, pairs of customer and product, messages, months.", "rows")
    outcome_until = date("Day by which the outcome is complete; the origin where nothing was foretold.")
    predictions_hash = text("SHA-256 of all that the score said on that day.", nullable=False)
    note = text("Why there is no figure.")


def replayed(settings: Shop) -> Shop:
    """The settings of a replayed night."""
    units = settings.forecasting.units.model_copy(update={"top_products": 1, "whole_catalogue_on": None})
    few = {"parts": 1, "units": units, "budget_seconds": math.inf}
    return settings.model_copy(update={"forecasting": settings.forecasting.model_copy(update=few)})


def origins(first: str, last: str, as_of: dt.date) -> list[dt.date]:
    """The month ends from month `first` to `last` (YYYY-MM), before `as_of`; an empty month stands for the twelve whole months
    before `as_of`. Raises SettingsError for what is no month, or none that has ended."""
    end = _month(last, "to") if last else as_of.replace(day=1) - dt.timedelta(days=1)
    start = _month(first, "from") if first else pl.Series([end]).dt.offset_by(f"-{MOST_MONTHS - 1}mo")[0]
    ends = pl.date_range(start.replace(day=1), end.replace(day=1), "1mo", eager=True).dt.month_end().to_list()
    if ended := [day for day in ends if day < as_of]:
        return ended
    raise SettingsError(f"backtest from {start:%Y-%m} to {end:%Y-%m}: no month of these has ended before {as_of}")


def judged(origin: dt.date, then: Scores, known: Known, as_of: dt.date) -> pl.DataFrame:
    """The rows of Backtest about the scores of one past day: of each score at least one."""
    parts = [Backtest.empty()]
    for model, (contract, said, told_by) in SCORES.items():
        stamp = {
            "shop_id": pl.lit(known.shop),
            "as_of": pl.lit(as_of),
            "origin": pl.lit(origin),
            "model": pl.lit(model),
            "predictions_hash": pl.lit(hash_of(then[contract.table], contract, said)),
        }
        verdicts = [*JUDGES[model](then, origin, known)] or [Judged("all", origin, [], UNTRAINED)]
        rows = pl.concat(_rows(verdict, told_by) for verdict in verdicts)
        parts.append(Backtest.conform(rows.lazy().with_columns(**stamp)).collect())
    return pl.concat(parts).sort(Backtest.primary_key)


def told(rows: pl.DataFrame) -> list[str]:
    """A line about each score of a day, by the metric it is told by."""
    return [
        f"{row['model']}, {row['target']}: "
        + (row["note"] or f"{row['metric']} {row['value']:.4g} (simple rule {row['simple']:.4g})")
        for row in rows.rows(named=True)
        if row["metric"] == SCORES[row["model"]][2]
    ]


def hash_of(rows: pl.LazyFrame, contract: Contract, said: str) -> str:
    """SHA-256 of what a score table says, whatever the order of its rows."""
    columns = [*contract.primary_key, said]
    return content_hash(digests(rows.select(columns).sort(contract.primary_key).collect(), columns))


def _rows(verdict: Judged, told_by: str) -> pl.DataFrame:
    """The figures of a verdict; without the metric the score is told by, a row that says why."""
    schema = {name: Backtest.polars_schema[name] for name in (*Figure._fields, "note")}
    figures: list[tuple[object, ...]] = [(*figure, None) for figure in verdict.figures]
    if told_by not in {figure.metric for figure in verdict.figures}:
        figures.append((told_by, None, None, None, None, 0, ONE_KIND if figures else verdict.note))
    return pl.DataFrame(figures, schema=schema, orient="row").with_columns(
        target=pl.lit(verdict.target), outcome_until=pl.lit(verdict.until)
    )


def _month(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise SettingsError(f"backtest --{option} {text}: expected a month such as 2025-01") from error
