"""What did the last day bring, and is that usual for the weekday? What did those order who heard of the shop the night before?

What is usual is told by the same weekday in the eight weeks before: the 95 % prediction range of one more such day, Student's
t with the spread of the eight or that of a Poisson count, whichever is wider (Hahn and Meeker, Statistical Intervals, 1991,
ch. 4). With fewer than ten orders on the eight days, or without eight weeks of data, nothing is called usual.
"""

import datetime as dt
import math

import polars as pl

from lifecycle_assets.dispatch.ledger import Ledger, undone
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.reports.facts import Comparison, Fact, Facts, Verdict
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

WEEKS = 8
FEW_ORDERS = 10
# Student's t at 97.5 % with WEEKS - 1 degrees of freedom.
T = 2.364624

READS = (Orders, Ledger)


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    return last_day(tables[Orders], tables[Ledger], as_of)


def last_day(orders: pl.LazyFrame, ledger: pl.LazyFrame, as_of: dt.date) -> Facts:
    """Purchase orders of known customers on `as_of`, and what became of the messages of the night before.

    orders: features.orders; ledger: dispatch.ledger of all nights. Facts `day.orders` with comparison `usual`, `day.usual`
    (its `lo` and `hi` are the range, where there is one), `day.weeks`, `day.sent` (customers who were sent a message the
    night before) and `day.sent.orders` (theirs since).
    """
    bought = orders.filter("is_purchase", pl.col("customer_id").is_not_null(), pl.col("order_date") <= as_of)
    counts = _same_weekday(bought, as_of)
    today, before = counts[0], counts[1:]
    first = bought.select(pl.col("order_date").min()).collect(engine="streaming").item()
    reaches = first is not None and first <= as_of - dt.timedelta(weeks=WEEKS)
    mean = sum(before) / WEEKS
    verdict: Verdict = "none" if not reaches else "few" if sum(before) < FEW_ORDERS else "flat"
    lo = hi = None
    if verdict == "flat":
        lo, hi = _range(before)
        verdict = "rising" if today > hi else "falling" if today < lo else "flat"
    usual = Comparison(mean, today - mean, verdict)
    sent, theirs = _sent(bought, ledger, as_of)
    return Facts(
        [
            Fact("day.orders", today, "orders", sum(before), {"usual": usual}),
            Fact("day.usual", mean, "orders", sum(before), lo=lo, hi=hi),
            Fact("day.weeks", WEEKS, "weeks"),
            Fact("day.sent", sent, "customers"),
            Fact("day.sent.orders", theirs, "orders", sent),
        ]
    )


def _same_weekday(bought: pl.LazyFrame, as_of: dt.date) -> list[int]:
    """Orders on as_of, a week before, two weeks before ..."""
    days = [as_of - dt.timedelta(weeks=back) for back in range(WEEKS + 1)]
    found = (
        bought.filter(pl.col("order_date").is_in(days))
        .group_by("order_date")
        .agg(pl.len().cast(pl.Int64))
        .collect(engine="streaming")
    )
    counts = dict(found.iter_rows())
    return [counts.get(day, 0) for day in days]


def _range(before: list[int]) -> tuple[int, int]:
    """The whole numbers in which one more such day would lie."""
    mean = sum(before) / WEEKS
    variance = sum((count - mean) ** 2 for count in before) / (WEEKS - 1)
    reach = T * math.sqrt(max(variance, mean) * (1 + 1 / WEEKS))
    return max(0, math.ceil(mean - reach)), math.floor(mean + reach)


def _sent(bought: pl.LazyFrame, ledger: pl.LazyFrame, as_of: dt.date) -> tuple[int, int]:
    """Customers who were sent a message the night before, and their orders since."""
    heard = (
        ledger.filter(pl.col("as_of") == as_of - dt.timedelta(days=1), event="exported")
        .join(undone(ledger), on="idempotency_key", how="anti")
        .select(pl.col("customer_id").unique())
    )
    since = bought.filter(pl.col("order_date") == as_of).join(heard, on="customer_id", how="semi")
    sent, orders = pl.collect_all([heard.select(pl.len()), since.select(pl.len())], engine="streaming")
    return sent.item(), orders.item()
