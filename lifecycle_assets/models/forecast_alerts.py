"""Has what came left what was forecast?

The last two weeks of every series are held against the 95 % intervals of a forecast made before them: the latest night that is
at least two weeks old. A series whose every day lay outside raises an alert: its nature has changed, and its forecast should
not be trusted until the next race. Days of which nothing is known (see forecast_preparation) count as inside. No rows until
there is a forecast of that age.
"""

import datetime as dt
from collections.abc import Sequence

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, shop_key, table, text
from lifecycle_assets.models.forecast_preparation import known
from lifecycle_assets.models.forecast_series import KINDS, DailySeries

DAYS = 14


@table("models.forecast_alerts")
class ForecastAlerts(dy.Schema):
    """The last two weeks of every series beside what was forecast before them."""

    shop_id = shop_key()
    as_of = as_of_column()
    kind = dy.String(primary_key=True, check=lambda c: c.is_in(KINDS), description=f"One of: {', '.join(KINDS)}.")
    series = key("The series: shop, channel:web, product:P-1 ...")
    forecast_as_of = date("The night of the forecast.")
    actual = number("What the days brought of which something is known.", "currency or units")
    expected = number("What was forecast for these days.", "currency or units")
    days_outside = count("Days outside the 95 % interval.", "days", maximum=DAYS)
    direction = text("Where the days outside lay.", values=["above", "below", "both"])
    is_alert = flag("All days of the two weeks lay outside.")
    interpretation = text("The row in words.", nullable=False)


def forecast_alerts(
    kinds: Sequence[DailySeries], past: pl.LazyFrame | None, *, shop: str, as_of: dt.date
) -> pl.DataFrame:
    """One row per series. `past`: models.forecast_daily of the night to be held to account, or None."""
    if past is None or not any(series.names for series in kinds):
        return ForecastAlerts.empty()
    actual = pl.concat([_last_days(series) for series in kinds if series.names])
    forecast = past.select(
        "kind", "series", "date", pl.col("value", "lo95", "hi95").cast(pl.Float64), forecast_as_of="as_of"
    )
    days = actual.join(forecast.collect(), on=["kind", "series", "date"]).sort("kind", "series", "date")
    above, below = pl.col("actual") > pl.col("hi95"), pl.col("actual") < pl.col("lo95")
    rows = days.group_by("kind", "series", maintain_order=True).agg(
        pl.col("forecast_as_of").first(),
        pl.col("actual").sum(),
        expected=pl.col("value").sum(),
        above=above.sum(),
        below=below.sum(),
    )
    outside = pl.col("above") + pl.col("below")
    rows = rows.with_columns(
        shop_id=pl.lit(shop),
        as_of=pl.lit(as_of),
        days_outside=outside,
        direction=pl.when((pl.col("above") > 0) & (pl.col("below") > 0)).then(pl.lit("both"))
        .when(pl.col("above") > 0).then(pl.lit("above"))
        .when(pl.col("below") > 0).then(pl.lit("below")),
        is_alert=outside == DAYS,
        interpretation=pl.format(
            f"{{}} of the last {DAYS} days outside the 95 % interval of {{}}: {{}} came, {{}} were expected",
            outside, "forecast_as_of", pl.col("actual").round(2), pl.col("expected").round(2),
        ),
    )  # fmt: skip
    return ForecastAlerts.conform(rows.lazy()).collect()


def _last_days(series: DailySeries) -> pl.DataFrame:
    """kind, series, date, actual of the last two weeks, without days of which nothing is known."""
    short = known(series).values[:, -DAYS:]
    first = series.start + dt.timedelta(days=series.n_days - short.shape[1])
    days = pl.date_range(first, series.start + dt.timedelta(days=series.n_days - 1), eager=True)
    return pl.DataFrame(
        {
            "kind": [series.kind] * short.size,
            "series": pl.Series(np.repeat(np.array(series.names, dtype=object), short.shape[1]), dtype=pl.String),
            "date": pl.concat([days] * len(series.names)),
            "actual": pl.Series(short.ravel()).fill_nan(None),
        }
    ).drop_nulls("actual")
