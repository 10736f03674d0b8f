"""What each customer gets tonight, or why nothing: one row per customer, every night.

Method: every arm (programme, step, channel, offer) is judged for all customers at once - valued (arbitration) by what the
models know (knowledge), gates passed or failed (eligibility) -, then one of the customer's arms is taken, with a chance that
is logged (choice, exploration): one message a day over all programmes.
Of an offer with a cap the customers of the best score get it, the others the best of what is left, if anything is. Then
every message gets its hour (schedule); those without room are held.
Without customers the table is empty; without programmes all are held. Without models the configured response rates decide.

A decision whose message has gone out already stands as it was made, whatever a repeated run of the night is told.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, key, money, number, share, shop_key, table, text, timestamp
from lifecycle_assets.dispatch import arbitration
from lifecycle_assets.dispatch.choice import BLOCK_CUSTOMERS, NUMBERS, Tonight, offered, supposed
from lifecycle_assets.dispatch.eligibility import GATES, REASONS, days_since_step, judge
from lifecycle_assets.dispatch.knowledge import Knowledge, known, nothing_known, products, ranking_in_force
from lifecycle_assets.dispatch.limits import scheduled, within_caps
from lifecycle_assets.dispatch.offers import Arm, arms
from lifecycle_assets.dispatch.trace import trace
from lifecycle_assets.hashing import digests
from lifecycle_assets.settings import Shop


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
    products = text("The first recommended products as a JSON list; null when held or where there are none.")
    variant = text("Arm of the programme's experiment: holdout, treatment, or which variant of it.")
    score = number("Product of the score's parts, each to the power of its weight.", nullable=True, minimum=0)
    score_propensity = number("Expected orders per message.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_relevance = number("Fit of category and channel.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_impact = number(
        "Worth of an order after all costs, scaled.", "share 0..1", nullable=True, minimum=0, maximum=1
    )
    score_emphasis = number("Priority of the offer / 10.", "share 0..1", nullable=True, minimum=0, maximum=1)
    score_uplift = number(
        "Effect over the mean effect, at most 2; 1 where no uplift is estimated.", "factor", nullable=True, minimum=0
    )
    expected_value = money(
        "Expected margin less discount, cost of the message and what unsubscribes cost; null when held.",
        nullable=True,
    )
    propensity = share("Probability with which the policy took this arm; 1 for a hold.")
    uplift_segment = text("Uplift segment; null where no uplift is estimated.")
    cate = number(
        "Estimated effect of a message on the probability of an order; null where no uplift is estimated.",
        "share",
        nullable=True,
    )
    trace = text(
        "JSON: every gate with pass or fail and the numbers used, the arms that competed and their chances.",
        nullable=False,
    )
    policy_version = text(
        "Hash of the routing, dispatch and measurement settings and the ranking in force.", nullable=False
    )


def policy_version(shop: Shop, ranking: str) -> str:
    """Twelve hex digits that change with any setting of routing, dispatch or measurement, and with the ranking in force."""
    policy = {group: getattr(shop, group).model_dump(mode="json") for group in ("routing", "dispatch", "measurement")}
    return hashlib.sha256(json.dumps({**policy, "in_force": ranking}, sort_keys=True).encode()).hexdigest()[:12]


def decide(
    profiles: pl.DataFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    shop: Shop,
    used: Mapping[str, int],
    knowledge: Knowledge | None = None,
    standing: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row of `Decisions` per row of `profiles` (see profile.profiles), sorted by customer_id.

    `used` counts each offer's messages of earlier nights, against its cap. `knowledge` are the models' tables; without them
    the configured response rates decide. `standing` are tonight's decisions whose messages have gone out already: they are
    taken over as they are and count against tonight's limits.
    """
    models = knowledge or nothing_known()
    taken = Decisions.empty() if standing is None else standing
    gone = taken.filter(pl.col("action") == "send")
    decision_ids = digests(profiles, ["customer_id"], prefix=f"{shop_id}\x1f{as_of}")
    typical = arbitration.typical_worth(profiles, shop.routing)
    tonight = tonight_of(profiles, decision_ids, models, as_of=as_of, shop=shop, used=used, typical=typical)
    choices = scheduled(within_caps(tonight, gone, used), tonight, models.send_time_posteriors, shop, gone)
    choices = choices.join(
        products(models.user_recommendations, choices.filter("sent")["customer_id"]), on="customer_id", how="left"
    ).sort("customer_id")
    constant = {"shop_id": shop_id, "as_of": as_of, "policy_version": policy_version(shop, tonight.ranking)}
    decided = pl.concat(
        _rows(part, choices[first : first + BLOCK_CUSTOMERS], shop.seed) for first, part in tonight.blocks()
    ).with_columns(decision_ids.alias("decision_id"), **{name: pl.lit(value) for name, value in constant.items()})
    decided = decided.select(list(Decisions.columns))
    # The rows are sorted like the profiles; another sort would hold every trace twice.
    if not taken.height:
        return decided
    others = decided.join(taken, on="customer_id", how="anti")
    return pl.concat([others, taken.select(decided.columns)]).sort("customer_id")


def tonight_of(
    profiles: pl.DataFrame,
    decision_ids: pl.Series,
    models: Knowledge,
    *,
    as_of: dt.date,
    shop: Shop,
    used: Mapping[str, int],
    typical: float,
) -> Tonight:
    """What the choices for the customers of `profiles` rest on; `typical` is arbitration.typical_worth of all customers."""
    return Tonight(
        profiles,
        known(profiles, models, shop.routing),
        _keys(decision_ids, shop.seed),
        arms(shop.routing, as_of=as_of, used=used),
        shop.routing,
        ranking_in_force(models, shop.routing),
        as_of,
        typical,
    )


def supposed_of(tonight: Tonight, arm: int, seed: int) -> pl.DataFrame:
    """What decisions would tell of an arm, given by its position, if it were the one to be told of: reason, trace and what else
    of `Decisions` differs between customers. The reason is best_action where it passes every gate; the limits of the night
    are left aside."""
    missing = {"held": pl.String, "moved": pl.Boolean, "products": pl.String}
    times = {name: Decisions.polars_schema[name] for name in ("send_at", "send_at_local")}
    choices = supposed(tonight, arm).with_columns(
        *(pl.lit(None, dtype=kind).alias(name) for name, kind in {**missing, **times}.items()),
        limited=pl.lit(value=False),
    )
    return _rows(tonight, choices, seed)


def _keys(decision_ids: pl.Series, seed: int) -> np.ndarray:
    """The random key of each decision: 60 bits of its hash, and the shop's seed."""
    return decision_ids.str.head(15).str.to_integer(base=16).cast(pl.UInt64).to_numpy() ^ np.uint64(
        seed << 40 & (2**64 - 1)
    )


def _rows(tonight: Tonight, choices: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The columns of `Decisions` that differ between customers, without what the arm was when the customer did not even
    qualify for it. `choices` (see limits) are of the customers of `tonight`, in their order."""
    known = tonight.known
    people = tonight.profiles.hstack(choices.drop("customer_id")).with_columns(
        uplift_segment=known.uplift.segment, cate=pl.Series(known.uplift.cate).fill_nan(None)
    )
    told = people.partition_by("arm", as_dict=True)
    parts = [_judged(told[position,], tonight, arm) for position, arm in enumerate(tonight.arms) if (position,) in told]
    judged = pl.concat([_without_arm(told.get((None,), people.clear()), tonight), *parts], how="diagonal").sort(
        "customer_id"
    )
    sent, fits = pl.col("sent"), pl.col("pass_qualified")
    of_offer = ("programme", "step", "offer_id", "content_type", "channel", "variant", "score", *arbitration.PARTS)
    of_message = ("send_at", "send_at_local", "discount_pct", "products")
    value = pl.when(sent).then(pl.col("expected_value").round(4))
    return judged.select(
        *(pl.col(name) for name in ("customer_id", "reason", "propensity", "uplift_segment", "cate")),
        pl.when(sent).then(pl.lit("send")).otherwise(pl.lit("hold")).alias("action"),
        *(pl.when(fits).then(pl.col(name)).alias(name) for name in of_offer),
        *(pl.when(sent).then(pl.col(name)).alias(name) for name in of_message),
        value.cast(Decisions.polars_schema["expected_value"]).alias("expected_value"),
        trace(tonight, seed).alias("trace"),
    )


# Of the choice and the profile, what the decision and its trace tell.
_CHOSEN = (
    "qualifies", "sent", "held", "limited", "propensity", "explores", *NUMBERS, *arbitration.PARTS, "score", "expected_value",
    "send_at", "send_at_local", "moved", "products", "uplift_segment", "cate",
)  # fmt: skip
_HEARD = (
    "sent_capped", "sent_fatigue", "sent_week", "sent_load", "weekly_cap", "seen_messages", "seen_opened", "promised_pct",
    "recency_days", "complaint_days",
)  # fmt: skip
# What the arm adds to that, with its type.
_OF_ARM: dict[str, pl.DataType | type[pl.DataType]] = {
    **dict.fromkeys(("offer_id", "content_type", "programme", "channel", "addressed_by", "consent", "variant"), pl.String),
    **dict.fromkeys(("step", "programme_sent", "programme_cap", "last_step", "days_since_step", "wait_days"), pl.Int64),
    **dict.fromkeys(("discount_pct", "channel_rate", "message_cost"), pl.Float64),
}  # fmt: skip


def _judged(people: pl.DataFrame, tonight: Tonight, arm: Arm) -> pl.DataFrame:
    """The gates of an arm for the customers of whom it is taken or reported, and what decision and trace tell of it."""
    lane, contact = arm.lane, tonight.routing.contact
    experiment = lane.programme.experiment
    facts = tonight.known.facts.get(lane.channel_name)
    of_arm = {
        "offer_id": pl.col("offer_id"),
        "content_type": pl.col("content_type"),
        "programme": pl.lit(lane.name),
        "channel": pl.lit(lane.channel_name),
        "addressed_by": pl.lit(lane.channel.addressed_by),
        "consent": pl.col(f"consent_{lane.channel_name}"),
        "variant": pl.col(f"arm_{experiment}") if experiment else pl.lit(None),
        "step": pl.lit(lane.number),
        "programme_sent": pl.col(f"sent_{lane.name}"),
        "programme_cap": pl.lit((lane.programme.cap or contact.cap).messages),
        "last_step": pl.col(f"last_step_{lane.name}"),
        "days_since_step": days_since_step(lane, tonight.as_of),
        "wait_days": pl.lit(lane.step.wait_days),
        "discount_pct": pl.col("discount_pct"),
        "channel_rate": pl.col("channel_factor") * facts.shop_rate if facts else pl.lit(None),
        "message_cost": pl.lit(lane.channel.cost),
    }
    judged = judge(offered(people.lazy(), arm), lane, tonight.routing, as_of=tonight.as_of)
    limited = pl.col("held").is_in(["offer_used_up", "throttled"]).fill_null(value=False)
    return judged.select(
        "customer_id",
        *_CHOSEN,
        *_HEARD,
        *_competing(tonight),
        pl.coalesce("held", "reason").alias("reason"),
        *(pl.col(f"pass_{gate}") for gate in GATES if gate != "throttle"),
        (pl.col("pass_throttle") & ~limited).alias("pass_throttle"),
        *(value.cast(_OF_ARM[name]).alias(name) for name, value in of_arm.items()),
    ).collect()


def _without_arm(people: pl.DataFrame, tonight: Tonight) -> pl.DataFrame:
    """The same for customers for whom nothing could be sent at all."""
    erased = pl.col("erased")
    fails = {"erased": erased, "qualified": pl.lit(value=True)}
    return people.select(
        "customer_id",
        *_CHOSEN,
        *_HEARD,
        *_competing(tonight),
        pl.when(erased).then(pl.lit("erased")).otherwise(pl.lit("not_qualified")).alias("reason"),
        *((~fails.get(gate, pl.lit(value=False))).alias(f"pass_{gate}") for gate in GATES),
        *(pl.lit(None, dtype=kind).alias(name) for name, kind in _OF_ARM.items()),
    )


def _competing(tonight: Tonight) -> list[str]:
    return ["arms", "values", "scores", *(f"pi_{name}" for name in tonight.routing.rankings)]
