"""The facts of sales, the last day, customers, tonight and quality: recomputed row by row, and what they stand for."""

import datetime as dt
import importlib
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from cases import ASSUMING, frames_of, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import AS_OF, SHOP, frames, lines, tables

from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.reports import customers, last_day, quality, sales, tonight
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

TOPICS = (sales, last_day, customers, tonight, quality)


def facts_of(made: Tables, shop: Shop = SHOP) -> Facts:
    found = Facts([])
    for topic in TOPICS:
        found |= topic.facts(made, AS_OF, shop)
    return found


@pytest.mark.parametrize("case", ["rising", "flat", "falling", "tiny", "superseded"])
def test_every_fact_is_what_the_rows_say(case: str) -> None:
    facts = facts_of(Tables(frames_of(case)))
    rows = rows_of(case)
    again: dict[str, object] = {}
    for topic in TOPICS:
        again |= importlib.import_module(f"naive.{topic.__name__.rpartition('.')[2]}").naive(rows, AS_OF, ASSUMING)
    for name, fact in facts.facts.items():
        parts = {f"{name}/{other}/{part}" for other in fact.comparisons for part in ("value", "change", "lo", "hi")}
        bounds = {f"{name}/{end}" for end in ("lo", "hi")}
        for path in {name} | ((parts | bounds) & again.keys()):
            got, expected = facts.value(path), again[path]
            if isinstance(expected, float | Decimal) and got is not None:
                assert float(str(got)) == pytest.approx(float(expected), rel=1e-6, abs=6e-5), path
            else:
                assert got == expected, path


def test_what_was_planned_goes_out_is_held_back_or_was_superseded() -> None:
    made = frames(lines(customers=150))
    facts = facts_of(Tables(made))
    assert facts.value("tonight.sends") > 0
    assert facts.value("withheld.suppressed") > 0 and facts.value("withheld.expired") > 0
    assert facts.value("tonight.planned") == facts.value("tonight.sends") + facts.value("tonight.withheld")
    assert facts.value("tonight.decided") == facts.value("tonight.sends") + facts.value("tonight.holds")
    assert facts.value("tonight.later") is None

    lines_of_night = pl.col("as_of") == AS_OF
    tomorrow = made["ledger"].filter(lines_of_night, event="exported").with_columns(pl.col("as_of").dt.offset_by("1d"))
    repeated = Tables(made | {"ledger": pl.concat([made["ledger"], tomorrow])})
    assert facts_of(repeated).to_json() == facts.to_json()

    never = Tables(made | {"ledger": pl.concat([made["ledger"].filter(~lines_of_night), tomorrow])})
    late = facts_of(never)
    assert late.value("tonight.sends") == late.value("tonight.withheld") == late.value("tonight.batches") == 0
    assert late.value("tonight.superseded") == late.value("hold.superseded") == late.value("tonight.planned") > 0
    assert late.value("tonight.later") == AS_OF + dt.timedelta(days=1)

    unborn = facts_of(Tables(made | {"ledger": made["ledger"].filter(~lines_of_night)}))
    assert unborn.value("hold.unreleased") == unborn.value("tonight.planned")
    assert unborn.value("tonight.superseded") == 0


def test_the_reasons_for_a_change_add_up_to_it() -> None:
    facts = facts_of(tables(lines(customers=100, trend=0.5)))
    parts = sum(facts.value(f"why.{driver}") for driver in ("buyers", "frequency", "ticket"))
    assert float(parts) == pytest.approx(float(facts.value("sales.30d.revenue/before/difference")), abs=2e-4)


def test_the_interval_is_that_of_a_bootstrap_over_customers() -> None:
    made = frames(lines(customers=300, guests=0))
    facts = facts_of(Tables(made))
    data = {name: made[name].collect().to_dicts() for name in ("orders", "order_lines")}
    numbers = {c: n for n, c in enumerate(sorted({r["customer_id"] for r in data["orders"]}))}
    spent, orders = np.zeros((2, len(numbers))), np.zeros((2, len(numbers)))
    for row in data["order_lines"]:
        back = (AS_OF - row["order_date"]).days // 30
        if row["status"] == "completed" and row["customer_id"] in numbers and back < 2:
            spent[back, numbers[row["customer_id"]]] += float(row["amount"])
    for row in data["orders"]:
        back = (AS_OF - row["order_date"]).days // 30
        if row["is_purchase"] and back < 2:
            orders[back, numbers[row["customer_id"]]] += 1
    weights = np.random.default_rng(7).multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), 4000).T
    revenue, count = spent @ weights, orders @ weights
    ticket = revenue / count
    for name, drawn in (("revenue", revenue), ("orders", count), ("ticket", ticket)):
        lo, hi = np.quantile(drawn[0] / drawn[1] - 1, [0.025, 0.975])
        width = hi - lo
        assert facts.value(f"sales.30d.{name}/before/lo") == pytest.approx(lo, abs=0.08 * width)
        assert facts.value(f"sales.30d.{name}/before/hi") == pytest.approx(hi, abs=0.08 * width)


def test_without_a_trend_one_is_called_about_one_time_in_twenty() -> None:
    rng = np.random.default_rng(3)
    called = 0
    worlds = 200
    for _ in range(worlds):
        rate = rng.gamma(1.0, 1.0, 120)
        amounts = rng.gamma(2.0, 10.0, (2, 120)) * rng.poisson(rate, (2, 120))
        rows = [
            (
                AS_OF - dt.timedelta(days=30 * back + 3),
                f"c{c}",
                f"o{back}-{c}",
                Decimal(str(round(float(amounts[back, c]), 2))),
            )
            for back in (0, 1)
            for c in range(120)
            if amounts[back, c] > 0
        ]
        rows.append((AS_OF - dt.timedelta(days=59), "c0", "first", Decimal("0.01")))
        facts = _sales(rows)
        called += facts.verdict("sales.30d.revenue") in {"rising", "falling"}
    # Binomial(200, .05): 19 or more has a chance of about one in a thousand.
    assert called <= 18


def _sales(rows: list[tuple[dt.date, str, str, Decimal]]) -> Facts:
    schema = {"order_date": pl.Date, "customer_id": pl.String, "order_id": pl.String, "amount": pl.Decimal(18, 4)}
    frame = pl.DataFrame(rows, schema, orient="row").lazy()
    order_lines = frame.with_columns(status=pl.lit("completed"), quantity=pl.lit(1.0))
    return sales.sales(order_lines, frame.with_columns(is_purchase=pl.col("amount") > 0), AS_OF)


day = st.integers(-5, 500).map(lambda back: AS_OF - dt.timedelta(days=back))
cents = st.integers(-5000, 9000).map(lambda value: Decimal(value) / 100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(day, st.sampled_from(["a", "b", "c"]), cents), max_size=25))
def test_nothing_after_as_of_counts_and_money_is_exact(drawn: list[tuple[dt.date, str, Decimal]]) -> None:
    rows = [(d, c, f"o{n}", a) for n, (d, c, a) in enumerate(drawn)]
    past = [row for row in rows if row[0] <= AS_OF]
    facts = _sales(rows)
    assert facts.to_json() == _sales(past).to_json()
    month = AS_OF - dt.timedelta(days=29)
    assert facts.value("sales.30d.revenue") == sum((a for d, _, _, a in past if d >= month), Decimal(0))
    assert facts.verdict("sales.30d.revenue") in {"few", "none"}


def test_a_comparison_needs_data_for_the_whole_earlier_period() -> None:
    first = AS_OF - dt.timedelta(days=59)
    assert _sales([(first, "a", "1", Decimal(5))]).verdict("sales.30d.revenue") == "few"
    assert _sales([(first + dt.timedelta(days=1), "a", "1", Decimal(5))]).verdict("sales.30d.revenue") == "none"


def test_an_observation_window_leaves_the_trends_alone() -> None:
    made = tables(lines(customers=60))
    short = SHOP.model_copy(update={"customer": SHOP.customer.model_copy(update={"window_months": 1})})
    facts, windowed = facts_of(made), facts_of(made, short)
    assert windowed.value("data.first") == facts.value("data.first")
    for figure in ("sales.30d.revenue", "sales.90d.revenue", "sales.90d.orders"):
        assert windowed.value(figure) == facts.value(figure)
        assert windowed.verdict(figure) == facts.verdict(figure) != "none"


def _orders(counts: list[int], since: int = 100) -> pl.LazyFrame:
    """So many orders on AS_OF, on the same day of the week before ...; and one on a first day."""
    days = [AS_OF - dt.timedelta(weeks=back) for back, count in enumerate(counts) for _ in range(count)]
    days.append(AS_OF - dt.timedelta(days=since))
    return pl.LazyFrame({"order_date": days, "customer_id": [f"c{n}" for n in range(len(days))], "is_purchase": True})


def _last_day(counts: list[int], since: int = 100) -> Facts:
    return last_day.last_day(_orders(counts, since), Ledger.empty().lazy(), AS_OF)


@pytest.mark.parametrize(
    ("counts", "since", "verdict", "bounds"),
    [
        ([30, 10, 11, 9, 10, 10, 12, 8, 10], 100, "rising", (3, 17)),
        ([1, 10, 11, 9, 10, 10, 12, 8, 10], 100, "falling", (3, 17)),
        ([17, 10, 11, 9, 10, 10, 12, 8, 10], 100, "flat", (3, 17)),
        # One wild day in eight makes the usual wide.
        ([17, 80, 0, 0, 0, 0, 0, 0, 0], 100, "flat", (0, 80)),
        ([3, 1, 1, 1, 1, 1, 1, 1, 2], 100, "few", (None, None)),
        ([3, 10, 11, 9, 10, 10, 12, 8, 0], 55, "none", (None, None)),
    ],
)
def test_a_day_is_held_against_its_weekday(
    counts: list[int], since: int, verdict: str, bounds: tuple[int | None, int | None]
) -> None:
    facts = _last_day(counts, since)
    assert facts.verdict("day.orders", "usual") == verdict
    usual = facts.facts["day.usual"]
    assert (usual.lo, usual.hi) == bounds


@pytest.mark.parametrize("size", [None, 3.0])
def test_a_usual_day_is_called_unusual_about_one_time_in_twenty(size: float | None) -> None:
    """Poisson counts, and counts that spread more (negative binomial)."""
    rng = np.random.default_rng(11)
    worlds = 300
    drawn = rng.poisson(40 if size is None else rng.gamma(size, 40 / size, (worlds, 9)), (worlds, 9))
    called = sum(_last_day(counts).verdict("day.orders", "usual") != "flat" for counts in drawn.tolist())
    # Binomial(300, .05): 27 or more has a chance of about one in five hundred.
    assert called <= 26


def test_orders_since_a_message_are_those_of_its_customers() -> None:
    made = frames(lines(customers=150))
    facts = facts_of(Tables(made))
    yesterday = AS_OF - dt.timedelta(days=1)
    heard = made["ledger"].filter(as_of=yesterday, event="exported").collect()
    assert facts.value("day.sent") == heard["customer_id"].n_unique() > 0
    first = heard.head(1).with_columns(event=pl.lit("compensated"))
    undone = facts_of(Tables(made | {"ledger": pl.concat([made["ledger"], first.lazy()])}))
    assert undone.value("day.sent") == facts.value("day.sent") - 1
    bought = (
        made["orders"]
        .filter("is_purchase", pl.col("order_date") == AS_OF)
        .head(1)
        .select("customer_id")
        .collect()
        .item()
    )
    to_one = heard.head(1).with_columns(customer_id=pl.lit(bought))
    assert facts_of(Tables(made | {"ledger": to_one.lazy()})).value("day.sent.orders") == 1
