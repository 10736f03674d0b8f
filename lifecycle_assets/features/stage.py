"""In which stage of its life is each customer, since when, and what came before?

    new       one order so far, placed within the last new_days
    active    within the customer's own rhythm
    at_risk   at_risk_factor times the expected gap has passed since the last purchase
    lapsed    lapsed_factor times has passed
    won_back  bought again within the last won_back_days, having been lapsed on the day before

The first of new, lapsed, at_risk, won_back, active that holds is the stage. A day is one occasion: gaps are days between
distinct purchase days, the customer's and the shop's alike, so that several orders on one day are no gaps of 0. The
expected gap is the median of the customer's gaps, shrunk to the shop's median gap in proportion to how few they are:
(n * own + prior * shop) / (n + prior). The stage on a day uses what was known on that day, gaps that had ended by then: a
stage once shown is not rewritten by what others buy later, and a stage may move without a purchase when the shop's rhythm
is re-estimated (a young shop has seen only short gaps end). A changed history (a refund) re-derives it.
Before the shop has seen anyone come back on another day no gap is expected: nobody is at risk, and a customer lapses after
winback_max_days, unless at_risk_days or lapsed_days say otherwise.
"""

import datetime as dt
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.contracts import count, date, flag, number, table, text
from lifecycle_assets.features.per_customer import KEY, PerCustomer
from lifecycle_assets.settings import Stage

STAGES = ["new", "active", "at_risk", "lapsed", "won_back"]
EPOCH = dt.date(1970, 1, 1)


@table("features.lifecycle_stage", history=True)
class LifecycleStage(PerCustomer):
    """The stage of each customer's life, since when, and the stage before."""

    stage = text("Stage at the end of as_of.", nullable=False, values=STAGES)
    since = date("First day of this stage.")
    previous_stage = text("Stage before; null when there was none.", values=STAGES)
    recency_days = count("as_of - last purchase.", "days")
    expected_gap_days = number(
        "Expected days between purchase days; null while nobody of the shop has come back on another day.",
        "days",
        nullable=True,
        minimum=0,
    )
    at_risk_after_days = count("At risk when the last purchase is longer ago than this.", "days")
    lapsed_after_days = count("Lapsed when the last purchase is longer ago than this.", "days")
    is_cold = flag("The last purchase is longer ago than winback_max_days.")


def lifecycle_stage(orders: pl.LazyFrame, shop: str, as_of: dt.date, settings: Stage) -> pl.DataFrame:
    """The row of each customer with a purchase on or before `as_of`, ordered by customer_id.

    `orders` has customer_id, order_date and is_purchase (features.orders).
    """
    lives = _live(orders, as_of, settings)
    if lives is None:
        return LifecycleStage.empty()
    last = lives.last_interval
    before = last - 1
    # A customer's first interval has none before it: what stands there belongs to another customer.
    has_before = (before >= 0) & (lives.interval_customer[before] == lives.interval_customer[last])
    previous = pl.Series(lives.interval_stage[before]).set(pl.Series(~has_before), None)
    recency = lives.today - lives.last_day
    return pl.DataFrame(
        {
            "customer_id": lives.customers,
            "stage": _name(pl.Series(lives.interval_stage[last])),
            "since": _date(lives.first_date, lives.interval_since[last]),
            "previous_stage": _name(previous),
            "recency_days": recency,
            "expected_gap_days": pl.Series(lives.expected_gap).fill_nan(None),
            "at_risk_after_days": lives.at_risk_after,
            "lapsed_after_days": lives.lapsed_after,
            "is_cold": recency > settings.winback_max_days,
        }
    ).select(pl.lit(shop).alias(KEY[0]), pl.lit(as_of).alias(KEY[1]), pl.all())


def stage_timeline(orders: pl.LazyFrame, as_of: dt.date, settings: Stage) -> pl.DataFrame:
    """Every customer's stages from their first purchase to `as_of`, without gap or overlap.

    Columns customer_id, stage, since and until (both days inclusive), ordered by customer_id and since. Two intervals that
    follow each other differ in stage. On any day the timeline agrees with `lifecycle_stage` of that day.
    """
    lives = _live(orders, as_of, settings)
    if lives is None:
        return pl.DataFrame(schema={"customer_id": pl.String, "stage": pl.String, "since": pl.Date, "until": pl.Date})
    until = np.empty_like(lives.interval_since)
    until[:-1] = lives.interval_since[1:] - 1
    until[lives.last_interval] = lives.today
    return pl.DataFrame(
        {
            "customer_id": lives.customers.gather(lives.interval_customer),
            "stage": _name(pl.Series(lives.interval_stage)),
            "since": _date(lives.first_date, lives.interval_since),
            "until": _date(lives.first_date, until),
        }
    )


class _Lives(NamedTuple):
    """Customers in order, the intervals of all of them one after the other, and what holds at the end; days are counted
    from `first_date`."""

    customers: pl.Series
    first_date: dt.date
    today: int
    last_day: np.ndarray
    interval_customer: np.ndarray
    interval_stage: np.ndarray
    interval_since: np.ndarray
    last_interval: np.ndarray
    expected_gap: np.ndarray
    at_risk_after: np.ndarray
    lapsed_after: np.ndarray


def _live(orders: pl.LazyFrame, as_of: dt.date, settings: Stage) -> _Lives | None:
    purchase_days = (
        orders.filter(pl.col("is_purchase") & (pl.col("order_date") <= as_of))
        .select("customer_id", "order_date")
        .sort("customer_id", "order_date")
        .with_columns(one_order=pl.any_horizontal(pl.all().ne_missing(pl.all().shift(-1))))
        .filter(
            pl.any_horizontal(
                pl.col("customer_id", "order_date").ne_missing(pl.col("customer_id", "order_date").shift())
            )
        )
        .collect()
    )
    if purchase_days.is_empty():
        return None
    # Numba takes a third of a second to import and most processes never derive a stage.
    from lifecycle_assets.features import stage_kernel

    dates = purchase_days["order_date"].to_physical().to_numpy()
    first_date = EPOCH + dt.timedelta(days=int(dates.min()))
    today = (as_of - first_date).days
    days = dates - dates.min()
    is_first = purchase_days["customer_id"].ne_missing(purchase_days["customer_id"].shift(1)).to_numpy()
    firsts = np.flatnonzero(is_first)
    starts = np.append(firsts, days.size)

    gaps = np.diff(days, prepend=0)[~is_first]
    ends = days[~is_first]
    by_end = np.argsort(ends, kind="stable")
    longest = int(gaps.max(initial=0))
    shop_median = stage_kernel.medians_by_day(ends[by_end], gaps[by_end], today, longest)
    # The shop's median moves on few days: the days from which each of its values holds, and the day after the last.
    steps = np.flatnonzero(pl.Series(shop_median).ne_missing(pl.Series(shop_median).shift()).to_numpy())

    risk_at_most = stage_kernel.NEVER if settings.at_risk_days is None else settings.at_risk_days
    lapse_at_most = stage_kernel.NEVER if settings.lapsed_days is None else settings.lapsed_days
    who, stage, since, last, expected, at_risk_after, lapsed_after = stage_kernel.stages(
        starts,
        days,
        purchase_days["one_order"].to_numpy()[firsts],
        shop_median[steps],
        np.append(steps, today + 1),
        longest,
        settings.gap_prior_orders,
        (settings.at_risk_factor, settings.lapsed_factor),
        (risk_at_most, lapse_at_most),
        settings.new_days,
        settings.won_back_days,
        settings.winback_max_days,
    )
    return _Lives(
        purchase_days["customer_id"].gather(firsts),
        first_date,
        today,
        days[starts[1:] - 1],
        who,
        stage,
        since,
        last,
        expected,
        at_risk_after,
        lapsed_after,
    )


def _name(codes: pl.Series) -> pl.Series:
    return codes.replace_strict(list(range(len(STAGES))), STAGES, return_dtype=pl.String)


def _date(first_date: dt.date, days: np.ndarray) -> pl.Series:
    start = (first_date - EPOCH).days
    return pl.Series(days + start).cast(pl.Int32).cast(pl.Date)
