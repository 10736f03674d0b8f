"""What do monthly forecasts say of the coming months, beside what the same months of the year before brought?

Only a single month has a range. How the errors of months hang together has not been tested, so the sum of several has none. A
change on the year before is called only where the sums of the months' lower and upper ends both lie on one side of it, as if
all months erred in the same direction, and only for a series of two years or more: in less, a season passes for a change.

How far off such a forecast would have been is told by the held-out stretches of models.forecast_evaluation. The method leads
last week's repetition where its mean absolute error is lower by more than chance would give over those stretches (Student's t).
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import polars as pl

from lifecycle_assets.confidence import CONFIDENCE
from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.forecast_choice import NAIVE
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Row, Verdict
from lifecycle_assets.reports.tables import Tables

QUARTER, YEAR = 3, 12
HISTORY_MONTHS = 24
# From so many days on a season has been seen twice, and can be told from a change.
TWO_YEARS = 730
# Days of a trial from which models.forecast_evaluation scores months instead of days.
MONTH_LONG = 28
BOUNDS = ("lo80", "hi80", "lo95", "hi95")
# Shares of the outcomes that the inner and the outer range are made for.
INNER, OUTER = 0.80, 0.95
Months = dict[dt.date, Decimal]


def sold(tables: Tables, as_of: dt.date) -> pl.LazyFrame:
    """The lines that revenue and units are made of, with the first day of their month."""
    lines = tables[OrderLines].filter(pl.col("status") == "completed", pl.col("order_date") <= as_of)
    return lines.with_columns(month=pl.col("order_date").dt.truncate("1mo"))


def past_months(days: pl.LazyFrame, as_of: dt.date) -> dict[str, tuple[dt.date, Months]]:
    """What each series brought: series -> its first day, and the sum of each of its months up to the one of as_of.

    days: rows of series, date, month and an exact `amount`; a month in between without a row is 0.
    """
    sums = (
        days.group_by("series", "month")
        .agg(pl.col("amount").sum(), pl.col("date").min())
        .sort("series", "month")
        .collect(engine="streaming")
    )
    found: dict[str, tuple[dt.date, Months]] = {}
    for (name,), rows in sums.group_by("series", maintain_order=True):
        amounts = dict(rows.select("month", "amount").iter_rows())
        months = pl.date_range(rows["month"][0], as_of.replace(day=1), "1mo", eager=True).to_list()
        found[str(name)] = min(rows["date"]), {month: amounts.get(month, Decimal(0)) for month in months}
    return found


def outlook(name: str, unit: str, ahead: Sequence[Row], begun: dt.date | None, past: Months, as_of: dt.date) -> Facts:
    """The coming months of one series.

    ahead: its calendar rows of a monthly forecast, in order; begun, past: its first day and its months. Facts `<name>.next`,
    `.quarter` and `.year`, each with `.first`, `.last` and `.months`, the comparison `year` and, of one month, bounds at 95 %;
    amid a month also `.running` (what came and what is to come), `.running.so_far`, `.running.month`; `<name>.history`, days.
    Tables `<name>.past` (full months: month, value) and `<name>.ahead` (month, value, bounds, before, change).
    """
    days = (as_of - begun).days + 1 if begun else 0
    is_comparable = days >= TWO_YEARS
    rows = [_with_past(row, begun, past, as_of, is_comparable=is_comparable) for row in ahead]
    whole = [row for row in rows if not row["is_partial"]]
    facts = [Fact(f"{name}.history", days, "days")]
    for row in rows[: len(rows) - len(whole)]:
        facts += [
            _total(f"{name}.running", unit, [row], is_comparable=is_comparable),
            Fact(f"{name}.running.month", row["month"], "month"),
            Fact(f"{name}.running.so_far", row["so_far"], unit),
        ]
    for period, most in (("next", 1), ("quarter", QUARTER), ("year", YEAR)):
        these = whole[:most]
        # A longer period that holds no more months than a shorter one says nothing new.
        if these and (period != "year" or len(these) > QUARTER):
            facts += [
                _total(f"{name}.{period}", unit, these, is_comparable=is_comparable),
                Fact(f"{name}.{period}.months", len(these), "months"),
                Fact(f"{name}.{period}.first", these[0]["month"], "month"),
                Fact(f"{name}.{period}.last", these[-1]["month"], "month"),
            ]
    full = [
        {"month": month, "value": value}
        for month, value in past.items()
        if begun and month >= begun and _last_day(month) <= as_of
    ]
    return Facts(facts, {f"{name}.past": full[-HISTORY_MONTHS:], f"{name}.ahead": rows})


def proof(name: str, unit: str, evaluation: pl.DataFrame) -> Facts:
    """How the method in use did on what was held out of one series.

    evaluation: its rows of models.forecast_evaluation. Facts `<name>.proof.trials`, `.days` (of each), `.mae` and `.naive`, of
    days, `.lead` of the one over the other, `.inner` and `.outer`, the shares of days inside the ranges; `.score`, of months,
    where a trial is as long as one; `<name>.flips`. Only the last without a race.
    """
    chosen = evaluation.filter("chosen")
    facts = [Fact(f"{name}.flips", flips, "races") for flips in chosen.filter(fold=0)["flips"]]
    trials = chosen.filter(pl.col("fold") > 0, pl.col("mae").is_not_null()).sort("fold")
    if trials.is_empty():
        return Facts(facts)
    overall = chosen.filter(fold=0).row(0, named=True)
    n = trials.height * overall["horizon_days"]
    facts += [
        Fact(f"{name}.proof.trials", trials.height, "trials"),
        Fact(f"{name}.proof.days", overall["horizon_days"], "days"),
        Fact(f"{name}.proof.mae", overall["mae"], unit, n),
        *_mean(f"{name}.proof.inner", trials["coverage80"], "share", n),
        *_mean(f"{name}.proof.outer", trials["coverage95"], "share", n),
    ]
    if overall["horizon_days"] >= MONTH_LONG:
        facts.append(Fact(f"{name}.proof.score", overall["score"], unit, n))
    naive = evaluation.filter(pl.col("candidate") == NAIVE, pl.col("fold").is_in(trials["fold"].implode())).sort("fold")
    if naive.height == trials.height and overall["candidate"] != NAIVE:
        facts += [
            Fact(f"{name}.proof.naive", evaluation.filter(candidate=NAIVE, fold=0)["mae"][0], unit, n),
            *_mean(f"{name}.proof.lead", naive["mae"] - trials["mae"], unit, n),
        ]
    return Facts(facts)


def levels() -> Iterator[Fact]:
    """What the inner and the outer range are made for."""
    yield Fact("forecasts.level.inner", INNER, "share")
    yield Fact("forecasts.level.outer", OUTER, "share")


def calendar_rows(forecast: pl.LazyFrame, names: Sequence[str] | None = None) -> dict[str, list[Row]]:
    """Series -> its rows of all days of each month, in order."""
    rows = forecast.filter(basis="calendar").select("series", "month", "value", *BOUNDS, "is_partial")
    if names is not None:
        rows = rows.filter(pl.col("series").is_in(names))
    parts = rows.sort("series", "month").collect().partition_by("series", as_dict=True, maintain_order=True)
    return {str(name): part.drop("series").to_dicts() for (name,), part in parts.items()}


def product_names(tables: Tables, products: Sequence[str]) -> dict[str, str]:
    """Product -> its name, with the product itself where others share it, or where it has none."""
    rows = tables[Products].filter(pl.col("product_id").is_in(products), pl.col("name").is_not_null())
    shown = pl.when(pl.len().over("name") > 1).then(pl.format("{} ({})", "name", "product_id")).otherwise("name")
    return {product: product for product in products} | dict(rows.select("product_id", shown).collect().iter_rows())


def _with_past(
    row: Row, begun: dt.date | None, past: Mapping[dt.date, Decimal], as_of: dt.date, *, is_comparable: bool
) -> Row:
    """A month ahead; of the running month all of it, with what came already. `before`: the same month of a year ago."""
    month = row["month"]
    so_far = past.get(month, Decimal(0)) if row["is_partial"] else Decimal(0)
    amounts = {column: row[column] + so_far for column in ("value", *BOUNDS)}
    year_ago = month.replace(year=month.year - 1)
    known = begun is not None and begun <= year_ago and _last_day(year_ago) <= as_of
    before = past.get(year_ago) if known else None
    change = float(amounts["value"] / before) - 1 if is_comparable and before and before > 0 else None
    return {
        "month": month,
        "is_partial": row["is_partial"],
        "so_far": so_far,
        "before": before,
        "change": change,
    } | amounts


def _total(name: str, unit: str, rows: Sequence[Row], *, is_comparable: bool) -> Fact:
    value, lo, hi = (sum((row[column] for row in rows), Decimal(0)) for column in ("value", "lo95", "hi95"))
    befores = [row["before"] for row in rows]
    comparisons = {}
    if None not in befores and (before := sum(befores, Decimal(0))) > 0:
        if is_comparable:
            verdict: Verdict = "rising" if lo > before else "falling" if hi < before else "flat"
            comparisons["year"] = Comparison(before, value - before, verdict, float(value / before) - 1)
        else:
            comparisons["year"] = Comparison(before, value - before, "few")
    return Fact(name, value, unit, len(rows), comparisons, *((lo, hi) if len(rows) == 1 else ()))


def _mean(name: str, values: pl.Series, unit: str, n: int) -> list[Fact]:
    """The mean over the trials, with its 95 % interval by Student's t; nothing where fewer than two are known."""
    from scipy.stats import t

    known = values.drop_nulls().to_numpy()
    if known.size < 2:
        return []
    mean = float(known.mean())
    half = float(t.isf((1 - CONFIDENCE) / 2, known.size - 1) * known.std(ddof=1)) / known.size**0.5
    lo, hi = (max(0.0, mean - half), min(1.0, mean + half)) if unit == "share" else (mean - half, mean + half)
    return [Fact(name, mean, unit, n, lo=lo, hi=hi)]


def _last_day(month: dt.date) -> dt.date:
    return (month + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
