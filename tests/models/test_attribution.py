"""Every model shares out every order to the cent, and shares it as it says."""

import datetime as dt
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.inputs.contracts import Engagement, OrderLines
from lifecycle_assets.models.attribution import MODELS, Attribution, attribution
from lifecycle_assets.models.experiment_results import ExperimentResults
from lifecycle_assets.settings import Shop, parse

AS_OF = dt.date(2025, 3, 30)
SHOP = parse(Shop, "name: Lupe\ntimezone: UTC\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n", "lupe")
NOON = dt.datetime(2025, 3, 10, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)

Message = tuple[str, str, str, dt.datetime]
Order = tuple[str, str, dt.datetime, float, str | None]


def _table(contract: Contract, rows: list[dict[str, object]]) -> pl.LazyFrame:
    columns = {
        name: pl.Series(name, [row.get(name) for row in rows], dtype=dtype, strict=False)
        for name, dtype in contract.polars_schema.items()
    }
    return pl.DataFrame(columns).lazy()


def _run(
    messages: list[Message],
    orders: list[Order],
    ours: dict[str, str] | None = None,
    results: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`messages`: id, customer, channel, sent; `orders`: id, customer, placed, amount, the message it names."""
    engagement = _table(
        Engagement,
        [{"message_id": i, "customer_id": c, "channel": channel, "sent_at": at} for i, c, channel, at in messages],
    )
    placed = [
        {
            "order_id": i,
            "customer_id": c,
            "ordered_at": at,
            "order_date": at.date(),
            "amount": Decimal(str(amount)),
            "is_purchase": amount > 0,
            "message_id": named,
        }
        for i, c, at, amount, named in orders
    ]
    programmes = pl.LazyFrame(
        {"message_id": list(ours or {}), "programme": list((ours or {}).values())},
        schema={"message_id": pl.String, "programme": pl.String},
    )
    made = attribution(
        _table(Orders, placed),
        _table(OrderLines, placed),
        engagement,
        programmes,
        ExperimentResults.empty() if results is None else results,
        shop=SHOP,
        shop_id="lupe",
        as_of=AS_OF,
    )
    Attribution.require(made)
    return made


def _credit(made: pl.DataFrame, model: str) -> dict[tuple[str, str], Decimal]:
    rows = made.filter(pl.col("model") == model).group_by("channel", "programme").agg(pl.col("revenue").sum())
    return {(channel, programme): amount for channel, programme, amount in rows.iter_rows()}


def test_last_touch_is_the_latest_message_in_its_channels_window() -> None:
    messages = [
        ("m1", "a", "email", NOON - 5 * DAY),  # on the edge of five days: counts
        ("m2", "a", "sms", NOON - 2 * DAY),  # later, and beyond the day of a text message
        ("m3", "b", "email", NOON - 5 * DAY - HOUR),
        ("m4", "c", "email", NOON + HOUR),
    ]
    orders = [(f"o{c}", c, NOON, 10.0, None) for c in "abc"]
    credit = _credit(_run(messages, orders, {"m1": "winback"}), "last_touch")
    assert credit == {("email", "winback"): 10, ("none", "none"): 20}


def test_a_message_that_the_order_names_takes_it_whatever_came_later() -> None:
    messages = [("m1", "a", "email", NOON - 9 * DAY), ("m2", "a", "sms", NOON - HOUR)]
    made = _run(messages, [("o1", "a", NOON, 7.0, "m1")])
    assert _credit(made, "last_touch") == {("email", "other"): 7}
    assert _credit(made, "shapley") == {("email", "other"): Decimal("3.5"), ("sms", "other"): Decimal("3.5")}


def test_shapley_counts_a_channel_once_however_often_it_spoke() -> None:
    messages = [
        ("m1", "a", "email", NOON - 3 * DAY),
        ("m2", "a", "email", NOON - 2 * DAY),
        ("m3", "a", "push", NOON - HOUR),
    ]
    credit = _credit(_run(messages, [("o1", "a", NOON, 9.0, None)]), "shapley")
    assert credit == {("email", "other"): Decimal("4.5"), ("push", "other"): Decimal("4.5")}


def test_amounts_add_up_to_the_cent_in_every_month_for_every_model() -> None:
    rng = np.random.default_rng(3)
    messages: list[Message] = []
    orders: list[Order] = []
    for number in range(1200):
        at = NOON - float(rng.random()) * 200 * DAY
        customer = f"c{rng.integers(0, 60)}"
        if rng.random() < 0.6:
            messages.append((f"m{number}", customer, str(rng.choice(["email", "sms", "push", "whatsapp"])), at))
        else:
            # Awkward cents, and returns of their own.
            amount = round(float(rng.gamma(1.0, 30.0)) * (1 if rng.random() < 0.9 else -1), 2)
            orders.append((f"o{number}", customer, at, amount, None))
    ours = {message[0]: ["winback", "welcome"][number % 2] for number, message in enumerate(messages) if number % 3}
    made = _run(messages, orders, ours)
    for month in made["month"].unique():
        of_month = [order for order in orders if order[2].date().replace(day=1) == month]
        true = sum((Decimal(str(amount)) for *_, amount, _ in of_month), Decimal(0))
        for model in MODELS:
            rows = made.filter((pl.col("model") == model) & (pl.col("month") == month))
            assert rows["revenue"].sum() == true
            assert rows["orders"].sum() == pytest.approx(sum(amount > 0 for *_, amount, _ in of_month), abs=1e-4)


def test_markov_removal_effects_are_those_of_a_walk_through_the_chain() -> None:
    rng = np.random.default_rng(4)
    messages: list[Message] = []
    orders: list[Order] = []
    # E-mails lead to push messages, and only what follows a push message is an order.
    for number in range(400):
        customer, at = f"c{number}", NOON - 20 * DAY
        path = ["email"] if rng.random() < 0.5 else ["sms"]
        if path == ["email"] and rng.random() < 0.8:
            path.append("push")
        for step, channel in enumerate(path):
            messages.append((f"m{number}-{step}", customer, channel, at + step * HOUR))
        if path[-1] == "push" and rng.random() < 0.7:
            orders.append((f"o{number}", customer, at + 2 * HOUR, 10.0, None))
        if path == ["sms"] and rng.random() < 0.2:
            orders.append((f"o{number}", customer, at + HOUR, 10.0, None))
    credit = _credit(_run(messages, orders), "markov")
    paths: dict[str, list[str]] = {}
    for _, customer, channel, _ in messages:
        paths.setdefault(customer, []).append(channel)
    bought = {order[1] for order in orders}

    def converted(without: str | None) -> float:
        """By walking: transition frequencies of the paths, and many walks that end where the channel is."""
        follows: dict[str, list[str]] = {}
        for customer, path in paths.items():
            for here, then in pairwise(["start", *path, "order" if customer in bought else "nothing"]):
                follows.setdefault(here, []).append(then)
        arrived = 0
        for _ in range(20_000):
            state = "start"
            while state not in ("order", "nothing", without):
                state = follows[state][rng.integers(0, len(follows[state]))]
            arrived += state == "order"
        return arrived / 20_000

    whole = converted(None)
    removal = {channel: 1 - converted(channel) / whole for channel in ("email", "push", "sms")}
    pushed = [order for order in orders if paths[order[1]][-1] == "push"]
    expected = 10 * len(pushed) * removal["email"] / (removal["email"] + removal["push"])
    assert float(credit["email", "other"]) == pytest.approx(expected, rel=0.03)
    assert credit["sms", "other"] == 10 * (len(orders) - len(pushed))


def test_what_the_experiment_measured_stands_beside_what_is_attributed() -> None:
    # A variant's own increment is part of the whole one.
    told = {"experiment": "welcome", "control": "holdout", "metric": "revenue"}
    results = pl.DataFrame(
        [{**told, "variant": "all", "total": 4.25}, {**told, "variant": "a", "total": 3.0}]
    ).with_columns(shop_id=pl.lit("lupe"), as_of=pl.lit(AS_OF))
    results = results.select(
        (pl.col(name) if name in results.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in ExperimentResults.polars_schema.items()
    )
    messages = [("m1", "a", "email", NOON - DAY), ("m2", "b", "email", NOON - DAY)]
    orders = [("o1", "a", NOON, 10.0, None), ("o2", "b", NOON, 10.0, None)]
    made = _run(messages, orders, {"m1": "welcome", "m2": "winback"}, results)
    beside = made.filter(pl.col("model") == "last_touch").select("programme", "incremental").rows()
    # Two programmes share the experiment of winback: it cannot tell them apart.
    assert sorted(beside) == [("welcome", Decimal("4.25")), ("winback", None)]


def test_without_messages_nothing_is_claimed() -> None:
    made = _run([], [("o1", "a", NOON, 10.0, None), ("o2", "a", NOON, -4.0, None)])
    assert {(row["channel"], row["orders"], row["revenue"]) for row in made.iter_rows(named=True)} == {("none", 1, 6)}
    assert _run([], []).is_empty()
