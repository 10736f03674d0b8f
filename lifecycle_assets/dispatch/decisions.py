"""What each customer gets tonight, or why nothing: one row per customer, every night.

Method: every step of every programme (a lane) is judged for all customers at once - offers scored (offers, arbitration),
gates passed or failed (eligibility) -, then each customer's best lane is chosen: one message a day over all programmes.
Of an offer with a cap the customers of the best score get it, the others the best of what is left, if anything is.
The expected value rests on the configured prior response rates; it is not a measured effect. The choice is deterministic,
so the propensity of the action taken is 1. Without customers the table is empty; without programmes all are held.

A decision whose message has gone out already stands as it was made, whatever a repeated run of the night is told.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, money, number, share, shop_key, table, text, timestamp
from lifecycle_assets.dispatch import arbitration, schedule
from lifecycle_assets.dispatch.eligibility import (
    GATES,
    PASSED,
    REASONS,
    days_since_step,
    judge,
)
from lifecycle_assets.dispatch.offers import Lane, lanes, with_best_offer
from lifecycle_assets.hashing import digests
from lifecycle_assets.settings import Routing, Shop


@table("dispatch.decisions", history=True)
class Decisions(dy.Schema):
    """The next best action for every customer tonight, or silence with its reason, and how it was come to."""

    shop_id = shop_key()
    as_of = as_of_column()
    customer_id = key("The customer.")
    decision_id = text("Hash of shop, as_of and customer: the same for a repeated run.", nullable=False)
    action = text("What is done.", nullable=False, values=["send", "hold"])
    reason = text("Why: best_action for a send, else the first gate that failed.", nullable=False, values=list(REASONS))
    programme = text("The programme that speaks, or that was held; null when the customer qualifies for none.")
    step = dy.Int64(nullable=True, min=1, description="The programme's step.", metadata={"unit": "number"})
    offer_id = text("The offer.")
    content_type = text("Kind of content, which names the message's template.")
    channel = text("How.")
    send_at = timestamp("When the message goes out; null when held.", nullable=True)
    send_at_local = dy.Datetime(nullable=True, description="The same in the customer's time zone, else the shop's.")
    discount_pct = number("Discount offered; null when held.", "percent", nullable=True, minimum=0, maximum=100)
    products = text("Recommended products as a JSON list; null while there are none.")
    variant = text("Arm of the programme's experiment.")
    score = number("Product of the score's parts, each to the power of its weight.", nullable=True, minimum=0)
    score_propensity = number("Prior response rate of the step.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_relevance = number("Fit of category and channel.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_impact = number("Worth of a response, scaled.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_emphasis = number("Priority of the offer / 10.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_uplift = number("Uplift factor; 1 while no uplift is estimated.", "factor", nullable=True, minimum=0)
    expected_value = money(
        "Expected margin less discount and cost of the message, from prior response rates; null when held.",
        nullable=True,
    )
    propensity = share("Probability with which the policy chose this action; 1 where it does not explore.")
    uplift_segment = text("Uplift segment; null while no uplift is estimated.")
    cate = number("Estimated effect of the message; null while no uplift is estimated.", nullable=True)
    trace = text("JSON: every gate with pass or fail and the numbers used.", nullable=False)
    policy_version = text("Hash of the routing, dispatch and measurement settings.", nullable=False)


def policy_version(shop: Shop) -> str:
    """Twelve hex digits that change with any setting of routing, dispatch or measurement."""
    policy = {group: getattr(shop, group).model_dump(mode="json") for group in ("routing", "dispatch", "measurement")}
    return hashlib.sha256(json.dumps(policy, sort_keys=True).encode()).hexdigest()[:12]


def decide(
    profiles: pl.DataFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
    used: Mapping[str, int],
    standing: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row of `Decisions` per row of `profiles` (see profile.profiles), sorted by customer_id.

    `used` counts each offer's messages of earlier nights, against its cap. `standing` are tonight's decisions whose
    messages have gone out already: they are taken over as they are and count against tonight's limits.
    """
    routing = shop.routing
    taken = Decisions.empty() if standing is None else standing
    gone = taken.filter(pl.col("action") == "send")
    judged = _within_caps(profiles, gone, routing, as_of, used)
    judged = _throttled(judged, gone, routing).with_columns(sent=pl.col("reason") == "best_action")
    times = schedule.send_times(judged.filter(pl.col("channel").is_not_null()), routing.channels, as_of)
    judged = judged.join(times, on=["channel", "timezone"], how="left")
    decided = _rows(judged, routing, shop_id, as_of, policy_version(shop))
    if taken.height:
        decided = pl.concat([decided.join(taken, on="customer_id", how="anti"), taken.select(decided.columns)])
    return decided.sort("customer_id")


# What a lane leaves of a customer for the decision and its trace, under names that do not depend on the lane.
_OFFER = ("offer_id", "content_type", "discount_pct", "margin_rate", *arbitration.PARTS, "score", "expected_value")
_HEARD = ("sent_capped", "sent_fatigue", "seen_messages", "seen_opened", "recency_days", "complaint_days")


def _judged(
    profiles: pl.DataFrame, routing: Routing, as_of: dt.date, used: Mapping[str, int], typical: float
) -> pl.DataFrame:
    """Every customer with the chosen lane's offer, gates, stop and reason; `typical` is arbitration.typical_worth."""
    possible = lanes(routing)
    if not possible:
        return _without_programmes(profiles)

    def judged(frame: pl.DataFrame, lane: Lane) -> pl.LazyFrame:
        offered = with_best_offer(frame.lazy(), lane, routing, as_of=as_of, used=used, typical=typical)
        return judge(offered, lane, routing, as_of=as_of)

    verdicts = [
        (lane.name, judged(profiles, lane).select("stop", "pass_qualified", "score").collect()) for lane in possible
    ]
    chosen = pl.Series(arbitration.choose(verdicts, PASSED))
    return pl.concat(
        judged(profiles.filter(chosen == position), lane).select(_kept(lane, routing, as_of)).collect()
        for position, lane in enumerate(possible)
    )


def _kept(lane: Lane, routing: Routing, as_of: dt.date) -> list[pl.Expr]:
    experiment = lane.programme.experiment
    contact = routing.contact
    return [
        *(pl.col(name) for name in ("customer_id", "timezone", "stop", "reason", *_OFFER, *_HEARD)),
        *(pl.col(f"pass_{gate}") for gate in GATES),
        pl.lit(lane.name).alias("programme"),
        pl.lit(lane.number, dtype=pl.Int64).alias("step"),
        pl.lit(lane.step.channel).alias("channel"),
        pl.lit(lane.channel.addressed_by).alias("addressed_by"),
        pl.col(f"consent_{lane.step.channel}").alias("consent"),
        (pl.col(f"arm_{experiment}") if experiment else pl.lit(None, dtype=pl.String)).alias("variant"),
        pl.col(f"sent_{lane.name}").alias("programme_sent"),
        pl.lit((lane.programme.cap or contact.cap).messages).alias("programme_cap"),
        pl.col(f"last_step_{lane.name}").alias("last_step"),
        days_since_step(lane, as_of).alias("days_since_step"),
        pl.lit(lane.step.wait_days).alias("wait_days"),
    ]


def _without_programmes(profiles: pl.DataFrame) -> pl.DataFrame:
    """The columns of `_kept` where nothing can be sent at all."""
    erased = pl.col("erased")
    text = ("offer_id", "content_type", "programme", "channel", "addressed_by", "consent", "variant")
    whole = ("step", "programme_sent", "programme_cap", "last_step", "days_since_step", "wait_days")
    numbers = [name for name in _OFFER if name not in text]
    return profiles.select(
        *(pl.col(name) for name in ("customer_id", "timezone", *_HEARD)),
        pl.when(erased).then(pl.lit("erased")).otherwise(pl.lit("not_qualified")).alias("reason"),
        pl.lit(-1, dtype=pl.Int16).alias("stop"),
        *(
            {"erased": ~erased, "qualified": pl.lit(value=False)}.get(gate, pl.lit(value=True)).alias(f"pass_{gate}")
            for gate in GATES
        ),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in text),
        *(pl.lit(None, dtype=pl.Int64).alias(name) for name in whole),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in numbers),
    )


def _within_caps(
    profiles: pl.DataFrame, gone: pl.DataFrame, routing: Routing, as_of: dt.date, used: Mapping[str, int]
) -> pl.DataFrame:
    """Every customer judged, no offer beyond its cap. Who is left out is judged again without the offers that are used
    up, and held where nothing else can be sent. `gone` are tonight's decisions whose messages are out already."""
    typical = arbitration.typical_worth(profiles, routing)
    judged = _judged(profiles, routing, as_of, used, typical)
    counted = dict(used)
    # Every round uses up an offer that was left in the one before, so there are no more rounds than offers with a cap.
    while True:
        over = {
            name: left_out
            for name, offer in routing.offers.items()
            if offer.cap is not None
            and (left_out := _left_out(judged, gone, pl.col("offer_id") == name, offer.cap - used.get(name, 0))).height
        }
        if not over:
            return judged
        counted |= {name: routing.offers[name].cap or 0 for name in over}
        left_out = pl.concat(over.values())
        again = _judged(profiles.join(left_out, on="customer_id", how="semi"), routing, as_of, counted, typical)
        again = again.filter(pl.col("reason") == "best_action")
        held = _held(judged, left_out, "offer_used_up")
        judged = pl.concat([held.join(again, on="customer_id", how="anti"), again])


def _throttled(judged: pl.DataFrame, gone: pl.DataFrame, routing: Routing) -> pl.DataFrame:
    """Holds the sends beyond the shop's throttle; the best of the night stay."""
    if routing.contact.throttle is None:
        return judged
    return _held(judged, _left_out(judged, gone, pl.lit(value=True), routing.contact.throttle), "throttled")


def _left_out(judged: pl.DataFrame, gone: pl.DataFrame, concerned: pl.Expr, limit: int) -> pl.DataFrame:
    """customer_id of the sends that a limit leaves out, where `gone` count against it already."""
    sends = judged.filter((pl.col("reason") == "best_action") & concerned).join(gone, on="customer_id", how="anti")
    return arbitration.over_limit(sends, limit - gone.filter(concerned).height).to_frame()


def _held(judged: pl.DataFrame, left_out: pl.DataFrame, reason: str) -> pl.DataFrame:
    held = pl.col("customer_id").is_in(left_out.get_column("customer_id").implode())
    return judged.with_columns(
        reason=pl.when(held).then(pl.lit(reason)).otherwise("reason"), pass_throttle=pl.col("pass_throttle") & ~held
    )


def _rows(judged: pl.DataFrame, routing: Routing, shop_id: str, as_of: dt.date, version: str) -> pl.DataFrame:
    """The columns of `Decisions`, without what the lane was when the customer did not even qualify for it."""
    sent = pl.col("sent")
    fits = pl.col("pass_qualified")
    null = pl.lit(None, dtype=pl.String)
    judged = judged.with_columns(
        shop_id=pl.lit(shop_id),
        as_of=pl.lit(as_of),
        decision_id=digests(judged, ["customer_id"], prefix=f"{shop_id}\x1f{as_of}"),
        trace=_trace(routing),
    )
    money_type = Decisions.polars_schema["expected_value"]
    columns = {
        "action": pl.when(sent).then(pl.lit("send")).otherwise(pl.lit("hold")),
        **{
            name: pl.when(fits).then(pl.col(name))
            for name in ("programme", "step", "offer_id", "content_type", "channel", "variant")
        },
        **{name: pl.when(fits).then(pl.col(name)) for name in ("score", *arbitration.PARTS)},
        **{name: pl.when(sent).then(pl.col(name)) for name in ("send_at", "send_at_local", "discount_pct")},
        "expected_value": pl.when(sent).then(pl.col("expected_value").round(4)).cast(money_type),
        "products": null,
        "propensity": pl.lit(1.0),
        "uplift_segment": null,
        "cate": pl.lit(None, dtype=pl.Float64),
        "policy_version": pl.lit(version),
    }
    return judged.select(columns.get(name, pl.col(name)).alias(name) for name in Decisions.columns)


def _trace(routing: Routing) -> pl.Expr:
    """One JSON object per customer: the lane looked at, and every gate in order with pass or fail and its numbers."""
    contact = routing.contact
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
        ],
        "journey": [
            pl.col("last_step"),
            pl.col("days_since_step").alias("days_since"),
            pl.col("wait_days"),
        ],
        "cooldown": [
            pl.col("recency_days").cast(whole).alias("days_since_purchase"),
            pl.col("complaint_days").alias("days_since_complaint"),
        ],
        "throttle": [pl.lit(contact.throttle, dtype=whole).alias("limit")],
        "quiet_hours": [pl.col("moved")],
        "value": [
            pl.col("score_propensity").alias("response_rate"),
            pl.col("margin_rate").round(4),
            pl.col("discount_pct"),
            pl.col("expected_value").round(4),
            pl.col("score").round(6),
        ],
    }
    gates = [pl.struct(pl.col(f"pass_{gate}").alias("pass"), *numbers.get(gate, [])).alias(gate) for gate in GATES]
    lane = [pl.col("programme"), pl.col("step"), pl.col("channel")]
    assumed = (pl.col("consent") == "assumed").fill_null(value=False).alias("consent_assumed")
    return pl.struct(*lane, assumed, pl.struct(gates).alias("gates")).struct.json_encode()
