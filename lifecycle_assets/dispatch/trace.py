"""The trace of a decision as JSON: every gate with its numbers, the arms that competed, how chance entered, whose models.

    {"programme", "step", "channel", "consent_assumed", "gates": {gate: {"pass", ...}},
     "arms": [{"arm", "score", "expected_value", "pi", "pi_by": {ranking: pi}}],
     "exploration": {"explores", "limited", "share", "eps", "seed"}, "models": {...}}

pi is the probability, over all chance of the night, that the policy in force takes the arm. It is logged here and never made
anew. `limited` says that it is not all that decided what went out: the limit of an offer or of the night could have held
some of the arms, so that the decision is left out of comparisons of policies.
"""

import json
from collections.abc import Sequence

import polars as pl

from lifecycle_assets.dispatch.choice import Tonight
from lifecycle_assets.dispatch.eligibility import GATES

PLACES = 6


def trace(tonight: Tonight, seed: int) -> pl.Expr:
    """One JSON object per customer of judged choices (columns of choice.chosen, of the gates, and `limited`)."""
    routing = tonight.routing
    head = pl.struct(
        *(pl.col(name) for name in ("programme", "step", "channel")),
        (pl.col("consent") == "assumed").fill_null(value=False).alias("consent_assumed"),
        pl.struct(_gates(tonight)).alias("gates"),
    ).struct.json_encode()
    chance = pl.struct(
        pl.col("explores"),
        pl.col("limited"),
        pl.lit(routing.exploration.share).alias("share"),
        pl.lit(routing.exploration.eps).alias("eps"),
        pl.lit(seed).alias("seed"),
    ).struct.json_encode()
    models = json.dumps({**tonight.known.versions, "ranking": tonight.ranking}, separators=(",", ":"))
    rest = pl.lit(f',"models":{models}' + "}")
    return pl.concat_str(head.str.head(-1), pl.lit(","), _arms(tonight), pl.lit(',"exploration":'), chance, rest)


def models(decisions: pl.LazyFrame) -> dict[str, object]:
    """What a night's decisions were made with, as their traces say: versions, evidence, ranking. Empty without decisions."""
    first = decisions.select("trace").head(1).collect().get_column("trace").to_list()
    return json.loads(first[0])["models"] if first else {}


def _gates(tonight: Tonight) -> list[pl.Expr]:
    """Every gate in order with pass or fail and its numbers."""
    contact = tonight.routing.contact
    whole = pl.Int64
    numbers: dict[str, list[pl.Expr]] = {
        "consent": [pl.col("consent").alias("basis")],
        "address": [pl.col("addressed_by").alias("by")],
        "qualified": [pl.col("offer_id").alias("offer")],
        "holdout": [pl.col("variant").alias("arm")],
        "fatigue": [
            pl.col("sent_fatigue").cast(whole).alias("sent"),
            pl.lit(contact.fatigue.messages).alias("limit"),
            pl.col("seen_messages").cast(whole).alias("sent_seen"),
            pl.col("seen_opened").cast(whole).alias("opened"),
        ],
        "frequency": [
            pl.col("programme_sent").cast(whole).alias("programme"),
            pl.col("programme_cap").alias("programme_cap"),
            pl.col("sent_capped").cast(whole).alias("all"),
            pl.lit(contact.cap.messages).alias("all_cap"),
            pl.col("sent_week").cast(whole).alias("week"),
            pl.col("weekly_cap").cast(whole).alias("own_cap"),
        ],
        "journey": [
            pl.col("last_step"),
            pl.col("days_since_step").alias("days_since"),
            pl.col("wait_days"),
            pl.col("promised_pct"),
        ],
        "cooldown": [
            pl.col("recency_days").cast(whole).alias("days_since_purchase"),
            pl.col("complaint_days").alias("days_since_complaint"),
        ],
        "throttle": [pl.lit(contact.throttle, dtype=whole).alias("limit")],
        "quiet_hours": [pl.col("moved")],
        "value": [
            pl.col("score_propensity").round(PLACES).alias("response_rate"),
            *(pl.col(name).round(PLACES) for name in ("base_rate", "channel_rate", "channel_factor")),
            *(pl.col(name).round(4) for name in ("content_factor", "tier_factor", "load_factor")),
            pl.col("sent_load").cast(whole).alias("load"),
            *(pl.col(name).round(4) for name in ("caused", "order_worth", "margin_rate")),
            pl.col("ticket").round(2),
            pl.col("discount_pct"),
            *(pl.col(name).round(4) for name in ("message_cost", "unsubscribe_cost", "expected_value")),
            pl.col("score").round(PLACES),
        ],
    }  # fmt: skip
    return [pl.struct(pl.col(f"pass_{gate}").alias("pass"), *numbers.get(gate, [])).alias(gate) for gate in GATES]


def _arms(tonight: Tonight) -> pl.Expr:
    """The list of the arms that competed. Put together as text: a list of structs takes ten times as long."""
    names = pl.Series([arm.name for arm in tonight.arms], dtype=pl.String)
    rankings = list(tonight.routing.rankings)
    each = [_arm(place, names, rankings, tonight.ranking) for place in range(tonight.routing.exploration.arms)]
    return pl.concat_str(pl.lit('"arms":['), pl.concat_str(each, separator=",", ignore_nulls=True), pl.lit("]"))


def _arm(place: int, names: pl.Series, rankings: Sequence[str], in_force: str) -> pl.Expr:
    def at(column: str) -> pl.Expr:
        return pl.col(column).arr.get(place)

    name = at("arms").replace_strict(dict(enumerate(names)), default=None, return_dtype=pl.String)
    by = [part for r in rankings for part in (pl.lit(f',"{r}":'), at(f"pi_{r}").round(PLACES))]
    text = [
        *(pl.lit('{"arm":"'), name, pl.lit('","score":'), at("scores").round(PLACES)),
        *(pl.lit(',"expected_value":'), at("values").round(4), pl.lit(',"pi":'), at(f"pi_{in_force}").round(PLACES)),
        *(pl.lit(',"pi_by":{' + f'"{rankings[0]}":'), *by[1:], pl.lit("}}")),
    ]
    return pl.when(at("arms") >= 0).then(pl.concat_str(text))
