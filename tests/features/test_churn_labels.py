"""Churn labels of the three kinds of business: who is in, on which day the label turns, and what is not known."""

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_shop import AS_OF, SHOP, ZONE, frame

from lifecycle_assets.errors import InputError
from lifecycle_assets.features.churn_labels import ChurnLabels, churn_labels, label_days, training_labels
from lifecycle_assets.features.clv_inputs import customer_clv_inputs
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.inputs.contracts import Subscriptions
from lifecycle_assets.settings import Churn, Customer

SAAS, PREPAID = Churn(business_type="saas"), Churn(business_type="prepaid")


def at(days_ago: int, hour: int = 12) -> dt.datetime:
    day = dt.datetime.combine(AS_OF - dt.timedelta(days=days_ago), dt.time(hour), zoneinfo.ZoneInfo(ZONE))
    return day.astimezone(dt.UTC)


def day(days_ago: int) -> dt.date:
    return AS_OF - dt.timedelta(days=days_ago)


def purchases(rows: list[tuple[str, int, bool]]) -> pl.LazyFrame:
    schema = {"customer_id": pl.String, "order_date": pl.Date, "is_purchase": pl.Boolean}
    return pl.DataFrame([(who, day(ago), counts) for who, ago, counts in rows], schema=schema, orient="row").lazy()


def subscriptions(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of customer_id and what differs; begun 200 days ago unless told otherwise."""
    usual = {"started_at": at(200), "cancelled_at": None, "balance": None, "topped_up_at": None}
    return frame(Subscriptions, [{"subscription_id": f"S{i}", **usual, **row} for i, row in enumerate(rows)])


def labels(rule: Churn, table: pl.DataFrame, snapshot: dt.date = AS_OF) -> pl.DataFrame:
    made = churn_labels(purchases([]), table.lazy(), SHOP, snapshot, rule, ZONE)
    made = ChurnLabels.conform(made.lazy()).collect()
    ChurnLabels.require(made)
    return made


def churned(made: pl.DataFrame) -> dict[str, bool | None]:
    return dict(made.select("customer_id", "churned").rows())


def test_a_shop_of_purchases_goes_by_the_last_one() -> None:
    given = purchases([("bob", 400, True), ("bob", 90, True), ("ann", 89, True), ("new", -1, True), ("cat", 0, True),
                       ("cat", 300, True), ("dan", 95, True), ("dan", 3, False), ("eve", 5, False)])  # fmt: skip
    none = Subscriptions.empty().lazy()
    made = ChurnLabels.conform(churn_labels(given, none, SHOP, AS_OF, Churn(), ZONE).lazy()).collect()
    ChurnLabels.require(made)
    columns = ["customer_id", "churned", "churned_since", "last_event_date", "days_since_event"]
    assert made.select(columns).rows() == [
        ("ann", False, None, day(89), 89),
        ("bob", True, AS_OF, day(90), 90),
        ("cat", False, None, AS_OF, 0),
        ("dan", True, day(5), day(95), 95),
    ]
    assert made["reason"][1] == "days since the last purchase: 90; churned from 90 on"
    wide = churn_labels(given, none, SHOP, AS_OF, Churn(window_days=96), ZONE)
    assert not wide["churned"].any()


def test_the_day_of_churned_since_is_the_first_with_the_label() -> None:
    rng = np.random.default_rng(1)
    given = purchases([(f"C{i % 40:02d}", int(ago), True) for i, ago in enumerate(rng.integers(0, 300, 120))])
    none = Subscriptions.empty().lazy()
    made = churn_labels(given, none, SHOP, AS_OF, Churn(), ZONE).filter("churned")
    assert made.height > 5
    for row in made.to_dicts():
        for snapshot, expected in ((row["churned_since"], True), (row["churned_since"] - dt.timedelta(days=1), False)):
            then = churn_labels(given, none, SHOP, snapshot, Churn(), ZONE)
            assert churned(then)[row["customer_id"]] is expected


def test_a_subscriber_has_churned_when_the_last_subscription_is_cancelled() -> None:
    table = subscriptions([
        {"customer_id": "both", "cancelled_at": at(20)}, {"customer_id": "both", "cancelled_at": at(3)},
        {"customer_id": "one", "cancelled_at": at(20)}, {"customer_id": "one"},
        {"customer_id": "stays"},
        {"customer_id": "leaving", "cancelled_at": at(-10)},
        {"customer_id": "today", "cancelled_at": at(0, hour=23)},
        {"customer_id": "tomorrow", "cancelled_at": at(-1, hour=0)},
        {"customer_id": "future", "started_at": at(-1)},
        {"customer_id": "renewed", "cancelled_at": at(50)}, {"customer_id": "renewed", "started_at": at(-5)},
    ])  # fmt: skip
    made = labels(SAAS, table)
    columns = ["customer_id", "churned", "churned_since", "last_event_date", "reason"]
    assert made.select(columns).rows() == [
        ("both", True, day(3), day(3), "0 of 2 subscriptions running"),
        ("leaving", False, None, None, "1 of 1 subscriptions running"),
        ("one", False, None, day(20), "1 of 2 subscriptions running"),
        ("renewed", True, day(50), day(50), "0 of 1 subscriptions running"),
        ("stays", False, None, None, "1 of 1 subscriptions running"),
        ("today", True, AS_OF, AS_OF, "0 of 1 subscriptions running"),
        ("tomorrow", False, None, None, "1 of 1 subscriptions running"),
    ]


def test_a_training_label_is_the_label_some_days_later_of_those_still_there() -> None:
    ago = {"gone": 61, "first": 59, "last": 30, "after": 29, "planned": -10}
    table = subscriptions([{"customer_id": who, "cancelled_at": at(days)} for who, days in ago.items()])
    table = table.vstack(subscriptions([{"customer_id": "late", "started_at": at(45), "subscription_id": "L"}]))
    then, later = labels(SAAS, table, day(60)), labels(SAAS, table, day(60 - label_days(SAAS)))
    assert training_labels(then, later).rows() == [
        ("after", False),
        ("first", True),
        ("last", True),
        ("planned", False),
    ]
    # For purchases: no further one within the window, however many days ago the last one was.
    given = purchases([("idle", 170, True), ("back", 170, True), ("back", 80, True), ("gone", 300, True)])
    rule, none = Churn(), Subscriptions.empty().lazy()
    snapshots = [churn_labels(given, none, SHOP, when, rule, ZONE) for when in (day(160), day(160 - label_days(rule)))]
    assert training_labels(*snapshots).rows() == [("back", False), ("idle", True)]


def test_a_prepaid_customer_has_churned_when_nothing_is_left_and_nothing_came_in_a_cycle() -> None:
    table = subscriptions([
        {"customer_id": "empty", "balance": 0.0, "topped_up_at": at(30)},
        {"customer_id": "cycle", "balance": 0.0, "topped_up_at": at(29, hour=0)},
        {"customer_id": "rest", "balance": 0.01, "topped_up_at": at(99)},
        {"customer_id": "debt", "balance": -2.0, "topped_up_at": at(99)},
        {"customer_id": "never", "balance": 0.0},
        {"customer_id": "unknown", "topped_up_at": at(99)},
        {"customer_id": "after", "balance": 5.0, "topped_up_at": at(-1)},
        {"customer_id": "two", "balance": 0.0, "topped_up_at": at(99)}, {"customer_id": "two", "balance": 3.0},
        {"customer_id": "half", "balance": 0.0, "topped_up_at": at(99)}, {"customer_id": "half"},
        {"customer_id": "saved", "balance": 1.0}, {"customer_id": "saved"},
    ])  # fmt: skip
    made = labels(PREPAID, table)
    assert churned(made) == {
        "empty": True, "cycle": False, "rest": False, "debt": True, "never": True, "unknown": None, "after": None,
        "two": False, "half": None, "saved": False,
    }  # fmt: skip
    assert made["churned_since"].null_count() == made.height
    # The balance of tonight says nothing of a past day.
    past = labels(PREPAID, table, day(1))
    assert past.height == made.height
    assert past["churned"].null_count() == past.height
    assert set(past["reason"]) == {"balance on this day not known"}


def test_what_comes_after_the_snapshot_changes_no_label() -> None:
    rows = [{"customer_id": f"C{i % 40}", "started_at": at(80 - i), "cancelled_at": at(60 - i), "balance": float(i % 2),
             "topped_up_at": at(70 - i)} for i in range(100)]  # fmt: skip
    given = subscriptions(rows)
    known = given.filter(pl.col("started_at") < at(0, hour=23))
    late = pl.col("cancelled_at") > at(0, hour=23)
    other = known.with_columns(
        pl.when(late).then(pl.col("cancelled_at") + pl.duration(days=9)).otherwise("cancelled_at").alias("cancelled_at")
    )
    unheard = known.with_columns(pl.when(~late).then("cancelled_at").alias("cancelled_at"))
    for rule in (SAAS, PREPAID):
        expected = labels(rule, given)
        assert expected["churned"].n_unique() > 1
        for table in (known, other, unheard, given.sample(fraction=1.0, shuffle=True, seed=1)):
            assert labels(rule, table).equals(expected)


@pytest.mark.parametrize(
    ("rule", "rows", "missing"),
    [
        (SAAS, [], "subscriptions.started_at, subscriptions.cancelled_at"),
        (PREPAID, [], "subscriptions.started_at, subscriptions.balance, subscriptions.topped_up_at"),
        (PREPAID, [{"customer_id": "ann"}], "subscriptions.balance, subscriptions.topped_up_at"),
        (PREPAID, [{"customer_id": "ann", "balance": 1.0}], "subscriptions.topped_up_at"),
    ],
)
def test_all_inputs_that_a_rule_needs_and_does_not_have_are_named(
    rule: Churn, rows: list[dict[str, Any]], missing: str
) -> None:
    with pytest.raises(InputError, match=rf"business type {rule.business_type} needs {missing}: not given"):
        labels(rule, subscriptions(rows))


def test_where_nobody_ever_cancelled_nobody_has_churned_and_that_is_said() -> None:
    made = labels(SAAS, subscriptions([{"customer_id": "ann"}, {"customer_id": "bob"}, {"customer_id": "bob"}]))
    assert churned(made) == {"ann": False, "bob": False}
    assert made["reason"][1] == "2 of 2 subscriptions running; no cancellation of anybody is known by then"
    # A cancellation to come is not known of yet; one that came is, for everyone.
    for days, said in ((-3, True), (3, False)):
        made = labels(SAAS, subscriptions([{"customer_id": "ann"}, {"customer_id": "bob", "cancelled_at": at(days)}]))
        assert made["reason"].str.contains("no cancellation").to_list() == [said, said]


def test_a_shop_without_purchases_has_no_labels() -> None:
    made = churn_labels(purchases([]), Subscriptions.empty().lazy(), SHOP, AS_OF, Churn(), ZONE)
    assert ChurnLabels.conform(made.lazy()).collect().is_empty()


def test_clv_inputs_take_the_label_over_and_know_no_other() -> None:
    customers = {
        name: [{"Int64": 1, "Float64": 1.0, "String": "x", "Date": AS_OF}.get(str(dtype), 1)] * 3
        for name, dtype in CustomerOrders.polars_schema.items()
    }
    who = ["gone", "none", "stays"]
    orders = CustomerOrders.conform(pl.DataFrame({**customers, "shop_id": [SHOP] * 3, "customer_id": who}).lazy())
    table = subscriptions([{"customer_id": "gone", "cancelled_at": at(9)}, {"customer_id": "stays"}])
    made = customer_clv_inputs(orders, labels(SAAS, table).lazy(), Customer(churn=SAAS))
    assert churned(made) == {"gone": True, "none": None, "stays": False}
    words = [text.rsplit("; ", 1)[1] for text in made["interpretation"]]
    assert words == ["counts as churned.", "churn not known.", "not churned."]
