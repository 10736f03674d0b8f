"""The profile fields that rules may name, what kind of value each holds, and which values where they are words of a list.

The names are those of the tables; of tables with several rows per customer, those of dispatch.model_fields. A test holds the
list against both. It belongs here and not beside the rules' compiler because the settings check every rule when a shop's file
is loaded, without loading any table.
"""

from typing import Literal, get_args

Kind = Literal["number", "text", "flag", "date"]

# The events of dispatch.triggers, each with a field of its own: the hours since.
Trigger = Literal[
    "abandoned_cart",
    "price_drop",
    "back_in_stock",
    "inactivity",
    "order_shipped",
    "replenishment",
    "birthday",
    "stage_change",
]
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)

_FEATURES = [
    "purchase_total",
    "visit_frequency",
    "avg_ticket",
    "product_diversity",
    "category_diversity",
    "recency_days",
    "tenure_days",
    "median_gap_days",
    "gap_cv",
    "margin_total",
    "discount_share",
    "return_rate",
    "orders_30d",
    "orders_90d",
    "orders_365d",
    "spend_90d",
    "spend_prev_90d",
    "sessions_12w",
    "views_30d",
    "carts_30d",
    "session_depth_trend",
    "category_shift",
    "sends_90d",
    "open_rate_90d",
    "click_rate_90d",
    "response_trend",
    "tickets_90d",
    "failed_payments_12m",
    "latest_nps",
]

# Table -> its columns that belong to the profile -> kind.
SOURCES: dict[str, dict[str, Kind]] = {
    "features.customer_features": {
        **dict.fromkeys(_FEATURES, "number"),
        "primary_category": "text",
        "favourite_channel": "text",
        "country": "text",
    },
    "features.lifecycle_stage": {
        "stage": "text",
        "previous_stage": "text",
        "since": "date",
        "expected_gap_days": "number",
        "is_cold": "flag",
    },
    "features.customer_rfm": {"rfm_tier": "text", "rfm_class": "text", "rfm_total": "number"},
    "features.customer_loyalty": {"loyalty_score": "number", "segment": "text"},
    "raw.customers": {"preferred_channel": "text", "locale": "text", "plan": "text", "birth_date": "date"},
    "features.customer_clv_inputs": {"clv_potential_tier": "text"},
    "models.clv_forecast": {"clv_tier": "text", "clv_12m": "number", "p_alive": "number"},
    "models.churn_risk": {"churn_probability": "number", "risk_band": "text"},
    "models.propensity_buy": {"buy_tier": "text"},
    "models.propensity_upgrade": {"upgrade_tier": "text"},
    "models.upsell_suggestions": {"upsell_extra_margin": "number"},
    "models.user_recommendations": {"recommendations": "number"},
    "models.cadence_posteriors": {"weekly_cap": "number"},
    "models.uplift_scores": {"uplift_segment": "text"},
    "dispatch.triggers": {f"{trigger}_hours": "number" for trigger in TRIGGERS},
}

_THREE_TIERS = ("High", "Medium", "Low")
_FIVE_TIERS = ("Very High", "High", "Medium", "Low", "Very Low")

# Text fields that hold one of a few words.
VALUES: dict[str, tuple[str, ...]] = {
    "stage": ("new", "active", "at_risk", "lapsed", "won_back"),
    "previous_stage": ("new", "active", "at_risk", "lapsed", "won_back"),
    "rfm_tier": ("Champion", "Loyal", "Potential", "Promising", "At-Risk"),
    "loyalty_segment": ("Platinum", "Gold", "Silver", "Bronze", "At-Risk"),
    "preferred_channel": ("email", "whatsapp", "sms", "push", "in_app", "ads", "call", "postal"),
    "clv_potential_tier": _THREE_TIERS,
    "clv_tier": _THREE_TIERS,
    "risk_band": _THREE_TIERS,
    "buy_tier": _FIVE_TIERS,
    "upgrade_tier": _FIVE_TIERS,
    "uplift_segment": ("persuadable", "sure_thing", "lost_cause", "sleeping_dog"),
}

# Where a column's name alone would not say what it is.
RENAMED = {"segment": "loyalty_segment", "since": "stage_since"}

# Shipped computed fields that are another field under a name that reads better in a rule.
ALIASES = {"days_since_last_purchase": "recency_days", "days_since_first_purchase": "tenure_days"}


def kinds() -> dict[str, Kind]:
    """Every field that a rule may name, with its kind."""
    fields: dict[str, Kind] = {
        RENAMED.get(name, name): kind for columns in SOURCES.values() for name, kind in columns.items()
    }
    fields.update({alias: fields[name] for alias, name in ALIASES.items()})
    return fields
