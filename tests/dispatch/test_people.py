"""One person with two accounts: one decision, one message, and a refusal on either account stops both."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, World, table
from test_eligibility import ledger, night_before

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.people import people
from lifecycle_assets.dispatch.reach import Reach, reach
from lifecycle_assets.features.customer import CustomerFeatures

UTC = dt.UTC
JANUARY, FEBRUARY = dt.datetime(2025, 1, 5, tzinfo=UTC), dt.datetime(2025, 2, 5, tzinfo=UTC)
SECOND = {"of": "ana", "email": "second@example.com"}


def event(customer: str, granted: bool, at: dt.datetime) -> dict[str, Any]:
    return {"customer_id": customer, "channel": "email", "granted": granted, "occurred_at": at}


def reason(second: dict[str, Any] | None = None, first: dict[str, Any] | None = None, **tables: Any) -> str:
    world = World({"ana": {**LAPSED, **(first or {})}}, accounts={"two": {**SECOND, **(second or {})}}, **tables)
    (found,) = world.reasons().items()
    assert found[0] == "ana", "one decision, under the profile's id"
    return found[1]


def test_two_accounts_get_one_message_at_the_profiles_own_address() -> None:
    world = World({"ana": LAPSED}, accounts={"two": {**SECOND, "first_name": "Anita"}})
    (sent,) = world.messages(world.decide()).rows(named=True)
    assert (sent["customer_id"], sent["address"]) == ("ana", LAPSED["email"])
    assert "Ana" in sent["body_text"] and "Anita" not in sent["body_text"]


def test_another_accounts_address_and_name_serve_where_the_profile_has_none() -> None:
    world = World(
        {"ana": {**LAPSED, "email": None, "first_name": None}},
        accounts={
            "young": {"of": "ana", "created_at": FEBRUARY, "email": "young@example.com", "first_name": "Y"},
            "old": {"of": "ana", "created_at": JANUARY, "email": "old@example.com"},
        },
    )
    (row,) = people(world.contacts().customers, world.contacts().identity_map).collect().rows(named=True)
    assert (row["customer_id"], row["email"], row["first_name"]) == ("ana", "old@example.com", "Y")


@pytest.mark.parametrize("refusing", ["ana", "two"])
def test_a_refusal_on_either_account_stops_both(refusing: str) -> None:
    own = refusing == "ana"
    assert reason() == "best_action"
    assert reason(erasures=[{"customer_id": refusing}]) == "erased"
    assert reason(suppressions=[{"customer_id": refusing, "channel": "email"}]) == "suppressed"
    no = {"consent_email": False}
    assert reason({} if own else no, no if own else {}) == "no_consent"
    assert reason(consents=[event(refusing, False, JANUARY)]) == "no_consent"
    gone = {
        "message_id": "m",
        "customer_id": refusing,
        "channel": "email",
        "sent_at": JANUARY,
        "unsubscribed_at": JANUARY,
    }
    assert reason(engagement=[gone]) == "no_consent"


def test_a_suppressed_address_of_another_account_stops_the_customer() -> None:
    import hashlib

    digest = hashlib.sha256(b"second@example.com").hexdigest()
    assert reason(suppressions=[{"email_sha256": digest, "channel": "all"}]) == "suppressed"


@pytest.mark.parametrize("known_of", ["ana", "two"])
def test_a_suppressed_address_that_only_identities_tells_of_stops_the_customer(known_of: str) -> None:
    import hashlib

    old = {"email_sha256": hashlib.sha256(b"old@example.com").hexdigest(), "channel": "all"}
    told = [{"customer_id": known_of, "email": " Old@Example.com "}]
    assert reason(suppressions=[old]) == reason(identities=told) == "best_action"
    assert reason(suppressions=[old], identities=told) == "suppressed"


@pytest.mark.parametrize(
    ("events", "flag_of_second", "expected"),
    [
        ([("ana", False, JANUARY), ("two", True, FEBRUARY)], None, "best_action"),  # the latest over all accounts
        ([("ana", True, JANUARY), ("two", False, FEBRUARY)], None, "no_consent"),
        ([("two", True, FEBRUARY), ("ana", False, FEBRUARY)], None, "no_consent"),  # of two at once, the withdrawal
        ([("ana", True, FEBRUARY)], False, "no_consent"),  # the other account's no has no later word of its own
        ([("ana", True, FEBRUARY), ("two", True, JANUARY)], False, "best_action"),
        ([], False, "no_consent"),
    ],
)
def test_the_latest_event_counts_and_of_the_flags_any_no(
    events: Any, flag_of_second: bool | None, expected: str
) -> None:
    second = {} if flag_of_second is None else {"consent_email": flag_of_second}
    assert reason(second, consents=[event(*row) for row in events]) == expected


def test_what_one_account_heard_and_said_counts_for_the_customer() -> None:
    nights = ledger(*(night_before(n, customer) for n, customer in ((1, "ana"), (2, "two"), (3, "two"), (4, "ana"))))
    assert reason(lines=nights) == "fatigue"
    assert reason(lines=ledger(*(night_before(n, "two") for n in (1, 2)))) == "best_action"
    sent = [
        {
            "message_id": f"m{n}",
            "customer_id": "two",
            "channel": "email",
            "sent_at": dt.datetime(2025, 2, 20 + n, tzinfo=UTC),
        }
        for n in range(4, 9)
    ]
    assert reason(engagement=sent) == "fatigue"
    complaint = {"ticket_id": "t", "customer_id": "two", "opened_at": dt.datetime(2025, 2, 27, tzinfo=UTC)}
    assert reason(tickets=[complaint]) == "cooldown_complaint"


def test_reach_says_on_what_basis_and_which_channels_are_open() -> None:
    world = World(
        {
            "ana": {**LAPSED, "phone": "+34612345678", "consent_sms": True, "consent_ads": False},
            "ben": {**LAPSED, "consent_push": True},
            "eva": LAPSED,
        },
        consents=[event("ben", False, JANUARY)],
        erasures=[{"customer_id": "eva"}],
        suppressions=[{"customer_id": "ana", "channel": "sms"}],
    )
    customers = table(CustomerFeatures, [{"customer_id": name} for name in ("eva", "ben", "ana")]).lazy()
    made = reach(customers, world.contacts(), as_of=AS_OF, shop=world.shop)
    Reach.require(made)
    rows = {row["customer_id"]: row for row in made.to_dicts()}
    assert list(rows) == ["ana", "ben", "eva"]
    assert {name: row["reachable_by"] for name, row in rows.items()} == {"ana": "email", "ben": "push", "eva": ""}
    assert (rows["ana"]["consent_sms"], rows["ana"]["consent_ads"], rows["ana"]["consent_call"]) == (
        "flag", "withdrawn", "not_stated",
    )  # fmt: skip
    assert (rows["ben"]["consent_email"], rows["eva"]["erased"]) == ("withdrawn", True)
    until = end_of(AS_OF, world.shop.timezone)
    world.consents = [event("ben", False, until)]
    later = reach(customers, world.contacts(), as_of=AS_OF, shop=world.shop)
    assert later.filter(pl.col("customer_id") == "ben")["reachable_by"].item() == "email,push"
