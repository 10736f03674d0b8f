"""The programmes that ship: whom each speaks to, with what, and what keeps them from contradicting each other."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, World

from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.settings.profile_fields import TRIGGERS
from lifecycle_assets.settings.shipped import PROGRAMMES

EVERY = tuple(PROGRAMMES)
SEND = "best_action"
UNTIL = dt.datetime(2025, 3, 1, 23, tzinfo=dt.UTC)  # midnight in Madrid
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)

ACTIVE: dict[str, Any] = {**LAPSED, "stage": "active", "recency_days": 20, "tenure_days": 400}
ONCE: dict[str, Any] = {**NEW, "recency_days": 25, "tenure_days": 25}
CLV = {"horizon_months": 12}


def event(trigger: str, hours: float = 5, customer: str = "ana") -> dict[str, list[dict[str, Any]]]:
    row = {"customer_id": customer, "trigger": trigger, "occurred_at": UNTIL - hours * HOUR}
    return {"dispatch.triggers": [row]}


def known(table_name: str, *rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {table_name: [{"customer_id": "ana", **row} for row in rows]}


def sent(nights: int, **more: Any) -> dict[str, Any]:
    """A message of the ledger that the run of so many nights before tonight put out."""
    as_of = AS_OF - nights * DAY
    return {
        "shop_id": "lupe",
        "customer_id": "ana",
        "as_of": as_of,
        "idempotency_key": f"k{as_of}",
        "batch_id": f"batch-{as_of}",
        "channel": "email",
        "programme": "other",
        "step": 1,
        "event": "exported",
        "at": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        "actor": "nightly run",
        "run": "x",
        **more,
    }


def ledger(*rows: dict[str, Any]) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in Ledger.columns}
    return pl.DataFrame(columns, schema=Ledger.polars_schema, strict=False)


def decided(person: dict[str, Any], programmes: tuple[str, ...] = EVERY, **more: Any) -> dict[str, Any]:
    return World({"ana": person}, programmes=programmes, **more).decide().row(0, named=True)


RECOMMENDED = known(
    "models.user_recommendations", *({"rank": n, "item_id": f"p{n}", "source": "als"} for n in (1, 2, 3))
)
POPULAR = known(
    "models.user_recommendations", *({"rank": n, "item_id": f"p{n}", "source": "popular"} for n in (1, 2, 3))
)
HIGH = known("models.clv_forecast", {**CLV, "clv_tier": "High"})
LOW = known("models.clv_forecast", {**CLV, "clv_tier": "Low"})
RISK = {"risk_band": "High", "churn_probability": 0.8}
PREMIUM_LAPSED = {**LAPSED, "visit_frequency": 6}
POTENTIAL = known("features.customer_clv_inputs", {"clv_potential_tier": "High"})
UPGRADES = {"current_plan": "basic", "target_plan": "plus", "probability": 0.6, "propensity_tier": "High"}


@pytest.mark.parametrize(
    ("person", "tables", "expected"),
    [
        (LAPSED, {}, ("winback", "winback_10")),
        (PREMIUM_LAPSED, POTENTIAL, ("winback_premium", "winback_personal")),
        ({**PREMIUM_LAPSED, "visit_frequency": 5}, POTENTIAL, ("winback", "winback_10")),
        ({**LAPSED, "recency_days": 366}, {}, ("cold_winback", "winback_15")),
        ({**LAPSED, "recency_days": 730}, {}, ("cold_winback", "winback_15")),
        ({**LAPSED, "recency_days": 731}, {}, None),
        ({**LAPSED, "visit_frequency": 2}, {}, None),
        (NEW, {}, ("welcome", "welcome_hello")),
        (ONCE | {"stage": "active"}, {}, ("second_purchase", "second_order")),
        (ACTIVE, {}, None),
        (ACTIVE, event("abandoned_cart", 48), ("abandoned_cart", "cart_reminder")),
        (ACTIVE, event("price_drop", 48), ("price_drop", "price_drop")),
        (ACTIVE, event("price_drop", 49), None),
        (ACTIVE, event("back_in_stock"), ("back_in_stock", "back_in_stock")),
        (ACTIVE, event("inactivity"), ("inactivity", "come_and_see")),
        (ACTIVE, event("order_shipped"), ("order_shipped", "order_shipped")),
        (ACTIVE | {"recency_days": 1}, event("order_shipped"), ("order_shipped", "order_shipped")),
        (ACTIVE, event("replenishment"), ("replenishment", "replenish")),
        (ACTIVE, event("birthday", 0), ("birthday", "birthday_10")),
        (ACTIVE | {"rfm_tier": "Champion"}, event("birthday", 0) | HIGH, ("birthday", "birthday_wishes")),
        (ACTIVE | {"stage": "won_back"}, event("stage_change"), ("comeback_thanks", "thank_you")),
        (ACTIVE, event("stage_change"), None),
        (ACTIVE | {"stage": "at_risk"}, {}, ("churn_save", "check_in")),
        (ACTIVE, known("models.churn_risk", {**RISK, "is_used": True}), ("churn_save", "check_in")),
        (ACTIVE, known("models.churn_risk", {**RISK, "is_used": False}), None),
        (ACTIVE | {"rfm_tier": "Champion"}, HIGH, ("vip_care", "early_access")),
        (ACTIVE | {"rfm_tier": "Loyal"}, HIGH, None),
        (ACTIVE, RECOMMENDED, ("cross_sell", "goes_with")),
        (ACTIVE, POPULAR, None),
        (ACTIVE, known("models.propensity_upgrade", {**UPGRADES, "is_used": True}), ("upgrade", "better_one")),
        (ACTIVE, known("models.propensity_upgrade", {**UPGRADES, "is_used": False}), None),
        (
            ACTIVE,
            known("models.upsell_suggestions", {"rank": 1, "expected_extra_margin": 0.5}),
            ("upgrade", "better_one"),
        ),
    ],
)
def test_whom_each_programme_speaks_to_and_with_what(
    person: dict[str, Any], tables: dict[str, list[dict[str, Any]]], expected: tuple[str, str] | None
) -> None:
    row = decided(person, known=tables)
    assert (row["action"] == "send") == (expected is not None), row["reason"]
    assert expected is None or (row["programme"], row["offer_id"]) == expected


def test_the_premium_get_a_person_or_a_word_and_never_a_discount() -> None:
    person = {**PREMIUM_LAPSED, "phone": "+34600000000", "avg_ticket": 500.0}
    shop = World({"ana": person}, programmes=EVERY, known=POTENTIAL, settings=["routing.channels.call.enabled=true"])
    shop.as_of = AS_OF + DAY  # for a Monday: nobody calls on Sundays
    shop.consents = [{"customer_id": "ana", "channel": "call", "granted": True, "occurred_at": UNTIL - DAY}]
    row = shop.decide().row(0, named=True)
    assert (row["programme"], row["channel"], row["discount_pct"]) == ("winback_premium", "call", 0.0)


@pytest.mark.parametrize(("tables", "messages"), [(LOW, 1), (HIGH, 3)])
def test_the_welcome_is_longer_for_those_of_whom_more_is_expected(
    tables: dict[str, list[dict[str, Any]]], messages: int
) -> None:
    lines: list[dict[str, Any]] = []
    for nights in (12, 7, 0):
        row = decided(NEW | {"recency_days": 25}, ("welcome",), known=tables, lines=ledger(*lines))
        if row["action"] == "hold":
            break
        lines.append(sent(nights, programme="welcome", step=row["step"], offer_id=row["offer_id"]))
    assert len(lines) == messages


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nights", "hours", "expected"),
    [
        (2, 5, SEND),  # sent on 28 February, for an event before this one of 1 March
        (2, 26, "journey_complete"),  # an event of 28 February
        (1, 5, "journey_complete"),  # sent on the day of the event: that is enough for the day
    ],
)
def test_an_event_is_answered_once_and_the_next_one_again(nights: int, hours: float, expected: str) -> None:
    lines = ledger(sent(nights, programme="price_drop"))
    assert decided(ACTIVE, ("price_drop",), known=event("price_drop", hours), lines=lines)["reason"] == expected


def test_a_birthday_is_wished_once() -> None:
    first = decided(ACTIVE, ("birthday",), known=event("birthday", 0))
    assert first["reason"] == SEND
    again = World({"ana": ACTIVE}, programmes=("birthday",), as_of=AS_OF + DAY, known=event("birthday", 0))
    again.lines = ledger(sent(0, programme="birthday"))
    assert again.reasons() == {"ana": "frequency_cap"}
    again.settings = ["routing.programmes.birthday.cap=null"]
    assert again.reasons() == {"ana": "journey_complete"}


@pytest.mark.parametrize(("hours", "hour"), [(20, 0), (1, 1), (1 / 6, 2)])
def test_a_cart_is_left_alone_for_an_hour_and_a_half(hours: float, hour: int) -> None:
    push = "routing.channels.push={enabled: true, send_hour: 0, quiet_hours: null}"
    settings = [push, "routing.channels.email.enabled=false"]
    person = {**ACTIVE, "consent_push": True}
    row = decided(person, ("abandoned_cart",), known=event("abandoned_cart", hours), settings=settings)
    assert row["send_at_local"].isoformat() == f"2025-03-02T{hour:02d}:00:00"


# --- promises and caps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "tables", "nights", "offer", "expected"),
    [
        (ACTIVE, RECOMMENDED, 13, "winback_10", "open_promise"),  # of 14 days from the day after its night on
        (ACTIVE, RECOMMENDED, 14, "winback_10", SEND),
        (ACTIVE, RECOMMENDED, 5, "welcome_hello", SEND),  # no discount, no promise
        (ACTIVE, RECOMMENDED, 5, "of another tool", SEND),
        (ACTIVE | {"recency_days": 10}, RECOMMENDED, 11, "winback_10", SEND),  # taken: bought on the day after
        (ACTIVE, event("price_drop"), 5, "winback_10", SEND),  # says a price, sells nothing at the full one
        (ACTIVE, event("birthday", 0), 5, "winback_15", "open_promise"),  # 10 % are less than promised
        (LAPSED, {}, 5, "winback_15", "open_promise"),
        (LAPSED, {}, 5, "birthday_10", SEND),  # the same
    ],
)
def test_a_promised_discount_is_kept(
    person: dict[str, Any], tables: dict[str, list[dict[str, Any]]], nights: int, offer: str, expected: str
) -> None:
    row = decided(person, known=tables, lines=ledger(sent(nights, offer_id=offer)))
    assert row["reason"] == expected


def test_a_promise_ends_with_its_offer() -> None:
    for until, expected in [(AS_OF + DAY, "open_promise"), (AS_OF, SEND)]:
        settings = [f"routing.offers.winback_10.valid_until={until}"]
        row = decided(ACTIVE, known=RECOMMENDED, settings=settings, lines=ledger(sent(5, offer_id="winback_10")))
        assert row["reason"] == expected


@pytest.mark.parametrize(("cap", "expected"), [(2, "frequency_cap"), (3, SEND), (None, SEND)])
def test_a_customers_own_cadence_lies_below_the_shops(cap: int | None, expected: str) -> None:
    tables = known("models.cadence_posteriors", {"weekly_cap": cap}) if cap else {}
    lines = ledger(sent(6, channel="postal"), sent(2, channel="postal"), sent(7, channel="postal"))
    assert decided(LAPSED, known=tables, lines=lines)["reason"] == expected


@pytest.mark.parametrize(
    ("as_of", "first"),
    [
        (AS_OF, dt.datetime(2025, 2, 23, 23, tzinfo=dt.UTC)),
        (dt.date(2024, 2, 29), dt.datetime(2024, 2, 23, 23, tzinfo=dt.UTC)),  # the leap day is one of the seven
        (dt.date(2024, 2, 28), dt.datetime(2024, 2, 22, 23, tzinfo=dt.UTC)),
    ],
)
def test_the_week_of_the_cap_begins_at_local_midnight(as_of: dt.date, first: dt.datetime) -> None:
    for at, expected in [(first, "frequency_cap"), (first - dt.timedelta(seconds=1), SEND)]:
        shop = World({"ana": LAPSED}, as_of=as_of)
        shop.engagement = [
            {"message_id": f"m{n}", "customer_id": "ana", "channel": "postal", "sent_at": moment}
            for n, moment in enumerate((at, *(first + n * DAY for n in (1, 2, 3))))
        ]
        assert shop.reasons() == {"ana": expected}


def test_programmes_compete_for_one_message_a_day() -> None:
    tables = event("price_drop") | RECOMMENDED
    tables["dispatch.triggers"] += event("abandoned_cart")["dispatch.triggers"]
    decisions = World({"ana": ACTIVE}, programmes=EVERY, known=tables).decide()
    assert decisions.height == 1
    assert decisions["programme"].item() == "abandoned_cart"


# --- what ships hangs together ----------------------------------------------------------------------------------------


def test_no_programme_floods_anyone_over_a_fortnight() -> None:
    """Everyone has something that calls for a message every night: the limits hold on any of the windows."""
    people: dict[str, dict[str, Any]] = {
        "lea": LAPSED,
        "neu": NEW,
        "eva": ACTIVE,
        "rita": ACTIVE | {"stage": "at_risk"},
        "vip": ACTIVE,
    }
    people["vip"] = {**people["vip"], "rfm_tier": "Champion"}
    kinds = ("abandoned_cart", "price_drop", "back_in_stock", "inactivity", "replenishment", "birthday")
    tables = {
        "dispatch.triggers": [
            row for name in people for kind in kinds for row in event(kind, 3, name)["dispatch.triggers"]
        ],
        "models.user_recommendations": [
            row | {"customer_id": n} for n in people for row in RECOMMENDED["models.user_recommendations"]
        ],
        "models.clv_forecast": [{**CLV, "customer_id": n, "clv_tier": "High"} for n in people],
    }
    lines: list[dict[str, Any]] = []
    routing = World({}, programmes=EVERY).shop.routing
    for night in range(14):
        as_of = AS_OF + night * DAY
        moved = [row | {"occurred_at": row["occurred_at"] + night * DAY} for row in tables["dispatch.triggers"]]
        aged = {name: person | {"recency_days": person["recency_days"] + night} for name, person in people.items()}
        world = World(aged, as_of=as_of, programmes=EVERY, known=tables | {"dispatch.triggers": moved})
        world.lines = ledger(*lines)
        for row in world.decide().filter(action="send").iter_rows(named=True):
            of_message = {name: row[name] for name in ("customer_id", "programme", "step", "offer_id", "channel")}
            lines.append(sent(0, **of_message, as_of=as_of, idempotency_key=f"{row['customer_id']}{as_of}"))
    assert {line["customer_id"] for line in lines} == set(people)

    def most(messages: list[dict[str, Any]], days: int) -> int:
        nights = [line["as_of"] for line in messages]
        return max(sum(night - days * DAY < other <= night for other in nights) for night in nights)

    for name in people:
        own = [line for line in lines if line["customer_id"] == name]
        assert most(own, 7) <= 4
        for programme, settings in routing.programmes.items():
            of_programme = [line for line in own if line["programme"] == programme]
            if of_programme and settings.cap:
                assert most(of_programme, settings.cap.days) <= settings.cap.messages


def test_every_programme_has_a_control_group_and_every_trigger_a_programme() -> None:
    shop = World({}, programmes=EVERY).shop
    assert {name for name, one in shop.routing.programmes.items() if not one.experiment} == {"order_shipped"}
    assert {programme.trigger for programme in shop.routing.programmes.values()} == {None, *TRIGGERS}
    assert all(experiment.holdout_share > 0 for experiment in shop.measurement.experiments.values())


def test_whatsapp_carries_approved_content_only() -> None:
    person = {**ACTIVE, "phone": "+34600000000", "consent_whatsapp": True, "consent_email": None}
    for approved, expected in [("winback", "no_consent"), ("abandoned_cart", SEND)]:
        channel = (
            f"{{enabled: true, needs_template: true, addressed_by: phone, approved_templates: {{{approved}: t1}}}}"
        )
        row = decided(person, known=event("abandoned_cart"), settings=[f"routing.channels.whatsapp={channel}"])
        assert row["reason"] == expected
