"""The channels, offers, programmes, experiments and computed fields that ship configured; a shop's file is laid over them,
key by key. What each programme is for is told in docs/programmes.md.

The response rates are priors: what such messages commonly bring, said roughly, until the shop's own evidence replaces
them. A programme whose fields the shop has no data for has nobody who qualifies.
"""

from typing import Any

Rule = dict[str, Any]


def _is(field: str, op: str, value: object) -> Rule:
    return {"field": field, "op": op, "value": value}


def _all(*rules: Rule) -> Rule:
    return {"all": list(rules)}


def _any(*rules: Rule) -> Rule:
    return {"any": list(rules)}


def _not(rule: Rule) -> Rule:
    return {"not": rule}


def _within(trigger: str, hours: int) -> Rule:
    """The trigger's event lies at most so many hours before the end of as_of."""
    return _is(f"{trigger}_hours", "<=", hours)


PREMIUM = _is("is_premium", "==", True)
RECOVERABLE = _is("is_recoverable", "==", True)
# Who has bought lately enough to be written to without being asked to come back.
CURRENT = _is("stage", "in", ["new", "active", "at_risk", "won_back"])

CHANNELS: dict[str, dict[str, Any]] = {
    "email": {"enabled": True, "cost": 0.001, "quiet_hours": [21, 8], "addressed_by": "email"},
    "whatsapp": {
        "cost": 0.06,
        "quiet_hours": [20, 9],
        "explicit_consent": True,
        "addressed_by": "phone",
        "needs_template": True,
        "max_body": 1024,
    },
    "sms": {"cost": 0.05, "quiet_hours": [20, 9], "explicit_consent": True, "addressed_by": "phone", "max_parts": 1},
    "push": {"quiet_hours": [22, 8], "max_subject": 65, "max_body": 100},
    "in_app": {},
    "ads": {"cost": 0.01},
    "call": {"cost": 4.0, "quiet_hours": [18, 9], "addressed_by": "phone"},
    "postal": {"cost": 1.0},
}

OFFERS: dict[str, dict[str, Any]] = {
    "winback_10": {"name": "10 % off the next order", "content_type": "winback", "discount_pct": 10, "priority": 6},
    "winback_personal": {"name": "A personal word", "content_type": "winback_personal", "priority": 7},
    "winback_15": {"name": "15 % off the next order", "content_type": "winback", "discount_pct": 15, "priority": 5},
    "welcome_hello": {"name": "Welcome and how to get the most of the shop", "content_type": "welcome"},
    "welcome_tips": {"name": "What others like", "content_type": "welcome_tips"},
    "welcome_early_access": {"name": "Early access to what is new", "content_type": "vip"},
    "second_order": {"name": "What goes with the first order", "content_type": "second_purchase"},
    "second_order_5": {
        "name": "5 % off the second order",
        "content_type": "second_purchase",
        "discount_pct": 5,
        "when": _not(PREMIUM),
    },
    "cart_reminder": {"name": "The cart is waiting", "content_type": "abandoned_cart", "priority": 8},
    "cart_5": {
        "name": "5 % off the cart",
        "content_type": "abandoned_cart",
        "discount_pct": 5,
        "priority": 7,
        "when": _not(PREMIUM),
    },
    "price_drop": {"name": "A lower price", "content_type": "price_drop", "priority": 8},
    "back_in_stock": {"name": "Back in stock", "content_type": "back_in_stock", "priority": 8},
    "come_and_see": {"name": "What is new", "content_type": "inactivity", "priority": 4},
    "order_shipped": {"name": "The order is on its way", "content_type": "order_shipped", "priority": 10},
    "replenish": {"name": "Time for more", "content_type": "replenishment", "priority": 7},
    "birthday_10": {
        "name": "10 % off for the birthday",
        "content_type": "birthday",
        "discount_pct": 10,
        "priority": 8,
        "when": _not(PREMIUM),
    },
    "birthday_wishes": {"name": "Birthday wishes", "content_type": "birthday", "priority": 7, "when": PREMIUM},
    "thank_you": {"name": "Good to have you back", "content_type": "thank_you", "priority": 6},
    "check_in": {"name": "Is all well?", "content_type": "churn_save", "priority": 7},
    "save_10": {
        "name": "10 % off to stay",
        "content_type": "churn_save",
        "discount_pct": 10,
        "priority": 6,
        "when": _not(PREMIUM),
    },
    "early_access": {"name": "Early access to what is new", "content_type": "vip", "priority": 7},
    "goes_with": {"name": "What goes with your last order", "content_type": "cross_sell"},
    "better_one": {"name": "The next better one", "content_type": "upgrade"},
}

PROGRAMMES: dict[str, dict[str, Any]] = {
    # --- bringing back ------------------------------------------------------------------------------------------------
    "winback": {
        "when": _all(
            _is("stage", "==", "lapsed"), _is("days_since_last_purchase", "between", [90, 365]), _not(PREMIUM)
        ),
        "recoverable": RECOVERABLE,
        "experiment": "winback",
        "cap": {"messages": 3, "days": 30},
        "steps": [
            {"channels": ["email"], "offers": ["winback_10"], "response_rate": 0.02},
            {
                "channels": ["sms", "whatsapp"],
                "offers": ["winback_10"],
                "response_rate": 0.03,
                "wait_days": 7,
                "if_not_opened": True,
            },
            {"channels": ["call"], "offers": ["winback_10"], "response_rate": 0.08, "wait_days": 7},
        ],
    },
    "winback_premium": {
        "when": _all(_is("stage", "==", "lapsed"), _is("days_since_last_purchase", "between", [90, 365]), PREMIUM),
        "recoverable": RECOVERABLE,
        "experiment": "winback",
        "cap": {"messages": 3, "days": 30},
        "steps": [
            {
                "channels": ["call", "email"],
                "offers": ["winback_personal"],
                "response_rate": 0.12,
                "response_rates": {"email": 0.02},
            },
            {"channels": ["postal"], "offers": ["winback_personal"], "response_rate": 0.04, "wait_days": 14},
        ],
    },
    "cold_winback": {
        "when": _all(_is("stage", "==", "lapsed"), _is("days_since_last_purchase", "between", [366, 730])),
        "recoverable": RECOVERABLE,
        "experiment": "cold_winback",
        "cap": {"messages": 1, "days": 90},
        "steps": [
            {
                "channels": ["email", "postal"],
                "offers": ["winback_15"],
                "response_rate": 0.005,
                "response_rates": {"postal": 0.015},
            }
        ],
    },
    # --- triggers -----------------------------------------------------------------------------------------------------
    "abandoned_cart": {
        "trigger": "abandoned_cart",
        "delay_hours": 1.5,
        "when": _within("abandoned_cart", 120),
        "experiment": "triggers",
        "cap": {"messages": 2, "days": 14},
        "cooldown_purchase_days": 1,
        "steps": [
            {
                "channels": ["email", "push", "sms", "whatsapp"],
                "offers": ["cart_reminder"],
                "response_rate": 0.05,
                "response_rates": {"push": 0.03},
                "when": _within("abandoned_cart", 48),
            },
            {"channels": ["email"], "offers": ["cart_5"], "response_rate": 0.03, "wait_days": 2},
        ],
    },
    "price_drop": {
        "trigger": "price_drop",
        "when": _within("price_drop", 48),
        "experiment": "triggers",
        "cap": {"messages": 2, "days": 14},
        "steps": [
            {
                "channels": ["email", "push"],
                "offers": ["price_drop"],
                "response_rate": 0.03,
                "response_rates": {"push": 0.025},
            }
        ],
    },
    "back_in_stock": {
        "trigger": "back_in_stock",
        "when": _within("back_in_stock", 72),
        "experiment": "triggers",
        "cap": {"messages": 2, "days": 14},
        "steps": [
            {
                "channels": ["email", "push"],
                "offers": ["back_in_stock"],
                "response_rate": 0.05,
                "response_rates": {"push": 0.04},
            }
        ],
    },
    "inactivity": {
        "trigger": "inactivity",
        "when": _all(_within("inactivity", 48), CURRENT),
        "experiment": "triggers",
        "cap": {"messages": 1, "days": 30},
        "cooldown_purchase_days": 14,
        "steps": [{"channels": ["email", "push"], "offers": ["come_and_see"], "response_rate": 0.008}],
    },
    "order_shipped": {
        "trigger": "order_shipped",
        "when": _within("order_shipped", 48),
        "is_service": True,
        "cooldown_purchase_days": 0,
        "steps": [{"channels": ["email", "push"], "offers": ["order_shipped"], "response_rate": 0.01}],
    },
    "replenishment": {
        "trigger": "replenishment",
        "when": _within("replenishment", 72),
        "experiment": "triggers",
        "cap": {"messages": 1, "days": 14},
        "steps": [
            {
                "channels": ["email", "push"],
                "offers": ["replenish"],
                "response_rate": 0.04,
                "response_rates": {"push": 0.03},
            }
        ],
    },
    "birthday": {
        "trigger": "birthday",
        "when": _all(_within("birthday", 48), _is("days_since_last_purchase", "<=", 730)),
        "experiment": "triggers",
        "cap": {"messages": 1, "days": 300},
        "steps": [
            {
                "channels": ["email", "sms"],
                "offers": ["birthday_10", "birthday_wishes"],
                "response_rate": 0.03,
            }
        ],
    },
    "second_purchase": {
        "when": _all(_is("visit_frequency", "==", 1), _is("days_since_first_purchase", "between", [21, 60])),
        "experiment": "second_purchase",
        "cap": {"messages": 2, "days": 30},
        "conflicts_with": ["welcome"],
        "steps": [
            {"channels": ["email", "push"], "offers": ["second_order"], "response_rate": 0.02},
            {"channels": ["email"], "offers": ["second_order_5"], "response_rate": 0.025, "wait_days": 10},
        ],
    },
    "comeback_thanks": {
        "trigger": "stage_change",
        "when": _all(_is("stage", "==", "won_back"), _within("stage_change", 168)),
        "experiment": "triggers",
        "cap": {"messages": 1, "days": 90},
        "steps": [{"channels": ["email"], "offers": ["thank_you"], "response_rate": 0.015}],
    },
    # --- keeping ------------------------------------------------------------------------------------------------------
    "churn_save": {
        "when": _any(
            _is("stage", "==", "at_risk"),
            # Past their own rhythm, and too soon for winback.
            _all(_is("stage", "==", "lapsed"), _is("days_since_last_purchase", "<", 90)),
            _all(_is("risk_band", "==", "High"), _is("stage", "in", ["active", "won_back"])),
        ),
        "recoverable": RECOVERABLE,
        "experiment": "churn_save",
        "cap": {"messages": 2, "days": 30},
        "cooldown_purchase_days": 7,
        "steps": [
            {
                "channels": ["email", "call"],
                "offers": ["check_in"],
                "response_rate": 0.02,
                "response_rates": {"call": 0.08},
            },
            {"channels": ["email"], "offers": ["save_10"], "response_rate": 0.03, "wait_days": 7},
        ],
    },
    "vip_care": {
        "when": _all(PREMIUM, _is("stage", "in", ["active", "won_back"])),
        "experiment": "vip_care",
        "cap": {"messages": 1, "days": 60},
        "steps": [
            {
                "channels": ["email", "call"],
                "offers": ["early_access"],
                "response_rate": 0.03,
                "response_rates": {"call": 0.06},
            }
        ],
    },
    # --- growing ------------------------------------------------------------------------------------------------------
    "cross_sell": {
        "when": _all(
            _is("stage", "in", ["active", "won_back"]),
            _is("recommendations", ">=", 3),
            _is("days_since_last_purchase", "between", [7, 45]),
        ),
        "experiment": "cross_sell",
        "cap": {"messages": 1, "days": 30},
        "conflicts_with": ["winback", "churn_save"],
        "steps": [{"channels": ["email"], "offers": ["goes_with"], "response_rate": 0.012}],
    },
    "upgrade": {
        "when": _all(
            _is("stage", "in", ["active", "won_back"]),
            _any(_is("upgrade_tier", "in", ["Very High", "High"]), _is("upsell_extra_margin", ">", 0)),
        ),
        "experiment": "upgrade",
        "cap": {"messages": 1, "days": 60},
        "cooldown_purchase_days": 7,
        "conflicts_with": ["winback", "churn_save"],
        "steps": [{"channels": ["email"], "offers": ["better_one"], "response_rate": 0.01}],
    },
    # Longer the more is to be expected of the customer: those of low value get the greeting alone.
    "welcome": {
        "when": _is("stage", "==", "new"),
        "experiment": "welcome",
        "cooldown_purchase_days": 1,
        "active_days": 5,
        "steps": [
            {"channels": ["email"], "offers": ["welcome_hello"], "response_rate": 0.05},
            {
                "channels": ["email"],
                "offers": ["welcome_tips"],
                "response_rate": 0.03,
                "wait_days": 5,
                "when": _is("clv_tier", "in", ["High", "Medium"]),
            },
            {
                "channels": ["email"],
                "offers": ["welcome_early_access"],
                "response_rate": 0.03,
                "wait_days": 7,
                "when": _is("clv_tier", "==", "High"),
            },
        ],
    },
}

# One per programme; the triggers share one, and so do the two programmes for the lapsed, and all audiences. Nobody is held
# out of hearing that their order was shipped.
EXPERIMENTS: dict[str, dict[str, Any]] = {
    name: {} for name in sorted({"ads", *(p["experiment"] for p in PROGRAMMES.values() if "experiment" in p)})
}

COMPUTED: dict[str, Rule] = {
    "is_recoverable": _all(_is("visit_frequency", ">=", 3), _is("purchase_total", ">=", 50)),
    # Worth a person's time rather than a discount, now or when they last bought.
    "is_premium": _any(
        _all(_is("clv_tier", "==", "High"), _is("rfm_tier", "==", "Champion")),
        _all(
            _is("stage", "==", "lapsed"),
            _is("clv_potential_tier", "==", "High"),
            _is("visit_frequency", ">=", 6),
        ),
    ),
}

RANKINGS: dict[str, dict[str, Any]] = {
    "balanced": {},
    # The margin that is expected, whatever the operator wishes to emphasise.
    "margin": {"impact": 2.0, "emphasis": 0.0},
}

# Days within which an order may come from a message of the channel.
ATTRIBUTION_DAYS: dict[str, int] = {
    "email": 5,
    "sms": 1,
    "push": 1,
    "whatsapp": 2,
    "in_app": 1,
    "ads": 1,
    "call": 5,
    "postal": 14,
}

# Nothing is exported while the channel ads is off.
AUDIENCES: dict[str, dict[str, Any]] = {
    # To be shown what brings them back.
    "lapsed_valuable": {
        "who": _all(
            _is("stage", "==", "lapsed"),
            _is("days_since_last_purchase", "between", [90, 730]),
            _is("clv_potential_tier", "==", "High"),
        )
    },
    # The seed from which the tool finds people like them, each weighted by the margin expected of them.
    "vip_lookalike": {
        "who": _all(_is("clv_tier", "==", "High"), _is("stage", "in", ["new", "active", "won_back"])),
        "value": "clv_12m",
    },
    # To be left out of campaigns: what they bought is on its way.
    "recent_buyers": {"who": _is("days_since_last_purchase", "<=", 14)},
}
