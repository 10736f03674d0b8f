"""The rest of the forecast report: the coming days, the parts of revenue, the main products, costs, and the contest of methods.

Each part of the shop is told like the shop itself (see outlook): categories by what is expected of them, products by what they
brought in the last year. What is missing from the shop's data has no rows, and its section says so.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import polars as pl

from lifecycle_assets.inputs.contracts import Costs, OrderLines, Products
from lifecycle_assets.models.forecast_cost import ForecastCost
from lifecycle_assets.models.forecast_daily import ForecastDaily
from lifecycle_assets.models.forecast_evaluation import ForecastEvaluation
from lifecycle_assets.models.forecast_race import CANNOT_WIN, NO_TIME
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_units import ForecastUnits
from lifecycle_assets.reports import outlook
from lifecycle_assets.reports.facts import Fact, Facts, Row
from lifecycle_assets.reports.tables import Tables

MOST_CATEGORIES, MOST_PRODUCTS = 10, 8
DAYS_BACK, DAYS_AHEAD = 56, 28
YEAR = dt.timedelta(days=365)
NO_CATEGORY = ("category:other", "category:unknown")
COST = "forecast.cost"
# Why a method took no part, as the race says it; everything else is that the method does not suit the series.
SITTING_OUT = {NO_TIME: "late", CANNOT_WIN: "beaten"}

READS = (OrderLines, Costs, Products, ForecastRevenue, ForecastUnits, ForecastCost, ForecastDaily, ForecastEvaluation)


def days(tables: Tables, as_of: dt.date) -> Facts:
    """Facts `forecast.days`, `.highest` and `.lowest` with `.date`; tables `forecast.days.past` and `.ahead`."""
    recent = outlook.sold(tables, as_of).filter(pl.col("order_date") > as_of - dt.timedelta(days=DAYS_BACK))
    sums = dict(recent.group_by("order_date").agg(pl.col("amount").sum()).collect(engine="streaming").iter_rows())
    first = min(sums, default=as_of + dt.timedelta(days=1))
    known = pl.date_range(first, as_of, eager=True).to_list() if sums else []
    ahead = (
        tables[ForecastDaily]
        .filter(kind="revenue", series="shop")
        .select("date", "value", *outlook.BOUNDS)
        .sort("date")
        .head(DAYS_AHEAD)
        .collect()
        .to_dicts()
    )
    facts = [Fact("forecast.days", len(ahead), "days")]
    for name, row in (
        ("highest", max(ahead, key=_value, default=None)),
        ("lowest", min(ahead, key=_value, default=None)),
    ):
        if row:
            found = Fact(f"forecast.days.{name}", row["value"], "currency", 1, lo=row["lo95"], hi=row["hi95"])
            facts += [found, Fact(f"forecast.days.{name}.date", row["date"], "date")]
    past = [{"date": day, "value": sums.get(day, 0)} for day in known]
    return Facts(facts, {"forecast.days.past": past, "forecast.days.ahead": ahead})


def categories(tables: Tables, as_of: dt.date) -> Facts:
    """Facts `forecast.category:<name>...` of the categories of most expected revenue; table `forecast.categories` (series,
    name)."""
    ahead = {
        name: rows
        for name, rows in outlook.calendar_rows(tables[ForecastRevenue]).items()
        if name.startswith("category:")
    }
    named = [name for name in ahead if name not in NO_CATEGORY]
    largest = sorted(named, key=lambda name: (-sum(map(_value, ahead[name])), name))[:MOST_CATEGORIES]
    series = pl.format("category:{}", "category")
    lines = outlook.sold(tables, as_of).select("month", "amount", date="order_date", series=series)
    past = outlook.past_months(lines.filter(pl.col("series").is_in(largest)), as_of)
    names = {name: name.partition(":")[2] for name in largest}
    return _parts("forecast.categories", "currency", names, ahead, past, as_of)


def products(tables: Tables, as_of: dt.date) -> Facts:
    """Facts `forecast.product:<id>...` in units, of the products that brought most in the last year; table
    `forecast.products` (series, name)."""
    lines = outlook.sold(tables, as_of)
    series = pl.format("product:{}", "product_id")
    forecast = tables[ForecastUnits].select("series").unique()
    largest = (
        lines.filter(pl.col("order_date") > as_of - YEAR)
        .group_by("product_id")
        .agg(pl.col("amount").sum())
        .with_columns(series=series)
        .join(forecast, on="series", how="semi")
        .sort("amount", "product_id", descending=[True, False])
        .head(MOST_PRODUCTS)
        .collect(engine="streaming")["product_id"]
        .to_list()
    )
    units = pl.col("quantity").cast(pl.Decimal(18, 4))
    sold = lines.filter(pl.col("product_id").is_in(largest)).select(
        "month", date="order_date", series=series, amount=units
    )
    names = {f"product:{product}": name for product, name in outlook.product_names(tables, largest).items()}
    ahead = outlook.calendar_rows(tables[ForecastUnits], list(names))
    return _parts("forecast.products", "units", names, ahead, outlook.past_months(sold, as_of), as_of)


def costs(tables: Tables, as_of: dt.date) -> Facts:
    """Facts `forecast.cost...`, of all costs together."""
    ahead = outlook.calendar_rows(tables[ForecastCost], ["total"]).get("total", [])
    rows = tables[Costs].filter(pl.col("date") <= as_of)
    amount = pl.col("cost").cast(pl.Decimal(18, 4))
    total = rows.select("date", month=pl.col("date").dt.truncate("1mo"), series=pl.lit("total"), amount=amount)
    begun, past = outlook.past_months(total, as_of).get("total", (None, {}))
    race = tables[ForecastEvaluation].filter(kind="cost", series="total").collect()
    return outlook.outlook(COST, "currency", ahead, begun, past, as_of) | outlook.proof(COST, "currency", race)


def race(tables: Tables) -> Facts:
    """Facts `forecast.race.ran`, `.late`, `.beaten`, `.unsuited`, methods; table `forecast.race`, the best of months first."""
    rows = tables[ForecastEvaluation].filter(kind="revenue", series="shop", fold=0).collect()
    ran = rows.filter(pl.col("skipped_reason").is_null(), pl.col("mae").is_not_null())
    why = [SITTING_OUT.get(reason, "unsuited") for reason in rows["skipped_reason"].drop_nulls()]
    facts = [Fact(f"forecast.race.{name}", why.count(name), "methods") for name in ("late", "beaten", "unsuited")]
    columns = ("candidate", "score", "mae", "mape", "coverage80", "coverage95", "chosen")
    table = ran.sort("score", "candidate", nulls_last=True).select(columns).to_dicts()
    return Facts([Fact("forecast.race.ran", ran.height, "methods"), *facts], {"forecast.race": table})


def _parts(
    table: str,
    unit: str,
    names: Mapping[str, str],
    ahead: Mapping[str, Sequence[Row]],
    past: Mapping[str, tuple[dt.date, outlook.Months]],
    as_of: dt.date,
) -> Facts:
    """The outlook of each series; `names`: series -> what people call it, in order."""
    facts = Facts([], {table: [{"series": series, "name": name} for series, name in names.items()]})
    for series in names:
        begun, months = past.get(series, (None, {}))
        facts |= outlook.outlook(f"forecast.{series}", unit, ahead[series], begun, months, as_of)
    return facts


def _value(row: Row) -> float:
    return row["value"]
