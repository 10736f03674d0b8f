"""What will each day bring?

The champion of each series (forecast_evaluation) is fitted to all that is known tonight and looks to the end of the last month
asked for. Where it gives no answer tonight, seasonal naive or the mean steps in and is named. Revenue and costs are then
reconciled, so that parts add up to the whole on every day; intervals keep their width around the reconciled value, and end at 0
where values cannot be negative.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, shop_key, table, text
from lifecycle_assets.hashing import generator
from lifecycle_assets.models.forecast_calendar import calendar
from lifecycle_assets.models.forecast_candidates import CANDIDATES, Candidate, Mapped, Panel
from lifecycle_assets.models.forecast_choice import ENSEMBLE, NAIVE
from lifecycle_assets.models.forecast_evaluation import champions
from lifecycle_assets.models.forecast_intervals import grown
from lifecycle_assets.models.forecast_preparation import known, to_fit
from lifecycle_assets.models.forecast_race import EXPENSIVE
from lifecycle_assets.models.forecast_reconciliation import CENTS, reconciled
from lifecycle_assets.models.forecast_series import KINDS, WHOLE, DailySeries
from lifecycle_assets.settings import Shop

# The largest amount that a table holds, less than 10 ** 14.
LARGEST = 9e13


def amount(description: str, *, nullable: bool = False) -> dy.Decimal:
    """An exact amount in the shop's currency, or units."""
    metadata = {"unit": "currency or units"}
    return dy.Decimal(18, 4, nullable=nullable, description=description, metadata=metadata)


@table("models.forecast_daily", history=True)
class ForecastDaily(dy.Schema):
    """The forecast of every day from the day after as_of to the end of the last month of the monthly tables. Parts add up to
    the whole on every day, and days to months, to the cent."""

    shop_id = shop_key()
    as_of = as_of_column()
    kind = dy.String(primary_key=True, check=lambda c: c.is_in(KINDS), description=f"One of: {', '.join(KINDS)}.")
    series = key("The series: shop, channel:web, product:P-1 ...")
    date = dy.Date(primary_key=True, description="The day.")
    value = amount("What is expected.")
    lo80 = amount("Lower end of the 80 % interval.")
    hi80 = amount("Upper end of the 80 % interval.")
    lo95 = amount("Lower end of the 95 % interval.")
    hi95 = amount("Upper end of the 95 % interval.")
    algorithm = text("What made the forecast, before parts and whole were reconciled.", nullable=False)


def forecast_daily(
    kinds: Sequence[DailySeries],
    evaluation: pl.DataFrame,
    improved: Candidate | None,
    *,
    shop: str,
    as_of: dt.date,
    settings: Shop,
    mapped: Mapped = map,
) -> pl.DataFrame:
    """The daily path of all series of all kinds. `mapped`: where expensive champions are fitted."""
    seed = int(generator(shop, ForecastDaily.name, settings.seed).integers(2**31))
    frames = [ForecastDaily.empty().drop("shop_id", "as_of")]
    for series in kinds:
        if series.names:
            candidates = CANDIDATES if improved is None else {**CANDIDATES, "improved": improved}
            months = settings.forecasting.units.months if series.kind == "units" else settings.forecasting.months
            last = last_day(as_of, months)
            frames.append(_of_kind(series, evaluation, candidates, last, settings, seed, mapped))
    schema = frames[0].schema
    rows = pl.concat([frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items()) for frame in frames])
    rows = rows.with_columns(shop_id=pl.lit(shop), as_of=pl.lit(as_of)).sort("kind", "series", "date")
    return ForecastDaily.conform(rows.lazy()).collect()


def last_day(as_of: dt.date, months: int) -> dt.date:
    """The last day of the `months`-th full month after `as_of`."""
    next_day = as_of + dt.timedelta(days=1)
    first_full = next_day.year * 12 + next_day.month - 1 + (next_day.day > 1)
    year, month = divmod(first_full + months, 12)
    return dt.date(year, month + 1, 1) - dt.timedelta(days=1)


def _of_kind(
    series: DailySeries,
    evaluation: pl.DataFrame,
    candidates: Mapping[str, Candidate],
    last: dt.date,
    settings: Shop,
    seed: int,
    mapped: Mapped,
) -> pl.DataFrame:
    horizon = (last - series.start).days + 1 - series.n_days
    days = calendar(series.start, last, settings.country, settings.forecasting.promotions)
    fitted, _ = to_fit(known(series).values, series.kind, days.exempt(series.n_days))
    panel = Panel(fitted, series.start, days.regressors(0, series.n_days + horizon), series.is_nonnegative)
    chosen = champions(evaluation, series.kind, series.names)
    made, algorithm = _paths(panel, horizon, chosen, candidates, seed, mapped)
    cents = np.rint(np.clip(made, -LARGEST, LARGEST) * CENTS).astype(np.int64)
    if series.kind in WHOLE:
        dimension = np.unique([name.partition(":")[0] for name in series.names], return_inverse=True)[1]
        variance = chosen["month80"].fill_null(0.0).to_numpy() ** 2
        dimension[0] = -1
        cents = reconciled(np.clip(made, -LARGEST, LARGEST), dimension, variance, nonnegative=series.is_nonnegative)
    values = cents / CENTS
    growth = grown(np.arange(1.0, horizon + 1), chosen["growth"].fill_null(0.0).to_numpy())
    dates = pl.date_range(last - dt.timedelta(days=horizon - 1), last, eager=True)
    rows = pl.DataFrame(
        {
            "series": pl.Series(np.repeat(np.array(series.names, dtype=object), horizon), dtype=pl.String),
            "date": pl.concat([dates] * len(series.names)),
            "value": in_decimals(cents.ravel()),
            "algorithm": pl.Series(np.repeat(np.array(algorithm, dtype=object), horizon), dtype=pl.String),
        }
    )
    bounds = []
    for level in ("80", "95"):
        around, month = (chosen[f"{of}{level}"].fill_null(0.0).to_numpy()[:, None] for of in ("day", "month"))
        half = np.hypot(around, month * growth)
        bounds += bounds_of(values, half, level, nonnegative=series.is_nonnegative)
    return rows.with_columns(pl.lit(series.kind).alias("kind"), *bounds)


def bounds_of(values: np.ndarray, half: np.ndarray, level: str, *, nonnegative: bool) -> list[pl.Series]:
    """`lo` and `hi` of a level around the values, in whole cents, cut off at 0 where values cannot be negative."""
    low, high = np.maximum(values - half, -LARGEST), np.minimum(values + half, LARGEST)
    if nonnegative:
        low = np.minimum(np.maximum(low, 0.0), values)
    floor, ceiling = np.floor(low * CENTS + 1e-6), np.ceil(high * CENTS - 1e-6)
    return [
        in_decimals(floor.astype(np.int64).ravel()).alias(f"lo{level}"),
        in_decimals(ceiling.astype(np.int64).ravel()).alias(f"hi{level}"),
    ]


def in_decimals(cents: np.ndarray) -> pl.Series:
    """Whole cents as exact amounts."""
    return pl.Series(cents).cast(pl.Decimal(20, 0)).to_frame("cents").select(
        (pl.col("cents").cast(pl.Decimal(38, 4)) / CENTS).cast(pl.Decimal(18, 4))
    ).to_series()  # fmt: skip


def _paths(
    panel: Panel, horizon: int, chosen: pl.DataFrame, candidates: Mapping[str, Candidate], seed: int, mapped: Mapped
) -> tuple[np.ndarray, list[str]]:
    """(n_series, horizon) forecasts of the champions, and who made them."""
    names = chosen["candidate"].fill_null(NAIVE).to_list()
    teams = [
        members.split(", ") if name == ENSEMBLE else [name]
        for name, members in zip(names, chosen["members"].fill_null("").to_list(), strict=True)
    ]
    wanted = {name: [row for row, team in enumerate(teams) if name in team] for name in candidates}
    made = {name: _fit(candidates[name], panel, horizon, rows, seed, mapped) for name, rows in wanted.items() if rows}
    path = np.stack(
        [np.median([made[name][row] for name in team if name in made], axis=0) for row, team in enumerate(teams)]
    )
    for name in (NAIVE, "mean"):
        failed = np.flatnonzero(~np.isfinite(path).all(axis=1)).tolist()
        if failed:
            path[failed] = _fit(candidates[name], panel, horizon, failed, seed, mapped)[failed]
            names = [name if row in set(failed) else own for row, own in enumerate(names)]
    return np.nan_to_num(path), names


def _fit(candidate: Candidate, panel: Panel, horizon: int, rows: list[int], seed: int, mapped: Mapped) -> np.ndarray:
    """A candidate's answers, NaN for series that it was not asked for: cheap ones take all series at once, since some learn
    from all of them, expensive ones each series by itself."""
    if candidate.cost <= EXPENSIVE:
        return candidate.forecast(panel, horizon, seed)
    answers = np.full((panel.values.shape[0], horizon), np.nan)
    alone = ((row, panel.of(panel.values[[row]])) for row in rows)
    for row, path in mapped(partial(_fitted, candidate, horizon, seed), alone):
        answers[row] = path
    return answers


def _fitted(candidate: Candidate, horizon: int, seed: int, alone: tuple[int, Panel]) -> tuple[int, np.ndarray]:
    """The number of a series and its forecast."""
    row, panel = alone
    return row, candidate.forecast(panel, horizon, seed)[0]
