"""Monthly flows between stages against the stages re-derived at each month's end, and against the nights gone by."""

import calendar
import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP, frame, roll_up

from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.stage import lifecycle_stage
from lifecycle_assets.features.transitions import NONE, LifecycleTransitions, lifecycle_transitions
from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.settings import Stage

START = dt.date(2023, 1, 20)
Flows = dict[tuple[dt.date, str, str], int]

shops = st.dictionaries(
    st.sampled_from(["ann", "bob", "cat", "dan", "eve", "fay"]),
    st.lists(st.integers(0, 250), min_size=1, max_size=8),
    min_size=1,
)
rules = st.builds(Stage, new_days=st.integers(0, 40), won_back_days=st.integers(0, 60))


def orders(shop: dict[str, list[int]]) -> pl.LazyFrame:
    rows = [(who, START + dt.timedelta(days=day), True) for who, days in shop.items() for day in days]
    schema = {"customer_id": pl.String, "order_date": pl.Date, "is_purchase": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row").lazy()


def transitions(orders: pl.LazyFrame, as_of: dt.date, rule: Stage) -> pl.DataFrame:
    table = LifecycleTransitions.conform(lifecycle_transitions(orders, SHOP, as_of, rule).lazy()).collect()
    LifecycleTransitions.require(table)
    return table


def flows(table: pl.DataFrame) -> Flows:
    return {(row["month"], row["from_stage"], row["to_stage"]): row["customers"] for row in table.to_dicts()}


def by_hand(orders: pl.LazyFrame, first: dt.date, as_of: dt.date, rule: Stage) -> Flows:
    """Two nights of features.lifecycle_stage held against each other, for every month."""
    counts: Counter[tuple[dt.date, str, str]] = Counter()
    month, before = first.replace(day=1), {}
    while month <= as_of:
        last_day = month.replace(day=calendar.monthrange(month.year, month.month)[1])
        night = lifecycle_stage(orders, SHOP, min(last_day, as_of), rule)
        after = dict(night.select("customer_id", "stage").rows())
        counts.update((month, before.get(who, NONE), stage) for who, stage in after.items())
        month, before = last_day + dt.timedelta(days=1), after
    return dict(counts)


@settings(max_examples=40, deadline=None)
@given(shops, rules, st.integers(0, 330))
def test_the_flows_are_those_between_the_nights_at_the_months_ends(
    shop: dict[str, list[int]], rule: Stage, end: int
) -> None:
    as_of = START + dt.timedelta(days=end)
    table = transitions(orders(shop), as_of, rule)
    assert flows(table) == by_hand(orders(shop), START, as_of, rule)
    ends_its_month = (as_of + dt.timedelta(days=1)).day == 1
    is_running = pl.col("month") == as_of.replace(day=1)
    assert table.filter(is_running)["is_complete"].to_list() == [ends_its_month] * table.filter(is_running).height
    assert table.filter(~is_running)["is_complete"].all()


def made(seed: int, customers: int = 400) -> pl.LazyFrame:
    rng = np.random.default_rng(seed)
    return orders({f"C{i}": rng.integers(0, 300, int(rng.integers(1, 9))).tolist() for i in range(customers)})


def test_a_months_flows_add_up_to_all_customers_known_at_its_end() -> None:
    given, as_of = made(1), dt.date(2023, 10, 31)
    table = transitions(given, as_of, Stage())
    assert table["month"].n_unique() == 10
    for (month,), rows in table.group_by("month"):
        known = given.filter(pl.col("order_date").dt.month_start() <= month).collect()
        assert rows["customers"].sum() == known["customer_id"].n_unique()
    shares = table.group_by("month", "from_stage").agg(pl.col("share_of_from").sum())
    assert (shares["share_of_from"] - 1).abs().max() < 1e-12
    # Whoever a month begins with is whom the month before ended with.
    ends = table.group_by(pl.col("month").dt.offset_by("1mo"), stage="to_stage").agg(pl.col("customers").sum())
    begins = table.filter(pl.col("from_stage") != NONE).group_by("month", stage="from_stage")
    begins = begins.agg(pl.col("customers").sum()).sort("month", "stage")
    assert ends.filter(pl.col("month") <= as_of).sort("month", "stage").equals(begins)
    assert len(flows(table)) > 60


def test_a_past_nights_table_is_the_part_of_tonights_up_to_it() -> None:
    given = made(2)
    tonight = transitions(given, START + dt.timedelta(days=290), Stage())
    for day in (15, 40, 101, 222):
        past = transitions(given, START + dt.timedelta(days=day), Stage()).drop("as_of")
        complete = past.filter("is_complete")
        assert complete.height < past.height
        assert complete.equals(tonight.drop("as_of").filter(pl.col("month").is_in(complete["month"].implode())))


def line(number: int, customer: str, order: str, day: dt.date, quantity: float) -> dict[str, Any]:
    return {
        "line_no": number, "order_id": order, "customer_id": customer, "order_date": day,
        "ordered_at": dt.datetime.combine(day, dt.time(12), dt.UTC), "quantity": quantity, "unit_price": 10.0,
        "discount_amount": 0.0, "amount": int(10 * quantity), "status": "completed",
    }  # fmt: skip


def test_a_refund_or_a_new_order_moves_the_stage_and_a_changed_history_re_derives_the_past() -> None:
    # Everyone buys every ten days; ann does so until January, then not any more.
    days = [AS_OF - dt.timedelta(days=10 * i) for i in range(13)]
    rows = [line(100 * c + i, f"s{c}", f"s{c}-{i}", day, 1) for c in range(5) for i, day in enumerate(days)]
    rows += [line(900 + i, "ann", f"ann-{i}", day, 1) for i, day in enumerate(days) if i >= 6]
    rule = Stage()

    def night(lines: list[dict[str, Any]]) -> tuple[str, dt.date, Flows]:
        made = roll_up({OrderLines.name: frame(OrderLines, lines)})[Orders.name].lazy()
        ann = lifecycle_stage(made, SHOP, AS_OF, rule).row(by_predicate=pl.col("customer_id") == "ann", named=True)
        return ann["stage"], ann["since"], flows(transitions(made, AS_OF, rule))

    january, february, march = (dt.date(2024, month, 1) for month in (1, 2, 3))
    stage, since, before = night(rows)
    assert (stage, since) == ("lapsed", days[6] + dt.timedelta(days=31))
    assert (before[january, "active", "at_risk"], before[february, "at_risk", "lapsed"]) == (1, 1)

    stage, since, after = night([*rows, line(999, "ann", "new", AS_OF, 1)])
    assert (stage, since) == ("won_back", AS_OF)
    assert after[march, "lapsed", "won_back"] == 1
    assert {flow: n for flow, n in after.items() if flow[0] < march} == {
        flow: n for flow, n in before.items() if flow[0] < march
    }

    # The order of January is returned under its own number: she lapsed a month earlier than it once seemed.
    stage, since, after = night([*rows, line(999, "ann", "ann-6", AS_OF, -1)])
    assert (stage, since) == ("lapsed", days[7] + dt.timedelta(days=31))
    assert (after[january, "active", "lapsed"], after[february, "lapsed", "lapsed"]) == (1, 1)


def test_the_order_of_rows_changes_nothing_and_without_purchases_the_table_is_empty_and_typed() -> None:
    given, as_of = made(3), START + dt.timedelta(days=200)
    mixed = given.collect().sample(fraction=1.0, shuffle=True, seed=1).lazy()
    assert transitions(mixed, as_of, Stage()).equals(transitions(given, as_of, Stage()))
    assert transitions(orders({}), as_of, Stage()).is_empty()
    assert transitions(orders({"ann": [50]}), START, Stage()).is_empty()
