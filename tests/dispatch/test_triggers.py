"""What counts as an event that calls for a message, at the edges of each rule."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, table
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.triggers import Happenings, Triggers, triggers
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs import contracts as raw

ZONE = "Europe/Madrid"
UNTIL = dt.datetime(2025, 3, 1, 23, tzinfo=dt.UTC)  # midnight in Madrid
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
TICK = dt.timedelta(microseconds=1)


def happenings(as_of: dt.date = AS_OF, **rows: list[dict[str, Any]]) -> Happenings:
    """The tables of these rows; everyone is a customer unless `stages` says who is."""
    named = sorted({row["customer_id"] for group in rows.values() for row in group if row.get("customer_id")})
    stages = rows.get("stages", [{"customer_id": name} for name in named])
    contracts = {
        "events": raw.WebEvents,
        "lines": raw.OrderLines,
        "prices": raw.PriceHistory,
        "people": raw.Customers,
        "ids": IdentityMap,
    }
    frames = {name: table(contract, rows.get(name, []), as_of).lazy() for name, contract in contracts.items()}
    return Happenings(
        frames["events"],
        frames["lines"],
        frames["prices"],
        frames["people"],
        table(LifecycleStage, stages, as_of).lazy(),
        frames["ids"],
    )


def found(as_of: dt.date = AS_OF, **rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Trigger -> its rows."""
    frame = triggers(happenings(as_of, **rows), shop_id="lupe", as_of=as_of, timezone=ZONE)
    Triggers.require(frame)
    return {name: part.to_dicts() for (name,), part in frame.group_by("trigger", maintain_order=True)}


def event(
    kind: str, at: dt.datetime, product: str | None = "p1", customer: str | None = "ana", **more: Any
) -> dict[str, Any]:
    return {"customer_id": customer, "event_type": kind, "product_id": product, "occurred_at": at, **more}


def line(at: dt.datetime, product: str = "p1", customer: str = "ana", **more: Any) -> dict[str, Any]:
    day = at.astimezone(dt.timezone(HOUR)).date()
    return {
        "customer_id": customer,
        "order_id": f"o{at}",
        "product_id": product,
        "ordered_at": at,
        "order_date": day,
        "quantity": 1.0,
        "status": "completed",
        **more,
    }


def price(day: dt.date, value: float, stock: float | None = 5.0, product: str = "p1", **more: Any) -> dict[str, Any]:
    return {"product_id": product, "date": day, "price": value, "inventory_level": stock, **more}


def test_nothing_at_all_is_an_empty_table() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("events", "lines", "expected"),
    [
        ([event("add_to_cart", UNTIL - HOUR)], [], UNTIL - HOUR),
        ([event("add_to_cart", UNTIL - TICK)], [], UNTIL - TICK),
        ([event("add_to_cart", UNTIL)], [], None),  # the next day's
        ([event("add_to_cart", UNTIL - 7 * DAY)], [], UNTIL - 7 * DAY),
        ([event("add_to_cart", UNTIL - 7 * DAY - TICK)], [], None),  # too long ago
        ([event("view", UNTIL - HOUR)], [], None),
        ([event("add_to_cart", UNTIL - 3 * HOUR), event("remove_from_cart", UNTIL - HOUR)], [], None),
        ([event("remove_from_cart", UNTIL - 3 * HOUR), event("add_to_cart", UNTIL - HOUR)], [], UNTIL - HOUR),
        ([event("add_to_cart", UNTIL - 3 * HOUR), event("remove_from_cart", UNTIL - HOUR, "p2")], [], UNTIL - 3 * HOUR),
        ([event("add_to_cart", UNTIL - 3 * HOUR), event("checkout", UNTIL - HOUR, None)], [], UNTIL - HOUR),
        ([event("checkout", UNTIL - HOUR, None)], [], None),
        ([event("add_to_cart", UNTIL - 3 * HOUR), event("purchase", UNTIL - HOUR)], [], None),
        ([event("purchase", UNTIL - 3 * HOUR), event("add_to_cart", UNTIL - HOUR)], [], UNTIL - HOUR),
        # An order of the same day counts as later, one of the day before does not.
        ([event("add_to_cart", UNTIL - HOUR)], [line(UNTIL - 20 * HOUR)], None),
        ([event("add_to_cart", UNTIL - HOUR)], [line(UNTIL - DAY - HOUR)], UNTIL - HOUR),
        ([event("add_to_cart", UNTIL - HOUR)], [line(UNTIL - 20 * HOUR, status="cancelled")], UNTIL - HOUR),
    ],
)
def test_a_cart_is_abandoned_until_it_is_emptied_or_paid(
    events: list[dict[str, Any]], lines: list[dict[str, Any]], expected: dt.datetime | None
) -> None:
    rows = found(events=events, lines=lines).get("abandoned_cart", [])
    assert [row["occurred_at"] for row in rows] == ([] if expected is None else [expected])


def test_a_cart_names_its_latest_product_and_counts_them_all() -> None:
    (row,) = found(events=[event("add_to_cart", UNTIL - n * HOUR, f"p{n}") for n in (5, 2, 3)])["abandoned_cart"]
    assert (row["product_id"], row["detail"]) == ("p2", "3 left in the cart")


def test_visits_count_for_the_profile_and_for_the_visitor_who_is_known() -> None:
    ids = [
        {"id_type": "customer_id", "id": "old", "customer_id": "ana"},
        {"id_type": "anonymous_id", "id": "v1", "customer_id": "bea"},
        {"id_type": "anonymous_id", "id": "v2", "customer_id": None},
    ]
    events = [
        event("add_to_cart", UNTIL - HOUR, customer="old"),
        event("add_to_cart", UNTIL - HOUR, customer=None, anonymous_id="v1"),
        event("add_to_cart", UNTIL - HOUR, customer=None, anonymous_id="v2"),
        event("add_to_cart", UNTIL - HOUR, customer="never bought"),
    ]
    rows = found(events=events, ids=ids, stages=[{"customer_id": "ana"}, {"customer_id": "bea"}])["abandoned_cart"]
    assert [row["customer_id"] for row in rows] == ["ana", "bea"]


VIEWED = event("view", UNTIL - 10 * DAY)


@pytest.mark.parametrize(
    ("prices", "more", "happens"),
    [
        ([(3, 10.0), (0, 9.5)], {}, True),
        ([(3, 10.0), (0, 9.51)], {}, False),
        ([(3, 10.0), (0, 10.0), (-1, 5.0)], {}, False),  # a price of the day after as_of is not known yet
        ([(9, 10.0), (6, 5.0)], {}, True),
        ([(9, 10.0), (8, 5.0)], {}, False),
        ([(0, 5.0)], {}, False),  # no price before
        ([(3, 10.0), (0, 5.0)], {"events": [event("view", UNTIL - HOUR)]}, False),  # seen with the new price
        ([(3, 10.0), (0, 5.0)], {"events": [event("view", UNTIL - 30 * DAY)]}, True),
        ([(3, 10.0), (0, 5.0)], {"events": [event("view", UNTIL - 32 * DAY)]}, False),
        ([(3, 10.0), (0, 5.0)], {"events": [event("view", UNTIL - 5 * DAY, "p2")]}, False),
        ([(3, 10.0), (0, 5.0)], {"lines": [line(UNTIL - 9 * DAY)]}, False),
        ([(3, 10.0), (0, 5.0)], {"lines": [line(UNTIL - 12 * DAY)]}, True),
    ],
)
def test_a_lower_price_of_what_was_viewed(
    prices: list[tuple[int, float]], more: dict[str, list[dict[str, Any]]], happens: bool
) -> None:
    history = [price(AS_OF - n * DAY, value) for n, value in prices]
    rows = found(prices=history, events=more.get("events", [VIEWED]), lines=more.get("lines", []))
    assert ("price_drop" in rows) == happens


def test_a_price_counts_by_the_highest_of_its_channels() -> None:
    days = [(AS_OF - DAY, 10.0, "web"), (AS_OF - DAY, 8.0, "store"), (AS_OF, 9.9, "web"), (AS_OF, 4.0, "store")]
    history = [price(day, value, sales_channel=channel) for day, value, channel in days]
    assert "price_drop" not in found(prices=history, events=[VIEWED])
    (row,) = found(prices=[*history[:2], price(AS_OF, 9.0)], events=[VIEWED])["price_drop"]
    assert row["detail"] == "price 10.0 to 9.0"
    assert row["occurred_at"] == UNTIL - DAY


@pytest.mark.parametrize(
    ("stock", "happens"), [([0.0, 3.0], True), ([1.0, 3.0], False), ([0.0, 0.0], False), ([None, 3.0], False)]
)
def test_what_was_viewed_is_in_stock_again(stock: list[float | None], happens: bool) -> None:
    history = [price(AS_OF - n * DAY, 10.0, level) for n, level in zip((2, 0), stock, strict=True)]
    assert ("back_in_stock" in found(prices=history, events=[VIEWED])) == happens


@pytest.mark.parametrize(
    ("visited", "ordered", "happens"),
    [
        (UNTIL - 7 * DAY, None, True),
        (UNTIL - 7 * DAY + TICK, None, False),
        (UNTIL - 14 * DAY, None, True),
        (UNTIL - 14 * DAY - TICK, None, False),
        (UNTIL - 8 * DAY, UNTIL - 8 * DAY, False),
        (UNTIL - 8 * DAY, UNTIL - 10 * DAY, True),
    ],
)
def test_seven_days_without_a_visit(visited: dt.datetime, ordered: dt.datetime | None, happens: bool) -> None:
    rows = found(events=[event("view", visited)], lines=[line(ordered)] if ordered else [])
    assert ("inactivity" in rows) == happens


def test_an_order_is_shipped_where_the_shop_says_so() -> None:
    sent = [
        line(UNTIL - 3 * DAY, shipped_at=UNTIL - HOUR, order_id="o1"),
        line(UNTIL - 3 * DAY, customer="bea", shipped_at=UNTIL + HOUR),
        line(UNTIL - 3 * DAY, customer="eva"),
    ]
    rows = found(lines=sent)["order_shipped"]
    assert [(row["customer_id"], row["occurred_at"], row["detail"]) for row in rows] == [
        ("ana", UNTIL - HOUR, "order o1")
    ]


@pytest.mark.parametrize(
    ("back", "happens"),
    [
        ([119, 89, 59, 29], True),  # due on the day of sending
        ([120, 90, 60, 30], True),
        ([118, 88, 58, 28], False),  # due a day later
        ([127, 97, 67, 37], False),  # due more than a week ago
        ([90, 60, 30], False),  # three purchases
        ([52, 39, 26, 13], False),  # gaps of 13 days
        ([300, 90, 60, 30], False),  # not regular
    ],
)
def test_what_is_bought_at_regular_gaps_is_due_again(back: list[int], happens: bool) -> None:
    rows = found(lines=[line(UNTIL - n * DAY - HOUR) for n in back])
    assert ("replenishment" in rows) == happens


@pytest.mark.parametrize(
    ("born", "as_of", "happens"),
    [
        (dt.date(1980, 3, 2), AS_OF, True),
        (dt.date(1980, 3, 3), AS_OF, False),
        (dt.date(1980, 2, 23), AS_OF, True),
        (dt.date(1980, 2, 22), AS_OF, False),
        (dt.date(1980, 2, 29), dt.date(2025, 2, 27), True),  # kept on 28 February
        (dt.date(1980, 2, 29), dt.date(2025, 2, 26), False),
        (dt.date(1980, 2, 29), dt.date(2024, 2, 28), True),
        (dt.date(1980, 2, 29), dt.date(2024, 2, 27), False),
        (dt.date(1980, 1, 1), dt.date(2024, 12, 31), True),
    ],
)
def test_birthdays_around_the_year_and_the_leap_day(born: dt.date, as_of: dt.date, happens: bool) -> None:
    rows = found(as_of, people=[{"customer_id": "ana", "birth_date": born}])
    assert ("birthday" in rows) == happens


def test_a_stage_change_is_that_of_a_stage_with_one_before() -> None:
    stages = [
        {"customer_id": "ana", "stage": "won_back", "previous_stage": "lapsed", "since": AS_OF},
        {"customer_id": "bea", "stage": "new", "since": AS_OF},
        {"customer_id": "eva", "stage": "at_risk", "previous_stage": "active", "since": AS_OF - 8 * DAY},
    ]
    (row,) = found(stages=stages)["stage_change"]
    assert (row["customer_id"], row["detail"], row["occurred_at"]) == ("ana", "lapsed to won_back", UNTIL - DAY)


KINDS = ["view", "add_to_cart", "remove_from_cart", "checkout", "purchase"]
EVENTS = st.lists(
    st.builds(
        lambda kind, hours, product, customer: event(kind, UNTIL - hours * HOUR, product, customer),
        st.sampled_from(KINDS),
        st.integers(-48, 24 * 40),
        st.sampled_from(["p1", "p2", None]),
        st.sampled_from(["ana", "bea"]),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(EVENTS, st.randoms())
def test_the_order_of_rows_and_the_future_change_nothing(events: list[dict[str, Any]], random: Any) -> None:
    history = [price(AS_OF - n * DAY, value) for n, value in ((3, 10.0), (0, 5.0))]
    rows = found(events=events, prices=history)
    past = [row for row in events if row["occurred_at"] < UNTIL]
    random.shuffle(past)
    stages = [{"customer_id": name} for name in sorted({row["customer_id"] for row in events})]
    assert found(events=past, prices=history[::-1], stages=stages) == rows
    for trigger in rows.values():
        assert all(UNTIL - 7 * DAY <= row["occurred_at"] <= UNTIL for row in trigger)
    assert pl.Series([row["customer_id"] for row in rows.get("abandoned_cart", [])]).is_unique().all()
