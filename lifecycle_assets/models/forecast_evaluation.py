"""How well does each way of forecasting do on each of the shop's series, and which is in use?

One race per kind and length of history (forecast_race), every `retrain_days`; in between only series that are new race, and the
others keep their champion and the widths of its intervals (forecast_intervals). A series of fewer days than COLD_START does not
race: `aggregation` forecasts it, or its mean below four weeks. A changed setting takes effect with the next race.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.markdown import markdown
from lifecycle_assets.models.forecast_calendar import Calendar, calendar
from lifecycle_assets.models.forecast_candidates import CANDIDATES, Candidate, Mapped
from lifecycle_assets.models.forecast_choice import ENSEMBLE, FOLDS, Folds
from lifecycle_assets.models.forecast_intervals import LEVELS, growth_of, widths
from lifecycle_assets.models.forecast_preparation import known
from lifecycle_assets.models.forecast_race import Budget, Raced, horizon_of, race
from lifecycle_assets.models.forecast_series import KINDS, DailySeries
from lifecycle_assets.settings import Shop

COLD_START = {"revenue": 60, "units": 45, "cost": 60}
FOUR_WEEKS = 28
# Expensive candidates are for all revenue and cost series, and for so many products.
MATTERING_PRODUCTS = 10
YEAR_DAYS = 365
WIDTHS = ["day80", "day95", "month80", "month95", "business80", "business95"]
# Half-widths of a series without an error in any fold, in units of its mean.
UNKNOWN = np.array([1.0, 2.0])


def _metric(description: str, unit: str | None = None, *, minimum: float | None = 0) -> dy.Float64:
    return number(description, unit, nullable=True, minimum=minimum)


@table("models.forecast_evaluation", history=True)
class ForecastEvaluation(dy.Schema):
    """Every candidate on every series, per fold of the rolling origin and over all of them (fold 0). Errors are of daily values
    that no candidate had seen; `score`, of months, is what the champion is chosen by. Rows are of the last race, on
    trained_as_of. A candidate that did not run has one row, which says why."""

    shop_id = shop_key()
    as_of = as_of_column()
    kind = dy.String(primary_key=True, check=lambda c: c.is_in(KINDS), description=f"One of: {', '.join(KINDS)}.")
    series = key("The series: shop, channel:web, product:P-1 ...")
    candidate = key("The way of forecasting; ensemble is the median of the best three.")
    fold = dy.Int64(primary_key=True, min=0, max=FOLDS, description="1 is the earliest; 0 is all of them.")
    rmse = _metric("Root mean squared error.", "currency or units")
    mae = _metric("Mean absolute error.", "currency or units")
    mape = _metric("Mean of |error| / |actual| over days whose actual is not 0.", "ratio")
    smape = _metric("Mean of 2 |error| / (|actual| + |forecast|), 0 where both are 0.", "ratio 0..2")
    mase = _metric("mae over the mean absolute difference from a week before in what was known.", "ratio")
    r2 = _metric("1 - squared error over the variance of what came.", minimum=None)
    coverage80 = number(
        "Days within the 80 % interval made of the other folds.", "share 0..1", nullable=True, minimum=0, maximum=1
    )
    coverage95 = number("The same for 95 %.", "share 0..1", nullable=True, minimum=0, maximum=1)
    seconds = number("Time that fitting and forecasting took.", "seconds", minimum=0)
    score = _metric(
        "0.6 root mean squared error of month-long sums + 0.4 of their business days; of days where folds are shorter.",
        "currency or units",
    )
    lead = number(
        "Squared error of months below the ensemble's that is to be expected, between what this series says and what all of "
        "its kind do, in units of the middle candidate's. The champion is ahead by more than lead_error, or the ensemble.",
        "ratio",
        nullable=True,
    )
    lead_error = _metric("Standard error of the lead.", "ratio")
    horizon_days = count("Length of a fold.", "days")
    chosen = flag("This candidate makes the series' forecast.")
    skipped_reason = text("Why the candidate has no figures.")
    members = text("The three that the ensemble is the median of.")
    day80 = _metric(
        "Half-width of the 80 % interval of a day around its month; that of the month comes on top, by squares."
    )
    day95 = _metric("The same for 95 %.")
    month80 = _metric(
        "Half-width of the 80 % interval per day of a month, a month ahead; m months ahead times m ** growth."
    )
    month95 = _metric("The same for 95 %.")
    business80 = _metric("Half-width of the 80 % interval per business day of a month, a month ahead.")
    business95 = _metric("The same for 95 %.")
    growth = _metric("How the error of months grows with the distance in months.", "exponent")
    flips = count("Races in a row, up to this one, that changed the champion.", "races")
    trained_as_of = date("The night of the race.")


def forecast_evaluation(
    kinds: Sequence[DailySeries],
    last: pl.DataFrame | None,
    improved: Candidate | None,
    *,
    shop: str,
    as_of: dt.date,
    settings: Shop,
    budget: Budget,
    mapped: Mapped = map,
) -> pl.DataFrame:
    """The rows of all series. `last`: the rows of the latest night up to `as_of`; `improved`: a candidate for costs alone;
    `mapped`: where expensive candidates are tried."""
    seed = int(generator(shop, ForecastEvaluation.name, settings.seed).integers(2**31))
    frames = [ForecastEvaluation.empty().drop("shop_id", "as_of")]
    for series in kinds:
        if not series.names:
            continue
        before = last.filter(pl.col("kind") == series.kind) if last is not None else None
        kept = _still_good(before, series.names, as_of, settings.retrain_days(settings.forecasting.retrain_days))
        due = np.flatnonzero(~np.isin(series.names, kept["series"].unique().to_list())) if kept is not None else None
        these = series if due is None else series.only(due)
        candidates = CANDIDATES if improved is None or series.kind != "cost" else {**CANDIDATES, "improved": improved}
        days = calendar(these.start, as_of, settings.country, settings.forecasting.promotions)
        raced = _raced(these, days, candidates, budget, seed, mapped).with_columns(trained_as_of=pl.lit(as_of))
        frames += [_with_flips(raced, before)] if kept is None else [kept, _with_flips(raced, None)]
    schema = frames[0].schema
    rows = pl.concat([frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items()) for frame in frames])
    rows = rows.with_columns(shop_id=pl.lit(shop), as_of=pl.lit(as_of)).sort("kind", "series", "candidate", "fold")
    return ForecastEvaluation.conform(rows.lazy()).collect()


def champions(evaluation: pl.DataFrame, kind: str, names: Sequence[str]) -> pl.DataFrame:
    """The chosen candidate's row over all folds for each of the series, in their order."""
    chosen = evaluation.filter((pl.col("kind") == kind) & pl.col("chosen") & (pl.col("fold") == 0))
    order = pl.DataFrame({"series": names}, schema={"series": pl.String})
    return order.join(chosen, on="series", how="left", maintain_order="left")


def shown(evaluation: pl.DataFrame) -> str:
    """How often each candidate was chosen and how large its error was on the whole, as markdown."""
    overall = evaluation.filter(pl.col("fold") == 0)
    return markdown(
        overall.group_by("kind", "candidate")
        .agg(
            pl.col("chosen").sum(),
            pl.col("mase").drop_nulls().sort().mean().alias("mean MASE"),
            pl.col("mase").count().alias("series"),
            pl.col("skipped_reason").drop_nulls().mode().sort().first().alias("mostly left out because"),
        )
        .sort("kind", "mean MASE", "candidate", nulls_last=True)
    )


def _still_good(last: pl.DataFrame | None, names: list[str], as_of: dt.date, most_days: int) -> pl.DataFrame | None:
    """The last race's rows of these series; None where it is time for a new one."""
    if last is None or last.is_empty():
        return None
    oldest = last["trained_as_of"].to_list()
    if min(oldest) <= as_of - dt.timedelta(days=most_days):
        return None
    return last.filter(pl.col("series").is_in(names)).drop("shop_id", "as_of")


def _with_flips(rows: pl.DataFrame, before: pl.DataFrame | None) -> pl.DataFrame:
    """How many races in a row have changed a series' champion, on every row of the series."""
    if before is None or rows.is_empty():
        return rows.with_columns(flips=pl.lit(0))
    was = before.filter(pl.col("chosen") & (pl.col("fold") == 0)).select("series", was="candidate", had="flips")
    now = rows.filter(pl.col("chosen") & (pl.col("fold") == 0)).select("series", now="candidate")
    flips = now.join(was, on="series", how="left").select(
        "series", flips=pl.when(pl.col("now") != pl.col("was")).then(pl.col("had") + 1).otherwise(0).fill_null(0)
    )
    return rows.join(flips, on="series", how="left")


def _raced(
    series: DailySeries, days: Calendar, candidates: Mapping[str, Candidate], budget: Budget, seed: int, mapped: Mapped
) -> pl.DataFrame:
    """The rows of the series, raced with those of about the same length of history."""
    facts = known(series)
    is_cold = facts.days < COLD_START[series.kind]
    horizons = np.array([horizon_of(length) for length in facts.days], dtype=np.int64)
    few = np.where(facts.days >= FOUR_WEEKS, 1, 0)
    frames = []
    for horizon, cold, enough in sorted(set(zip(horizons.tolist(), is_cold.tolist(), few.tolist(), strict=True)))[::-1]:
        rows = np.flatnonzero((horizons == horizon) & (is_cold == cold) & (few == enough))
        names = [series.names[row] for row in rows]
        if cold:
            only = "aggregation" if enough else "mean"
            entrants, expensive = {only: candidates[only]}, []
        else:
            only, entrants = None, candidates
            expensive = _by_weight(series, rows)
        if horizon == 0:
            frames.append(_unjudged(names, "mean", facts.values[rows]))
            continue
        raced = race(facts.values[rows], horizon, series.kind, days, entrants, expensive, budget, seed, mapped)
        frames.append(_rows(names, facts.values[rows], raced, only))
    rows = pl.concat(frames) if frames else _frame([], {}).clear()
    return rows.with_columns(kind=pl.lit(series.kind))


def _by_weight(series: DailySeries, rows: np.ndarray) -> list[int]:
    """Which of the rows, by their place, expensive candidates are for: the largest of the last year first."""
    weight = np.abs(series.values[rows, -YEAR_DAYS:]).sum(axis=1)
    order = np.argsort(-weight, kind="stable").tolist()
    return order[:MATTERING_PRODUCTS] if series.kind == "units" else order


def _rows(names: list[str], values: np.ndarray, raced: Raced, only: str | None) -> pl.DataFrame:
    """The evaluation's rows of one race; `only`: the champion of series that do not race."""
    folds, chosen = raced.folds, raced.chosen
    entrants = [*raced.paths] if only else [*raced.paths, ENSEMBLE]
    numbers = np.zeros(len(names), dtype=np.int64) if only else chosen.number
    growth = _growth(folds, chosen.path - folds.actual, values)
    left_out = np.stack([each.path - folds.actual for each in raced.left_out])
    halves, of_champion = _widths(folds, chosen.path - folds.actual, left_out, growth)
    unknown = _unknown(values)
    halves = {width: np.where(np.isfinite(half), half, unknown[width]) for width, half in halves.items()}
    frames = []
    for number_, name in enumerate(entrants):
        is_ensemble = name == ENSEMBLE
        path = chosen.ensemble if is_ensemble else raced.paths[name]
        is_chosen = numbers == (-1 if is_ensemble else number_)
        errors = path - folds.actual
        _, covered = _widths(folds, errors, np.broadcast_to(errors, (FOLDS, *errors.shape)), growth)
        covered = np.where(is_chosen[None, :, None], of_champion, covered)
        answered = np.logical_and.reduce(np.isfinite(path), axis=(1, 2))
        seconds = np.zeros(errors.shape[:2]) if is_ensemble else raced.seconds[name]
        skipped = ["fewer than three candidates"] * len(names) if is_ensemble else raced.skipped[name]
        columns = {
            "score": chosen.scores[number_],
            "lead": chosen.lead[number_],
            "lead_error": chosen.unsure[number_],
            "chosen": is_chosen,
            "skipped_reason": [None if there else why for there, why in zip(answered, skipped, strict=True)],
            "members": _members(chosen.best, list(raced.paths)) if is_ensemble else [None] * len(names),
            **{width: np.where(is_chosen, half, np.nan) for width, half in {**halves, "growth": growth}.items()},
        }
        overall = _figures(path, folds, covered, np.arange(FOLDS), seconds)
        every = {"candidate": name, "horizon_days": folds.horizon}
        frames.append(_frame(names, {**columns, **overall, **every, "fold": 0}))
        for fold in range(FOLDS):
            figures = _figures(path, folds, covered, np.array([fold]), seconds)
            of_fold = _frame(names, {"chosen": is_chosen, **figures, **every, "fold": fold + 1})
            frames.append(of_fold.filter(pl.Series(answered)))
    return pl.concat(frames)


def _unjudged(names: list[str], champion: str, values: np.ndarray) -> pl.DataFrame:
    """Series too short for any fold."""
    constants = {"growth": 0.0, "seconds": 0.0, "candidate": champion, "fold": 0}
    return _frame(names, {**_unknown(values), **constants, "chosen": True, "horizon_days": 0})


def _unknown(values: np.ndarray) -> dict[str, np.ndarray]:
    """Half-widths of series of whose errors nothing is known: as wide as the series are high."""
    level = _nanmean(np.abs(values))
    return {width: level * UNKNOWN[int(width.endswith("95"))] for width in WIDTHS}


def _growth(folds: Folds, errors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How the errors of each series grow, told by those of its kind."""
    growth = np.zeros(len(errors))
    for rows in folds.kinds:
        growth[rows] = growth_of(errors[rows], values[rows])
    return growth


def _widths(
    folds: Folds, errors: np.ndarray, left_out: np.ndarray, growth: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """WIDTHS of each series, and (2, n_series, FOLDS) the share of days that they covered."""
    halves = {width: np.full(len(errors), np.nan) for width in WIDTHS}
    covered = np.full((2, *errors.shape[:2]), np.nan)
    for rows in folds.kinds:
        made = widths(folds, errors[rows], left_out[:, rows], growth[rows])
        for name, half in (("day", made.day), ("month", made.month), ("business", made.business)):
            for level, of_level in zip(LEVELS, half, strict=True):
                halves[f"{name}{level * 100:.0f}"][rows] = of_level
        covered[:, rows] = made.covered
    return halves, covered


def _members(best: np.ndarray, names: list[str]) -> list[str]:
    return [", ".join(names[number_] for number_ in row) for row in best]


def _figures(
    path: np.ndarray, folds: Folds, covered: np.ndarray, these: np.ndarray, seconds: np.ndarray
) -> dict[str, np.ndarray]:
    """The errors over some folds, one per series; NaN where there are none."""
    actual, made = folds.actual[:, these], path[:, these]
    error = made - actual
    size, squared = np.abs(error), error**2
    both = np.abs(actual) + np.abs(made)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(actual != 0, size / np.abs(actual), np.nan)
        symmetric = np.where(both > 0, 2 * size / both, np.where(np.isfinite(both), 0.0, np.nan))
        days = np.isfinite(size).sum(axis=(1, 2))
        naive = (np.isfinite(size).sum(axis=2) * folds.naive[:, these]).sum(axis=1)
        variation = np.nansum((actual - _nanmean(actual)[:, None, None]) ** 2, axis=(1, 2))
        total = np.where(days > 0, np.nansum(squared, axis=(1, 2)), np.nan)
        return {
            "rmse": np.sqrt(_nanmean(squared)),
            "mae": _nanmean(size),
            "mape": _nanmean(relative),
            "smape": _nanmean(symmetric),
            "mase": np.where(naive > 0, np.nansum(size, axis=(1, 2)) / np.where(naive > 0, naive, 1.0), np.nan),
            "r2": np.where(variation > 0, 1 - total / np.where(variation > 0, variation, 1.0), np.nan),
            "coverage80": _nanmean(covered[0][:, these, None]),
            "coverage95": _nanmean(covered[1][:, these, None]),
            "seconds": seconds[:, these].sum(axis=1),
        }


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Over all axes but the first; NaN where nothing is known."""
    is_known = np.isfinite(values)
    axes = tuple(range(1, values.ndim))
    counts = is_known.sum(axis=axes)
    return np.where(counts > 0, np.where(is_known, values, 0.0).sum(axis=axes) / np.maximum(counts, 1), np.nan)


def _frame(names: list[str], columns: dict[str, Any]) -> pl.DataFrame:
    """One row per series with the contract's columns, null where nothing is given."""
    schema = ForecastEvaluation.polars_schema
    made = pl.DataFrame({"series": names}, schema={"series": pl.String})
    own = [name for name in schema if name not in ("shop_id", "as_of", "kind", "series", "flips", "trained_as_of")]
    given = [
        pl.Series(name, np.broadcast_to(columns[name], len(names)) if np.ndim(columns[name]) == 0 else columns[name],
                  dtype=schema[name], strict=False, nan_to_null=True)
        if name in columns
        else pl.lit(None, schema[name]).alias(name)
        for name in own
    ]  # fmt: skip
    return made.with_columns(given)
