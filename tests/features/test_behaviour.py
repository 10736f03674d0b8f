"""Visits, messages, complaints, payments and answers, against a plain re-computation; local midnights; absent inputs."""

import datetime as dt
import zoneinfo
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from made_shop import AS_OF, ZONE, frame, lines, products, roll_up

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.inputs.contracts import (
    CHANNELS,
    Engagement,
    OrderLines,
    PaymentEvents,
    Products,
    SupportTickets,
    SurveyResponses,
    WebEvents,
)

Row = dict[str, Any]
END = dt.datetime.combine(AS_OF + dt.timedelta(days=1), dt.time(), zoneinfo.ZoneInfo(ZONE)).astimezone(dt.UTC)
COUNTS = ["sessions_12w", "views_30d", "carts_30d", "sends_90d", "tickets_90d", "failed_payments_12m"]


def raw(seed: int) -> dict[str, pl.DataFrame]:
    rng = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(0, len(values)))]

    def moment() -> dt.datetime:
        # Half a year around the end of the day; many on the very edges of the windows.
        if rng.random() < 0.2:
            return END - dt.timedelta(days=one_of(0, 30, 42, 84, 90, 180)) + dt.timedelta(seconds=one_of(-1, 0, 1))
        return END - dt.timedelta(seconds=int(rng.integers(-20 * 86_400, 260 * 86_400)))

    def customer() -> str:
        return f"C{int(rng.integers(1, 15)):02d}"

    events = [
        {
            "event_id": f"E{i}", "customer_id": one_of(customer(), customer(), None), "occurred_at": moment(),
            "session_id": one_of(None, f"S{int(rng.integers(0, 300))}"),
            "event_type": one_of("view", "view", "add_to_cart", "search"),
            "product_id": one_of("P1", "P2", "P9", None), "category": one_of(None, "a", "b", "c"),
        }
        for i in range(1500)
    ]  # fmt: skip
    messages = []
    for i in range(600):
        sent = moment()
        delivered = one_of(None, sent + dt.timedelta(seconds=5))
        after = [None, *(dt.timedelta(seconds=s) for s in (0, 1, 2, 3, 400, 9 * 86_400))]
        opened, clicked = one_of(*after), one_of(*after)
        base = delivered or sent
        messages.append(
            {
                "message_id": f"M{i}", "customer_id": customer(), "channel": one_of(*CHANNELS, "email", "email"),
                "sent_at": sent, "delivered_at": delivered, "opened_at": base + opened if opened is not None else None,
                "clicked_at": base + clicked if clicked is not None else None,
            }
        )  # fmt: skip
    tickets = [{"ticket_id": f"T{i}", "customer_id": customer(), "opened_at": moment()} for i in range(80)]
    payments = [
        {"payment_id": f"Y{i}", "customer_id": customer(), "occurred_at": moment(), "status": one_of("paid", "failed")}
        for i in range(150)
    ]
    answers = [
        {
            "response_id": f"A{i}", "customer_id": customer(), "answer": float(rng.integers(0, 11)),
            "responded_at": END - dt.timedelta(days=int(rng.integers(-3, 5)), seconds=1),
        }
        for i in range(60)
    ]  # fmt: skip
    return {
        OrderLines.name: lines(seed),
        Products.name: products(seed),
        WebEvents.name: frame(WebEvents, events),
        Engagement.name: frame(Engagement, messages),
        SupportTickets.name: frame(SupportTickets, tickets),
        PaymentEvents.name: frame(PaymentEvents, payments),
        SurveyResponses.name: frame(SurveyResponses, answers),
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_every_column_is_what_its_definition_says(seed: int) -> None:
    given = raw(seed)
    table = roll_up(given)[CustomerBehaviour.name]
    assert table.height > 15
    for row in table.to_dicts():
        hand = _by_hand(given, row["customer_id"])
        for column, value in hand.items():
            expected = value if isinstance(value, dt.datetime) else pytest.approx(value, abs=1e-12)
            assert row[column] == expected, f"{row['customer_id']}.{column}"
        assert set(hand) | {"shop_id", "as_of", "customer_id"} == set(row)
    for column in set(table.columns) - {"shop_id", "as_of", "customer_id", "last_event_at"}:
        assert table[column].n_unique() > 2, f"{column} is put to the test"


@pytest.mark.parametrize("alone", [WebEvents, Engagement, SupportTickets, PaymentEvents, SurveyResponses])
def test_the_latest_event_is_that_of_any_input(alone: Contract) -> None:
    orders_only = {name: raw(5)[name] for name in (OrderLines.name, Products.name)}
    absent = {c.name: c.empty() for c in (WebEvents, Engagement, SupportTickets, PaymentEvents, SurveyResponses)}
    given = {**absent, **orders_only, alone.name: raw(5)[alone.name].sample(fraction=0.4, seed=1)}
    table = roll_up(given)[CustomerBehaviour.name]
    assert table["last_event_at"].n_unique() > 2
    for row in table.to_dicts():
        assert row["last_event_at"] == _by_hand(given, row["customer_id"])["last_event_at"]


def test_an_absent_input_gives_nulls_and_a_silent_customer_zeros() -> None:
    given = raw(3)
    alone = roll_up({name: given[name] for name in (OrderLines.name, Products.name)})[CustomerBehaviour.name]
    assert alone.height > 15
    assert alone.select(pl.exclude("shop_id", "as_of", "customer_id").null_count().sum()).row(0) == (alone.height,) * 13
    full = roll_up(given)[CustomerBehaviour.name].filter(pl.col("customer_id") > "C15")
    assert full.height > 3
    for row in full.to_dicts():
        assert all(row[column] == 0 for column in COUNTS)
        assert all(row[column] is None for column in set(row) - {*COUNTS, "shop_id", "as_of", "customer_id"})


def test_an_input_that_begins_after_as_of_is_absent_and_the_future_changes_nothing() -> None:
    given = raw(4)
    times = {WebEvents.name: "occurred_at", Engagement.name: "sent_at", SupportTickets.name: "opened_at",
             PaymentEvents.name: "occurred_at", SurveyResponses.name: "responded_at"}  # fmt: skip
    past = {**given, **{name: given[name].filter(pl.col(column) < END) for name, column in times.items()}}
    future = {**given, **{name: given[name].filter(pl.col(column) >= END) for name, column in times.items()}}
    assert all(future[name].height for name in times)
    orders_only = {name: given[name] for name in (OrderLines.name, Products.name)}
    assert roll_up(given)[CustomerBehaviour.name].equals(roll_up(past)[CustomerBehaviour.name])
    assert roll_up(future)[CustomerBehaviour.name].equals(roll_up(orders_only)[CustomerBehaviour.name])


@pytest.mark.parametrize(("as_of", "hours"), [(dt.date(2024, 3, 10), 23), (dt.date(2024, 11, 3), 25)])
def test_a_day_ends_at_local_midnight_when_the_clocks_change(as_of: dt.date, hours: int) -> None:
    zone = zoneinfo.ZoneInfo(ZONE)
    start = dt.datetime.combine(as_of, dt.time(), zone).astimezone(dt.UTC)
    end = start + dt.timedelta(hours=hours)
    # The last 30 days begin 29 midnights earlier, whatever the clocks did in between.
    first = dt.datetime.combine(as_of - dt.timedelta(days=29), dt.time(), zone).astimezone(dt.UTC)
    second = dt.timedelta(seconds=1)
    moments = {first - second: 0, first: 1, end - second: 1, end: 0}
    events = [
        {"event_id": f"E{i}", "customer_id": "C05", "occurred_at": at, "event_type": "view", "session_id": "S"}
        for i, at in enumerate(moments)
    ]
    given = {OrderLines.name: lines(1), WebEvents.name: frame(WebEvents, events)}
    table = roll_up(given, as_of)[CustomerBehaviour.name].filter(pl.col("customer_id") == "C05")
    assert table["views_30d"].to_list() == [sum(moments.values())]


@pytest.mark.parametrize(
    ("channel", "opens", "clicks"),
    [(name, None, None) for name in ("call", "postal")]
    + [(name, None, 0.5) for name in ("sms", "ads")]
    + [(name, 0.5, 0.5) for name in ("email", "whatsapp", "push", "in_app")],
)
def test_rates_are_of_channels_that_can_report(channel: str, opens: float | None, clicks: float | None) -> None:
    rows = []
    for i, days in enumerate((1, 2, 100, 101, 102)):
        sent = END - dt.timedelta(days=days)
        seen = sent + dt.timedelta(hours=1) if i in (0, 2) else None
        rows.append({"message_id": f"M{i}", "customer_id": "C05", "channel": channel, "sent_at": sent,
                     "opened_at": seen, "clicked_at": seen})  # fmt: skip
    given = {OrderLines.name: lines(1), Engagement.name: frame(Engagement, rows)}
    row = roll_up(given)[CustomerBehaviour.name].row(by_predicate=pl.col("customer_id") == "C05", named=True)
    assert (row["sends_90d"], row["open_rate_90d"], row["click_rate_90d"]) == (2, opens, clicks)
    assert row["response_trend"] == (None if clicks is None else pytest.approx(1 / 2 - 1 / 3))


def test_a_visit_is_a_customers_once_they_alone_have_signed_in_under_its_visitor_id() -> None:
    def visits(as_of: dt.date, signed_in: dict[str, int]) -> int | None:
        moments = [(None, 40), *((name, days) for name, days in signed_in.items())]
        events = [
            {"event_id": f"E{i}", "customer_id": name, "anonymous_id": "v", "event_type": "view", "session_id": f"S{i}",
             "occurred_at": END - dt.timedelta(days=days)}
            for i, (name, days) in enumerate(moments)
        ]  # fmt: skip
        given = {OrderLines.name: lines(1), WebEvents.name: frame(WebEvents, events)}
        table = roll_up(given, as_of)[CustomerBehaviour.name]
        return table.filter(pl.col("customer_id") == "C05")["sessions_12w"].item()

    before = AS_OF - dt.timedelta(days=30)
    assert visits(AS_OF, {"C05": 20}) == 2
    assert visits(AS_OF, {"C05": 20, "C06": 10}) == 1
    # Nobody had signed in; nobody else had.
    assert visits(before, {"C05": 20}) is None
    assert visits(before, {"C05": 35, "C06": 10}) == 2


def test_half_an_hour_of_silence_ends_a_session_without_an_id() -> None:
    minutes = {"no id": [0, 30, 60, 91, 92], "id": [0, 31, 200]}
    events = [
        {"event_id": f"{kind}{at}", "customer_id": "C05", "occurred_at": END - dt.timedelta(minutes=300 - at),
         "event_type": "view", "session_id": "S" if kind == "id" else None}
        for kind, times in minutes.items() for at in times
    ]  # fmt: skip
    given = {OrderLines.name: lines(1), WebEvents.name: frame(WebEvents, events)}
    row = roll_up(given)[CustomerBehaviour.name].row(by_predicate=pl.col("customer_id") == "C05", named=True)
    assert row["sessions_12w"] == 3


def _by_hand(given: dict[str, pl.DataFrame], customer: str) -> Row:
    def mine(name: str, column: str) -> list[Row]:
        rows = given[name].filter((pl.col("customer_id") == customer) & (pl.col(column) < END))
        return rows.with_columns((pl.lit(END) - pl.col(column)).alias("age")).to_dicts()

    def days(number: int) -> dt.timedelta:
        # The windows of this test do not cross a change of the clocks, but the longest: 12 months does not either way.
        zone = zoneinfo.ZoneInfo(ZONE)
        start = dt.datetime.combine(AS_OF - dt.timedelta(days=number - 1), dt.time(), zone)
        return END - start.astimezone(dt.UTC)

    categories = {row["product_id"]: row["category"] for row in given[Products.name].to_dicts()}
    events = mine(WebEvents.name, "occurred_at")
    visits: dict[str, list[dt.timedelta]] = {}
    mix: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for event in events:
        if event["age"] <= days(84) and event["session_id"]:
            visits.setdefault(event["session_id"], []).append(event["age"])
        category = event["category"] or categories.get(event["product_id"])
        if category:
            mix[event["age"] <= days(90)][category] += 1
    unnamed = sorted(event["age"] for event in events if event["age"] <= days(84) and not event["session_id"])
    for position, age in enumerate(unnamed):
        if position == 0 or age - unnamed[position - 1] > dt.timedelta(minutes=30):
            visits[f"unnamed {position}"] = []
            visit = visits[f"unnamed {position}"]
        visit.append(age)
    late = [len(ages) for ages in visits.values() if max(ages) <= days(42)]
    early = [len(ages) for ages in visits.values() if max(ages) > days(42)]
    shift = None
    if mix[True] and mix[False]:
        shares = {late_: {c: n / sum(m.values()) for c, n in m.items()} for late_, m in mix.items()}
        every = set(mix[True]) | set(mix[False])
        shift = sum(abs(shares[True].get(c, 0) - shares[False].get(c, 0)) for c in every) / 2
    messages = [row for row in mine(Engagement.name, "sent_at") if row["age"] <= days(180)]
    halves = [[m for m in messages if m["age"] <= days(90)], [m for m in messages if m["age"] > days(90)]]

    def rate(of: list[Row], column: str) -> float | None:
        deaf = {"call", "postal"} | ({"sms", "ads"} if column == "opened_at" else set())
        human = [
            m[column] is not None and m[column] < END
            and (m[column] - (m["delivered_at"] or m["sent_at"])).total_seconds() > 2
            for m in of if m["channel"] not in deaf
        ]  # fmt: skip
        return sum(human) / len(human) if human else None

    now, then = rate(halves[0], "clicked_at"), rate(halves[1], "clicked_at")
    answers = sorted(mine(SurveyResponses.name, "responded_at"), key=lambda a: (a["age"], a["response_id"]))
    tickets = mine(SupportTickets.name, "opened_at")
    payments = mine(PaymentEvents.name, "occurred_at")
    entered = [
        *(e["occurred_at"] for e in events),
        *(m["sent_at"] for m in messages),
        *(t["opened_at"] for t in tickets if t["age"] <= days(90)),
        *(p["occurred_at"] for p in payments if p["status"] == "failed" and p["age"] <= days(365)),
        *(a["responded_at"] for a in answers[:1]),
    ]
    return {
        "sessions_12w": len(visits),
        "views_30d": sum(e["event_type"] == "view" and e["age"] <= days(30) for e in events),
        "carts_30d": sum(e["event_type"] == "add_to_cart" and e["age"] <= days(30) for e in events),
        "session_depth_trend": (sum(late) / len(late)) / (sum(early) / len(early)) - 1 if late and early else None,
        "category_shift": shift,
        "sends_90d": len(halves[0]),
        "open_rate_90d": rate(halves[0], "opened_at"),
        "click_rate_90d": now,
        "response_trend": now - then if now is not None and then is not None else None,
        "tickets_90d": sum(t["age"] <= days(90) for t in tickets),
        "failed_payments_12m": sum(p["status"] == "failed" and p["age"] <= days(365) for p in payments),
        "latest_nps": answers[0]["answer"] if answers else None,
        "last_event_at": max(entered, default=None),
    }
