"""What is told of a logged decision: which count, what they earned, how each profile weighs them."""

import datetime as dt
import json
from dataclasses import replace

import polars as pl
import pytest

from lifecycle_assets.models import policy_log as logs
from lifecycle_assets.models.policy_log import Nights, Outcomes, PolicyLog
from lifecycle_assets.settings import Shop

NIGHT = dt.date(2024, 5, 1)
SENT = dt.datetime(2024, 5, 2, 10, tzinfo=dt.UTC)
A, B = "winback/1/email/winback_10", "welcome/1/sms/welcome_hello"


def shop(**routing: object) -> Shop:
    given = {"posteriors": {"response_days": 3, "unsubscribe_cost": 7.0}, **routing}
    return Shop.model_validate(
        {"name": "s", "timezone": "UTC", "currency": "EUR", "country": "ES", "input": "in", "routing": given}
    )


def trace(a: tuple[float, float, float], b: tuple[float, float, float], *, limited: bool = False) -> str:
    """Of each arm the expected value, pi under balanced (which is in force) and under margin."""
    arms = [
        {"arm": arm, "score": 1.0, "expected_value": ev, "pi": pi, "pi_by": {"balanced": pi, "margin": other}}
        for arm, (ev, pi, other) in ((A, a), (B, b))
    ]
    gates = {"consent": {"pass": True}}
    return json.dumps(
        {"programme": "x", "gates": gates, "arms": arms, "exploration": {"explores": True, "limited": limited}}
    )


PLAIN = trace((2.0, 0.75, 0.25), (1.0, 0.25, 0.75))


def decision(name: str, text: str = PLAIN, arm: str = A, action: str = "send", night: dt.date = NIGHT) -> dict:
    programme, step, channel, offer = arm.split("/")
    return {
        "as_of": night, "decision_id": name, "customer_id": f"c-{name}", "action": action, "programme": programme,
        "step": int(step), "channel": channel, "offer_id": offer, "send_at": SENT,
        "discount_pct": 10.0 if arm == A else 0.0, "trace": text,
    }  # fmt: skip


def nights(*decisions: dict, unsent: tuple[str, ...] = ()) -> Nights:
    frame = pl.DataFrame(decisions)
    messages = frame.select("decision_id", idempotency_key=pl.format("m-{}", "decision_id"))
    sent = messages.filter(~pl.col("decision_id").is_in(unsent))
    ledger = pl.concat(
        [
            messages.select("idempotency_key", event=pl.lit("planned")),
            sent.select("idempotency_key", event=pl.lit("exported")),
        ]
    )
    return Nights(frame.lazy(), messages.lazy(), ledger.lazy())


MESSAGE = {
    "message_id": pl.String, "channel": pl.String, "sent_at": pl.Datetime("us", "UTC"),
    "converted_at": pl.Datetime("us", "UTC"), "unsubscribed_at": pl.Datetime("us", "UTC"), "revenue": pl.Float64,
}  # fmt: skip
LINE = {
    "message_id": pl.String, "status": pl.String, "ordered_at": pl.Datetime("us", "UTC"), "quantity": pl.Float64,
    "unit_price": pl.Float64, "discount_amount": pl.Float64, "unit_cost": pl.Float64, "amount": pl.Decimal(18, 4),
}  # fmt: skip
CUSTOMER = {
    "customer_id": pl.String, "avg_ticket": pl.Float64, "purchase_total": pl.Decimal(18, 4),
    "margin_total": pl.Decimal(18, 4),
}  # fmt: skip


def message(name: str, channel: str = "email", **told: object) -> dict:
    return {"message_id": f"m-{name}", "channel": channel, "sent_at": SENT, **told}


def line(name: str, **told: object) -> dict:
    usual = {"status": "completed", "ordered_at": SENT + dt.timedelta(days=1), "quantity": 2.0, "unit_price": 50.0,
             "discount_amount": 10.0, "unit_cost": None, "amount": "90"}  # fmt: skip
    return {"message_id": f"m-{name}", **usual, **told}


def outcomes(messages: list[dict], lines: list[dict] = [], customers: list[dict] = []) -> Outcomes:  # noqa: B006
    amounts = pl.DataFrame(lines, schema={**LINE, "amount": pl.String}).with_columns(
        pl.col("amount").cast(LINE["amount"])
    )
    return Outcomes(pl.LazyFrame(messages, schema=MESSAGE), amounts.lazy(), pl.LazyFrame(customers, schema=CUSTOMER))


def told(of: Nights, came: Outcomes, settings: Shop | None = None) -> pl.DataFrame:
    rows = logs.policy_log(of, came, shop_id="s", as_of=dt.date(2024, 5, 6), shop=settings or shop())
    PolicyLog.require(rows)
    return rows


BOTH_TELL = [message("other"), message("another", "sms")]


def test_each_profile_weighs_the_arm_taken_by_its_own_probability() -> None:
    rows = told(nights(decision("a"), decision("b", arm=B)), outcomes([message("a"), message("b", "sms")]))
    assert rows.select("decision_id", "policy", "expected_taken", "expected", "weight", "is_supported").rows() == [
        ("a", "balanced", 2.0, 1.75, 1.0, True),
        ("a", "margin", 2.0, 1.25, pytest.approx(1 / 3), True),
        ("b", "balanced", 1.0, 1.75, 1.0, True),
        ("b", "margin", 1.0, 1.25, 3.0, True),
    ]


def test_weights_average_to_one_over_the_chance_of_the_night() -> None:
    # 750 of 1,000 such decisions take the first arm, 250 the second.
    decisions = [decision(f"{i:04}", arm=A if i < 750 else B) for i in range(1000)]
    rows = told(nights(*decisions), outcomes([*BOTH_TELL, message("0000")]))
    assert dict(rows.group_by("policy").agg(pl.col("weight").mean()).iter_rows()) == pytest.approx(
        {"balanced": 1.0, "margin": 1.0}
    )


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("held", decision("x", action="hold")),
        ("limited", decision("x", trace((2.0, 0.75, 0.25), (1.0, 0.25, 0.75), limited=True))),
        (
            "one arm",
            decision("x", json.dumps({"arms": [json.loads(PLAIN)["arms"][0]], "exploration": {"limited": False}})),
        ),
        ("no trace of arms", decision("x", json.dumps({"gates": {}}))),
        ("another arm", decision("x", arm="winback/2/email/winback_10")),
        ("a night not told of", decision("x", night=NIGHT - dt.timedelta(days=1))),
    ],
)
def test_what_cannot_be_valued_is_left_out(name: str, left_out: dict) -> None:
    rows = told(nights(decision("a"), left_out), outcomes([message("a"), *BOTH_TELL]))
    assert rows["decision_id"].unique().to_list() == ["a"], name


def test_a_message_that_did_not_go_out_is_left_out() -> None:
    rows = told(nights(decision("a"), decision("x"), unsent=("x",)), outcomes([message("a"), message("x"), *BOTH_TELL]))
    assert rows["decision_id"].unique().to_list() == ["a"]


def test_a_channel_that_never_tells_leaves_out_whoever_might_have_got_it() -> None:
    mail_only = json.loads(PLAIN)
    mail_only["arms"][1]["arm"] = "welcome/1/email/welcome_hello"
    of = nights(decision("a"), decision("b", json.dumps(mail_only)))
    assert told(of, outcomes([message("a")]))["decision_id"].unique().to_list() == ["b"]
    by_an_order = outcomes([message("a")], [line("c")])
    with_sms = nights(decision("a"), decision("b", json.dumps(mail_only)), decision("c", arm=B))
    assert told(with_sms, by_an_order)["decision_id"].n_unique() == 3


def test_an_arm_without_a_chance_is_told() -> None:
    sure = trace((2.0, 1.0, 0.0), (1.0, 0.0, 1.0))
    rows = told(nights(decision("a", sure)), outcomes([message("a"), *BOTH_TELL]))
    assert rows.select("policy", "weight", "is_supported").rows() == [("balanced", 1.0, True), ("margin", 0.0, False)]


def test_a_profile_that_a_decision_does_not_know_has_no_row_of_it() -> None:
    settings = shop(rankings={"new": {"uplift": 2.0}})
    rows = told(nights(decision("a")), outcomes([message("a"), *BOTH_TELL]), settings)
    assert rows["policy"].to_list() == ["balanced", "margin"]


LATE = SENT + dt.timedelta(days=3, seconds=1)
KNOWN = {"customer_id": "c-a", "avg_ticket": 200.0, "purchase_total": "1000", "margin_total": "400"}


@pytest.mark.parametrize(
    ("name", "came", "lines", "earned"),
    [
        ("nothing", {}, [], 0.0),
        ("line with its cost", {}, [{"unit_cost": 30.0}], 30.0),
        ("line without cost: 60 % of 100", {}, [{}], 30.0),
        ("two lines", {}, [{"unit_cost": 30.0}, {"unit_cost": 10.0}], 100.0),
        ("return", {}, [{"unit_cost": 30.0}, {"unit_cost": 30.0, "quantity": -1.0, "amount": "-45"}], 15.0),
        ("discount not shown: 60 % of 100", {}, [{"unit_price": 45.0, "discount_amount": 0.0}], 30.0),
        ("too late", {}, [{"ordered_at": LATE}], 0.0),
        ("cancelled", {}, [{"status": "cancelled"}], 0.0),
        ("revenue", {"converted_at": SENT, "revenue": 90.0}, [], 30.0),
        ("revenue too late", {"converted_at": LATE, "revenue": 90.0}, [], 0.0),
        ("average order less discount", {"converted_at": SENT}, [], 60.0),
        ("lines beat revenue", {"converted_at": SENT, "revenue": 5000.0}, [{"unit_cost": 30.0}], 30.0),
        ("left", {"unsubscribed_at": SENT}, [], -7.0),
    ],
)
def test_reward(name: str, came: dict, lines: list[dict], earned: float) -> None:
    customers = (
        pl.DataFrame([KNOWN]).with_columns(pl.col("purchase_total", "margin_total").cast(pl.Decimal(18, 4))).lazy()
    )
    found = outcomes([message("a", **came), *BOTH_TELL], [line("a", **given) for given in lines])
    rows = told(nights(decision("a")), replace(found, customer_features=customers))
    assert rows["reward"].to_list() == pytest.approx([earned - 0.001] * 2), name


def test_a_stranger_earns_by_the_shops_margin_and_an_sms_costs_more() -> None:
    found = outcomes([message("a", "sms", converted_at=SENT, revenue=50.0), *BOTH_TELL])
    rows = told(nights(decision("a", arm=B)), found, shop(margin_rate=0.2))
    assert rows["reward"].to_list() == pytest.approx([10.0 - 0.05] * 2)


def test_of_a_large_night_a_sample_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PER_NIGHT", 5)
    decisions = [decision(f"{i:04}") for i in reversed(range(30))]
    rows = told(nights(*decisions), outcomes([message("0000"), *BOTH_TELL]))
    assert rows["decision_id"].unique().sort().to_list() == [f"{i:04}" for i in range(5)]


def test_a_decision_is_told_once_and_not_at_all_when_undone() -> None:
    came = outcomes([message("a"), message("b"), *BOTH_TELL])
    first = told(nights(decision("a"), decision("b")), came)
    later = first.with_columns(as_of=dt.date(2024, 5, 8), reward=pl.lit(99.0))
    undone = pl.LazyFrame({"idempotency_key": ["m-b"], "event": ["compensated"]})
    whole = logs.whole(pl.concat([later, first]).lazy(), undone).sort("policy").collect()
    assert (
        whole.select("decision_id", "policy", "reward").rows()
        == first.filter(decision_id="a").select("decision_id", "policy", "reward").rows()
    )


def test_a_night_is_settled_when_the_last_message_had_its_time() -> None:
    assert logs.settled_until(dt.date(2024, 5, 6), shop()) == NIGHT


def test_without_decisions_the_log_is_empty() -> None:
    empty = pl.DataFrame([decision("a")]).clear()
    none = Nights(empty.lazy(), pl.LazyFrame(schema={"decision_id": pl.String, "idempotency_key": pl.String}),
                  pl.LazyFrame(schema={"idempotency_key": pl.String, "event": pl.String}))  # fmt: skip
    assert told(none, outcomes([])).equals(PolicyLog.empty())
