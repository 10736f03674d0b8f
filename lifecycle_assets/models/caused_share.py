"""Of the orders that the shop ascribes to a programme's messages, which share did the messages cause?

The experiment of the programme tells: its holdout shows how many orders more the treated placed (metric orders of
models.experiment_results, with CUPED, intention to treat), and the messages tell how many orders are ascribed to them. The
ratio is measured with the error of both (delta method; orders ascribed are counted, so that their variance is their number).

What is believed of it is drawn towards what was believed before and towards the other experiments, by how uncertain each is
(see experiment_statistics.shrunk): the measured ratio of the winner of many is too high, as is every one that was looked at
because it is high. Shares are compared and not effects, since programmes that write to few bring little and may be as good.
What was believed before counts like one more share measured with the error of PRIOR_ERROR, that of a share of which nothing is
known; shares do not differ by more than that. Of an experiment that has measured nothing the mean of all is believed.

Both are counted over one span: from the experiment's start, or from the later day since when all of its messages are known.
Of a message that is known no more the orders would be counted as brought and not as ascribed.

An experiment without ascribed orders, or whose arms are not as large as configured, has measured nothing: the note says so.
Where several programmes share an experiment their share is one. Where a layer leaves customers out, their orders are as well.
"""

import datetime as dt
import math

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import as_of_column, count, date, key, number, shop_key, table, text
from lifecycle_assets.days import end_of
from lifecycle_assets.models.experiment_results import ALARM, ALL, orders_brought
from lifecycle_assets.models.experiment_statistics import shrunk
from lifecycle_assets.models.message_evidence import delivered
from lifecycle_assets.settings import Shop

PRIOR_ERROR = math.sqrt(1 / 12)
ANYTHING = 1e6


@table("models.caused_share", history=True, needs=("raw.engagement",))
class CausedShare(dy.Schema):
    """Per running experiment: orders ascribed to its messages, orders that it brought, and the one as a share of the other,
    from which decisions tell what a message is worth."""

    shop_id = shop_key()
    as_of = as_of_column()
    experiment = key("The experiment.")
    since = date("Day since when both are counted: its start, or the first day whose messages are all known.")
    ascribed = count("Messages to the treated, sent since then, with an order ascribed to them.", "messages")
    incremental = number("Orders that it brought since then, as in models.experiment_results.", "orders", nullable=True)
    measured = number("incremental / ascribed; beyond 0 and 1 by chance.", "share", nullable=True)
    error = number("Standard error of measured.", "share", nullable=True, minimum=0)
    note = text("Why nothing is measured.")


def caused_share(
    results: pl.LazyFrame,
    assignments: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    experiments: pl.LazyFrame,
    *,
    shop: Shop,
    as_of: dt.date,
    messages_since: dt.date | None,
) -> pl.DataFrame:
    """One row of `CausedShare` per experiment of `results` (models.experiment_results), sorted by it.

    `assignments` is dispatch.assignments, `orders` features.orders, `engagement` and `order_lines` are the raw tables of
    profiles, `experiments` holds message_id and experiment of our own messages, all of those sent since `messages_since` (None:
    all). Orders are ascribed as in models.message_evidence, but up to `as_of`,
    however young the message: those that it brought are counted up to then as well.
    """
    whole = results.filter((pl.col("variant") == ALL) & (pl.col("metric") == "orders")).collect()
    since = max(messages_since or dt.date.min, _first_day(engagement, shop.timezone) or dt.date.min)
    counted = _counted_since(since, whole, assignments, orders, as_of)
    since_of = dict(counted.select("experiment", "since").rows())
    treated = assignments.filter(pl.col("arm") == "treatment").select("experiment", "customer_id")
    ascribed = (
        _ascribing(engagement, order_lines, shop, as_of)
        .join(experiments, on="message_id")
        .join(treated, on=["experiment", "customer_id"])
        .filter(pl.col("sent_on") >= pl.col("experiment").replace_strict(since_of, default=None, return_dtype=pl.Date))
        .group_by("experiment")
        .agg(ascribed=pl.len())
    )
    answered, n = pl.col("ascribed"), pl.col("n_treated")
    total_error = (pl.col("cuped_hi") - pl.col("cuped_lo")) / (2 * Z) * n
    measured = pl.col("incremental") / answered
    reason = (
        pl.when(answered == 0)
        .then(pl.lit("No order is ascribed to its messages yet."))
        .when(pl.col("mismatch_p") < ALARM)
        .then(pl.lit("Its arms are not as large as configured."))
        .when(~(total_error > 0).fill_null(value=False))
        .then(pl.lit("Too few customers or orders in an arm."))
    )
    told = (
        counted.lazy()
        .join(ascribed, on="experiment", how="left")
        .with_columns(pl.col("ascribed").fill_null(0), incremental=pl.col("cuped") * n)
        .with_columns(
            note=reason, measured=measured, error=((total_error / answered) ** 2 + measured.pow(2) / answered).sqrt()
        )
        .with_columns(pl.when(pl.col("note").is_null()).then(pl.col("measured", "error")))
    )
    return CausedShare.conform(told).sort("experiment").collect()


def believed(prior: float, measured: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float]:
    """The share that each experiment's messages cause, and that of one which has measured nothing: what was `measured` with
    which `error`, beside the `prior` and beside each other."""
    from scipy.stats import truncnorm

    # The last one has measured nothing: any value with any error.
    values, errors = np.append(measured, [prior, prior]), np.append(error, [PRIOR_ERROR, ANYTHING])
    middle, deviation = shrunk(values, errors, most=PRIOR_ERROR)
    # A share lies between none and all.
    inside = truncnorm.mean(-middle / deviation, (1 - middle) / deviation, middle, deviation)
    return inside[:-2], float(inside[-1])


def _first_day(engagement: pl.LazyFrame, timezone: str) -> dt.date | None:
    """The local day of the first message that the input tells of."""
    return engagement.select(pl.col("sent_at").min().dt.convert_time_zone(timezone).dt.date()).collect().item()


def _counted_since(
    since: dt.date, whole: pl.DataFrame, assignments: pl.LazyFrame, orders: pl.LazyFrame, as_of: dt.date
) -> pl.DataFrame:
    """The rows of `whole` with `since`; where that is later than the start, with the effect since then."""
    later = []
    for experiment, start in whole.filter(pl.col("started_on") < since).select("experiment", "started_on").rows():
        arms = assignments.filter(pl.col("experiment") == experiment)
        effect = orders_brought(arms, orders, start, since, as_of)
        if effect is not None:
            later.append(
                {"experiment": experiment, "cuped": effect.value, "cuped_lo": effect.lo, "cuped_hi": effect.hi}
            )
    columns = ["experiment", "cuped", "cuped_lo", "cuped_hi"]
    effects = pl.DataFrame(later, schema=whole.select(columns).schema)
    return whole.with_columns(since=pl.max_horizontal("started_on", pl.lit(since))).update(effects, on="experiment")


def _ascribing(engagement: pl.LazyFrame, order_lines: pl.LazyFrame, shop: Shop, as_of: dt.date) -> pl.LazyFrame:
    """message_id, customer_id, sent_on of the messages to which an order up to `as_of` is ascribed."""
    end = end_of(as_of, shop.timezone)
    by_now = engagement.filter(pl.col("sent_at") < end).with_columns(
        pl.when(pl.col("converted_at") < end).then("converted_at").alias("converted_at")
    )
    settled = as_of + dt.timedelta(days=shop.routing.posteriors.response_days)
    messages = delivered(by_now, order_lines.filter(pl.col("ordered_at") < end), as_of=settled, shop=shop)
    return messages.filter("ordered").select("message_id", "customer_id", "sent_on")
