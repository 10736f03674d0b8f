"""Did the shop take in what models.forecast_revenue said?

The next MONTHS months after a past day, as far as they are over by the end of the data. The simple rule is the same month a
year before, else the level of the last LEVEL_DAYS days.
"""

import datetime as dt
from collections.abc import Iterator

import numpy as np
import polars as pl

from lifecycle_assets.models.backtest_figures import of_months
from lifecycle_assets.models.backtest_known import Judged, Known, Scores, numbers, unsettled
from lifecycle_assets.models.forecast_revenue import ForecastRevenue
from lifecycle_assets.models.forecast_series import WHOLE, revenue_series

MONTHS = 3
LEVEL_DAYS = 28
SHOP = WHOLE["revenue"]


def forecast_revenue(then: Scores, origin: dt.date, known: Known) -> Iterator[Judged]:
    is_whole = (pl.col("series") == SHOP) & (pl.col("basis") == "calendar") & ~pl.col("is_partial")
    months = then[ForecastRevenue.table].filter(is_whole).sort("month").head(MONTHS).collect()
    months = months.with_columns(last=pl.col("month").dt.month_end())
    if months.is_empty():
        return
    settled = months.filter(pl.col("last") <= known.settled)
    if settled.is_empty():
        yield unsettled(SHOP, months["last"][0], known.settled)
        return
    nobody = pl.LazyFrame(schema={"customer_id": pl.String, "segment": pl.Int64})
    shop = revenue_series(known.order_lines, nobody, known.settled, known.settings.forecasting)
    days = shop.only(np.array([shop.names.index(SHOP)])).long().select("date", "value")
    came = _per_month(days).rename({"value": "came"})
    past = days.filter(pl.col("date") <= origin)
    a_year_ago = (
        _per_month(past.filter(pl.col("date") >= shop.start.replace(day=1)))
        .select(month=pl.col("month").dt.offset_by("1y"), year_ago="value")
        .filter(pl.col("month").dt.offset_by("-1y") >= shop.start)
    )
    level = past.tail(LEVEL_DAYS)["value"].to_numpy().mean()
    judged = (
        settled.join(came, on="month")
        .join(a_year_ago, on="month", how="left")
        .with_columns(rule=pl.coalesce("year_ago", level * pl.col("days")))
        .sort("month")
    )
    figures = list(of_months(*numbers(judged, "came", "value", "lo80", "hi80", "rule")))
    yield Judged(SHOP, settled["last"][-1], figures)


def _per_month(days: pl.DataFrame) -> pl.DataFrame:
    return days.group_by(month=pl.col("date").dt.truncate("1mo")).agg(pl.col("value").sum()).sort("month")
