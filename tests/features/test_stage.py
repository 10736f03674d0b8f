"""Stages against a re-derivation from the definitions, day by day, in plain Python."""

import datetime as dt
import statistics
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_shop import AS_OF, SHOP

from lifecycle_assets.features.stage import LifecycleStage, lifecycle_stage, stage_timeline
from lifecycle_assets.settings import Stage

START = dt.date(2023, 1, 1)
Shop = dict[str, list[int]]

shops = st.dictionaries(
    st.sampled_from(["ann", "bob", "cat", "dan", "eve"]),
    st.lists(st.integers(0, 120), min_size=1, max_size=8),
    min_size=1,
)
rules = st.builds(
    Stage,
    new_days=st.integers(0, 40),
    won_back_days=st.integers(0, 30),
    at_risk_factor=st.sampled_from([0.5, 1.0, 1.5]),
    lapsed_factor=st.sampled_from([1.5, 2.0, 3.0]),
    at_risk_days=st.sampled_from([None, 10, 20]),
    lapsed_days=st.sampled_from([None, 20, 45]),
    winback_max_days=st.integers(20, 100),
    gap_prior_orders=st.sampled_from([0.0, 1.0, 3.0]),
)


def orders(shop: Shop) -> pl.LazyFrame:
    rows = [(who, START + dt.timedelta(days=day)) for who, days in shop.items() for day in days]
    frame = pl.DataFrame(rows, schema={"customer_id": pl.String, "order_date": pl.Date}, orient="row")
    return frame.with_columns(pl.lit(True).alias("is_purchase")).lazy()


def bounds(shop: Shop, who: str, day: int, rule: Stage) -> tuple[float | None, float, float]:
    """Expected gap and the days after which the customer is at risk and lapsed, as known at the end of `day`."""
    gaps = {name: [b - a for a, b in pairwise(sorted(set(days))) if b <= day] for name, days in shop.items()}
    every = [gap for of_one in gaps.values() for gap in of_one]
    expected = None
    if every:
        own, shops_own = gaps[who], statistics.median(every)
        expected = shops_own
        if own:
            weight = rule.gap_prior_orders
            expected = (len(own) * statistics.median(own) + weight * shops_own) / (len(own) + weight)
    unlimited = float("inf")
    lapsed = rule.winback_max_days if expected is None else round(rule.lapsed_factor * expected, 9)
    lapsed = min(lapsed, unlimited if rule.lapsed_days is None else rule.lapsed_days)
    at_risk = unlimited if expected is None else round(rule.at_risk_factor * expected, 9)
    at_risk = min(at_risk, unlimited if rule.at_risk_days is None else rule.at_risk_days, lapsed)
    return expected, at_risk, lapsed


def stage_by_hand(shop: Shop, who: str, day: int, rule: Stage) -> str:
    """The stage at the end of `day`, from the purchases up to it alone."""
    mine = sorted({d for d in shop[who] if d <= day})
    recency = day - mine[-1]
    if sum(d <= day for d in shop[who]) == 1 and recency <= rule.new_days:
        return "new"
    _, at_risk, lapsed = bounds(shop, who, day, rule)
    if recency > lapsed:
        return "lapsed"
    if recency > at_risk:
        return "at_risk"
    returns = [d for d in mine[1:] if stage_by_hand(shop, who, d - 1, rule) == "lapsed"]
    return "won_back" if returns and day - max(returns) <= rule.won_back_days else "active"


@settings(max_examples=60, deadline=None)
@given(shops, rules)
def test_every_day_of_the_timeline_is_the_stage_re_derived_from_what_was_known(shop: Shop, rule: Stage) -> None:
    end = 170
    timeline = stage_timeline(orders(shop), START + dt.timedelta(days=end), rule)
    for who, days in shop.items():
        mine = timeline.filter(pl.col("customer_id") == who).to_dicts()
        assert mine[0]["since"] == START + dt.timedelta(days=min(days))
        assert mine[-1]["until"] == START + dt.timedelta(days=end)
        for one, two in pairwise(mine):
            assert two["since"] == one["until"] + dt.timedelta(days=1), "no gap, no overlap"
            assert two["stage"] != one["stage"]
        for interval in mine:
            for day in range((interval["since"] - START).days, (interval["until"] - START).days + 1):
                assert interval["stage"] == stage_by_hand(shop, who, day, rule), f"{who} on day {day}"


@settings(max_examples=40, deadline=None)
@given(shops, rules, st.integers(0, 170))
def test_a_past_night_agrees_with_the_timeline_of_today(shop: Shop, rule: Stage, night: int) -> None:
    as_of = START + dt.timedelta(days=night)
    timeline = stage_timeline(orders(shop), START + dt.timedelta(days=170), rule).filter(pl.col("since") <= as_of)
    table = lifecycle_stage(orders(shop), SHOP, as_of, rule)
    table = LifecycleStage.conform(table.lazy()).collect()
    LifecycleStage.require(table)
    assert set(table["customer_id"]) == set(timeline["customer_id"])
    for row in table.to_dicts():
        intervals = timeline.filter(pl.col("customer_id") == row["customer_id"]).to_dicts()
        assert (row["stage"], row["since"]) == (intervals[-1]["stage"], intervals[-1]["since"])
        assert row["previous_stage"] == (intervals[-2]["stage"] if len(intervals) > 1 else None)
        last = max(day for day in shop[row["customer_id"]] if day <= night)
        expected, at_risk, lapsed = bounds(shop, row["customer_id"], night, rule)
        assert row["recency_days"] == night - last
        assert row["expected_gap_days"] == (None if expected is None else pytest.approx(expected))
        assert row["at_risk_after_days"] == int(at_risk)
        assert row["lapsed_after_days"] == int(lapsed)
        assert row["is_cold"] == (night - last > rule.winback_max_days)


def test_a_life_in_its_stages() -> None:
    # A shop whose median gap is 10 days throughout, and one customer who buys, lapses, returns and settles.
    steady = {f"s{i}": list(range(0, 400, 10)) for i in range(20)}
    shop = {**steady, "ann": [100, 110, 120, 200, 210, 220]}
    timeline = stage_timeline(orders(shop), START + dt.timedelta(days=300), Stage(new_days=5))
    mine = [
        (row["stage"], (row["since"] - START).days)
        for row in timeline.filter(pl.col("customer_id") == "ann").to_dicts()
    ]
    assert mine == [
        ("new", 100), ("active", 106), ("at_risk", 136), ("lapsed", 151), ("won_back", 200),
        ("at_risk", 236), ("lapsed", 251),
    ]  # fmt: skip


def test_a_young_shop_that_knew_only_short_gaps_re_estimates_them() -> None:
    # On day 5 the shop has seen two gaps, of 1 day; by day 100 most gaps that ended are of 40.
    late = {f"s{i}": [0, 40, 80] for i in range(10)}
    shop = {**late, "ann": [2], "bob": [3, 4, 5]}
    stages = Stage(new_days=2, gap_prior_orders=3.0)
    timeline = stage_timeline(orders(shop), START + dt.timedelta(days=130), stages)
    mine = timeline.filter(pl.col("customer_id") == "ann")
    moves = [(row["stage"], (row["since"] - START).days) for row in mine.to_dicts()]
    assert moves == [
        ("new", 2), ("at_risk", 5), ("lapsed", 6), ("active", 40), ("at_risk", 63), ("lapsed", 123),
    ]  # fmt: skip
    table = lifecycle_stage(orders(shop), SHOP, START + dt.timedelta(days=60), stages)
    assert dict(table.select("customer_id", "expected_gap_days").rows())["ann"] == 40


def test_orders_on_one_day_are_one_occasion() -> None:
    shop = {"ann": [0, 20, 40], "bob": [0, 10, 50], "cat": [45]}
    often = {who: [day for day in days for _ in range(4)] for who, days in shop.items()}
    as_of = START + dt.timedelta(days=60)
    gaps = ["customer_id", "expected_gap_days", "at_risk_after_days", "lapsed_after_days"]
    once, several = (lifecycle_stage(orders(made), SHOP, as_of, Stage()) for made in (shop, often))
    assert several.select(gaps).equals(once.select(gaps))
    # New is who placed one order; whoever placed four on the first day has begun already.
    assert dict(once.select("customer_id", "stage").rows())["cat"] == "new"
    assert dict(several.select("customer_id", "stage").rows())["cat"] == "active"


def test_refunds_guests_of_the_future_and_the_order_of_rows_change_nothing() -> None:
    rng = np.random.default_rng(3)
    shop = {f"C{i}": rng.integers(0, 300, int(rng.integers(1, 9))).tolist() for i in range(200)}
    as_of = START + dt.timedelta(days=250)
    clean = lifecycle_stage(orders(shop), SHOP, as_of, Stage())
    undone = orders({"C1": [3, 9, 200], "other": [5]}).with_columns(pl.lit(False).alias("is_purchase"))
    mixed = pl.concat([orders(shop), undone]).collect().sample(fraction=1.0, shuffle=True, seed=1)
    other_future = mixed.with_columns(
        pl.when(pl.col("order_date") > as_of).then(pl.col("order_date") + dt.timedelta(days=7)).otherwise("order_date")
    )
    assert lifecycle_stage(mixed.lazy(), SHOP, as_of, Stage()).equals(clean)
    assert lifecycle_stage(other_future.lazy(), SHOP, as_of, Stage()).equals(clean)
    assert len(set(clean["stage"])) >= 4


def test_a_shop_where_nobody_came_back_knows_no_gap() -> None:
    table = lifecycle_stage(orders({"ann": [0], "bob": [350]}), SHOP, START + dt.timedelta(days=400), Stage())
    assert table.select("stage", "expected_gap_days", "is_cold").rows() == [
        ("lapsed", None, True),
        ("active", None, False),
    ]


def test_without_purchases_the_table_is_empty_and_typed() -> None:
    assert lifecycle_stage(orders({}), SHOP, AS_OF, Stage()).schema == LifecycleStage.polars_schema
    assert stage_timeline(orders({}), AS_OF, Stage()).is_empty()
