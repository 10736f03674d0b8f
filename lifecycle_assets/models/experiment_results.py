"""What did each experiment's messages earn that would not have been earned without them?

Everyone who is assigned counts, written to or not (intention to treat), from the experiment's start, the day of its first
message to the arms as they are drawn tonight, or, where that is later, from the day after the customer's first purchase. The
arms are compared by what each customer then did: Welch's interval, the same less what the BEFORE days before explain (CUPED),
and the interval that may be looked at every night (see experiment_statistics). q values hold the false discovery rate over all
rows of the night, of the effect by CUPED where there is one; `shrunk` is the effect as it should be believed beside those of
the other experiments.

The sentence takes an effect for shown only where the interval for every night leaves 0 out and the q value is SURE or less:
by the interval for one night every third experiment that does nothing would be called one that does, sooner or later.

Of an experiment with variants each variant is compared with those held out as well, and each but the first with the first.
Beside each other, for `shrunk`, are the experiments as wholes, the variants of all, and the differences between variants.

An experiment of which no message went out yet has no rows; with fewer than two customers in an arm the figures are null and
the note says so.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, share, shop_key, table, text
from lifecycle_assets.models.experiment_statistics import (
    Arm,
    Estimate,
    cuped,
    detectable,
    difference,
    false_discovery,
    mismatch,
    power,
    ratio,
    relative,
    sequential,
    shrunk,
)
from lifecycle_assets.settings import Shop

BEFORE = 90
PLANNED_DAYS = 28
ALARM = 0.001
SURE = 0.05
ALL, HOLDOUT = "all", "holdout"
# Metric -> its unit; the order is that of the measures per customer.
METRICS = {"revenue": "currency", "margin": "currency", "orders": "orders", "buyers": "share", "unsubscribed": "share"}
ORDER_VALUE = "order_value"
GUARDRAILS = ("unsubscribed",)


@table("models.experiment_results", history=True)
class ExperimentResults(dy.Schema):
    """The effect of each running experiment, and of each of its variants, on each metric: treated less control, per assigned
    customer, with intervals."""

    shop_id = shop_key()
    as_of = as_of_column()
    experiment = key("The experiment.")
    variant = key("Who is called treated: all who were not held out, or those of one variant.")
    control = key("Whom they are compared with: holdout, or another variant.")
    metric = dy.String(
        primary_key=True,
        check=lambda c: c.is_in([*METRICS, ORDER_VALUE]),
        description="revenue, margin, orders, buyers (share of customers who bought), unsubscribed (share), per customer; "
        "order_value: revenue per order.",
    )
    is_guardrail = flag("It must not get worse; it is no aim.")
    started_on = date("Day of the first message to the arms as they are drawn tonight.")
    days = count("Days from then to as_of.", "days", minimum=1)
    n_treated = count("Customers assigned to the treatment.", "customers")
    n_control = count("Customers assigned to the control.", "customers")
    mean_treated = number("Mean of the treated.", "metric", nullable=True)
    mean_control = number("Mean of the control.", "metric", nullable=True)
    difference = number("Treated less control.", "metric", nullable=True)
    lo = number("Lower end of its 95 % interval.", "metric", nullable=True)
    hi = number("Upper end of its 95 % interval.", "metric", nullable=True)
    p_value = share("Two-sided, Welch.", nullable=True)
    q_value = share(
        "Two-sided, of cuped (of order_value: of difference), the false discovery rate held over all rows.",
        nullable=True,
    )
    relative = number("Difference over the mean of the control.", "share", nullable=True)
    relative_lo = number("Lower end of its 95 % interval.", "share", nullable=True)
    relative_hi = number("Upper end of its 95 % interval.", "share", nullable=True)
    cuped = number("Difference less what the time before explains.", "metric", nullable=True)
    cuped_lo = number("Lower end of its 95 % interval.", "metric", nullable=True)
    cuped_hi = number("Upper end of its 95 % interval.", "metric", nullable=True)
    variance_saved = number("Share of the variance that CUPED takes away.", "share", nullable=True, maximum=1)
    sequential_lo = number("Lower end of the interval that holds at every nightly look.", "metric", nullable=True)
    sequential_hi = number("Upper end of that interval.", "metric", nullable=True)
    shrunk = number("The effect beside those of the others: what to expect of it from now on.", "metric", nullable=True)
    total = number("cuped times the treated customers: what the experiment brought.", "metric", nullable=True)
    total_lo = number("Lower end of its 95 % interval.", "metric", nullable=True)
    total_hi = number("Upper end of its 95 % interval.", "metric", nullable=True)
    power = share("Chance to have told a change of measurement.worth_detecting by now.", nullable=True)
    days_to_go = count("Days until that chance is 80 %, at this pace.", "days", nullable=True)
    mismatch_p = share("Of the arms' sizes under the configured shares; below .001 do not trust the result.")
    sentence = text("The result in words.", nullable=False)
    note = text("What to know about it.")


def experiment_results(
    assignments: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    started: Mapping[str, dt.date],
    *,
    shop: Shop,
    shop_id: str,
    as_of: dt.date,
) -> pl.DataFrame:
    """One row of `ExperimentResults` per started experiment, variant, control and metric, sorted by them.

    `assignments` is dispatch.assignments, `orders` features.orders, `engagement` raw.engagement of profiles, `started` the
    local day of each experiment's start.
    """
    rows = []
    for experiment, first in sorted(started.items()):
        if first > as_of:
            continue
        people = _measured(
            assignments.filter(pl.col("experiment") == experiment), orders, engagement, first, as_of, shop
        )
        variants = list(shop.measurement.experiments[experiment].variants)
        pairs = [
            (ALL, HOLDOUT),
            *((name, HOLDOUT) for name in variants),
            *((name, variants[0]) for name in variants[1:]),
        ]
        for variant, control in pairs:
            rows += _compared(experiment, variant, control, people, first, as_of, shop)
    if not rows:
        return ExperimentResults.empty()
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of))
    told = _beside_each_other(frame)
    told = told.with_columns(sentence=pl.Series([_sentence(row, shop) for row in told.iter_rows(named=True)]))
    return ExperimentResults.conform(told.lazy()).collect().sort(ExperimentResults.primary_key)


def orders_brought(
    arms: pl.LazyFrame, orders: pl.LazyFrame, first: dt.date, since: dt.date, as_of: dt.date
) -> Estimate | None:
    """The effect of an experiment that started on `first` on orders per customer since a later day: all treated less those held
    out, less what the time before `first` explains (CUPED). None with fewer than two customers in an arm.

    `arms` is dispatch.assignments of the experiment, `orders` features.orders.
    """
    people = _bought(arms, orders, first, since, as_of).collect()
    treated, control = (
        Arm.of(people.filter(_is_in(arm)).select("orders", "before_orders").to_numpy()) for arm in (ALL, HOLDOUT)
    )
    return cuped(treated, control, 0, 1)[0] if min(treated.n, control.n) > 1 else None


def _measured(
    arms: pl.LazyFrame,
    orders: pl.LazyFrame,
    engagement: pl.LazyFrame,
    first: dt.date,
    as_of: dt.date,
    shop: Shop,
) -> pl.DataFrame:
    """One row per assigned customer: arm, variant, holdout_share, each metric since the start, and before_<metric>."""
    sent = pl.col("unsubscribed_at").dt.convert_time_zone(shop.timezone).dt.date()
    left = (
        engagement.filter(sent.is_between(first, as_of))
        .select("customer_id", unsubscribed=pl.lit(1.0))
        .unique("customer_id")
    )
    return (
        _bought(arms, orders, first, first, as_of)
        .join(left, on="customer_id", how="left")
        .with_columns(pl.col("unsubscribed").fill_null(0.0), before_unsubscribed=pl.lit(0.0))
        .sort("customer_id")
        .collect()
    )


def _bought(arms: pl.LazyFrame, orders: pl.LazyFrame, first: dt.date, since: dt.date, as_of: dt.date) -> pl.LazyFrame:
    """One row per assigned customer: arm, variant, holdout_share, each metric of orders on and after the day `since`, and
    before_<metric>, of the days before the start `first`."""
    day = pl.col("order_date")
    known = orders.select("customer_id", "amount", "margin", "order_date", "is_purchase")
    begun = known.filter("is_purchase").group_by("customer_id").agg(joined=day.min())
    after = (day >= since) & (day > pl.col("joined")) & (day <= as_of)
    earlier = (day < first) & (day >= first - dt.timedelta(days=BEFORE))

    def sums(when: pl.Expr, prefix: str) -> list[pl.Expr]:
        bought = when & pl.col("is_purchase")
        return [
            pl.col("amount").filter(when).sum().cast(pl.Float64).alias(f"{prefix}revenue"),
            pl.col("margin").filter(when).sum().cast(pl.Float64).alias(f"{prefix}margin"),
            bought.sum().cast(pl.Float64).alias(f"{prefix}orders"),
            bought.any().cast(pl.Float64).alias(f"{prefix}buyers"),
            (when & pl.col("margin").is_null()).any().alias(f"{prefix}unknown"),
        ]

    bought = (
        known.join(begun, on="customer_id").group_by("customer_id").agg(*sums(after, ""), *sums(earlier, "before_"))
    )
    counted = [name for metric in METRICS for name in (metric, f"before_{metric}") if metric != "unsubscribed"]
    return (
        arms.select("customer_id", "arm", "variant", "holdout_share")
        .join(bought, on="customer_id", how="left")
        .with_columns(pl.col(counted).fill_null(0.0), pl.col("unknown", "before_unknown").fill_null(value=False))
        .sort("customer_id")
    )


def _compared(
    experiment: str, variant: str, control: str, people: pl.DataFrame, first: dt.date, as_of: dt.date, shop: Shop
) -> list[dict[str, Any]]:
    columns = [*METRICS, *(f"before_{metric}" for metric in METRICS)]
    treated, against = (Arm.of(people.filter(_is_in(arm)).select(columns).to_numpy()) for arm in (variant, control))
    days = (as_of - first).days + 1
    common = {
        "experiment": experiment,
        "variant": variant,
        "control": control,
        "started_on": first,
        "days": days,
        "n_treated": treated.n,
        "n_control": against.n,
        "mismatch_p": mismatch(
            [treated.n, against.n], [_intended(arm, experiment, people, shop) for arm in (variant, control)]
        ),
    }
    known = not people.select(pl.any_horizontal("unknown", "before_unknown").any()).item()
    metrics = [*(metric for metric in METRICS if known or metric != "margin"), ORDER_VALUE]
    aim = "margin" if known else "revenue"
    rows = []
    for metric in metrics:
        figures = _figures(metric, treated, against, days, shop)
        row = {**common, "metric": metric, "is_guardrail": metric in GUARDRAILS, "is_aim": metric == aim, **figures}
        rows.append({**row, "note": _note(row)})
    return rows


def _is_in(arm: str) -> pl.Expr:
    """Whether a customer is among those called `arm`: all who are treated, those held out, or a variant's."""
    held_out = pl.col("arm") == HOLDOUT
    return {ALL: ~held_out, HOLDOUT: held_out}.get(arm, pl.col("variant") == arm)


def _intended(arm: str, experiment: str, people: pl.DataFrame, shop: Shop) -> float:
    """The configured share of the experiment's customers that are called `arm`."""
    held_out: float = people.select(pl.col("holdout_share").max().fill_null(0.0)).item()
    if arm == HOLDOUT:
        return held_out
    return (1 - held_out) * (1 if arm == ALL else shop.measurement.experiments[experiment].variants[arm])


def _figures(metric: str, treated: Arm, control: Arm, days: int, shop: Shop) -> dict[str, Any]:
    """The figures of a row; none with fewer than two customers in an arm."""
    names = list(METRICS)
    if min(treated.n, control.n) < 2:
        return {}
    if metric == ORDER_VALUE:
        top, bottom = names.index("revenue"), names.index("orders")
        per_order = ratio(treated, control, top, bottom)
        if per_order is None:
            return {}
        means = [float(arm.means[top] / arm.means[bottom]) for arm in (treated, control)]
        return {"mean_treated": means[0], "mean_control": means[1], **_plain(per_order)}
    at, before = names.index(metric), len(names) + names.index(metric)
    plain = difference(treated, control, at)
    share_of = relative(treated, control, at)
    adjusted, saved = cuped(treated, control, at, before)
    planned = sum(arm.variance_of_mean(before) for arm in (treated, control)) * PLANNED_DAYS / BEFORE
    peeked = sequential(adjusted.value, adjusted.error**2, planned) if planned > 0 else (None, None)
    effect = shop.measurement.worth_detecting * float(control.means[at])
    return {
        "mean_treated": float(treated.means[at]),
        "mean_control": float(control.means[at]),
        **_plain(plain),
        **({"relative": share_of.value, "relative_lo": share_of.lo, "relative_hi": share_of.hi} if share_of else {}),
        "cuped": adjusted.value,
        "cuped_lo": adjusted.lo,
        "cuped_hi": adjusted.hi,
        "cuped_error": adjusted.error,
        "cuped_p": adjusted.p,
        "variance_saved": saved,
        "sequential_lo": peeked[0],
        "sequential_hi": peeked[1],
        "total": adjusted.value * treated.n,
        "total_lo": adjusted.lo * treated.n,
        "total_hi": adjusted.hi * treated.n,
        **_outlook(adjusted, effect, days),
    }


def _plain(made: Estimate) -> dict[str, Any]:
    return {"difference": made.value, "lo": made.lo, "hi": made.hi, "p_value": made.p}


def _outlook(adjusted: Estimate, effect: float, days: int) -> dict[str, Any]:
    """Outcomes add up, so the error relative to the mean falls with the square root of the days."""
    if not (effect > 0 and adjusted.error > 0):
        return {}
    needed = days * (detectable(adjusted.error) / effect) ** 2
    return {"power": power(adjusted.error, effect), "days_to_go": max(int(np.ceil(needed)) - days, 0)}


def _beside_each_other(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds q_value over all rows, and `shrunk` over the comparisons of one kind and metric whose arms are as configured."""
    nullable = [name for name, column in ExperimentResults.columns.items() if column.nullable]
    missing = [name for name in [*nullable, "cuped_error", "cuped_p"] if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in missing).with_row_index("row")
    tested = frame.select("row", p=pl.coalesce("cuped_p", "p_value")).drop_nulls()
    q = tested.select("row", q_value=pl.Series(false_discovery(tested["p"].to_numpy())))
    parts = [pl.DataFrame(schema={"row": frame.schema["row"], "shrunk": pl.Float64})]
    sure = frame.filter((pl.col("cuped_error") > 0) & (pl.col("mismatch_p") >= ALARM))
    of_all, of_holdout = pl.col("variant") == ALL, pl.col("control") == HOLDOUT
    for _, rows in sure.group_by("metric", of_all.alias("of_all"), of_holdout.alias("of_holdout"), maintain_order=True):
        values, _ = shrunk(rows["cuped"].to_numpy(), rows["cuped_error"].to_numpy())
        parts.append(rows.select("row", shrunk=pl.Series(values)))
    return (
        frame.drop("q_value", "shrunk", strict=False)
        .join(q, on="row", how="left")
        .join(pl.concat(parts), on="row", how="left")
    )


def _sentence(row: Mapping[str, Any], shop: Shop) -> str:
    """The sentence that finance gets."""
    name, total = row["experiment"], row["total"]
    if row["variant"] != ALL:
        name += f", variant {row['variant']}"
    against = "held out" if row["control"] == HOLDOUT else f"with {row['control']}"
    if row["control"] != HOLDOUT:
        name += f" in place of {row['control']}"
    if total is None:
        return f"{name}: nothing can be said of {row['metric']} yet."
    low, high = row["total_lo"], row["total_hi"]
    if METRICS[row["metric"]] == "currency":
        told = f"{name} earned {total:+,.0f} {shop.currency} of {row['metric']} (95 % CI {low:+,.0f} to {high:+,.0f})"
    elif row["metric"] == "unsubscribed":
        told = f"{name} made {total:+,.0f} customers unsubscribe (95 % CI {low:+,.0f} to {high:+,.0f})"
    else:
        told = f"{name} brought {total:+,.0f} {row['metric']} (95 % CI {low:+,.0f} to {high:+,.0f})"
    told += f" in {row['days']} days, {row['n_treated']:,} customers treated and {row['n_control']:,} {against}"
    if low <= 0 <= high:
        told += ": no effect is shown"
        if row["is_aim"] and row["days_to_go"]:
            told += f"; one of {shop.measurement.worth_detecting:.0%} would probably show after {row['days_to_go']:,} more days"
    elif not is_shown(row):
        told += ": it is not sure yet that this is its effect"
    return told + "."


def is_shown(row: Mapping[str, Any]) -> bool:
    """Whether there is an effect, however often one has looked and at however many rows."""
    low, high = row["sequential_lo"], row["sequential_hi"]
    return low is not None and (low > 0 or high < 0) and row["q_value"] <= SURE


def _note(row: Mapping[str, Any]) -> str | None:
    mismatch_p = row["mismatch_p"]
    if mismatch_p < ALARM:
        return (
            f"Sample ratio mismatch (p = {mismatch_p:.2g}): the arms are not as large as configured. Find out why before "
            "believing the result."
        )
    if "difference" not in row:
        return "Too few customers or orders in an arm."
    return None
