"""Which forecast of customer value can this shop trust, and how far?

The candidates forecast the last months of the shop's own history from what was known before them, and are held against what
happened. The held-out part is a quarter of the history, in whole months, at least one and at most twelve; the candidates
that need to learn from outcomes learn on the same span before it. Best is the lowest mean absolute error of customer value;
among those within 1 % of it, the smallest error of the total.

With less than MIN_MONTHS of history, or too few repeat customers before the split, there is no race: BG/NBD is taken, and
the note says so. Large shops race on a random part of their customers, and the note says that too.
"""

import dataclasses
import datetime as dt
import math
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, shop_key, table, text
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.hashing import generator
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.btyd_value import DAYS_PER_MONTH
from lifecycle_assets.models.clv_candidates import (
    BASELINE,
    BTYD,
    CANDIDATES,
    DEFAULT,
    Forecast,
    Outcome,
    buyers,
    forecasts,
    outcome,
)
from lifecycle_assets.models.pareto_nbd import ParetoNbd
from lifecycle_assets.models.races import night_of_race, settings_of_race
from lifecycle_assets.settings import Shop

MIN_MONTHS = 3
MOST_MONTHS = 12
MIN_REPEATERS = 100
TIE = 0.01
LAST_BIN = 7
OVERALL = "all"


@table("models.clv_evaluation", history=True)
class ClvEvaluation(dy.Schema):
    """How each way of forecasting customer value did on the held-out last months of the shop's history: one row per
    candidate with bin `all`, and the rows of its calibration plot, by repeat purchase days before the split."""

    shop_id = shop_key()
    as_of = as_of_column()
    candidate = key("The way of forecasting; past_rate is the baseline: spend so far per day, carried on.")
    bin = key("`all`, or the customers with so many repeat purchase days before the split: 0, 1 ... 7+.")
    chosen = flag("This candidate makes tonight's models.clv_forecast.")
    split_date = date("Last day that the candidates knew; null without a race.", nullable=True)
    months = count("Months held out.", "months", nullable=True)
    value_basis = text("What a value is.", nullable=False, values=["margin", "amount"])
    n_customers = count("Customers compared.", "customers")
    mae = number("Mean absolute error of customer value.", "currency", nullable=True, minimum=0)
    rmse = number("Root mean squared error of customer value.", "currency", nullable=True, minimum=0)
    bias = number("Mean forecast less mean outcome.", "currency", nullable=True)
    total_error_pct = number("Error of the total over all customers.", "percent of the outcome", nullable=True)
    spearman = number("Rank correlation of forecast and outcome.", nullable=True, minimum=-1, maximum=1)
    top_decile_capture = number(
        "Share of the outcome that the tenth of customers with the highest forecast brought.", "share", nullable=True
    )
    interval_coverage = number("Customers whose outcome lay in the 80 % interval.", "share", nullable=True)
    interval_coverage_active = number(
        "The same of those for whom more than 0 was stated; where 0 alone is likelier than 80 % the interval is 0 to 0.",
        "share",
        nullable=True,
    )
    mean_forecast = number("Mean forecast value.", "currency", nullable=True)
    mean_outcome = number("Mean value that came.", "currency", nullable=True)
    predicted_purchases = number("Mean forecast of repeat purchase days in the held-out months.", "days", nullable=True)
    actual_purchases = number("Mean repeat purchase days that came.", "days", nullable=True)
    purchases_mae = number("Mean absolute error of repeat purchase days.", "days", nullable=True, minimum=0)
    parameters = text("Fitted parameters of the BTYD model, days as the unit of time.")
    log_likelihood = number("Of the BTYD model, all customers.", nullable=True)
    gradient_norm = number("Largest derivative per customer at the fit: 0 at the maximum.", nullable=True, minimum=0)
    converged = flag("Whether the fit reached its maximum.", nullable=True)
    trained_as_of = night_of_race()
    made_by = settings_of_race()
    note = text("What to know about this row.")


class Split(NamedTuple):
    """`test` is the last day that candidates know; they learn outcomes on the months from `train` to it."""

    months: int
    train: dt.date
    test: dt.date


def split(customer_orders: pl.LazyFrame, as_of: dt.date) -> Split | None:
    """Where the shop's history is cut; None when it is too short."""
    first = customer_orders.select(pl.col("first_purchase_date").min()).collect().item()
    history = months_known(first, as_of) if first else 0
    if history < MIN_MONTHS:
        return None
    months = min(MOST_MONTHS, max(1, math.floor(history / 4)))
    span = dt.timedelta(days=round(months * DAYS_PER_MONTH))
    return Split(months, as_of - 2 * span, as_of - span)


def months_known(first: dt.date, as_of: dt.date) -> float:
    """The history in months, both days included, to a tenth: a calendar year is 12."""
    return round(((as_of - first).days + 1) / DAYS_PER_MONTH, 1)


def raced(customer_orders: pl.LazyFrame, shop: str, settings: Shop) -> pl.Series | None:
    """The customers of the race, drawn at random; None for all."""
    customers, most = customer_orders.select("customer_id").collect().to_series(), settings.customer.clv.raced_customers
    if customers.len() <= most:
        return None
    draw = generator(shop, ClvEvaluation.name, settings.seed).choice(customers.len(), most, replace=False)
    return customers.sort().gather(np.sort(draw))


def learnable(past: Outcome) -> Outcome | None:
    """The outcome, if enough customers had come back by then to learn from it."""
    return past if np.count_nonzero(past.buyers.frequency) >= MIN_REPEATERS else None


def clv_evaluation(
    cut: Split | None,
    snapshots: tuple[Snapshot, Snapshot, Snapshot] | None,
    basis: str,
    *,
    shop_id: str,
    as_of: dt.date,
    settings: Shop,
) -> pl.DataFrame:
    """The race on the snapshots of the train day, the test day and tonight; one row alone where there is none."""
    customer = settings.customer
    if cut is None or snapshots is None:
        reason = f"Less than {MIN_MONTHS} months of history: no part could be held out. BG/NBD is taken unproven."
        return _unproven(shop_id, as_of, basis, reason)
    train, test = (buyers(snapshot, basis, customer) for snapshot in snapshots[:2])
    if (repeaters := int((test.frequency > 0).sum())) < MIN_REPEATERS:
        reason = (
            f"{repeaters} repeat customers before {cut.test}, {MIN_REPEATERS} are needed for a race. "
            "BG/NBD is taken unproven."
        )
        return _unproven(shop_id, as_of, basis, reason)
    past = learnable(outcome(train, snapshots[1], cut.train, cut.months, basis))
    made = forecasts([*CANDIDATES, BASELINE], test, past, [cut.months], customer, settings.seed)
    happened = outcome(test, snapshots[2], cut.test, cut.months, basis)
    scores = pl.DataFrame([_scores(name, forecast, happened) for name, forecast in made.items()])
    # A figure that no candidate has, such as the error of a total that is no gain, is a column of nulls.
    scores = scores.with_columns(pl.col(pl.Null).cast(pl.Float64))
    chosen = _best(scores)
    total = snapshots[2].customer_orders.filter(pl.col("first_purchase_date") <= cut.test).height
    drawn = "" if test.frequency.size == total else f"Raced on {test.frequency.size} customers, drawn of {total}."
    notes = {
        name: " ".join(filter(None, [forecast.note if name in BTYD else "", drawn])) for name, forecast in made.items()
    }
    if _mae(scores, BASELINE) < _mae(scores, chosen):
        notes[chosen] += " The baseline had the lower absolute error: use the order of these values, not their level."
    if past is None:
        notes[chosen] += " Too few repeat customers early on: boosting and blend could not learn."
    rows = pl.concat(
        [scores.with_columns(bin=pl.lit(OVERALL)), *(_calibration(n, f, happened) for n, f in made.items())],
        how="diagonal",
    )
    return _table(rows, shop_id, as_of, basis, chosen, cut, {name: text.strip() for name, text in notes.items()})


def shown(evaluation: pl.DataFrame) -> str:
    """The race as a markdown table, the best first."""
    columns = [
        "candidate",
        "chosen",
        "mae",
        "rmse",
        "total_error_pct",
        "spearman",
        "top_decile_capture",
        "interval_coverage",
        "note",
    ]
    return markdown(
        evaluation.filter(pl.col("bin") == OVERALL).sort("mae", nulls_last=True).select(columns), longest=160
    )


def _scores(name: str, forecast: Forecast, happened: Outcome) -> dict[str, object]:
    from scipy.stats import rankdata

    value, came = forecast.value[:, 0], happened.value
    error = value - came
    low, high = forecast.low[:, 0], forecast.high[:, 0]
    inside, stated = (low <= came) & (came <= high), high > 0
    top = np.argsort(-value, kind="stable")[: max(1, math.ceil(value.size / 10))]
    ranks = np.corrcoef(rankdata(value), rankdata(came))[0, 1] if np.ptp(value) > 0 and np.ptp(came) > 0 else None
    total = float(came.sum())
    has_interval = bool(np.isfinite(high).all())
    btyd = name != BASELINE
    fitted = forecast.model.fitted
    return {
        "candidate": name,
        "n_customers": value.size,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "total_error_pct": 100 * float(error.sum()) / total if total > 0 else None,
        "spearman": None if ranks is None else float(ranks),
        "top_decile_capture": float(came[top].sum()) / total if total > 0 else None,
        "interval_coverage": float(inside.mean()) if has_interval else None,
        "interval_coverage_active": float(inside[stated].mean()) if has_interval and stated.any() else None,
        "mean_forecast": float(value.mean()),
        "mean_outcome": float(came.mean()),
        "predicted_purchases": float(forecast.purchases[:, 0].mean()) if btyd else None,
        "actual_purchases": float(happened.purchases.mean()),
        "purchases_mae": float(np.abs(forecast.purchases[:, 0] - happened.purchases).mean()) if btyd else None,
        "parameters": _described(forecast.model) if btyd else None,
        "log_likelihood": fitted.log_likelihood if btyd else None,
        "gradient_norm": fitted.gradient_norm if btyd else None,
        "converged": fitted.converged if btyd else None,
    }


def _described(model: BgNbd | ParetoNbd) -> str:
    values = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.name != "fitted"}
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _best(scores: pl.DataFrame) -> str:
    """Lowest mean absolute error; of those within TIE of it, the smallest error of the total in whole percent, then the
    simpler one."""
    racing = scores.filter(pl.col("candidate") != BASELINE)
    near = racing.filter(pl.col("mae") <= pl.col("mae").min() * (1 + TIE))
    order = pl.col("candidate").replace_strict(CANDIDATES, list(range(len(CANDIDATES))), return_dtype=pl.Int64)
    return near.sort(pl.col("total_error_pct").abs().round(0).fill_null(math.inf), order)["candidate"][0]


def _mae(scores: pl.DataFrame, name: str) -> float:
    return float(scores.filter(pl.col("candidate") == name)["mae"][0])


def _calibration(name: str, forecast: Forecast, happened: Outcome) -> pl.DataFrame:
    """Predicted by actual repeat purchase days, and values, by repeat purchase days before the split."""
    frequency = pl.Series(np.minimum(happened.buyers.frequency, LAST_BIN).astype(np.int64))
    frame = pl.DataFrame(
        {
            "frequency": frequency,
            "predicted_purchases": forecast.purchases[:, 0],
            "actual_purchases": happened.purchases,
            "mean_forecast": forecast.value[:, 0],
            "mean_outcome": happened.value,
        }
    )
    bins = (
        frame.group_by("frequency").agg(pl.len().cast(pl.Int64).alias("n_customers"), pl.all().mean()).sort("frequency")
    )
    label = pl.when(pl.col("frequency") == LAST_BIN).then(pl.format("{}+", "frequency"))
    bins = bins.select(
        pl.lit(name).alias("candidate"),
        label.otherwise(pl.col("frequency").cast(pl.String)).alias("bin"),
        pl.exclude("frequency"),
    )
    return bins.with_columns(predicted_purchases=None) if name == BASELINE else bins


def _unproven(shop_id: str, as_of: dt.date, basis: str, note: str) -> pl.DataFrame:
    row = pl.DataFrame({"candidate": [DEFAULT], "bin": [OVERALL], "n_customers": [0]})
    return _table(row, shop_id, as_of, basis, DEFAULT, None, {DEFAULT: note})


def _table(
    rows: pl.DataFrame,
    shop_id: str,
    as_of: dt.date,
    basis: str,
    chosen: str,
    cut: Split | None,
    notes: dict[str, str],
) -> pl.DataFrame:
    overall = pl.col("bin") == OVERALL
    told = pl.col("candidate").replace_strict(notes, default=None, return_dtype=pl.String)
    have = rows.with_columns(
        shop_id=pl.lit(shop_id),
        as_of=pl.lit(as_of),
        chosen=(pl.col("candidate") == chosen) & overall,
        split_date=pl.lit(cut.test if cut else None, dtype=pl.Date),
        months=pl.lit(cut.months if cut else None, dtype=pl.Int64),
        value_basis=pl.lit(basis),
        note=pl.when(overall & (told != "")).then(told),
    )
    missing = {name: pl.lit(None, dtype=kind) for name, kind in ClvEvaluation.polars_schema.items() if name not in have}
    return ClvEvaluation.conform(have.with_columns(**missing).lazy()).sort("candidate", "bin").collect()
