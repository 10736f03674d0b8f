"""Each gate at its edges, their order, and one decision per customer whatever the data."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, World, table
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.eligibility import GATES, REASONS
from lifecycle_assets.dispatch.ledger import Ledger, lines_of

Build = Callable[..., World]
SEND = "best_action"
UTC = dt.UTC


@pytest.fixture
def world() -> Build:
    """`world(ana=LAPSED, ...)`: a shop with these customers."""
    return lambda **people: World(people)


def night_before(nights: int, customer: str = "ana", **more: Any) -> dict[str, Any]:
    """A message of the ledger, sent by the run of `nights` nights before tonight."""
    as_of = AS_OF - dt.timedelta(days=nights)
    return {
        "customer_id": customer,
        "as_of": as_of,
        "idempotency_key": f"{customer}-{as_of}",
        "batch_id": f"batch-{as_of}",
        "channel": "email",
        "programme": "other",
        "step": 1,
        "event": "exported",
        "at": dt.datetime(2025, 1, 1, tzinfo=UTC),
        "actor": "nightly run",
        "run": "x",
        **more,
    }


def ledger(*rows: dict[str, Any]) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in Ledger.columns}
    frame = pl.DataFrame(columns, schema=Ledger.polars_schema, strict=False).with_columns(shop_id=pl.lit("lupe"))
    Ledger.require(frame)
    return frame


def message(at: dt.datetime, **more: Any) -> dict[str, Any]:
    return {"message_id": f"m-{at}-{more}", "customer_id": "ana", "channel": "email", "sent_at": at, **more}


def test_a_customer_who_passes_everything_is_sent_the_winback_mail(world: Build) -> None:
    row = world(ana=LAPSED).decide().row(0, named=True)
    assert (row["action"], row["reason"], row["programme"], row["step"]) == ("send", SEND, "winback", 1)
    assert (row["offer_id"], row["channel"], row["discount_pct"]) == ("winback_10", "email", 10.0)
    # 0.02 * (80 * 0.30 margin - 80 * 10 %) - 0.001 per mail
    assert float(row["expected_value"]) == pytest.approx(0.02 * (24 - 8) - 0.001)
    # P * R * I * E. An order is worth 16 less 0.05 for the 50 mails that it takes; the shop's typical margin is the 24 of
    # the only customer.
    assert row["score"] == pytest.approx(0.02 * 1 * (15.95 / (15.95 + 24)) * 0.6)
    assert row["send_at_local"].isoformat() == "2025-03-02T10:00:00"
    assert row["send_at"] == dt.datetime(2025, 3, 2, 9, tzinfo=UTC)


# --- erased, suppressed, consent, address -----------------------------------------------------------------------------

LAST_MOMENT = dt.datetime(2025, 3, 1, 22, 59, 59, tzinfo=UTC)  # 23:59:59 in Madrid
TOO_LATE = dt.datetime(2025, 3, 1, 23, 0, tzinfo=UTC)  # midnight: the next day


def test_erasure_counts_up_to_the_end_of_the_shops_day(world: Build) -> None:
    shop = world(ana=LAPSED, bea=LAPSED)
    shop.erasures = [
        {"customer_id": "ana", "requested_at": LAST_MOMENT},
        {"customer_id": "bea", "requested_at": TOO_LATE},
    ]
    assert shop.reasons() == {"ana": "erased", "bea": SEND}


def test_suppression_by_customer_by_hashed_address_by_channel_and_for_all(world: Build) -> None:
    people = {
        name: {**LAPSED, "email": f" {name.upper()}@Example.com "} for name in ("ana", "bea", "eva", "ida", "lea")
    }
    shop = world(**people)
    shop.suppressions = [
        {"customer_id": "ana", "channel": "all"},
        {"email_sha256": hashlib.sha256(b"bea@example.com").hexdigest().upper(), "channel": "email"},
        {"customer_id": "eva", "channel": "sms"},
        {"customer_id": "ida", "channel": "email", "since": TOO_LATE},
    ]
    assert shop.reasons() == {"ana": "suppressed", "bea": "suppressed", "eva": SEND, "ida": SEND, "lea": SEND}


@pytest.mark.parametrize(
    ("flag", "events", "expected", "basis"),
    [
        (None, [], "no_consent", "not_stated"),
        (False, [], "no_consent", "withdrawn"),
        (True, [], SEND, "flag"),
        (True, [("email", False, LAST_MOMENT)], "no_consent", "withdrawn"),
        (True, [("email", False, TOO_LATE)], SEND, "flag"),
        (True, [("sms", False, LAST_MOMENT)], SEND, "flag"),
        (False, [("email", True, LAST_MOMENT)], SEND, "event"),
        (True, [("email", True, LAST_MOMENT), ("email", False, LAST_MOMENT - dt.timedelta(1))], SEND, "event"),
        (
            True,
            [("email", True, LAST_MOMENT - dt.timedelta(1)), ("email", False, LAST_MOMENT)],
            "no_consent",
            "withdrawn",
        ),
    ],
)
def test_the_latest_consent_event_beats_the_flag_and_silence_is_no(
    world: Build, flag: bool | None, events: list[Any], expected: str, basis: str
) -> None:
    shop = world(ana={**LAPSED, "consent_email": flag})
    shop.consents = [
        {"customer_id": "ana", "channel": channel, "granted": granted, "occurred_at": at}
        for channel, granted, at in events
    ]
    row = shop.decide().row(0, named=True)
    assert row["reason"] == expected
    assert json.loads(row["trace"])["gates"]["consent"] == {"pass": expected == SEND, "basis": basis}


def test_of_two_consent_events_at_one_moment_the_withdrawal_counts(world: Build) -> None:
    for order in (True, False):
        shop = world(ana=LAPSED)
        shop.consents = [
            {"customer_id": "ana", "channel": "email", "granted": granted, "occurred_at": LAST_MOMENT}
            for granted in (order, not order)
        ]
        assert shop.reasons() == {"ana": "no_consent"}


def test_an_unsubscribe_withdraws_consent(world: Build) -> None:
    shop = world(ana=LAPSED)
    sent = dt.datetime(2024, 6, 1, tzinfo=UTC)
    shop.engagement = [message(sent, unsubscribed_at=sent + dt.timedelta(days=1))]
    assert shop.reasons() == {"ana": "no_consent"}


def test_assumed_consent_is_said_and_never_overrides_a_refusal(world: Build) -> None:
    shop = world(ana={**LAPSED, "consent_email": None}, bea={**LAPSED, "consent_email": False}, eva=LAPSED)
    shop.settings = ["routing.assume_consent=[email]"]
    decided = shop.decide()
    assert decided["reason"].to_list() == [SEND, "no_consent", SEND]
    traces = [json.loads(trace) for trace in decided["trace"]]
    assert [trace["consent_assumed"] for trace in traces] == [True, False, False]
    assert traces[0]["gates"]["consent"]["basis"] == "assumed"


def test_an_address_is_needed_unless_the_sending_tool_has_it(world: Build) -> None:
    shop = world(ana={**LAPSED, "email": None}, bea={**LAPSED, "email": "  "})
    assert shop.reasons() == {"ana": "no_address", "bea": "no_address"}
    shop.settings = ["routing.channels.email.addressed_by=customer_id"]
    assert shop.reasons() == {"ana": SEND, "bea": SEND}


# --- who qualifies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "expected"), [(89, "not_qualified"), (90, SEND), (365, SEND), (366, "not_qualified")])
def test_winback_speaks_from_90_to_365_days(world: Build, days: int, expected: str) -> None:
    assert world(ana={**LAPSED, "recency_days": days}).reasons() == {"ana": expected}


@pytest.mark.parametrize(
    ("visits", "total", "expected"),
    [(3, 50.0, SEND), (2, 50.0, "unrecoverable"), (3, 49.99, "unrecoverable")],
)
def test_the_lost_are_left_in_peace(world: Build, visits: int, total: float, expected: str) -> None:
    shop = world(ana={**LAPSED, "visit_frequency": visits, "purchase_total": total})
    assert shop.reasons() == {"ana": expected}


def test_an_offer_is_valid_on_its_days_and_qualifies_by_its_rule(world: Build) -> None:
    day = AS_OF + dt.timedelta(days=1)
    for begin, end, expected in [
        (day, day, SEND),
        (day + dt.timedelta(days=1), None, "not_qualified"),
        (None, AS_OF, "not_qualified"),
    ]:
        shop = world(ana=LAPSED)
        shop.settings = [
            f"routing.offers.winback_10.valid_from={begin or 'null'}",
            f"routing.offers.winback_10.valid_until={end or 'null'}",
        ]
        assert shop.reasons() == {"ana": expected}
    shop = world(ana={**LAPSED, "rfm_tier": "Champion"}, bea={**LAPSED, "rfm_tier": "Loyal"}, eva=LAPSED)
    shop.yaml = "routing: {offers: {winback_10: {when: {field: rfm_tier, op: '!=', value: Champion}}}}"
    assert shop.reasons() == {"ana": "not_qualified", "bea": SEND, "eva": "not_qualified"}


def test_the_better_offer_wins_and_of_equal_ones_the_first(world: Build) -> None:
    shop = world(ana={**LAPSED, "primary_category": "tea"}, bea={**LAPSED, "primary_category": "cups"})
    shop.yaml = """
routing:
  offers:
    tea: {name: Tea, content_type: winback, category: tea, discount_pct: 10, priority: 6}
    cups: {name: Cups, content_type: winback, category: cups, discount_pct: 10, priority: 6}
    same: {name: Same as cups, content_type: winback, category: cups, discount_pct: 10, priority: 6}
  programmes:
    winback: {steps: [{channels: [email], offers: [tea, cups, same], response_rate: 0.02}]}
"""
    assert shop.decide()["offer_id"].to_list() == ["tea", "cups"]


def test_the_holdout_gets_nothing_and_says_so(world: Build) -> None:
    shop = world(ana=LAPSED, bea=LAPSED, neu=NEW)
    shop.holdout = {"winback": {"ana", "neu"}}
    decided = shop.decide()
    assert decided["reason"].to_list() == ["holdout", SEND, SEND]
    assert decided["variant"].to_list() == ["holdout", "treatment", "treatment"]


def test_each_variant_gets_its_own_offer_and_who_is_in_none_the_offer_for_all(world: Build) -> None:
    shop = world(ana=LAPSED, bea=LAPSED, eva=LAPSED, out=LAPSED)
    shop.holdout = {"winback": {"out"}}
    shop.variants = {"winback": {"ana": "plain", "bea": "generous"}}
    shop.yaml = """
measurement: {experiments: {winback: {variants: {plain: 0.5, generous: 0.5}}}}
routing:
  offers:
    five: {name: Five, content_type: winback, discount_pct: 5, variant: winback.plain}
    fifteen: {name: Fifteen, content_type: winback, discount_pct: 15, variant: winback.generous}
    nought: {name: All, content_type: winback, discount_pct: 0, priority: 1}
  programmes:
    winback: {steps: [{channels: [email], offers: [five, fifteen, nought], response_rate: 0.04}]}
"""
    decided = shop.decide()
    assert decided["offer_id"].to_list() == ["five", "fifteen", "nought", "nought"]
    assert decided["variant"].to_list() == ["plain", "generous", "treatment", "holdout"]
    assert decided["reason"].to_list() == [SEND, SEND, SEND, "holdout"]


# --- contact pressure -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nights", "expected"),
    [
        # The window of 30 days that ends on the day of sending, 2 March, begins on 1 February: the run of 31 January
        # (29 nights before) sent on it, the run of 30 January a day too early to count.
        ([1, 10, 29], "frequency_cap"),
        ([1, 10, 30], "journey_waiting"),
    ],
)
def test_three_messages_in_30_days_per_winback(world: Build, nights: list[int], expected: str) -> None:
    shop = world(ana=LAPSED)
    shop.settings = ["routing.channels.sms.enabled=true"]
    shop.people["ana"] = LAPSED | {"phone": "+34600000000", "consent_sms": True}
    shop.lines = ledger(*(night_before(n, programme="winback", step=1) for n in nights))
    assert shop.reasons() == {"ana": expected}


@pytest.mark.parametrize(("oldest", "expected"), [(6, "frequency_cap"), (7, SEND)])
def test_four_messages_in_7_days_over_all_channels(world: Build, oldest: int, expected: str) -> None:
    shop = world(ana=LAPSED)
    shop.lines = ledger(*(night_before(n, channel="postal") for n in (1, 2, 3, oldest)))
    assert shop.reasons() == {"ana": expected}


@pytest.mark.parametrize(("count", "expected"), [(4, "frequency_cap"), (5, "fatigue")])
def test_five_messages_in_7_days_tire(world: Build, count: int, expected: str) -> None:
    shop = world(ana=LAPSED)
    shop.lines = ledger(*(night_before(n, channel="postal") for n in range(1, count + 1)))
    assert shop.reasons() == {"ana": expected}


def test_three_unopened_messages_tire_unless_one_was_opened_by_a_person(world: Build) -> None:
    sent = [dt.datetime(2025, 2, day, 9, tzinfo=UTC) for day in (24, 25, 26)]
    delivered = {"delivered_at": sent[0]}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "fatigue"),
        ({**delivered, "opened_at": sent[0] + dt.timedelta(minutes=5)}, SEND),
        ({**delivered, "opened_at": sent[0] + dt.timedelta(seconds=2)}, "fatigue"),
        ({**delivered, "opened_at": sent[0] + dt.timedelta(seconds=2, microseconds=1)}, SEND),
        ({"opened_at": sent[0] + dt.timedelta(seconds=2)}, "fatigue"),
        ({"opened_at": sent[0] + dt.timedelta(seconds=3)}, SEND),
        ({**delivered, "opened_at": TOO_LATE}, "fatigue"),
        ({"channel": "postal"}, SEND),
    ]
    for first, expected in cases:
        shop = world(ana=LAPSED)
        shop.engagement = [message(sent[0], **first), message(sent[1]), message(sent[2])]
        assert shop.reasons() == {"ana": expected}, first


def test_a_message_in_ledger_and_engagement_counts_once(world: Build) -> None:
    shop = world(ana=LAPSED)
    lines = [night_before(n, channel="postal") for n in (1, 2, 3)]
    shop.lines = ledger(*lines)
    day = {line["idempotency_key"]: line["as_of"] + dt.timedelta(days=1) for line in lines}
    shop.engagement = [
        {
            "message_id": key,
            "customer_id": "ana",
            "channel": "postal",
            "sent_at": dt.datetime.combine(at, dt.time(9), UTC),
        }
        for key, at in day.items()
    ]
    assert shop.reasons() == {"ana": SEND}
    shop.engagement.append(message(dt.datetime(2025, 3, 1, 12, tzinfo=UTC), channel="postal"))
    assert shop.reasons() == {"ana": "frequency_cap"}


def test_messages_of_tonight_and_taken_back_ones_do_not_count(world: Build) -> None:
    shop = world(ana=LAPSED)
    tonight = [night_before(0, idempotency_key=f"k{n}") for n in range(5)]
    planned = [night_before(n, event="planned") for n in range(1, 6)]
    cancelled = [night_before(n, event="cancelled") for n in range(1, 6)]
    shop.lines = ledger(*tonight, *planned, *cancelled)
    assert shop.reasons() == {"ana": SEND}


# --- journeys over nights ---------------------------------------------------------------------------------------------

REACHABLE = {**LAPSED, "phone": "+34600000000", "consent_sms": True}
CALLS = ["routing.channels.sms.enabled=true", "routing.channels.call.enabled=true"]


def test_the_steps_follow_each_other_over_the_nights(world: Build) -> None:
    cases = [
        ([night_before(6, programme="winback")], "journey_waiting", 2),
        ([night_before(7, programme="winback")], SEND, 2),
        ([night_before(14, programme="winback"), night_before(7, programme="winback", step=2)], "no_consent", 3),
        # A purchase 120 days ago began a new life: what was sent before it belongs to another journey.
        ([night_before(130, programme="winback"), night_before(125, programme="winback", step=3)], SEND, 1),
    ]
    for lines, reason, step in cases:
        shop = world(ana=REACHABLE)
        shop.settings = CALLS
        shop.lines = ledger(*lines)
        row = shop.decide().row(0, named=True)
        found = json.loads(row["trace"])["step"]
        assert (row["reason"], found) == (reason, step)


def test_an_sms_follows_only_an_unopened_mail(world: Build) -> None:
    for opened, expected in [(dt.datetime(2025, 2, 23, tzinfo=UTC), "journey_waiting"), (None, SEND)]:
        shop = world(ana=REACHABLE)
        shop.settings = CALLS[:1]
        first = night_before(8, programme="winback")
        shop.lines = ledger(first)
        shop.engagement = [
            message(dt.datetime(2025, 2, 22, tzinfo=UTC), opened_at=opened) | {"message_id": first["idempotency_key"]}
        ]
        assert shop.reasons() == {"ana": expected}


def test_a_step_without_consent_is_passed_over_for_the_next(world: Build) -> None:
    shop = world(ana={**REACHABLE, "consent_sms": None})
    shop.settings = CALLS
    shop.consents = [{"customer_id": "ana", "channel": "call", "granted": True, "occurred_at": LAST_MOMENT}]
    shop.people["ana"]["avg_ticket"] = 800.0  # a call is worth its cost
    shop.as_of = AS_OF + dt.timedelta(days=1)  # for a Monday: nobody calls on Sundays
    shop.lines = ledger(night_before(8, programme="winback"))
    row = shop.decide().row(0, named=True)
    assert (row["action"], row["step"], row["channel"]) == ("send", 3, "call")


def test_a_journey_ends_with_its_last_step(world: Build) -> None:
    shop = world(ana=LAPSED)
    shop.lines = ledger(night_before(60, programme="winback"))
    assert shop.reasons() == {"ana": "journey_complete"}


@pytest.mark.parametrize(
    ("clv_tier", "had", "days", "reason", "step"),
    [
        (None, 1, 1, "journey_complete", 1),  # the greeting alone is for them
        ("Low", 1, 30, "journey_complete", 1),
        ("Medium", 1, 1, "journey_waiting", 2),
        ("Medium", 1, 5, SEND, 2),
        ("Medium", 2, 5, "journey_complete", 2),
        ("High", 2, 5, "journey_waiting", 3),
        ("High", 2, 7, SEND, 3),
        ("High", 3, 7, "journey_complete", 3),
    ],
)
def test_a_journey_is_as_long_as_its_steps_are_for_the_customer(
    world: Build, clv_tier: str | None, had: int, days: int, reason: str, step: int
) -> None:
    shop = world(ana={**NEW, "recency_days": 40})
    shop.known = {"models.clv_forecast": [{"customer_id": "ana", "horizon_months": 12, "clv_tier": clv_tier}]}
    shop.lines = ledger(*(night_before(days + had - n, programme="welcome", step=n) for n in range(1, had + 1)))
    row = shop.decide().row(0, named=True)
    assert (row["reason"], row["programme"], row["step"]) == (reason, "welcome", step)


def test_a_step_that_was_had_does_not_hide_why_the_next_one_is_held(world: Build) -> None:
    shop = world(ana={**REACHABLE, "consent_sms": None})
    shop.settings = CALLS[:1]
    shop.lines = ledger(night_before(8, programme="winback"))
    assert shop.reasons() == {"ana": "no_consent"}


@pytest.mark.parametrize(("nights", "expected"), [(14, "journey_conflict"), (15, SEND)])
def test_another_running_journey_keeps_a_programme_waiting(world: Build, nights: int, expected: str) -> None:
    shop = world(ana=LAPSED)
    shop.settings = [
        "routing.programmes.winback.conflicts_with=[welcome]",
        "routing.programmes.welcome.active_days=14",
    ]
    shop.lines = ledger(night_before(nights, programme="welcome"))
    assert shop.reasons() == {"ana": expected}


# --- quiet hours ------------------------------------------------------------------------------------------------------

BOTH = """
routing:
  channels: {call: {enabled: true, cost: 0}}
  programmes:
    winback:
      steps: [{channels: [email, call], offers: [winback_10], response_rate: 0.02, response_rates: {call: 0.2}}]
"""


def test_a_channel_without_an_open_hour_leaves_the_message_to_another(world: Build) -> None:
    shop = world(ana=REACHABLE)
    shop.yaml = BOTH
    shop.consents = [{"customer_id": "ana", "channel": "call", "granted": True, "occurred_at": LAST_MOMENT}]
    sunday = shop.decide().row(0, named=True)  # nobody is called on Sundays
    assert (sunday["action"], sunday["channel"], sunday["propensity"]) == ("send", "email", 1.0)
    trace = json.loads(sunday["trace"])
    assert [arm["arm"] for arm in trace["arms"]] == ["winback/1/email/winback_10"]
    assert not trace["exploration"]["limited"]
    assert trace["gates"]["quiet_hours"] == {"pass": True, "moved": False}
    shop.as_of = AS_OF + dt.timedelta(days=1)
    monday = shop.decide().row(0, named=True)
    assert (monday["action"], monday["channel"]) == ("send", "call")


def test_without_an_open_hour_on_any_channel_nothing_is_sent(world: Build) -> None:
    shop = world(ana={**REACHABLE, "email": None})
    shop.yaml = BOTH
    shop.consents = [{"customer_id": "ana", "channel": "call", "granted": True, "occurred_at": LAST_MOMENT}]
    row = shop.decide().row(0, named=True)
    assert (row["reason"], row["channel"], row["send_at"]) == ("no_hour", "call", None)
    assert json.loads(row["trace"])["gates"]["quiet_hours"] == {"pass": False, "moved": None}


# --- cooldown, limits, value ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "expected"), [(0, "cooldown_purchase"), (1, SEND)])
def test_cooldown_after_a_purchase(world: Build, days: int, expected: str) -> None:
    assert world(neu={**NEW, "recency_days": days}).reasons() == {"neu": expected}


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (dt.datetime(2025, 2, 15, 22, 59, tzinfo=UTC), SEND),  # 15 February, 14 days before
        (dt.datetime(2025, 2, 15, 23, 0, tzinfo=UTC), "cooldown_complaint"),  # midnight in Madrid: the 16th
        (LAST_MOMENT, "cooldown_complaint"),
        (TOO_LATE, SEND),
    ],
)
def test_cooldown_after_a_complaint(world: Build, opened: dt.datetime, expected: str) -> None:
    shop = world(ana=LAPSED)
    shop.tickets = [{"ticket_id": "t", "customer_id": "ana", "opened_at": opened}]
    assert shop.reasons() == {"ana": expected}


def test_the_throttle_lets_the_best_through_and_ties_go_by_id(world: Build) -> None:
    shop = world(ana=LAPSED, bea={**LAPSED, "avg_ticket": 200.0}, eva=LAPSED, zoe={**LAPSED, "email": None})
    shop.settings = ["routing.contact.throttle=2"]
    expected = {"ana": SEND, "bea": SEND, "eva": "throttled", "zoe": "no_address"}
    assert shop.reasons() == expected
    shop.shuffled = True
    assert shop.reasons() == expected


def test_an_offers_cap_counts_all_nights(world: Build) -> None:
    shop = world(ana=LAPSED, bea=LAPSED, eva=LAPSED)
    shop.settings = ["routing.offers.winback_10.cap=3"]
    shop.lines = ledger(night_before(200, customer="gone", offer_id="winback_10"))
    assert shop.reasons() == {"ana": SEND, "bea": SEND, "eva": "offer_used_up"}
    shop.lines = ledger(*(night_before(n, customer="gone", offer_id="winback_10") for n in (200, 201, 202)))
    assert set(shop.reasons().values()) == {"not_qualified"}


def test_who_misses_a_used_up_offer_gets_the_next_best_one(world: Build) -> None:
    """The best by score get the offer they would all get; the next best goes to the next, and then it is over."""
    tickets = {"ana": 50.0, "bea": 90.0, "eva": 80.0, "zoe": 40.0}
    shop = world(**{name: {**LAPSED, "avg_ticket": ticket} for name, ticket in tickets.items()})
    shop.yaml = """
routing:
  offers:
    first: {name: First, content_type: winback_discount, discount_pct: 5, priority: 9, cap: 1}
    second: {name: Second, content_type: winback_discount, discount_pct: 5, priority: 7, cap: 2}
    third: {name: Third, content_type: winback_discount, discount_pct: 5, priority: 5, cap: 0}
  programmes:
    winback: {steps: [{channels: [email], offers: [first, second, third], response_rate: 0.02}]}
"""
    for shop.shuffled in (False, True):
        decided = {row["customer_id"]: row for row in shop.decide().to_dicts()}
        assert {name: row["reason"] for name, row in decided.items()} == {
            "ana": SEND,
            "bea": SEND,
            "eva": SEND,
            "zoe": "offer_used_up",
        }
        assert {name: row["offer_id"] for name, row in decided.items() if row["action"] == "send"} == {
            "bea": "first",
            "eva": "second",
            "ana": "second",
        }
    # The throttle comes after that, so that it counts what would really go out.
    shop.settings = ["routing.contact.throttle=2"]
    assert [name for name, reason in sorted(shop.reasons().items()) if reason == SEND] == ["bea", "eva"]


def test_a_message_that_costs_more_than_it_brings_is_not_sent(world: Build) -> None:
    shop = world(
        ana={**LAPSED, "avg_ticket": 0.2}, bea={**LAPSED, "margin_total": 20.0}, eva={**LAPSED, "margin_total": 60.0}
    )
    assert shop.reasons() == {"ana": "no_value", "bea": "no_value", "eva": SEND}


# --- order, completeness ----------------------------------------------------------------------------------------------


def test_the_first_gate_that_fails_is_the_reason(world: Build) -> None:
    """Break every gate at once, then mend them one by one in the order of the gates."""
    shop = world(
        ana={
            **LAPSED,
            "recency_days": 400,
            "visit_frequency": 1,
            "email": None,
            "consent_email": None,
            "avg_ticket": 0.0,
        }
    )
    shop.settings = [
        "routing.programmes.winback.cooldown_purchase_days=500",
        "routing.programmes.welcome.enabled=false",
    ]
    shop.erasures = [{"customer_id": "ana", "requested_at": LAST_MOMENT}]
    shop.suppressions = [{"customer_id": "ana", "channel": "all"}]
    shop.holdout = {"winback": {"ana"}}
    shop.lines = ledger(*(night_before(n, programme="winback") for n in range(1, 6)))
    ana = shop.people["ana"]
    mend: list[tuple[str, Callable[[], object]]] = [
        ("erased", shop.erasures.clear),
        ("suppressed", shop.suppressions.clear),
        ("no_consent", lambda: ana.update(consent_email=True)),
        ("no_address", lambda: ana.update(email="a@example.com")),
        ("not_qualified", lambda: ana.update(recency_days=120)),
        ("unrecoverable", lambda: ana.update(visit_frequency=5)),
        ("holdout", shop.holdout.clear),
        (
            "fatigue",
            lambda: setattr(shop, "lines", ledger(*(night_before(n, programme="winback") for n in (3, 9, 10)))),
        ),
        ("frequency_cap", lambda: setattr(shop, "lines", ledger(night_before(40, programme="winback")))),
        ("journey_complete", lambda: setattr(shop, "lines", Ledger.empty())),
        ("cooldown_purchase", lambda: setattr(shop, "settings", shop.settings[1:])),
        ("no_value", lambda: ana.update(avg_ticket=80.0)),
    ]
    seen = []
    for reason, cure in mend:
        seen.append(shop.reasons()["ana"])
        assert seen[-1] == reason
        cure()
    assert shop.reasons() == {"ana": SEND}
    assert [GATES[i] for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13)] == [
        "erased", "suppressed", "consent", "address", "qualified", "recoverable", "holdout", "fatigue", "frequency",
        "journey", "cooldown", "value",
    ]  # fmt: skip


def test_a_trace_shows_every_gate_in_order_with_its_numbers(world: Build) -> None:
    shop = world(ana=LAPSED)
    shop.lines = ledger(night_before(3, programme="welcome"))
    trace = json.loads(shop.decide()["trace"][0])
    assert tuple(trace["gates"]) == GATES
    assert all(gate["pass"] is True for gate in trace["gates"].values())
    assert trace["gates"]["fatigue"] == {"pass": True, "sent": 1, "limit": 5, "sent_seen": 1, "opened": 0}
    assert trace["gates"]["cooldown"]["days_since_purchase"] == 120


def test_without_programmes_everyone_is_held_and_without_customers_nobody_is(world: Build) -> None:
    shop = world(ana=LAPSED, bea=LAPSED)
    shop.settings = ["routing.programmes.winback.enabled=false", "routing.programmes.welcome.enabled=false"]
    shop.erasures = [{"customer_id": "bea", "requested_at": LAST_MOMENT}]
    assert shop.reasons() == {"ana": "not_qualified", "bea": "erased"}
    assert world().decide().height == 0


def test_one_message_over_all_programmes_the_higher_score(world: Build) -> None:
    shop = world(ana=LAPSED)
    for priority, expected in [(9, "welcome"), (1, "winback")]:
        shop.yaml = f"""
routing:
  offers: {{welcome_hello: {{priority: {priority}}}}}
  programmes: {{welcome: {{when: {{field: stage, op: ==, value: lapsed}}}}}}
"""
        decided = shop.decide()
        assert decided.height == 1
        assert decided["programme"].item() == expected


PERSON = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["new", "active", "at_risk", "lapsed", "won_back"]),
        "recency_days": st.integers(0, 400),
        "visit_frequency": st.integers(1, 6),
        "purchase_total": st.floats(0, 500),
        "avg_ticket": st.floats(0, 200),
        "email": st.sampled_from([None, "a@example.com"]),
        "consent_email": st.sampled_from([None, True, False]),
        "timezone": st.sampled_from([None, "Mars/Olympus", "Asia/Kathmandu"]),
    }
)


@settings(max_examples=20, deadline=None)
@given(st.lists(PERSON, min_size=1, max_size=12), st.integers(0, 3), st.sets(st.integers(0, 11)), st.randoms())
def test_one_row_per_customer_with_one_reason_whatever_the_order_of_rows(
    people: list[dict[str, Any]], throttle: int, held_out: set[int], random: Any
) -> None:
    named = {f"c{number:02d}": person for number, person in enumerate(people)}
    shop = World(named, settings=[f"routing.contact.throttle={throttle}"])
    shop.holdout = {"winback": {f"c{number:02d}" for number in held_out}}
    decided = shop.decide()
    assert decided["customer_id"].to_list() == sorted(named)
    assert set(decided["reason"]) <= set(REASONS)
    sends = decided.filter(action="send")
    assert sends.height <= throttle
    assert (decided["reason"] == "best_action").sum() == sends.height
    for row in sends.iter_rows(named=True):
        person = named[row["customer_id"]]
        assert person["consent_email"]
        assert person["email"]
        assert row["expected_value"] >= 0
        assert row["score"] > 0
    items = list(named.items())
    random.shuffle(items)
    again = World(dict(items), settings=shop.settings, holdout=shop.holdout)
    assert again.decide().equals(decided)


def test_the_ledger_lines_that_a_night_writes_are_valid() -> None:
    messages = pl.DataFrame(
        [{"shop_id": "lupe", "as_of": AS_OF, "idempotency_key": "k", "batch_id": "b", "customer_id": "ana",
          "channel": "email", "programme": "winback", "step": 1, "offer_id": "winback_10"}]
    )  # fmt: skip
    lines = lines_of(messages, "planned", at=dt.datetime(2025, 3, 2, 2, tzinfo=UTC), run="lupe@2025-03-01")
    Ledger.require(lines)
    assert table(Ledger, []).schema == lines.schema
