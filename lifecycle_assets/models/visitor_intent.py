"""Which anonymous visitors are about to buy?

Everyone who came in the last seven days, whom features.identity_map gives to no profile, who had not signed in, and whose last
visit has not brought a purchase: the calibrated probability of a purchase in the seven days after as_of, and, where the visit
is still open at the end of as_of (its last event no more than 30 minutes ago), of one later in that visit, after so long a
silence. The models and how well they do: models.visitor_intent_evaluation.

Few visitors buy, so that hardly any probability is high in itself: the bands compare it with the share of visitors who bought
in the week that the model was tested on. Hot is three times that share or more, Warm the share or more, Cold less. Without web
events there are no rows; where nothing could be learnt, probabilities are null, the band is Cold, and the note says why.
"""

import datetime as dt

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, share, shop_key, table, text, timestamp
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.classifier_drivers import Words, factors_in_words
from lifecycle_assets.models.visitor_intent_evaluation import SEVEN_DAYS, latest, minutes_silent
from lifecycle_assets.models.visitor_sessions import SILENCE, VISITOR

BANDS = ["Hot", "Warm", "Cold"]
# Times the share of visitors who buy.
HOT, WARM = 3.0, 1.0

WORDS = {
    "events": Words("{} events in the last visit", ""),
    "views": Words("{} pages viewed", ""),
    "products": Words("{} products looked at", ""),
    "categories": Words("{} categories looked at", ""),
    "searches": Words("{} searches", ""),
    "carts": Words("put something into the cart {} times", ""),
    "removals": Words("took something out of the cart {} times", ""),
    "checkouts": Words("began the checkout {} times", ""),
    "cart_value": Words("{} worth of goods in the cart", ""),
    "minutes": Words("{} minutes in the last visit", ""),
    "seconds_per_page": Words("{} seconds a page", "time on page is not known"),
    "scroll_depth": Words("scrolled through a share of {} of each page", "scroll depth is not known"),
    "hour": Words("came at hour {} of the day", ""),
    "earlier_visits": Words("{} visits before", ""),
    "days_since_last_visit": Words("{} days between the last two visits", "no visit before"),
    "earlier_carts": Words("put something into the cart {} times on earlier visits", ""),
    "earlier_purchases": Words("{} purchases on earlier visits", ""),
    "silent_days": Words("{} days since the last visit", ""),
    "minutes_silent": Words("nothing done for {} minutes", ""),
    "device": Words("came with {}", "device is not known"),
    "referrer": Words("came from {}", "came directly"),
    "weekday": Words("came on a {}", ""),
}


@table("models.visitor_intent", history=True, needs=("raw.web_events",))
class VisitorIntent(dy.Schema):
    """One row per anonymous visitor of the last seven days whose last visit has not brought a purchase."""

    shop_id = shop_key()
    as_of = as_of_column()
    anonymous_id = key("The visitor, whom features.identity_map gives to no profile.")
    last_seen_at = timestamp("Latest event.")
    probability = share(
        "Probability of a purchase in the seven days after as_of; null where none can be told.", nullable=True
    )
    probability_session = share(
        "Probability of a purchase later in the last visit; null unless it is still open at the end of as_of.",
        nullable=True,
    )
    intent_band = text(
        f"By probability over the share of visitors who bought in the test week: Hot from {HOT:.0f} times, Warm from "
        f"{WARM:.0f} times, else Cold.",
        nullable=False,
        values=BANDS,
    )
    top_factors = text("What moves probability most, with sign and size in percentage points.")
    is_used = flag("probability may be acted on; see models.visitor_intent_evaluation.")
    note = text("What to know about the probabilities.")
    model_version = count("Version of the model behind probability.", "version", nullable=True)
    trained_as_of = date("The night on which it was trained.", nullable=True)


def visitor_intent(
    moments: pl.DataFrame,
    identity_map: pl.LazyFrame,
    evaluation: pl.LazyFrame,
    *,
    in_seven_days: Champion,
    in_session: Champion,
    until: dt.datetime,
    shop: str,
    as_of: dt.date,
) -> pl.DataFrame:
    """The rows of VisitorIntent, sorted by anonymous_id. `moments` is of visitor_sessions, at least of the last week,
    `evaluation` models.visitor_intent_evaluation, `until` the end of `as_of`."""
    visitors = asked(moments, identity_map)
    if visitors.is_empty():
        return VisitorIntent.empty()
    is_open = until - pl.col("at") <= SILENCE
    scored = visitors.with_columns(
        probability=_probability(in_seven_days, visitors),
        probability_session=_probability(in_session, visitors),
        top_factors=_factors(in_seven_days, visitors),
    )
    return scored.select(
        pl.lit(shop).alias("shop_id"),
        pl.lit(as_of).alias("as_of"),
        VISITOR,
        pl.col("at").alias("last_seen_at"),
        "probability",
        pl.when(is_open).then("probability_session"),
        _band(_share_who_buy(evaluation)),
        "top_factors",
        pl.lit(in_seven_days.is_used).alias("is_used"),
        pl.lit(in_seven_days.note or None, pl.String).alias("note"),
        pl.lit(in_seven_days.version, pl.Int64).alias("model_version"),
        pl.lit(in_seven_days.trained_as_of, pl.Date).alias("trained_as_of"),
    ).sort(VISITOR)


def asked(moments: pl.DataFrame, identity_map: pl.LazyFrame) -> pl.DataFrame:
    """Whom the models are asked about: the latest moment of each anonymous visitor of the last week, with its features."""
    profiles = identity_map.filter((pl.col("id_type") == VISITOR) & pl.col("customer_id").is_not_null()).collect()
    visitors = latest(moments).filter(pl.col("week") == 0).with_columns(minutes_silent())
    return visitors.join(profiles, left_on=VISITOR, right_on="id", how="anti")


def _probability(champion: Champion, visitors: pl.DataFrame) -> pl.Series:
    if champion.model is None:
        return pl.Series([None] * visitors.height, dtype=pl.Float64)
    return pl.Series(champion.model.probability(visitors), dtype=pl.Float64)


def _factors(champion: Champion, visitors: pl.DataFrame) -> pl.Series:
    if champion.model is None:
        return pl.Series([None] * visitors.height, dtype=pl.String)
    return factors_in_words(champion.model.drivers(visitors), WORDS)


def _share_who_buy(evaluation: pl.LazyFrame) -> float | None:
    """The share of visitors who bought in the seven days after the night of the test."""
    tested = evaluation.filter((pl.col("target") == SEVEN_DAYS) & (pl.col("split") == "out_of_time"))
    return tested.select(pl.col("positive_rate").first()).collect().item()


def _band(share_who_buy: float | None) -> pl.Expr:
    lift = pl.col("probability") / pl.lit(share_who_buy, pl.Float64)
    band = pl.when(lift >= HOT).then(pl.lit("Hot")).when(lift >= WARM).then(pl.lit("Warm")).otherwise(pl.lit("Cold"))
    return band.alias("intent_band")
