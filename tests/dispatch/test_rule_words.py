"""A rule in words says what the customer has and what was asked for."""

from typing import Any

import polars as pl
import pytest
from dispatch_world import World
from pydantic import TypeAdapter

from lifecycle_assets.dispatch.rule_words import rule_words
from lifecycle_assets.settings import Rule

CUSTOMER = pl.DataFrame(
    {
        "stage": ["lapsed"],
        "recency_days": [120.0],
        "avg_ticket": [1234.5678],
        "visit_frequency": [5.0],
        "purchase_total": [400.0],
        "churn_probability": [0.63129],
        "clv_tier": ["Low"],
        "clv_potential_tier": ["High"],
        "rfm_tier": ["Champion"],
        "is_cold": [False],
        "tenure_days": pl.Series([None], dtype=pl.Float64),
    }
)


def asks(field: str, op: str, value: Any = True) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (asks("stage", "in", ["new", "active"]), "stage is lapsed (asked for: one of new, active)"),
        (asks("churn_probability", ">", 0.7), "churn probability is 0.6313 (asked for: above 0.7)"),
        (asks("avg_ticket", "between", [5, 90]), "avg ticket is 1234.57 (asked for: between 5 and 90)"),
        (asks("is_cold", "==", True), "is not cold (asked for: cold)"),
        (asks("tenure_days", "is_null", False), "tenure days is unknown (asked for: known)"),
        (
            asks("is_recoverable", "!=", True),
            "is recoverable (asked for: not recoverable) [since visit frequency is 5 (asked for: at least 3) and "
            "purchase total is 400 (asked for: at least 50)]",
        ),
        (
            {"all": [asks("recency_days", ">=", 9.5), asks("days_since_last_purchase", "<=", 130)]},
            "recency days is 120 (asked for: at least 9.5 and at most 130)",
        ),
        (
            {"not": {"any": [asks("recency_days", ">", 90), asks("stage", "==", "new")]}},
            "recency days is 120 (asked for: not above 90)",
        ),
        (
            {
                "all": [
                    asks("stage", "==", "lapsed"),
                    {"any": [asks("clv_tier", "==", "Low"), asks("stage", "!=", "new")]},
                ]
            },
            "stage is lapsed (asked for: lapsed) and (clv tier is Low (asked for: Low) or stage is lapsed (asked for: "
            "other than new))",
        ),
    ],
)
def test_a_rule_is_told_with_what_the_customer_has(rule: dict[str, Any], words: str) -> None:
    read = TypeAdapter[Any](Rule).validate_python(rule)
    assert rule_words(read, CUSTOMER, World({}).shop.routing) == words


def test_of_a_rule_for_others_than_the_premium_it_is_said_that_the_customer_is_one() -> None:
    rule = TypeAdapter[Any](Rule).validate_python({"not": asks("is_premium", "==", True)})
    premium = CUSTOMER.with_columns(clv_tier=pl.lit("High"))
    words = rule_words(rule, premium, World({}).shop.routing)
    assert words.startswith("is premium (asked for: not premium) [since clv tier is High")
    assert "not (" not in words
