"""The profile fields that rules may name, and what kind of value each holds.

The names are those of the feature tables; a test holds the list against their contracts. It belongs here and not beside
the rules' compiler because the settings check every rule when a shop's file is loaded, without loading any table.
"""

from typing import Literal

Kind = Literal["number", "text", "flag", "date"]

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
}

# Where a column's name alone would not say what it is.
RENAMED = {"segment": "loyalty_segment", "since": "stage_since"}

# Shipped computed fields that are another field under a name that reads better in a rule.
ALIASES = {"days_since_last_purchase": "recency_days"}


def kinds() -> dict[str, Kind]:
    """Every field that a rule may name, with its kind."""
    fields: dict[str, Kind] = {
        RENAMED.get(name, name): kind for columns in SOURCES.values() for name, kind in columns.items()
    }
    fields.update({alias: fields[name] for alias, name in ALIASES.items()})
    return fields
