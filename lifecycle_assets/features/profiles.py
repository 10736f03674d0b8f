"""What is known of each customer, in one row?

The wide view that people query: features, stage, scores, CLV inputs, churn, whom the shop may reach and how, and tonight's
decision. Every column is that of another table, joined by the key and defined there; where that table has no row of the
customer it is null. It stands at the end of the night, the one table of its area that reads models and dispatch, and
nothing is decided by it. A further model is one join of the statement and its columns here.
"""

import datetime as dt

import dataframely as dy

from lifecycle_assets.contracts import count, date, flag, money, number, share, table, text, timestamp
from lifecycle_assets.features.behaviour import BehaviourColumns
from lifecycle_assets.features.clv_inputs import POTENTIALS
from lifecycle_assets.features.customer_orders import OrderColumns
from lifecycle_assets.features.loyalty import SEGMENTS
from lifecycle_assets.features.per_customer import PerCustomer
from lifecycle_assets.features.rfm import TIERS
from lifecycle_assets.features.stage import STAGES
from lifecycle_assets.sql import Sql, load

RISK_BANDS = ["High", "Medium", "Low"]
BASES = ["event", "flag", "assumed", "withdrawn", "not_stated"]


def _consent(channel: str) -> dy.String:
    return text(f"What the answer for {channel} rests on; given by the first three.", values=BASES)


class ReachColumns(dy.Schema):
    """The columns that this table and dispatch.reach have in common."""

    erased = flag("Asked to be forgotten.", nullable=True)
    consent_email = _consent("e-mail")
    consent_whatsapp = _consent("WhatsApp")
    consent_sms = _consent("SMS")
    consent_push = _consent("push messages")
    consent_in_app = _consent("messages in the app")
    consent_ads = _consent("advertising audiences")
    consent_call = _consent("calls")
    consent_postal = _consent("letters")
    reachable_by = text(
        "Channels with consent and an address on which the customer is not suppressed, with commas between; empty for none."
    )


@table("features.profiles")
class Profiles(PerCustomer, OrderColumns, BehaviourColumns, ReachColumns):
    """One row per customer: everything the shop knows, thinks and does about them tonight."""

    n_accounts = count("Customer ids that are this customer; see features.identity_map.", "ids", minimum=1)
    loyalty_score = share("From features.customer_loyalty.")
    loyalty_segment = text("From features.customer_loyalty.", values=SEGMENTS)
    stage = text("Stage of the customer's life.", values=STAGES)
    stage_since = date("First day of this stage.", nullable=True)
    previous_stage = text("Stage before; null when there was none.", values=STAGES)
    expected_gap_days = number("Expected days between purchase days.", "days", nullable=True, minimum=0)
    is_cold = flag("Lapsed for longer than winback_max_days.", nullable=True)
    recency_score = count("RFM: 1 .. bins; the highest bought last.", "score", nullable=True)
    frequency_score = count("RFM: 1 .. bins; the highest bought most often.", "score", nullable=True)
    monetary_score = count("RFM: 1 .. bins; the highest spent most.", "score", nullable=True)
    rfm_class = text("The three scores.")
    rfm_total = count("Sum of the three scores.", "score", nullable=True)
    rfm_tier = text("RFM tier.", values=TIERS)
    clv_frequency = count("Purchase days after the first.", "days", nullable=True)
    clv_recency = count("From the first purchase to the last.", "days", nullable=True)
    clv_t = count("From the first purchase to as_of.", "days", nullable=True)
    monetary_value = money("Mean value of a repeat purchase day.", nullable=True)
    monetary_basis = text("What that value is.", values=["margin", "amount"])
    clv_potential_tier = text("Tier by monetary_value; see features.customer_clv_inputs.", values=POTENTIALS)
    p_alive = share(
        "Probability of not having left for good; null where the shop's orders do not tell; see models.clv_forecast.",
        nullable=True,
    )
    clv_tier = text("Tier by the 12-month forecast; see models.clv_forecast.")
    clv_6m = number(
        "Expected value over the next 6 months, margin or amount as in monetary_basis.", "currency", nullable=True
    )
    clv_12m = number("Expected value over the next 12 months.", "currency", nullable=True)
    clv_12m_low = number("Lower end of its 80 % interval.", "currency", nullable=True)
    clv_12m_high = number("Upper end of its 80 % interval.", "currency", nullable=True)
    expected_purchases_12m = number("Expected purchase days over the next 12 months.", "days", nullable=True)
    clv_36m = number("Expected value over the next 36 months.", "currency", nullable=True)
    cluster_segment = count(
        "Segment by mean spend, ascending; see models.segmentation_labels.", "segment", nullable=True
    )
    segment_id = text("Identity of that segment from night to night.")
    segment_name = text("Its persona; see models.segment_profiles.")
    churn_probability = share("Chance of churning; null for those who have; see models.churn_risk.", nullable=True)
    risk_band = text("Band of that chance.", values=RISK_BANDS)
    churn_factors = text("What moves it most.")
    buy_product_id = text(
        "The product likeliest to be bought; null without a score to act on; see models.propensity_buy."
    )
    buy_probability = share("Chance of buying it within 30 days.", nullable=True)
    upgrade_plan = text("The plan likeliest to be moved to; see models.propensity_upgrade.")
    upgrade_probability = share("Chance of moving to it within 90 days.", nullable=True)
    uplift_segment = text("What a message does, where its effect is known; see models.uplift_scores.")
    cate = number("Effect of a message on the probability of a response.", "share", nullable=True)
    best_channel = text("The channel that likeliest earns most; see models.channel_posteriors.")
    best_channel_chance = share("How likely it is the best of those open.", nullable=True)
    best_channel_response = share("Expected response per message there.", nullable=True)
    best_hour = count("Best local hour there for the next day; see models.send_time_posteriors.", "hour", nullable=True)
    best_windows = text("The best windows of the week there.")
    best_content_type = text("The content that is responded to most; see models.nba_scores.")
    best_discount_pct = number(
        "The cheapest discount that pays; see models.discount_posteriors.",
        "percent",
        nullable=True,
        minimum=0,
        maximum=100,
    )
    weekly_cap = count(
        "Messages a week that the customer bears; see models.cadence_posteriors.", "messages", nullable=True
    )
    churned = flag("Counts as churned; see features.churn_labels.", nullable=True)
    churned_since = date("First day with that label.", nullable=True)
    next_action = text("Tonight's decision.", values=["send", "hold"])
    next_reason = text("Why: best_action for a send, else the first gate that failed.")
    next_programme = text("The programme that speaks, or that was held.")
    next_step = count("The programme's step.", "number", nullable=True, minimum=1)
    next_offer_id = text("The offer.")
    next_content_type = text("Kind of content.")
    next_channel = text("How.")
    next_send_at = timestamp("When the message goes out; null when held.", nullable=True)
    next_discount_pct = number("Discount offered; null when held.", "percent", nullable=True, minimum=0, maximum=100)
    next_expected_value = money("Expected margin less discount and cost; null when held.", nullable=True)


def profiles(shop: str, as_of: dt.date) -> Sql:
    """The profile of each customer of features.customer_features: a statement for Profiles."""
    return load("lifecycle_assets.features", "profiles", shop=shop, as_of=as_of)
