"""Which customers are about to leave, why, and what to do about each?

The model that models.churn_risk_evaluation trained scores every customer who has not churned yet by the rule of
features.churn_labels; those who have are not here. Probabilities are calibrated; bands have fixed bounds (`scores.risk_bands`).
In a subscription shop, where all of a customer's running subscriptions have a cancellation on record within the label window,
the probability is 1.

The recommended action weighs the band against what the customer is expected to be worth (models.clv_forecast; Medium where
nothing is), and names what to talk about and until when: the day on which the rule would call them churned, or the end of the
label window. Where nothing could be learnt the probability is null and the band Low. Where the model is no better than chance
or than its simple rule, every row says so and recommends nothing.
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, share, shop_key, table, text
from lifecycle_assets.features.churn_labels import label_days
from lifecycle_assets.features.profiles import RISK_BANDS
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.churn_features import WORDS, asked, cancellations_on_record
from lifecycle_assets.models.classifier_drivers import factors_in_words
from lifecycle_assets.settings import Churn, Scores

VALUE_MONTHS = 12
LONGEST_DAYS = 3650
LITTLE_USE = 0.3

# Band and value tier -> what to do; the words in braces are the customer's own.
ACTIONS = {
    ("High", "High"): "Contact in person{topic} by {until}, with the best offer{value}.",
    ("High", "Medium"): "Write{topic} by {until}, with a moderate offer{value}.",
    ("High", "Low"): "Remind automatically{topic} by {until}, without an offer{value}.",
    ("Medium", "High"): "Write{topic} by {until} without an offer; make one if there is no answer{value}.",
    ("Medium", "Medium"): "Send news{topic} by {until}, without an offer{value}.",
    ("Medium", "Low"): "Leave to the regular newsletter{value}.",
    ("Low", "High"): "Give no retention offer; thank them{value}.",
    ("Low", "Medium"): "Give no retention offer; go on as planned{value}.",
    ("Low", "Low"): "Do nothing{value}.",
}
UNPROVEN = "Do not act on it: the model has not proved itself."
UNKNOWN = "No recommendation: too little to learn from."


@table("models.churn_risk", history=True, needs=("raw.web_events", "raw.engagement", "raw.subscriptions"))
class ChurnRisk(dy.Schema):
    """The risk of leaving of every customer who has not churned by the rule of features.churn_labels: one row each."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    churn_probability = share(
        "Calibrated chance of being churned one label window from now; null where nothing could be learnt.",
        nullable=True,
    )
    risk_band = text("Band of the probability by scores.risk_bands.", nullable=False, values=RISK_BANDS)
    top_factors = text("The three things that move the probability most, each with its size in percentage points.")
    recommended_action = text("What to do, until when, and what is at stake.", nullable=False)
    days_to_churn = count(
        "ecommerce: until the rule calls the customer churned unless they buy. saas, prepaid: until the cancellation on "
        "record, else the mean wait if the daily risk stays as it is; null where that is more than ten years, or not known.",
        "days",
        nullable=True,
    )
    is_used = flag("The score may be acted on: better than chance at 95 % and than the simple rule, out of time.")
    note = text("What to know about the model behind the score, or about the customer.")
    model_version = count("Version in models.registry; null without a model.", "version", nullable=True)
    trained_as_of = date("The night on which the model was trained.", nullable=True)


def churn_risk(
    tonight: Snapshot,
    churn_labels: pl.LazyFrame,
    clv_forecast: pl.LazyFrame,
    champion: Champion,
    settings: Churn,
    scores: Scores,
    timezone: str,
) -> pl.DataFrame:
    """The row of each customer of `churn_labels` who is not churned, ordered by customer_id.

    `tonight` holds behaviour and subscriptions (of profiles), `clv_forecast` is models.clv_forecast.
    """
    rows = asked(tonight, churn_labels, settings, timezone)
    value = clv_forecast.filter(pl.col("horizon_months") == VALUE_MONTHS).select(
        "customer_id", "clv_tier", "expected_value"
    )
    on_record = cancellations_on_record(tonight, settings, timezone).lazy()
    return (
        rows.lazy()
        .with_columns(_probability(rows, champion), _factors(rows, champion))
        .join(value, on="customer_id", how="left", maintain_order="left")
        .join(on_record, on="customer_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("cancels_on").is_null() | pl.col("churn_probability").is_null())
            .then("churn_probability")
            .otherwise(1.0)
            .alias("churn_probability")
        )
        .with_columns(_band(scores), _days_to_churn(settings))
        .select(
            "shop_id",
            "as_of",
            "customer_id",
            "churn_probability",
            "risk_band",
            "top_factors",
            _action(settings, tonight.as_of, champion),
            "days_to_churn",
            pl.lit(champion.is_used).alias("is_used"),
            _note(champion),
            pl.lit(champion.version, pl.Int64).alias("model_version"),
            pl.lit(champion.trained_as_of, pl.Date).alias("trained_as_of"),
        )
        .collect()
    )


def _probability(rows: pl.DataFrame, champion: Champion) -> pl.Series:
    if champion.model is None:
        return pl.repeat(None, rows.height, dtype=pl.Float64, eager=True).alias("churn_probability")
    return pl.Series("churn_probability", champion.model.probability(rows), dtype=pl.Float64)


def _factors(rows: pl.DataFrame, champion: Champion) -> pl.Series:
    if champion.model is None:
        return pl.repeat(None, rows.height, dtype=pl.String, eager=True).alias("top_factors")
    return factors_in_words(champion.model.drivers(rows), WORDS).alias("top_factors")


def _band(scores: Scores) -> pl.Expr:
    probability, bounds = pl.col("churn_probability"), scores.risk_bands
    return (
        pl.when(probability >= bounds.high).then(pl.lit("High"))
        .when(probability >= bounds.medium).then(pl.lit("Medium"))
        .otherwise(pl.lit("Low"))
        .alias("risk_band")
    )  # fmt: skip


def _days_to_churn(settings: Churn) -> pl.Expr:
    if settings.business_type == "ecommerce":
        return (settings.window_days - pl.col("days_since_event")).alias("days_to_churn")
    # A constant daily risk r that adds up to the probability over the window: -ln(1 - p) = r * days; the mean wait is 1 / r.
    wait = label_days(settings) / -(1 - pl.col("churn_probability")).log()
    return (
        pl.when(pl.col("cancels_on").is_not_null())
        .then((pl.col("cancels_on") - pl.col("as_of")).dt.total_days())
        .when(wait <= LONGEST_DAYS)
        .then(wait.ceil())
        .cast(pl.Int64)
        .alias("days_to_churn")
    )


def _action(settings: Churn, as_of: dt.date, champion: Champion) -> pl.Expr:
    name = "recommended_action"
    if champion.model is None:
        return pl.lit(UNKNOWN).alias(name)
    if not champion.is_used:
        return pl.lit(UNPROVEN).alias(name)
    if settings.business_type == "ecommerce":
        until = pl.lit(as_of) + pl.duration(days=pl.col("days_to_churn"))
    else:
        until = pl.coalesce("cancels_on", pl.lit(as_of + dt.timedelta(days=label_days(settings))))
    worth = pl.col("expected_value").round(0).cast(pl.Int64)
    value = pl.format(f" (expected over {VALUE_MONTHS} months: {{}})", worth).fill_null("")
    chosen = pl.concat_str("risk_band", pl.col("clv_tier").fill_null("Medium"), separator="/")
    return (
        chosen.replace_strict({f"{band}/{tier}": words for (band, tier), words in ACTIONS.items()})
        .str.replace("{until}", until.cast(pl.String), literal=True)
        .str.replace("{value}", value, literal=True)
        .str.replace("{topic}", _topic(settings), literal=True)
        .alias(name)
    )


def _topic(settings: Churn) -> pl.Expr:
    """What to talk about, with a blank before it."""
    if settings.business_type == "prepaid":
        return pl.lit(" about topping up")
    if settings.business_type == "saas":
        plan = pl.col("plan").fill_null("the subscription")
        little = pl.col("usage_share") < LITTLE_USE
        return (
            pl.when(little).then(pl.format(" on getting more out of {}", plan)).otherwise(pl.format(" about {}", plan))
        )
    second = pl.when(pl.col("visit_frequency") == 1).then(pl.lit(" about a second order")).otherwise(pl.lit(""))
    among = pl.when(pl.col("visit_frequency") == 1).then(pl.lit(" of ")).otherwise(pl.lit(" about "))
    return pl.concat_str(second, pl.concat_str(among, "primary_category").fill_null(""))


def _note(champion: Champion) -> pl.Expr:
    recorded = pl.format("A cancellation is on record for {}.", "cancels_on")
    model = pl.lit(champion.note or None, dtype=pl.String)
    told = pl.concat_str(recorded, model, separator=" ", ignore_nulls=True)
    return pl.when(told != "").then(told).alias("note")
