"""Which messages do the orders come from, by the usual ways of sharing them out?

An order is shared among the messages that its customer got before it, within each channel's window; an order line that names
a message adds that message. What is left without any is of `none`. Attribution says who was there, not what was caused:
`incremental` is what the programme's experiment measured (models.experiment_results), beside it.

last_touch  the named message, else the latest, gets all of it
shapley     equal shares for all channels and programmes that were there: the Shapley value of the sets that convert (Zhao,
            Mahboobi & Bagheri 2018)
markov      shares by removal effects: how many conversions a first-order chain over the messages loses without each channel
            and programme (Anderl, Becker, von Wangenheim & Schumann 2016)

Every model shares out every order to the cent: the amounts of a model and month add up to the orders' revenue.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import MONEY, as_of_column, key, money, number, shop_key, table
from lifecycle_assets.days import end_of
from lifecycle_assets.settings import Shop

NONE = "none"
OTHER = "other"
MODELS = ["last_touch", "shapley", "markov"]
MONTHS = 12
# Amounts are shared out in units of the contracts' last decimal, so that nothing is lost.
UNITS = 10_000
UNIT = ("channel", "programme")


@table("models.attribution", needs=("raw.engagement",))
class Attribution(dy.Schema):
    """The orders of each of the last twelve months shared out over channels and programmes, by three models."""

    shop_id = shop_key()
    as_of = as_of_column()
    model = dy.String(primary_key=True, check=lambda c: c.is_in(MODELS), description=f"One of: {', '.join(MODELS)}.")
    month = dy.Date(primary_key=True, description="First day of the month of the orders.")
    channel = key("The channel; none for what no message can claim.")
    programme = key("The programme; other for messages of other tools, none as above.")
    orders = number("Orders credited; shares of orders add up to whole ones.", "orders", minimum=0)
    revenue = money("Amount credited.")
    incremental = money(
        "Revenue that the programme's own experiment says it caused since it began, over all months; null without one.",
        nullable=True,
    )


def attribution(
    orders: pl.LazyFrame,
    order_lines: pl.LazyFrame,
    engagement: pl.LazyFrame,
    programmes: pl.LazyFrame,
    results: pl.DataFrame,
    *,
    shop: Shop,
    shop_id: str,
    as_of: dt.date,
) -> pl.DataFrame:
    """One row of `Attribution` per model, month, channel and programme, sorted by them.

    `orders` is features.orders, `order_lines` and `engagement` the raw tables of profiles, `programmes` holds message_id and
    programme of our own messages, `results` is models.experiment_results.
    """
    begin = as_of.replace(day=1)
    for _ in range(MONTHS - 1):
        begin = (begin - dt.timedelta(days=1)).replace(day=1)
    bought = _orders(orders, order_lines, begin)
    sent = _sent(engagement, programmes, shop, begin, as_of)
    touches = _touches(bought, order_lines, sent)
    units = touches.select(UNIT).unique().sort(UNIT).with_row_index("unit")
    touches = touches.join(units, on=UNIT, maintain_order="left")
    removal = _removal_effects(sent.join(units, on=UNIT, how="left"), touches, units.height)
    shares = pl.concat(_shared(touches, model, removal).with_columns(model=pl.lit(model)) for model in MODELS).join(
        units, on="unit", how="left"
    )
    rows = pl.concat([shares.select("model", "order", *UNIT, "share", "amount"), _unclaimed(bought, touches)])
    months = bought.select("order", month=pl.col("order_date").dt.truncate("1mo"))
    caused = _incremental(results, shop)
    return (
        rows.join(months, on="order")
        .group_by("model", "month", *UNIT)
        .agg(orders=pl.col("share").sum().round(6), units=pl.col("amount").sum())
        .join(caused, on="programme", how="left")
        .select(
            pl.lit(shop_id).alias("shop_id"),
            pl.lit(as_of).alias("as_of"),
            "model",
            "month",
            *UNIT,
            "orders",
            revenue=(pl.col("units").cast(pl.Decimal(38, 4)) * pl.lit(Decimal(1) / UNITS)).cast(MONEY),
            incremental="incremental",
        )
        .sort("model", "month", *UNIT)
    )


def _orders(orders: pl.LazyFrame, order_lines: pl.LazyFrame, begin: dt.date) -> pl.DataFrame:
    """order (number), customer_id, order_id, order_date, ordered_at, is_purchase, units of the amount; sorted by time."""
    began = order_lines.group_by("customer_id", "order_id").agg(ordered_at=pl.col("ordered_at").min())
    return (
        orders.filter(pl.col("order_date") >= begin)
        .join(began, on=["customer_id", "order_id"], how="left")
        .select(
            "customer_id",
            "order_id",
            "order_date",
            "ordered_at",
            "is_purchase",
            units=(pl.col("amount") * UNITS).cast(pl.Int64),
        )
        .sort("customer_id", "ordered_at", "order_id")
        .with_row_index("order")
        .collect()
    )


def _sent(
    engagement: pl.LazyFrame, programmes: pl.LazyFrame, shop: Shop, begin: dt.date, as_of: dt.date
) -> pl.DataFrame:
    """Every message that an order of the time could come from: message_id, customer_id, channel, programme, sent_at, until."""
    windows = shop.measurement.attribution_days
    days = pl.col("channel").replace_strict(dict(windows), default=0, return_dtype=pl.Int64)
    first = end_of(begin - dt.timedelta(days=1 + max(windows.values(), default=0)), shop.timezone)
    return (
        engagement.filter(pl.col("sent_at").is_between(first, end_of(as_of, shop.timezone), closed="left"))
        .join(programmes, on="message_id", how="left")
        .select(
            "message_id",
            "customer_id",
            "channel",
            pl.col("programme").fill_null(OTHER),
            "sent_at",
            until=pl.col("sent_at") + pl.duration(days=days),
        )
        .collect()
    )


def _touches(bought: pl.DataFrame, order_lines: pl.LazyFrame, sent: pl.DataFrame) -> pl.DataFrame:
    """Each purchase with each message in whose window it falls, or that it names, in the order of sending."""
    purchases = bought.filter("is_purchase").lazy()
    near = purchases.join(sent.lazy(), on="customer_id").filter(pl.col("ordered_at").is_between("sent_at", "until"))
    named = (
        order_lines.filter(pl.col("message_id").is_not_null())
        .select("customer_id", "order_id", "message_id")
        .unique()
        .join(purchases, on=["customer_id", "order_id"])
        .join(sent.lazy().drop("customer_id"), on="message_id")
    )
    columns = ["order", "units", "message_id", *UNIT, "sent_at"]
    return (
        pl.concat(
            [
                near.select(columns).with_columns(is_named=pl.lit(value=False)),
                named.select(columns).with_columns(is_named=pl.lit(value=True)),
            ]
        )
        .sort("order", "sent_at", "message_id", "is_named")
        .unique(["order", "message_id"], keep="last", maintain_order=True)
        .collect()
    )


def _removal_effects(sent: pl.DataFrame, touches: pl.DataFrame, units: int) -> np.ndarray:
    """Share of the conversions that are lost without each channel and programme.

    States: start, the units, order, nothing. A customer's messages follow each other; one that an order comes after ends its
    path with the order, and the next message begins a new one; the last ends with nothing.
    """
    if not units:
        return np.zeros(0)
    ends = touches.group_by("order").agg(pl.col("message_id").last()).select("message_id").unique()
    path = (
        sent.drop_nulls("unit")
        .sort("customer_id", "sent_at", "message_id")
        .join(ends.with_columns(converts=pl.lit(value=True)), on="message_id", how="left", maintain_order="left")
        .select("customer_id", pl.col("unit").cast(pl.Int64), pl.col("converts").fill_null(value=False))
    )
    unit, converts = path["unit"].to_numpy(), path["converts"].to_numpy()
    customer = path["customer_id"].rank("dense").to_numpy()
    first = np.append(True, (customer[1:] != customer[:-1]) | converts[:-1])
    last = np.append(customer[1:] != customer[:-1], True)
    start, order, nothing = units, units + 1, units + 2
    counts = np.zeros((units + 1, units + 3))
    np.add.at(counts, (start, unit[first]), 1)
    np.add.at(counts, (unit[converts], order), 1)
    np.add.at(counts, (unit[last & ~converts], nothing), 1)
    follows = np.flatnonzero(~first)
    np.add.at(counts, (unit[follows - 1], unit[follows]), 1)
    chain = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    whole = _conversion(chain, units)
    without = [_conversion(_removed(chain, at), units) for at in range(units)]
    return np.array([1 - value / whole if whole > 0 else 0.0 for value in without])


def _removed(chain: np.ndarray, unit: int) -> np.ndarray:
    """The chain in which whoever would come to the unit ends with nothing."""
    rest = chain.copy()
    rest[:, -1] += rest[:, unit]
    rest[:, unit] = 0
    return rest


def _conversion(chain: np.ndarray, units: int) -> float:
    """Probability of ending with an order, from the start."""
    inner = chain[:, : units + 1]
    return float(np.linalg.solve(np.eye(units + 1) - inner, chain[:, units + 1])[units])


def _shared(touches: pl.DataFrame, model: str, removal: np.ndarray) -> pl.DataFrame:
    """order, unit, share (of the order), amount (in units, adding up to the order's): the last touch takes what rounding
    leaves."""
    last = touches.sort("order", "is_named", "sent_at", "message_id").group_by("order", maintain_order=True).last()
    if model == "last_touch":
        return last.select("order", "unit", share=pl.lit(1.0), amount="units")
    there = touches.unique(["order", "unit"]).sort("order", "unit")
    weight = np.ones(there.height) if model == "shapley" else np.maximum(removal[there["unit"].to_numpy()], 1e-9)
    there = there.with_columns(weight=pl.Series(weight, dtype=pl.Float64)).with_columns(
        share=pl.col("weight") / pl.col("weight").sum().over("order")
    )
    there = there.with_columns(amount=(pl.col("units") * pl.col("share")).floor().cast(pl.Int64))
    left = pl.col("units") - pl.col("amount").sum().over("order")
    takes = last.select("order", "unit", takes=pl.lit(value=True))
    return there.join(takes, on=["order", "unit"], how="left", maintain_order="left").select(
        "order", "unit", "share", amount=pl.col("amount") + pl.when("takes").then(left).otherwise(0)
    )


def _unclaimed(bought: pl.DataFrame, touches: pl.DataFrame) -> pl.DataFrame:
    """What no message can claim, for every model; a return of its own is no order, only an amount."""
    rest = bought.join(touches.select("order").unique(), on="order", how="anti").select(
        "order",
        channel=pl.lit(NONE),
        programme=pl.lit(NONE),
        share=pl.col("is_purchase").cast(pl.Float64),
        amount="units",
    )
    parts = [rest.select(pl.lit(model).alias("model"), "order", *UNIT, "share", "amount") for model in MODELS]
    return pl.concat(parts)


def _incremental(results: pl.DataFrame, shop: Shop) -> pl.DataFrame:
    """programme, incremental: the revenue that the programme's own experiment says it caused; an experiment of several
    programmes cannot tell them apart."""
    experiments: dict[str, list[str]] = {}
    for name, programme in shop.routing.programmes.items():
        if programme.experiment:
            experiments.setdefault(programme.experiment, []).append(name)
    alone: Mapping[str, str] = {names[0]: experiment for experiment, names in experiments.items() if len(names) == 1}
    whole = (pl.col("metric") == "revenue") & (pl.col("variant") == "all")
    earned = results.filter(whole).select("experiment", incremental=pl.col("total").cast(MONEY))
    mapping = pl.DataFrame(
        {"programme": list(alone), "experiment": list(alone.values())},
        schema={"programme": pl.String, "experiment": pl.String},
    )
    return mapping.join(earned, on="experiment").select("programme", "incremental")
