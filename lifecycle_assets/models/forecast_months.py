"""What will each month bring? The columns and the computation that the monthly tables share.

A month is the sum of its days (models.forecast_daily), once of all days and once of business days: Monday to Friday without the
public holidays of the shop's country. The rest of the running month comes first, flagged as partial; then the full months.
Intervals are of the months' own errors in the rolling origin, which move together from day to day and are wider than days that
err independently would make them.
"""

import datetime as dt

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, key, number, shop_key, text
from lifecycle_assets.models.forecast_calendar import calendar
from lifecycle_assets.models.forecast_choice import NAIVE
from lifecycle_assets.models.forecast_daily import amount, bounds_of
from lifecycle_assets.models.forecast_evaluation import COLD_START, champions
from lifecycle_assets.models.forecast_intervals import grown
from lifecycle_assets.models.forecast_preparation import GONE_DAYS, known
from lifecycle_assets.models.forecast_series import WHOLE, DailySeries
from lifecycle_assets.settings import Shop

BENCHMARK = "aggregation"
BASES = ["calendar", "business"]
# Days of the shortest month.
SHORTEST = 28
FLIPS = 2


class ForecastMonths(dy.Schema):
    """One row per series, month and basis."""

    shop_id = shop_key()
    as_of = as_of_column()
    series = key("The series: shop, channel:web, product:P-1 ...")
    month = dy.Date(primary_key=True, description="First day of the month.")
    basis = dy.String(
        primary_key=True,
        check=lambda c: c.is_in(BASES),
        description="calendar: all days; business: without weekends and the public holidays of the shop's country.",
    )
    value = amount("What is expected of the days after as_of: the sum of models.forecast_daily.")
    lo80 = amount("Lower end of the 80 % interval.")
    hi80 = amount("Upper end of the 80 % interval.")
    lo95 = amount("Lower end of the 95 % interval.")
    hi95 = amount("Upper end of the 95 % interval.")
    best_algorithm = text("What made the forecast.", nullable=False)
    days = count("Days of the month that the value is of.", "days")
    is_partial = flag("The rest of the month that as_of lies in: its days before are not part of the value.")
    year_on_year = number(
        "Change against what the same days of the month a year before brought; null where they are not known.",
        "ratio",
        nullable=True,
    )
    is_structural_break = flag("The champion changed in two races in a row: the series may have changed its nature.")
    note = text("What to know about this row; null where nothing is.")
    interpretation = text("The row in words.", nullable=False)


def forecast_months(
    series: DailySeries,
    daily: pl.DataFrame,
    evaluation: pl.DataFrame,
    *,
    shop: str,
    as_of: dt.date,
    settings: Shop,
) -> pl.DataFrame:
    """The rows of ForecastMonths for all series of one kind. `daily`, `evaluation`: the rows of all kinds."""
    daily = daily.filter(pl.col("kind") == series.kind)
    if daily.is_empty():
        return pl.DataFrame(schema={name: column.dtype for name, column in ForecastMonths.columns().items()})
    last = max(daily["date"])
    days = calendar(series.start, last, settings.country, settings.forecasting.promotions)
    business = pl.DataFrame(
        {"date": pl.date_range(series.start, last, eager=True), "is_business": days.is_business.tolist()}
    )
    chosen = champions(evaluation, series.kind, series.names)
    months = _sums(daily.join(business, on="date")).join(
        _notes(series, as_of, has_holidays=days.has_holidays), on="series"
    )
    months = months.join(_errors(evaluation, series.kind, chosen), on="series", how="left")
    months = months.join(_year_before(series, months, business), on=["series", "month", "basis"], how="left")
    months = _with_bounds(months, as_of, nonnegative=series.is_nonnegative).with_columns(
        shop_id=pl.lit(shop),
        as_of=pl.lit(as_of),
        is_partial=pl.col("month") <= as_of,
        is_structural_break=pl.col("flips").fill_null(0) >= FLIPS,
        year_on_year=(pl.col("value").cast(pl.Float64) / pl.col("before") - 1),
    )
    months = months.with_columns(interpretation=_interpretation())
    return months.select(pl.col(name).cast(column.dtype) for name, column in ForecastMonths.columns().items()).sort(
        "series", "month", pl.col("basis").replace_strict({"calendar": 0, "business": 1})
    )


def _sums(daily: pl.DataFrame) -> pl.DataFrame:
    """series, month, basis, value, days, first and last day of the sum, best_algorithm."""
    of_basis = []
    for basis in BASES:
        counts = pl.lit(value=True) if basis == "calendar" else pl.col("is_business")
        of_basis.append(
            daily.group_by("series", month=pl.col("date").dt.truncate("1mo")).agg(
                basis=pl.lit(basis),
                value=pl.col("value").filter(counts).sum(),
                days=counts.sum() if basis == "business" else pl.len(),
                first=pl.col("date").min(),
                last=pl.col("date").max(),
                best_algorithm=pl.col("algorithm").first(),
            ).with_columns(pl.col("days").cast(pl.Int64))
        )  # fmt: skip
    return pl.concat(of_basis).sort("series", "month", "basis")


def _with_bounds(months: pl.DataFrame, as_of: dt.date, *, nonnegative: bool) -> pl.DataFrame:
    """The intervals of the sums. Of a month that is not whole the error per day is larger, as that of a mean of fewer days."""
    value = months["value"].cast(pl.Float64).to_numpy()
    middle = (months["first"] + (months["last"] - months["first"]) / 2 - as_of).dt.total_days().to_numpy()
    growth = grown(middle[:, None], months["growth"].fill_null(0.0).to_numpy())[:, 0]
    days = months["days"].to_numpy().astype(np.float64)
    span = (months["last"] - months["first"]).dt.total_days().to_numpy() + 1
    whole = np.maximum(SHORTEST / span, 1.0) ** 0.5
    bounds = []
    for level in ("80", "95"):
        per_day = np.where(
            months["basis"] == "calendar",
            months[f"month{level}"].fill_null(0.0),
            months[f"business{level}"].fill_null(0.0),
        )
        bounds += bounds_of(value, per_day * days * growth * whole, level, nonnegative=nonnegative)
    return months.with_columns(bounds)


def _errors(evaluation: pl.DataFrame, kind: str, chosen: pl.DataFrame) -> pl.DataFrame:
    """series, its champion's score, those of the benchmarks, and what the intervals need."""
    overall = evaluation.filter((pl.col("kind") == kind) & (pl.col("fold") == 0))
    widths = ["month80", "month95", "business80", "business95", "growth"]
    table = chosen.select("series", "score", "flips", *widths)
    for name in (BENCHMARK, NAIVE):
        others = overall.filter(pl.col("candidate") == name).select("series", pl.col("score").alias(name))
        table = table.join(others, on="series", how="left")
    return table


def _year_before(series: DailySeries, months: pl.DataFrame, business: pl.DataFrame) -> pl.DataFrame:
    """series, month, basis, before: what the same days a year before brought; no row where the series is not that old."""
    spans = months.select(
        "series", "month", "basis", from_=pl.col("first").dt.offset_by("-1y"), to=pl.col("last").dt.offset_by("-1y")
    )
    first = pl.DataFrame({"series": series.names, "begun": _begun(series)})
    past = series.long().join(business, on="date").with_columns(past_month=pl.col("date").dt.truncate("1mo"))
    wanted = spans.with_columns(past_month=pl.col("from_").dt.truncate("1mo")).join(first, on="series")
    end = series.start + dt.timedelta(days=series.n_days - 1)
    return (
        wanted.filter((pl.col("from_") >= pl.col("begun")) & (pl.col("to") <= end))
        .join(past, on=["series", "past_month"])
        .filter(pl.col("date").is_between("from_", "to") & ((pl.col("basis") == "calendar") | pl.col("is_business")))
        .group_by("series", "month", "basis", maintain_order=True)
        .agg(before=pl.col("value").sum())
        .filter(pl.col("before") > 0)
    )


def _begun(series: DailySeries) -> pl.Series:
    return pl.Series([series.start], dtype=pl.Date).gather(np.zeros(len(series.names), dtype=np.int64)) + pl.Series(
        series.has_rows.argmax(axis=1)
    ).cast(pl.Int64) * pl.Series([dt.timedelta(days=1)])


def _notes(series: DailySeries, as_of: dt.date, *, has_holidays: bool) -> pl.DataFrame:
    """series, note."""
    facts = known(series)
    since = (pl.lit(as_of) - pl.duration(days="quiet")).cast(pl.String)
    return pl.DataFrame(
        {
            "series": series.names,
            "length": facts.days,
            "filled": facts.filled,
            "silent": facts.silent,
            "quiet": series.has_rows[:, ::-1].argmax(axis=1),
            "empty": ~series.values.any(axis=1),
        }
    ).select(
        "series",
        note=pl.concat_str(
            pl.when(pl.col("length") < COLD_START[series.kind]).then(
                pl.format("cold-start: {} days of history", "length")
            ),
            pl.when("empty").then(pl.lit("never anything but 0")),
            pl.when(pl.col("silent") > 0).then(
                pl.format("nothing since {}: taken for missing data, not for a demand of 0", since)
            ),
            pl.when((pl.col("quiet") > GONE_DAYS) & (pl.col("silent") == 0)).then(pl.format("nothing since {}", since)),
            pl.when((pl.col("filled") > 0) & (series.kind in WHOLE)).then(
                pl.format("days without a row, taken as 0: {}", "filled")
            ),
            pl.when(not has_holidays).then(pl.lit("the country's holidays are not known")),
            separator="; ",
            ignore_nulls=True,
        ).replace("", None),
    )


def _interpretation() -> pl.Expr:
    """What is expected and between which bounds, the change against the year before, the winner and its error beside the
    benchmarks'."""

    def against(name: str, words: str) -> pl.Expr:
        gain = (1 - pl.col("score") / pl.col(name)) * 100
        told = (
            pl.when(gain >= 0.05)
            .then(pl.format("{} % below {}", gain.round(1), pl.lit(words)))
            .when(gain <= -0.05)
            .then(pl.format("{} % above {}", (-gain).round(1), pl.lit(words)))
            .otherwise(pl.format("that of {}", pl.lit(words)))
        )
        is_itself = pl.col("best_algorithm") == name
        return pl.when(~is_itself & (pl.col(name) > 0)).then(told)

    comparison = pl.concat_str(
        against(BENCHMARK, "the mean per weekday and month"),
        against(NAIVE, "seasonal naive"),
        separator=" and ",
        ignore_nulls=True,
    )
    change = pl.col("year_on_year") * 100
    month = pl.col("month").dt.strftime("%B %Y")
    whose = pl.when(pl.col("basis") == "business").then(pl.lit("business days")).otherwise(pl.lit("days"))
    return pl.concat_str(
        pl.format(
            "{}, {} {}: {} expected, {} to {} in 8 of 10 cases",
            pl.when("is_partial").then(pl.format("the rest of {}", month)).otherwise(month),
            "days",
            whose,
            *(_readable(name) for name in ("value", "lo80", "hi80")),
        ),
        pl.when(change.is_not_null()).then(
            pl.format(
                "{} % {} than the {} of these dates a year before",
                change.abs().round(1),
                pl.when(change >= 0).then(pl.lit("more")).otherwise(pl.lit("less")),
                whose,
            )
        ),
        pl.format("forecast by {}", "best_algorithm"),
        pl.when(comparison != "").then(pl.format("its error on past months is {}", comparison)),
        pl.when("is_structural_break").then(
            pl.lit("the best method changed twice in a row: the series may have changed")
        ),
        separator="; ",
        ignore_nulls=True,
    )


def _readable(name: str) -> pl.Expr:
    """A hundred and more without decimals, less with one."""
    value = pl.col(name).cast(pl.Float64)
    whole = value.round(0).cast(pl.Int64).cast(pl.String)
    return pl.when(value.abs() >= 100).then(whole).otherwise(value.round(1).cast(pl.String))
