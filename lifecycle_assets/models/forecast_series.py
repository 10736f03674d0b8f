"""Which daily series does a shop have: revenue and its parts, units per product, costs by type?

Revenue and units are those of the completed lines, guests' included; a return reduces the day on which it came back. Revenue is
divided by sales channel, category, country and customer segment; per dimension the largest parts of the last year stand
alone and the others together, so that the parts of every dimension add up to the shop to the cent. Amounts are added up exactly
before they become floating point numbers. Segments are those of tonight, all the way back; who has none is `none`.
"""

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lifecycle_assets.settings import Forecasting

KINDS = ["revenue", "units", "cost"]
WHOLE = {"revenue": "shop", "cost": "total"}
DIMENSIONS = {"channel": "sales_channel", "category": "category", "country": "country", "segment": "segment"}
MOST_DAYS = 4 * 365
YEAR = dt.timedelta(days=365)
WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True)
class DailySeries:
    """Daily series of one kind side by side, up to as_of.

    `values`: float64 (n_series, n_days), 0 on days without a row. `has_rows`: bool of the same shape, whether there was one.
    `start`: date of column 0. The whole, where the kind has one, comes first.
    """

    kind: str
    names: list[str]
    start: dt.date
    values: np.ndarray
    has_rows: np.ndarray

    @property
    def is_nonnegative(self) -> bool:
        """Costs may be negative, nothing else."""
        return self.kind != "cost"

    @property
    def n_days(self) -> int:
        return self.values.shape[1]

    def only(self, rows: np.ndarray) -> "DailySeries":
        """Some of the series, by their numbers."""
        names = [self.names[row] for row in rows]
        return replace(self, names=names, values=self.values[rows], has_rows=self.has_rows[rows])

    def long(self) -> pl.DataFrame:
        """series, date, value: every day of every series."""
        days = pl.date_range(self.start, self.start + dt.timedelta(days=self.n_days - 1), eager=True)
        return pl.DataFrame(
            {
                "series": pl.Series(np.repeat(np.array(self.names, dtype=object), self.n_days), dtype=pl.String),
                "date": pl.concat([days] * len(self.names)) if self.names else days.clear(),
                "value": self.values.ravel(),
            }
        )


def revenue_series(
    order_lines: pl.LazyFrame, segmentation_labels: pl.LazyFrame, as_of: dt.date, settings: Forecasting
) -> DailySeries:
    """The shop's revenue and its parts, `shop` first."""
    segment = pl.col("segment").cast(pl.String).replace("0", "none")
    labels = segmentation_labels.select("customer_id", segment=segment)
    lines = (
        _sales(order_lines, as_of)
        .join(labels, on="customer_id", how="left")
        .with_columns(pl.col("segment").fill_null("none"))
        .with_columns(pl.col(DIMENSIONS.values()).fill_null("unknown"))
        .group_by("date", *DIMENSIONS.values())
        .agg(pl.col("amount").sum())
        .collect()
    )
    shop = lines.group_by("date").agg(pl.col("amount").sum()).with_columns(series=pl.lit("shop"))
    parts = [_parts(lines, name, column, as_of, settings.parts) for name, column in DIMENSIONS.items()]
    columns = ["series", "date", "amount"]
    return _side_by_side("revenue", pl.concat([frame.select(columns) for frame in [shop, *parts]]), as_of)


def unit_series(order_lines: pl.LazyFrame, as_of: dt.date, settings: Forecasting) -> DailySeries:
    """Units of the products that brought most revenue in the year up to `as_of`, or of all that were sold in it."""
    lines = _sales(order_lines, as_of).filter(pl.col("product_id").is_not_null())
    sold = lines.filter(pl.col("date") > as_of - YEAR).group_by("product_id").agg(pl.col("amount").sum())
    kept = sold.filter(pl.col("amount") > 0).sort("amount", "product_id", descending=[True, False])
    if WEEKDAYS[as_of.weekday()] != settings.units.whole_catalogue_on:
        kept = kept.head(settings.units.top_products)
    daily = (
        lines.join(kept, on="product_id", how="semi")
        .group_by("date", series=pl.format("product:{}", "product_id"))
        .agg(amount=pl.col("quantity").cast(pl.Decimal(18, 4)).sum())
    )
    return _side_by_side("units", daily.collect(), as_of)


def cost_series(costs: pl.LazyFrame, as_of: dt.date, settings: Forecasting) -> DailySeries:
    """All costs and those of each type, `total` first."""
    rows = (
        costs.filter(pl.col("date") <= as_of)
        .group_by("date", cost_type=pl.col("cost_type").fill_null("unknown"))
        .agg(amount=pl.col("cost").cast(pl.Decimal(18, 4)).sum())
        .collect()
    )
    total = rows.group_by("date").agg(pl.col("amount").sum()).with_columns(series=pl.lit("total"))
    parts = _parts(rows, "cost_type", "cost_type", as_of, settings.parts)
    columns = ["series", "date", "amount"]
    return _side_by_side("cost", pl.concat([total.select(columns), parts.select(columns)]), as_of)


def orders_per_day(order_lines: pl.LazyFrame, as_of: dt.date) -> DailySeries:
    """How many orders the shop had each day: what costs follow."""
    orders = (
        _sales(order_lines, as_of)
        .filter(pl.col("quantity") > 0)
        .group_by("date")
        .agg(amount=pl.col("order_id").n_unique().cast(pl.Decimal(18, 4)))
    )
    return _side_by_side("orders", orders.with_columns(series=pl.lit("orders")).collect(), as_of)


def _sales(order_lines: pl.LazyFrame, as_of: dt.date) -> pl.LazyFrame:
    return order_lines.filter((pl.col("status") == "completed") & (pl.col("order_date") <= as_of)).rename(
        {"order_date": "date"}
    )


def _parts(rows: pl.DataFrame, dimension: str, column: str, as_of: dt.date, most: int) -> pl.DataFrame:
    """series, date, amount of the largest parts of a dimension in the last year, and of the others together."""
    largest = (
        rows.filter(pl.col("date") > as_of - YEAR)
        .group_by(column)
        .agg(pl.col("amount").sum())
        .sort(pl.col("amount").abs(), column, descending=[True, False])
        .head(most)
    )
    part = pl.when(pl.col(column).is_in(largest[column].to_list())).then(pl.col(column)).otherwise(pl.lit("other"))
    return rows.group_by("date", series=pl.format(f"{dimension}:{{}}", part)).agg(pl.col("amount").sum())


def _side_by_side(kind: str, rows: pl.DataFrame, as_of: dt.date) -> DailySeries:
    """series, date, amount -> one row of days per series: the whole first, then by name."""
    rows = rows.filter(pl.col("date") > as_of - dt.timedelta(days=MOST_DAYS))
    if rows.is_empty():
        nothing = np.zeros((0, 0))
        return DailySeries(kind, [], as_of, nothing, nothing.astype(bool))
    start = min(rows["date"])
    whole = WHOLE.get(kind, "")
    names = sorted(rows["series"].unique().to_list(), key=lambda name: (name != whole, name))
    number = pl.DataFrame({"series": names, "row": np.arange(len(names))})
    placed = rows.join(number, on="series")
    at = placed["row"].to_numpy(), (placed["date"] - start).dt.total_days().to_numpy()
    values = np.zeros((len(names), (as_of - start).days + 1))
    values[at] = placed["amount"].cast(pl.Float64).to_numpy()
    has_rows = np.zeros(values.shape, dtype=bool)
    has_rows[at] = True
    return DailySeries(kind, names, start, values, has_rows)
