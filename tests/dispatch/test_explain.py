"""What is said of a decision agrees with the decision, for every customer and every gate."""

import datetime as dt
import json
import math
import re
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, World
from test_eligibility import ledger, night_before

from lifecycle_assets.dispatch import ledger as ledgers
from lifecycle_assets.dispatch.eligibility import REASONS
from lifecycle_assets.dispatch.explain import Explanation, explain
from lifecycle_assets.dispatch.knowledge import nothing_known
from lifecycle_assets.dispatch.retention import LedgerTotals

RIVALS = """
routing:
  offers:
    big: {name: "A quarter off", content_type: winback, discount_pct: 25}
    small: {name: "Five off", content_type: winback, discount_pct: 5, priority: 6}
    later: {name: "Next year", content_type: winback, valid_from: 2026-01-01}
  programmes:
    winback:
      steps:
        - {channels: [email], offers: [big, small, later], response_rate: 0.02}
        - {channels: [email], offers: [winback_10], response_rate: 0.02, wait_days: 7}
"""
UTC = dt.UTC
MAIL = {"channel": "email", "sent_at": dt.datetime(2025, 2, 27, 9, tzinfo=UTC)}


def small_shop() -> World:
    """Customers of whom each is stopped by another gate, and some who are not."""
    people: dict[str, dict[str, Any]] = {
        "active": {**LAPSED, "stage": "active", "recency_days": 10},
        "bought": {**NEW, "recency_days": 0},
        "erased": LAPSED,
        "held_out": LAPSED,
        "lapsed": LAPSED,
        "long_ago": {**LAPSED, "recency_days": 500},
        "mute": {**LAPSED, "email": None},
        "new": NEW,
        "no_consent": {**LAPSED, "consent_email": False},
        "poor": {**LAPSED, "purchase_total": 30.0},
        "penniless": {**LAPSED, "avg_ticket": 0.1},
        "suppressed": LAPSED,
        "tired": LAPSED,
        "upset": LAPSED,
    }
    return World(
        people,
        erasures=[{"customer_id": "erased", "requested_at": dt.datetime(2025, 1, 1, tzinfo=UTC)}],
        suppressions=[{"customer_id": "suppressed", "channel": "all", "since": dt.datetime(2025, 1, 1, tzinfo=UTC)}],
        engagement=[{"message_id": f"m{n}", "customer_id": "tired", **MAIL} for n in range(5)],
        tickets=[{"customer_id": "upset", "opened_at": dt.datetime(2025, 2, 28, tzinfo=UTC)}],
        holdout={"winback": {"held_out"}},
    )


def explained(world: World, decided: pl.DataFrame, customer: str, offer: str | None = None) -> Explanation:
    sources = world.sources()
    used = ledgers.offers_used(sources.sent, LedgerTotals.empty().lazy(), world.as_of)
    row = decided.row(by_predicate=pl.col("customer_id") == customer, named=True)
    return explain(row, sources, nothing_known(), used, world.shop, offer)


def test_the_verdict_is_that_of_the_decision_for_every_customer() -> None:
    world = small_shop()
    decided = world.decide()
    assert decided["reason"].n_unique() >= 10
    for row in decided.iter_rows(named=True):
        told = explained(world, decided, row["customer_id"]).told
        assert told.reason == row["reason"]
        failed = [gate.gate for gate in told.gates if not gate.passed]
        assert bool(failed) == (row["action"] == "hold")
        assert told.sentence.startswith(f"gets nothing: {REASONS[row['reason']]}") or row["action"] == "send"


def test_an_arm_judged_by_itself_comes_to_the_reason_of_the_decision() -> None:
    world = small_shop()
    decided = world.decide()
    judged = 0
    for row in decided.iter_rows(named=True):
        lane = json.loads(row["trace"])
        offer = lane["gates"]["qualified"]["offer"]
        if offer is None:
            continue
        told = {told.arm: told for told in explained(world, decided, row["customer_id"], offer).offer}
        own = told[f"{lane['programme']}/{lane['step']}/{lane['channel']}/{offer}"]
        assert own.reason == row["reason"]
        assert [gate.passed for gate in own.gates] == [gate["pass"] for gate in lane["gates"].values()]
        judged += 1
    assert judged >= 10


@pytest.mark.parametrize(
    ("customer", "gate", "words"),
    [
        ("active", "qualified", "stage is active (asked for: lapsed)"),
        ("poor", "recoverable", "purchase total is 30 (asked for: at least 50)"),
        ("tired", "fatigue", "5 messages in 7 days, tired from 5 on"),
        ("upset", "cooldown", "complained 1 day ago, left alone for 14 days after a complaint"),
        ("bought", "cooldown", "bought 0 days ago, left alone for 1 day after a purchase"),
        ("no_consent", "consent", "withdrew consent or refused it"),
        ("held_out", "holdout", "is in the experiment's arm holdout"),
    ],
)
def test_the_gate_that_stops_a_customer_is_told_with_its_numbers(customer: str, gate: str, words: str) -> None:
    world = small_shop()
    told = explained(world, world.decide(), customer).told
    first = next(one for one in told.gates if not one.passed)
    assert first.gate == gate
    assert words in first.text
    assert f"FAILED  {gate}: {first.text}" in explained(world, world.decide(), customer).as_text()


def test_the_expected_value_that_is_spelled_out_can_be_recomputed() -> None:
    world = small_shop()
    decided = world.decide()
    for customer in ("lapsed", "new"):
        text = next(gate.text for gate in explained(world, decided, customer).told.gates if gate.gate == "value")
        formula = (
            r"(.+) EUR = (.+) % chance of an order \((.+) %, times (.+) for the channel, times (.+) for the content, "
            r"times (.+) for the tier, times (.+) for the load of 0 messages in 7 days\) x "
            r"\((.+) % caused by it x (.+) margin of an order - (.+) % discount of (.+)\) - (.+) for the message - "
            r"(.+) for those who unsubscribe; "
        )
        told = re.match(formula, text)
        assert told, text
        expected, chance, base, *factors, caused, margin, percent, ticket, message, left = map(float, told.groups())
        assert chance == pytest.approx(base * math.prod(factors), rel=0.02)
        net = caused / 100 * margin - percent / 100 * ticket
        assert expected == pytest.approx(chance / 100 * net - message - left, rel=0.02)
        paid = decided.row(by_predicate=pl.col("customer_id") == customer, named=True)["expected_value"]
        assert expected == pytest.approx(float(paid), rel=0.005)


def test_why_not_another_offer() -> None:
    world = World({"ana": LAPSED, "eva": {**LAPSED, "stage": "active"}}, yaml=RIVALS)
    decided = world.decide()
    taken = decided.row(0, named=True)["offer_id"]
    assert taken in ("big", "small")
    other = {"big": "small", "small": "big"}[taken]
    (own,) = explained(world, decided, "ana", taken).offer
    assert own.sentence == "this is what the customer gets"
    (rival,) = explained(world, decided, "ana", other).offer
    if rival.reason == "best_action":
        assert f"but winback/1/email/{taken} was taken" in rival.sentence
    else:
        assert rival.sentence.endswith(REASONS[rival.reason])
    (second,) = explained(world, decided, "ana", "winback_10").offer
    assert second.sentence == "another step of the programme comes first"
    assert "later: not on sale" in explained(world, decided, "ana", "later").as_text()
    (active,) = explained(world, decided, "eva", "small").offer
    assert active.sentence == "no: the customer does not qualify for it"


@pytest.mark.parametrize(
    ("setting", "gate", "words"),
    [
        ("routing.contact.throttle=1", "throttle", "better ones took the last room"),
        ("routing.offers.winback_10.cap=1", "throttle", "better ones took the offer's last messages"),
        ("routing.channels.email.per_hour=0", "throttle", "better ones took the last room"),
    ],
)
def test_a_limit_of_the_night_is_told(setting: str, gate: str, words: str) -> None:
    world = World({"ana": LAPSED, "bea": {**LAPSED, "avg_ticket": 90.0}}, settings=[setting])
    told = explained(world, world.decide(), "ana", "winback_10")
    failed = [one for one in told.told.gates if not one.passed]
    assert [one.gate for one in failed] == [gate]
    assert words in failed[0].text
    assert told.offer[0].sentence.startswith("it passes every gate, but the customer gets nothing")


def test_a_day_on_which_nobody_may_be_called_is_told() -> None:
    calls = """
routing:
  channels: {call: {enabled: true, cost: 0}, email: {enabled: false}}
  programmes: {winback: {steps: [{channels: [call], offers: [winback_10], response_rate: 0.1}]}}
"""
    called = {**LAPSED, "phone": "+34600000000"}
    consent = {
        "customer_id": "ana",
        "channel": "call",
        "granted": True,
        "occurred_at": dt.datetime(2024, 1, 1, tzinfo=UTC),
    }
    world = World({"ana": called}, consents=[consent], yaml=calls)
    assert world.reasons() == {"ana": "no_hour"}  # the day after as_of is a Sunday
    told = explained(world, world.decide(), "ana").told
    assert [gate.text for gate in told.gates if not gate.passed] == [
        "no hour of the day is open, by quiet hours and law"
    ]
    world.as_of = dt.date(2025, 3, 2)
    assert world.reasons() == {"ana": "best_action"}


def test_a_channel_that_is_closed_that_day_is_told_beside_the_one_that_speaks() -> None:
    both = """
routing:
  channels: {call: {enabled: true, cost: 0}}
  programmes: {winback: {steps: [{channels: [email, call], offers: [winback_10], response_rate: 0.02}]}}
"""
    consent = {
        "customer_id": "ana",
        "channel": "call",
        "granted": True,
        "occurred_at": dt.datetime(2024, 1, 1, tzinfo=UTC),
    }
    world = World({"ana": {**LAPSED, "phone": "+34600000000"}}, consents=[consent], yaml=both)
    told = explained(world, world.decide(), "ana", "winback_10")
    assert {one.arm: one.sentence for one in told.offer} == {
        "winback/1/email/winback_10": "this is what the customer gets",
        "winback/1/call/winback_10": f"no: {REASONS['no_hour']}",
    }


def test_a_step_that_the_customer_has_had_is_told() -> None:
    sms = "\nrouting: {channels: {sms: {enabled: true}}}"
    world = World({"ana": {**LAPSED, "phone": "+34600000000", "consent_sms": True}}, yaml=sms)
    world.lines = ledger(night_before(3, programme="winback"))
    told = explained(world, world.decide(), "ana", "winback_10")
    assert told.told.reason == "journey_waiting"
    assert {one.arm: one.sentence for one in told.offer} == {
        "winback/1/email/winback_10": "no: the customer has had this step",
        "winback/2/sms/winback_10": f"no: {REASONS['journey_waiting']}",
    }


def test_the_hour_is_told_with_its_reason() -> None:
    quiet = "\nrouting: {channels: {email: {send_hour: 22}}}"
    world = World({"ana": {**LAPSED, "timezone": "Europe/Madrid"}, "bea": LAPSED}, yaml=quiet)
    decided = world.decide()
    ana, bea = (explained(world, decided, name).hour or "" for name in ("ana", "bea"))
    assert "It goes out 2025-03-02 20:00 local time (2025-03-02 19:00 UTC)" in ana
    assert "quiet hours or law close it" in ana
    assert "neither time zone nor country is stated" in bea
    assert "is stated" not in ana


def test_a_configuration_that_has_changed_is_told() -> None:
    world = small_shop()
    decided = world.decide()
    assert explained(world, decided, "lapsed").note is None
    world.settings = ["routing.contact.cooldown_complaint_days=1"]
    assert "changed since" in explained(world, decided, "lapsed").as_text()


def test_the_explanation_is_data_as_well() -> None:
    world = small_shop()
    told = explained(world, world.decide(), "lapsed", "winback_10").as_dict()
    again = json.loads(json.dumps(told, default=str))
    assert again["customer_id"] == "lapsed"
    assert again["as_of"] == str(AS_OF)
    assert [gate["gate"] for gate in again["told"]["gates"]][:3] == ["erased", "suppressed", "consent"]


def test_a_trace_that_lacks_a_number_is_told_without_it() -> None:
    world = small_shop()
    decided = world.decide()

    def without_load(text: str) -> str:
        trace = json.loads(text)
        del trace["gates"]["value"]["load_factor"], trace["gates"]["value"]["load"]
        return json.dumps(trace)

    older = decided.with_columns(trace=pl.Series([without_load(text) for text in decided["trace"]]))
    text = explained(world, older, "lapsed").as_text()
    assert "for the tier) x (" in text
    assert "load" not in text


def test_a_trace_of_gates_alone_is_told() -> None:
    """The first traces: no arms, no models, and of the value no more than the result."""
    world = small_shop()
    decided = world.decide()
    known = {"pass", "response_rate", "margin_rate", "discount_pct", "expected_value", "score"}

    def first(text: str) -> str:
        trace = {name: part for name, part in json.loads(text).items() if name not in ("arms", "exploration", "models")}
        gates = trace["gates"]
        del gates["frequency"]["week"], gates["frequency"]["own_cap"], gates["journey"]["promised_pct"]
        gates["value"] = {name: number for name, number in gates["value"].items() if name in known}
        return json.dumps(trace)

    older = decided.with_columns(trace=pl.Series([first(text) for text in decided["trace"]]))
    for row in decided.iter_rows(named=True):
        assert explained(world, older, row["customer_id"], "winback_10").told.reason == row["reason"]
    assert re.search(r"value: [\d.]+ EUR are expected", explained(world, older, "lapsed").as_text())


def test_the_programme_that_is_under_way_is_named() -> None:
    settings = ["routing.programmes.winback.conflicts_with=[welcome]"]
    world = World({"ana": LAPSED}, settings=settings, lines=ledger(night_before(3, programme="welcome")))
    told = explained(world, world.decide(), "ana").told
    assert told.reason == "journey_conflict"
    failed = next(gate for gate in told.gates if not gate.passed)
    assert failed.text == "welcome is under way: its step 1 was 3 days ago, which counts for 5 days"


def test_the_last_step_of_a_customer_is_said_to_be_that() -> None:
    world = World({"ana": LAPSED}, lines=ledger(night_before(1, programme="winback")))
    told = explained(world, world.decide(), "ana").told
    assert told.reason == "journey_complete"
    failed = next(gate for gate in told.gates if not gate.passed)
    assert failed.text == "step 1 was 1 day ago and was the last one for this customer"


def test_an_arm_of_a_later_step_is_stopped_by_what_comes_before_its_turn() -> None:
    people = {"ana": LAPSED, "eva": {**LAPSED, "stage": "active"}, "noa": {**LAPSED, "consent_email": False}}
    world = World(people, yaml=RIVALS)
    decided = world.decide()
    told = {name: explained(world, decided, name, "winback_10").offer[0].sentence for name in people}
    assert told == {
        "ana": "another step of the programme comes first",
        "eva": "no: the customer does not qualify for it",
        "noa": f"no: {REASONS['no_consent']}",
    }


def test_who_qualifies_for_nothing_hears_what_was_nearest() -> None:
    world = World({"eva": {**LAPSED, "stage": "active", "recency_days": 500}}, programmes=("winback",))
    told = explained(world, world.decide(), "eva").told
    assert told.sentence.endswith("; nearest: winback, step 1 by email")
    failed = next(gate for gate in told.gates if not gate.passed)
    assert failed.text == (
        "stage is active (asked for: lapsed) and days since last purchase is 500 (asked for: between 90 and 365)"
    )


def test_an_offer_that_is_for_others_says_for_whom() -> None:
    only_for_many = """
routing:
  offers: {winback_10: {when: {not: {field: visit_frequency, op: "<", value: 9}}}}
"""
    world = World({"ana": LAPSED}, yaml=only_for_many, programmes=("winback",))
    told = explained(world, world.decide(), "ana").told
    failed = next(gate for gate in told.gates if not gate.passed)
    assert failed.gate == "qualified"
    assert failed.text.endswith("but for winback_10: visit frequency is 5 (asked for: not below 9)")


def test_of_several_limits_the_one_reached_is_told() -> None:
    mail = [{"message_id": "m", "customer_id": "ana", **MAIL}]
    world = World({"ana": LAPSED}, engagement=mail, settings=["routing.contact.cap={messages: 1, days: 7}"])
    told = explained(world, world.decide(), "ana").told
    assert told.reason == "frequency_cap"
    failed = next(gate for gate in told.gates if not gate.passed)
    assert failed.text == "1 of at most 1 message in 7 days over all programmes"
