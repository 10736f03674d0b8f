"""What rules may ask of the models and the triggers: their tables brought to one row per customer.

A score that may not be acted on (`is_used` is false) is left out, so that its field is null and fulfils no rule. Of several
rows of a customer the one counts that a rule would ask for: the 12-month forecast, the likeliest product or plan, the first
suggestion, the uplift of the campaign in use. Popular products are recommended to everyone and are no recommendation here.
"""

import datetime as dt
from collections.abc import Callable, Mapping

import polars as pl

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.knowledge import uplift_in_use
from lifecycle_assets.settings.profile_fields import TRIGGERS

Tables = Mapping[str, pl.LazyFrame]


def model_fields(tables: Tables, *, as_of: dt.date, timezone: str) -> dict[str, pl.LazyFrame]:
    """Table -> customer_id and the fields that profile_fields.SOURCES lists for it. `tables` are the whole tables by name;
    one that is not there is not in the answer either."""
    reduced: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
        "models.clv_forecast": lambda frame: frame.filter(pl.col("horizon_months") == 12).select(
            "customer_id", "clv_tier", "p_alive", clv_12m="expected_value"
        ),
        "models.churn_risk": lambda frame: frame.filter("is_used"),
        "models.propensity_buy": lambda frame: _likeliest(frame, "buy_tier"),
        "models.propensity_upgrade": lambda frame: _likeliest(frame, "upgrade_tier"),
        "models.upsell_suggestions": lambda frame: frame.filter(pl.col("rank") == 1).select(
            "customer_id", upsell_extra_margin="expected_extra_margin"
        ),
        "models.user_recommendations": lambda frame: (
            frame.filter(pl.col("source") != "popular").group_by("customer_id").agg(recommendations=pl.len())
        ),
        "models.uplift_scores": lambda frame: (
            frame.filter("is_used")
            .join(uplift_in_use(tables["models.uplift_evaluation"]), on="campaign_id", how="semi")
            .select("customer_id", "uplift_segment")
        ),
        "dispatch.triggers": lambda frame: _events(frame, end_of(as_of, timezone)),
    }
    return {name: reduced[name](frame) if name in reduced else frame for name, frame in tables.items()}


def _likeliest(frame: pl.LazyFrame, field: str) -> pl.LazyFrame:
    """The tier of the customer's row of the highest probability."""
    return (
        frame.filter(pl.col("is_used") & pl.col("probability").is_not_null())
        .group_by("customer_id")
        .agg(pl.col("propensity_tier").get(pl.col("probability").arg_max()).alias(field))
    )


def _events(frame: pl.LazyFrame, until: dt.datetime) -> pl.LazyFrame:
    """Per trigger `at_<trigger>`, when it happened, and `<trigger>_hours`, the hours from then to the end of as_of."""
    hours = (pl.lit(until) - pl.col("occurred_at")).dt.total_seconds() / 3600
    of_kind = {trigger: pl.col("trigger") == trigger for trigger in TRIGGERS}
    return frame.group_by("customer_id").agg(
        *(pl.col("occurred_at").filter(mine).first().alias(f"at_{trigger}") for trigger, mine in of_kind.items()),
        *(hours.filter(mine).first().alias(f"{trigger}_hours") for trigger, mine in of_kind.items()),
    )
