"""The wide view repeats its tables and adds nothing; accounts that are one person have one row in it."""

import datetime as dt
from typing import Any

import polars as pl
from made_shop import AS_OF, SHOP, ZONE, Tables, frame, lines, products, roll_up, run

from lifecycle_assets.contracts import Contract
from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.reach import Reach
from lifecycle_assets.features.behaviour import CustomerBehaviour
from lifecycle_assets.features.churn_labels import ChurnLabels, churn_labels
from lifecycle_assets.features.clv_inputs import CustomerClvInputs, customer_clv_inputs
from lifecycle_assets.features.customer import CustomerFeatures, customer_features
from lifecycle_assets.features.customer_orders import CustomerOrders
from lifecycle_assets.features.identity import IdentityMap, resolved
from lifecycle_assets.features.loyalty import SEGMENTS, CustomerLoyalty, customer_loyalty
from lifecycle_assets.features.orders import Orders
from lifecycle_assets.features.profiles import Profiles, profiles
from lifecycle_assets.features.rfm import CustomerRfm, customer_rfm
from lifecycle_assets.features.stage import LifecycleStage, lifecycle_stage
from lifecycle_assets.inputs.contracts import (
    Engagement,
    OrderLines,
    PaymentEvents,
    Products,
    Subscriptions,
    SupportTickets,
    SurveyResponses,
    WebEvents,
)
from lifecycle_assets.models.cadence_posteriors import CadencePosteriors
from lifecycle_assets.models.channel_posteriors import ChannelPosteriors
from lifecycle_assets.models.churn_risk import ChurnRisk
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.models.discount_posteriors import DiscountPosteriors
from lifecycle_assets.models.nba_scores import NbaScores
from lifecycle_assets.models.propensity_buy import PropensityBuy
from lifecycle_assets.models.propensity_upgrade import PropensityUpgrade
from lifecycle_assets.models.segment_profiles import SegmentProfiles
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.models.send_time_posteriors import SendTimePosteriors
from lifecycle_assets.settings import Customer

END = end_of(AS_OF, ZONE)
# C02 and C03 are C01; so are the visitors v1 and v2, and v9 is said to be C05.
ONE_PERSON = frame(
    IdentityMap,
    [
        {"id_type": kind, "id": name, "customer_id": profile, "n_ids": 4, "link": "email", "reason": "made"}
        for kind, name, profile in [
            ("customer_id", "C01", "C01"),
            ("customer_id", "C02", "C01"),
            ("customer_id", "C03", "C01"),
            ("anonymous_id", "v1", "C01"),
            ("anonymous_id", "v2", "C01"),
            ("anonymous_id", "v3", None),
            ("anonymous_id", "v9", "C05"),
        ]
    ],
)


def with_scores(tables: Tables) -> dict[str, pl.DataFrame]:
    """What `roll_up` made, and the tables that follow from it, without models and dispatch."""
    settings = Customer()
    made = dict(tables)
    orders, customers = made[Orders.name].lazy(), made[CustomerOrders.name].lazy()
    labels = churn_labels(orders, Subscriptions.empty().lazy(), SHOP, AS_OF, settings.churn, ZONE)
    made[ChurnLabels.name] = labels
    made[CustomerLoyalty.name] = customer_loyalty(customers, settings.loyalty)
    made[CustomerFeatures.name] = customer_features(
        customers, made[CustomerLoyalty.name].lazy(), made[CustomerBehaviour.name].lazy()
    ).collect()
    made[CustomerRfm.name] = customer_rfm(made[CustomerFeatures.name].lazy(), settings.rfm)
    made[LifecycleStage.name] = lifecycle_stage(orders, SHOP, AS_OF, settings.stage)
    made[CustomerClvInputs.name] = customer_clv_inputs(customers, labels.lazy(), settings)
    return made


def test_every_column_is_its_tables() -> None:
    given = {OrderLines.name: lines(5), Products.name: products(5), IdentityMap.name: ONE_PERSON}
    made = with_scores(roll_up(given))
    held = {
        "as_of": AS_OF,
        "decision_id": "d",
        "reason": "no_consent",
        "trace": "{}",
        "policy_version": "p",
        "propensity": 1.0,
        "uplift_segment": "persuadable",
        "cate": 0.1,
    }
    made[Decisions.name] = frame(Decisions, [{**held, "customer_id": "C05", "action": "hold"}])
    made[Reach.name] = frame(
        Reach, [{"customer_id": "C05", "erased": False, "consent_sms": "flag", "reachable_by": "sms"}]
    )
    value = {
        "customer_id": "C05",
        "value_basis": "amount",
        "clv_tier": "High",
        "p_alive": 0.75,
        "algorithm_used": "blend",
    }
    numbers = ("expected_value", "expected_value_low", "expected_value_high", "expected_purchases")
    told_by = {
        "discounted_value": 1.0,
        "discounted_value_low": 0.0,
        "discounted_value_high": 1.0,
        "extrapolated": False,
    }
    made[ClvForecast.name] = frame(
        ClvForecast,
        [
            {**value, **told_by, "horizon_months": months, "interpretation": "i", "explanations": "e"}
            | {name: float(months * 10 + place) for place, name in enumerate(numbers)}
            for months in (6, 12, 36)
        ],
    )
    made[SegmentationLabels.name] = frame(
        SegmentationLabels, [{"customer_id": "C05", "segment": 2, "segment_id": "a night/2", "distance": 0.5}]
    )
    persona = {"cluster_id": 2, "segment_id": "a night/2", "name": "Big spenders", "n_customers": 1}
    made[SegmentProfiles.name] = frame(SegmentProfiles, [persona])
    risk = {
        "churn_probability": 0.7,
        "risk_band": "High",
        "top_factors": "t",
        "recommended_action": "a",
        "is_used": True,
    }
    made[ChurnRisk.name] = frame(ChurnRisk, [{"customer_id": "C05", **risk}])
    made |= _responses()
    wide = run(profiles(SHOP, AS_OF), Profiles, made)
    models = {
        "p_alive": 0.75,
        "clv_tier": "High",
        "clv_6m": 60.0,
        "clv_12m": 120.0,
        "clv_12m_low": 121.0,
        "clv_12m_high": 122.0,
        "expected_purchases_12m": 123.0,
        "clv_36m": 360.0,
        "cluster_segment": 2,
        "segment_id": "a night/2",
        "segment_name": "Big spenders",
        "churn_probability": 0.7,
        "risk_band": "High",
        "churn_factors": "t",
        "buy_product_id": "tea",
        "buy_probability": 0.4,
        "upgrade_plan": "plus",
        "upgrade_probability": 0.2,
        "best_channel": "sms",
        "best_channel_chance": 0.6,
        "best_channel_response": 0.08,
        "best_hour": 18,
        "best_windows": "Tue 18:00-20:00",
        "best_content_type": "advice",
        "weekly_cap": 3,
    }
    assert wide.filter(customer_id="C05").select(*models).row(0, named=True) == models
    assert wide.filter(pl.col("customer_id") != "C05").select(pl.col(*models).is_null().all()).row(0) == (True,) * len(
        models
    )
    assert wide["customer_id"].equals(made[CustomerFeatures.name]["customer_id"])
    assert wide.filter(pl.col("n_accounts") > 1).select("customer_id", "n_accounts").rows() == [("C01", 3)]
    renamed = {
        CustomerLoyalty: {"segment": "loyalty_segment"},
        LifecycleStage: {"since": "stage_since"},
        CustomerClvInputs: {"frequency": "clv_frequency", "recency": "clv_recency", "T": "clv_t"},
        Decisions: {name: f"next_{name}" for name in Decisions.columns if f"next_{name}" in Profiles.columns},
    }
    # The segment's tier, and the customer's own.
    tiers = wide.select("customer_id", "best_discount_pct").filter(pl.col("customer_id").is_in(["C04", "C05"]))
    assert tiers.rows() == [("C04", 10.0), ("C05", 5.0)]
    assert wide.filter(customer_id="C05").select("uplift_segment", "cate").row(0) == ("persuadable", 0.1)
    told = {"n_accounts", "best_discount_pct", "uplift_segment", "cate", *models}
    for contract in (
        CustomerFeatures, CustomerLoyalty, LifecycleStage, CustomerRfm, CustomerClvInputs, ChurnLabels, Reach, Decisions
    ):  # fmt: skip
        told |= _repeats(wide, contract, made[contract.name].rename(renamed.get(contract, {})))
    assert told == set(Profiles.columns)


def _responses() -> dict[str, pl.DataFrame]:
    """What the customer C05 is likely to answer to: two rows each, of which one is right."""
    score = {"customer_id": "C05", "propensity_tier": "High", "interpretation": "i", "is_used": True}
    product = {**score, "basis": "product"}
    plan = {**score, "current_plan": "basic"}
    reply = dict.fromkeys(("lo", "hi", "borrowed", "mean"), 0.1)
    sent = {"n_sent": 1, "n_response": 0}
    channel = {"customer_id": "C05", "alpha": 1.0, "beta": 9.0, "n_effective": 1.0, "shop_rate": 0.1, "shop_sent": 1}
    channel |= {**reply, **sent, "order_rate": 0.1, "unsubscribe_rate": 0.0, "expected_margin": 1.0}
    hour = {"customer_id": "C05", "best_lift": 1.0, "best_lift_lo": 1.0, "best_lift_hi": 1.0, "borrowed": 1.0, **sent}
    tier = {**reply, **sent, "multiplier": 1.0, "multiplier_sd": 0.1, "expected_profit": 1.0, "basis": "logged"}
    content = {"customer_id": "C05", "multiplier_sd": 0.1, **reply, **sent}
    cadence = {"customer_id": "C05", "fatigue": 0.1, "fatigue_lo": 0.0, "fatigue_hi": 0.2, "n_sent": 1, "borrowed": 0.5}
    rows = {
        PropensityBuy: [
            {**product, "product_id": "tea", "probability": 0.4},
            {**product, "product_id": "cup", "probability": 0.3},
            {**product, "product_id": "pot", "probability": 0.9, "is_used": False},
        ],
        PropensityUpgrade: [
            {**plan, "target_plan": "plus", "probability": 0.2},
            {**plan, "target_plan": "pro", "probability": 0.1},
        ],
        ChannelPosteriors: [
            {**channel, "channel": "email", "p_best": 0.4},
            {**channel, "channel": "push", "p_best": None},
            {**channel, "channel": "sms", "p_best": 0.6, "mean": 0.08},
        ],
        SendTimePosteriors: [
            {**hour, "channel": "email", "best_hour": 9, "windows": "Mon 09:00-11:00"},
            {**hour, "channel": "sms", "best_hour": 18, "windows": "Tue 18:00-20:00"},
        ],
        NbaScores: [
            {**content, "content_type": "advice", "multiplier": 1.2},
            {**content, "content_type": "news", "multiplier": 0.8},
        ],
        DiscountPosteriors: [
            *({**tier, "level": "segment", "unit": name, "tier": 10.0, "is_recommended": True} for name in SEGMENTS),
            {**tier, "level": "customer", "unit": "C05", "tier": 5.0, "is_recommended": True},
            {**tier, "level": "customer", "unit": "C05", "tier": 10.0, "is_recommended": False},
        ],
        CadencePosteriors: [{**cadence, "weekly_cap": 3}],
    }
    return {contract.name: frame(contract, given) for contract, given in rows.items()}


def _repeats(wide: pl.DataFrame, contract: Contract, rows: pl.DataFrame) -> set[str]:
    """The columns of the wide view that are the table's, customer by customer."""
    own = "next_" if contract is Decisions else ""
    shared = [name for name in wide.columns if name in rows.columns and name.startswith(own)]
    keyed = rows.select("customer_id", *(name for name in shared if name != "customer_id"))
    wanted = wide.select("customer_id").join(keyed, on="customer_id", how="left", maintain_order="left")
    for name in set(shared) - {"shop_id", "as_of", "reason", "interpretation"}:
        assert wide[name].equals(wanted[name], null_equal=True), f"{contract.name}: {name}"
    return set(shared)


def test_two_accounts_and_their_visits_are_one_customer() -> None:
    def at(hours: int) -> dt.datetime:
        return END - dt.timedelta(hours=hours)

    web: list[dict[str, Any]] = [
        {"customer_id": "C01", "anonymous_id": "v1", "session_id": "s1", "event_type": "view"},
        {
            "customer_id": "C02",
            "anonymous_id": "v2",
            "session_id": "s2",
            "event_type": "view",
        },  # signed in beats the device
        {"customer_id": None, "anonymous_id": "v1", "session_id": "s1", "event_type": "add_to_cart"},
        {"customer_id": None, "anonymous_id": "v1", "session_id": "s3", "event_type": "view"},
        {"customer_id": "C05", "anonymous_id": "v4", "session_id": "s4", "event_type": "view"},
        {"customer_id": "C03", "anonymous_id": "v2", "session_id": "s2", "event_type": "search"},
        {"customer_id": None, "anonymous_id": "v2", "session_id": "s2", "event_type": "view"},
        {"customer_id": "C03", "anonymous_id": "v3", "session_id": "s5", "event_type": "search"},
        {"customer_id": "C05", "anonymous_id": "v3", "session_id": "s5", "event_type": "search"},
        {"customer_id": None, "anonymous_id": "v3", "session_id": "s5", "event_type": "view"},  # nobody's
        {
            "customer_id": None,
            "anonymous_id": "v9",
            "session_id": "s6",
            "event_type": "view",
        },  # who signed in is not known
    ]
    apart = {
        OrderLines.name: lines(1),
        Products.name: products(1),
        WebEvents.name: frame(
            WebEvents, [{"event_id": f"E{n}", "occurred_at": at(n + 1), **row} for n, row in enumerate(web)]
        ),
        Engagement.name: frame(
            Engagement,
            [
                {
                    "message_id": f"M{n}",
                    "customer_id": f"C0{n}",
                    "channel": "email",
                    "sent_at": at(50),
                    "opened_at": opened,
                }
                for n, opened in ((1, None), (2, at(49)), (3, at(50) + dt.timedelta(seconds=1)))  # the last: a machine
            ],
        ),
        SupportTickets.name: frame(
            SupportTickets, [{"ticket_id": f"T{n}", "customer_id": f"C0{n}", "opened_at": at(9)} for n in (1, 2, 5)]
        ),
        PaymentEvents.name: frame(
            PaymentEvents,
            [
                {"payment_id": f"Y{n}", "customer_id": f"C0{n}", "occurred_at": at(9), "status": "failed"}
                for n in (2, 3)
            ],
        ),
        SurveyResponses.name: frame(
            SurveyResponses,
            [
                {"response_id": f"A{n}", "customer_id": f"C0{n}", "answer": float(n), "responded_at": at(n)}
                for n in (1, 2, 3)
            ],
        ),
    }
    made = roll_up({**apart, IdentityMap.name: ONE_PERSON})
    rows = {row["customer_id"]: row for row in made[CustomerBehaviour.name].to_dicts()}
    assert "C02" not in rows and "C03" not in rows
    names = ("sessions_12w", "views_30d", "carts_30d", "sends_90d", "tickets_90d", "failed_payments_12m", "latest_nps")
    assert [rows["C01"][name] for name in names] == [4, 4, 1, 3, 2, 2, 1.0]
    assert rows["C01"]["open_rate_90d"] == 1 / 3
    assert [rows["C05"][name] for name in names] == [2, 1, 0, 0, 1, 0, None]
    # The orders are those of one customer who placed them all.
    joined = {**apart, OrderLines.name: resolved(apart[OrderLines.name].lazy(), ONE_PERSON.lazy()).collect()}
    alone = roll_up(joined)
    for contract in (Orders, CustomerOrders):
        assert made[contract.name].equals(alone[contract.name])
