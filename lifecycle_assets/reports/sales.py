"""What did customers buy lately, is it more or less than before, and why?

Windows of 30 and 90 days that end with `as_of` are held against the same number of days before, and against the same
weekdays a year (364 days) ago. Revenue counts completed lines at their own date, so that a return lowers the day it came
back; orders and buyers count purchase orders of known customers. Guests are told apart and never in a comparison.

Whether a change is more than chance: customers are what is drawn, so the interval of a relative change comes from the
spread over customers of each one's share in the log change (the delta method; it equals the bootstrap over customers to
first order; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 22). Repeat purchases of one customer are
not mistaken for independent evidence. With fewer than 10 buyers in a window no trend is called.

Why revenue changed: revenue = buyers * orders per buyer * revenue per order; the difference is split over the three
without remainder by the logarithmic mean (LMDI; Ang, Energy Policy 33, 2005).
"""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.confidence import CONFIDENCE, Z
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Row
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

SHORT, LONG, YEAR = 30, 90, 364
FEW_BUYERS = 10
WEEKS = 52
# Each figure is a product of powers of what is summed per customer.
FIGURES: dict[str, tuple[str, dict[str, int]]] = {
    "revenue": ("currency", {"revenue": 1}),
    "orders": ("orders", {"orders": 1}),
    "buyers": ("customers", {"buyers": 1}),
    "ticket": ("currency", {"revenue": 1, "orders": -1}),
    "frequency": ("ratio", {"orders": 1, "buyers": -1}),
}
DRIVERS = ("buyers", "frequency", "ticket")
Totals = dict[str, Decimal | int]


READS = (OrderLines, Orders)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    return sales(tables[OrderLines], tables[Orders], as_of)


def sales(order_lines: pl.LazyFrame, orders: pl.LazyFrame, as_of: dt.date) -> Facts:
    """Revenue, orders, buyers, average order and orders per buyer of the last 30 and 90 days, compared.

    order_lines: raw.order_lines; orders: features.orders. Facts
    `sales.<days>d.<figure>` with comparisons `before` and `year`, `sales.<days>d.guest_revenue` and `.guest_orders`,
    `why.<driver>` in currency, `weekly.highest|lowest|latest`; table `weekly_revenue`.
    """
    lines = order_lines.filter(pl.col("status") == "completed", pl.col("order_date") <= as_of)
    reach = lines.select(
        pl.col("order_date").min().alias("first"), pl.col("order_date").max().alias("last"), pl.len().alias("lines")
    ).collect(engine="streaming")
    first, last, n_lines = reach.row(0)
    totals, customers = _per_customer(lines, orders, as_of)
    facts = [
        Fact("as_of", as_of, "date"),
        Fact("data.first", first, "date", n_lines),
        Fact("data.last", last, "date", n_lines),
        Fact("data.age", (as_of - last).days if last else None, "days"),
        Fact("method.confidence", CONFIDENCE, "share"),
        Fact("method.few", FEW_BUYERS, "customers"),
        Fact("period.short", SHORT, "days"),
        Fact("period.long", LONG, "days"),
        Fact("period.year", YEAR, "days"),
        Fact("period.weeks", WEEKS, "weeks"),
    ]
    for days in (SHORT, LONG):
        reaches = {
            "before": first is not None and first <= as_of - dt.timedelta(days=2 * days - 1),
            "year": first is not None and first <= as_of - dt.timedelta(days=YEAR + days - 1),
        }
        for name, (unit, powers) in FIGURES.items():
            now = f"{days}d.now"
            comparisons = {
                other: _compare(totals, customers, powers, now, f"{days}d.{other}")
                for other in reaches
                if reaches[other]
            }
            behind = totals[f"{now}.buyers" if "buyers" in powers else f"{now}.orders"]
            facts.append(Fact(f"sales.{days}d.{name}", _figure(totals, powers, now), unit, int(behind), comparisons))
        facts += _guests(lines, as_of, days)
    weeks = _weekly(lines, as_of)
    return Facts([*facts, *_why(totals), *_weeks(weeks)], {"weekly_revenue": weeks})


def _windows(as_of: dt.date) -> dict[str, tuple[dt.date, dt.date]]:
    """Name -> first and last day."""
    back = {f"{d}d.{name}": (d, shift) for d in (SHORT, LONG) for name, shift in _shifts(d).items()}
    return {
        name: (as_of - dt.timedelta(days=shift + days - 1), as_of - dt.timedelta(days=shift))
        for name, (days, shift) in back.items()
    }


def _shifts(days: int) -> dict[str, int]:
    return {"now": 0, "before": days, "year": YEAR}


def _per_customer(lines: pl.LazyFrame, orders: pl.LazyFrame, as_of: dt.date) -> tuple[Totals, dict[str, np.ndarray]]:
    """Exact totals per window, and per customer the same as floats in a stable order."""
    windows = _windows(as_of)
    inside = {name: pl.col("order_date").is_between(first, last) for name, (first, last) in windows.items()}
    earliest = min(first for first, _ in windows.values())
    recent = pl.col("order_date").is_between(earliest, as_of)
    spent = (
        lines.filter(recent, pl.col("customer_id").is_not_null())
        .group_by("customer_id")
        .agg(pl.col("amount").filter(days).sum().alias(f"{name}.revenue") for name, days in inside.items())
    )
    bought = (
        orders.filter(recent, pl.col("is_purchase"), pl.col("customer_id").is_not_null())
        .group_by("customer_id")
        .agg(days.sum().cast(pl.Int64).alias(f"{name}.orders") for name, days in inside.items())
    )
    both = (
        spent.join(bought, on="customer_id", how="full", coalesce=True)
        .with_columns(pl.col(f"{name}.{column}").fill_null(0) for name in windows for column in ("revenue", "orders"))
        .with_columns((pl.col(f"{name}.orders") > 0).cast(pl.Int64).alias(f"{name}.buyers") for name in windows)
        # Sums of floats depend on their order: a stable one keeps repeated runs identical.
        .sort("customer_id")
        .drop("customer_id")
        .collect(engine="streaming")
    )
    totals = both.sum().row(0, named=True)
    return totals, {name: both[name].cast(pl.Float64).to_numpy() for name in both.columns}


def _figure(totals: Totals, powers: dict[str, int], window: str) -> Decimal | int | float | None:
    """revenue, or revenue / orders ..., null where the divisor is 0."""
    above: Any
    (above,) = [totals[f"{window}.{column}"] for column, power in powers.items() if power > 0]
    below = [totals[f"{window}.{column}"] for column, power in powers.items() if power < 0]
    if not below:
        return above
    if not below[0]:
        return None
    if isinstance(above, Decimal):
        return (above / below[0]).quantize(Decimal("0.0001"))
    return round(above / below[0], 6)


def _compare(
    totals: Totals, customers: dict[str, np.ndarray], powers: dict[str, int], now: str, other: str
) -> Comparison:
    new, old = _figure(totals, powers, now), _figure(totals, powers, other)
    difference = None if new is None or old is None else new - old  # ty: ignore[unsupported-operator]
    sums = [float(totals[f"{window}.{column}"]) for window in (now, other) for column in powers]
    if min(sums) <= 0 or min(int(totals[f"{window}.buyers"]) for window in (now, other)) < FEW_BUYERS:
        return Comparison(old, difference, "few")
    log_change = 0.0
    spread = np.zeros(len(next(iter(customers.values()))))
    for window, sign in ((now, 1), (other, -1)):
        for column, power in powers.items():
            total = float(totals[f"{window}.{column}"])
            log_change += sign * power * math.log(total)
            spread += sign * power * customers[f"{window}.{column}"] / total
    error = math.sqrt(float(np.square(spread).sum()))
    lo, hi = (math.expm1(log_change + side * Z * error) for side in (-1, 1))
    verdict = "rising" if lo > 0 else "falling" if hi < 0 else "flat"
    return Comparison(old, difference, verdict, *(round(x, 6) for x in (math.expm1(log_change), lo, hi)))


def _why(totals: Totals) -> list[Fact]:
    """The difference of the last 30 days' revenue from the 30 before, split over its three factors; sums to it."""
    now, before = (
        [float(totals[f"{SHORT}d.{shift}.{name}"]) for name in ("buyers", "orders", "revenue")]
        for shift in ("now", "before")
    )
    if min(*now, *before) <= 0:
        return [Fact(f"why.{name}", None, "currency") for name in DRIVERS]
    buyers, orders, revenue = (math.log(new / old) for new, old in zip(now, before, strict=True))
    mean = (now[-1] - before[-1]) / revenue if revenue else now[-1]
    split = (mean * buyers, mean * (orders - buyers), mean * (revenue - orders))
    return [
        Fact(f"why.{name}", Decimal(str(round(value, 4))), "currency", int(now[1]))
        for name, value in zip(DRIVERS, split, strict=True)
    ]


def _guests(lines: pl.LazyFrame, as_of: dt.date, days: int) -> list[Fact]:
    since = as_of - dt.timedelta(days=days - 1)
    bought = lines.filter(pl.col("customer_id").is_null(), pl.col("order_date") >= since)
    revenue, orders = (
        bought.select(
            pl.col("amount").sum(),
            pl.col("order_id").filter(pl.col("quantity") > 0).n_unique().cast(pl.Int64),
        )
        .collect(engine="streaming")
        .row(0)
    )
    return [
        Fact(f"sales.{days}d.guest_revenue", revenue, "currency", orders),
        Fact(f"sales.{days}d.guest_orders", orders, "orders", orders),
    ]


def _weekly(lines: pl.LazyFrame, as_of: dt.date) -> list[Row]:
    """Revenue of each of the last 52 whole weeks that end with as_of, oldest first; weeks before the data are left out."""
    since = as_of - dt.timedelta(days=7 * WEEKS - 1)
    weeks = (
        lines.filter(pl.col("order_date") >= since)
        .group_by(((pl.lit(as_of) - pl.col("order_date")).dt.total_days() // 7).alias("weeks_ago"))
        .agg(
            pl.col("amount").filter(pl.col("customer_id").is_not_null()).sum().alias("revenue"),
            pl.col("amount").filter(pl.col("customer_id").is_null()).sum().alias("guest_revenue"),
            pl.col("order_date").min().alias("first_day"),
        )
        .collect(engine="streaming")
    )
    if weeks.is_empty():
        return []
    # A first week that the data only reaches into would look like a fall.
    oldest, first_day = weeks.sort("weeks_ago").select("weeks_ago", "first_day").row(-1)
    whole = first_day == as_of - dt.timedelta(days=7 * int(oldest) + 6) or oldest == 0
    ago = pl.DataFrame({"weeks_ago": range(int(oldest) if whole else int(oldest) - 1, -1, -1)}, {"weeks_ago": pl.Int64})
    ending = (pl.lit(as_of) - pl.duration(days=7 * pl.col("weeks_ago"))).alias("week_ending")
    return (
        ago.join(weeks, on="weeks_ago", how="left")
        .sort("weeks_ago", descending=True)
        .select(ending, pl.col("revenue").fill_null(0), pl.col("guest_revenue").fill_null(0))
        .to_dicts()
    )


def _weeks(rows: list[Row]) -> list[Fact]:
    """The week of most, the week of least and the latest customer revenue; the earlier one where two are equal."""
    if not rows:
        return []
    chosen = {
        "highest": max(rows, key=lambda row: row["revenue"]),
        "lowest": min(rows, key=lambda row: row["revenue"]),
        "latest": rows[-1],
    }
    return [
        fact
        for name, row in chosen.items()
        for fact in (
            Fact(f"weekly.{name}", row["revenue"], "currency", len(rows)),
            Fact(f"weekly.{name}.week", row["week_ending"], "date", len(rows)),
        )
    ]
