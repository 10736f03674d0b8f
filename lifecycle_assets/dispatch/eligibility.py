"""The gates between a customer and a message, in their one order; the first that fails is the reason for silence.

    erased > suppressed > consent > address > qualified > recoverable > holdout > fatigue > frequency > journey >
    cooldown > throttle > quiet_hours > value

Every gate is judged for every customer, so that the trace of a decision shows all of them; only the first failing one
holds. Quiet hours move the hour of a message; they stop it only where no hour of the day is open. The throttle and an
offer's cap are limits over all customers of a night: these are judged last, among those who would be sent something (see
limits), and have their place in the order only.
"""

import datetime as dt
import math
from collections.abc import Mapping

import polars as pl

from lifecycle_assets.dispatch import rules
from lifecycle_assets.dispatch.contact import GIVEN
from lifecycle_assets.dispatch.offers import Lane
from lifecycle_assets.settings import Routing

GATES = (
    "erased",
    "suppressed",
    "consent",
    "address",
    "qualified",
    "recoverable",
    "holdout",
    "fatigue",
    "frequency",
    "journey",
    "cooldown",
    "throttle",
    "quiet_hours",
    "value",
)
PASSED = len(GATES)

# Reason of a decision -> the sentence that reports use.
REASONS = {
    "best_action": "gets the best message of the night",
    "erased": "asked to be forgotten",
    "suppressed": "is on the list of people not to contact",
    "undone": "had a message of this programme that was taken back",
    "no_consent": "has not given consent for the channel",
    "no_address": "has no address for the channel",
    "not_qualified": "does not qualify for any programme or offer",
    "unrecoverable": "bought too little to be worth winning back",
    "holdout": "is in the control group that gets nothing, so that the effect can be measured",
    "fatigue": "got too many messages lately",
    "frequency_cap": "has had the highest number of messages allowed for now",
    "journey_waiting": "is waiting for the next step of a programme",
    "journey_complete": "has had every step of the programme",
    "journey_conflict": "is in the middle of another programme",
    "open_promise": "was promised a better discount, which is still open",
    "cooldown_purchase": "bought only just now",
    "cooldown_complaint": "complained only just now",
    "throttled": "the shop's limit of messages per night was reached by better ones",
    "offer_used_up": "the offer's limit of messages was reached by better ones",
    "no_hour": "is in a place where no hour of the day is open to the channel",
    "no_value": "a message would cost more than it is expected to bring",
}


def applies(lane: Lane) -> pl.Expr:
    """Whether the step is one to speak of: the first while no journey is under way, else one that the customer could get
    next, or the last that they had, which stands for a journey that has come to its end (see choice)."""
    last = pl.col(f"last_step_{lane.name}")
    at_hand = (last <= lane.number) | pl.lit(lane.final)
    return pl.when(last.is_null()).then(pl.lit(lane.first)).otherwise(at_hand)


def judge(offered: pl.LazyFrame, lane: Lane, routing: Routing, *, as_of: dt.date) -> pl.LazyFrame:
    """Adds `pass_<gate>` for every gate and `reason`. `offered` are profiles with an offer of the lane (choice.offered)."""
    gates, codes = _gates(lane, routing, as_of)
    of_offer = _offer_gates(routing)
    reason = pl.lit("best_action")
    for gate in reversed(GATES):
        if gate in codes:
            reason = pl.when(f"pass_{gate}").then(reason).otherwise(codes[gate])
    passes = {gate: [of[gate] for of in (gates, of_offer) if gate in of] or [pl.lit(value=True)] for gate in GATES}
    return offered.with_columns(
        pl.all_horizontal(parts).alias(f"pass_{gate}") for gate, parts in passes.items()
    ).with_columns(reason.alias("reason"))


def lane_stop(lane: Lane, routing: Routing, *, as_of: dt.date) -> pl.Expr:
    """Position of the first gate at which a customer fails whatever the offer, PASSED where at none, null where the lane does
    not apply. An arm stops here or at offer_stop, whichever comes first."""
    return pl.when(applies(lane)).then(_first_failing(_gates(lane, routing, as_of)[0]))


def offer_stop(routing: Routing) -> pl.Expr:
    """Position of the first gate at which the offer fails (choice.offered), PASSED where at none."""
    return _first_failing(_offer_gates(routing))


def qualifies(lane: Lane, routing: Routing) -> pl.Expr:
    """Who qualifies for the step, not for an offer of it yet."""
    conditions = [rules.expression(rule, routing.computed) for rule in (lane.programme.when, lane.step.when) if rule]
    return pl.all_horizontal(*conditions, pl.lit(value=True))


def earliest(lane: Lane) -> pl.Expr:
    """Before when (UTC) the lane's message must not go out; null where its programme answers no event."""
    if lane.programme.trigger is None:
        return pl.lit(None, dtype=pl.Datetime("us", "UTC"))
    return pl.col(f"at_{lane.programme.trigger}") + dt.timedelta(hours=lane.programme.delay_hours)


def days_since_step(lane: Lane, as_of: dt.date) -> pl.Expr:
    """Days from the journey's last message to the day on which tonight's messages go out."""
    return (pl.lit(as_of + dt.timedelta(days=1)) - pl.col(f"last_day_{lane.name}")).dt.total_days()


def _gates(lane: Lane, routing: Routing, as_of: dt.date) -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
    """Per gate: when it is passed whatever the offer (never null), and the code of its failing."""
    channel, contact = lane.channel_name, routing.contact
    recoverable = lane.programme.recoverable
    bought = pl.col("recency_days")
    wait = lane.programme.cooldown_purchase_days
    purchase = bought >= (contact.cooldown_purchase_days if wait is None else wait)
    calm = pl.col("complaint_days").is_null() | (pl.col("complaint_days") >= contact.cooldown_complaint_days)
    unopened = (pl.col("seen_messages") >= contact.fatigue_unopened.messages) & (pl.col("seen_opened") == 0)
    bears = pl.col("weekly_cap").fill_null(math.inf)
    capped = (pl.col("sent_capped") >= contact.cap.messages) | (pl.col("sent_week") >= bears)
    if lane.programme.cap:
        capped = capped | (pl.col(f"sent_{lane.name}") >= lane.programme.cap.messages)
    journey, journey_code = _journey(lane, routing, as_of)
    arm = pl.col(f"arm_{lane.programme.experiment}") if lane.programme.experiment else pl.lit(None, dtype=pl.String)
    gates = {
        "erased": ~pl.col("erased"),
        "suppressed": ~pl.col(f"suppressed_{channel}") & ~pl.col(f"undone_{lane.name}"),
        "consent": pl.col(f"consent_{channel}").is_in(list(GIVEN)),
        "address": pl.col(f"address_{channel}").is_not_null(),
        "qualified": qualifies(lane, routing),
        "recoverable": rules.expression(recoverable, routing.computed) if recoverable else pl.lit(value=True),
        "holdout": arm.ne_missing("holdout"),
        "fatigue": (pl.col("sent_fatigue") < contact.fatigue.messages) & ~unopened,
        "frequency": ~capped,
        "journey": journey,
        "cooldown": purchase & calm,
        "quiet_hours": pl.col(f"open_{channel}"),
    }
    codes = {
        "erased": pl.lit("erased"),
        "suppressed": pl.when(f"suppressed_{channel}").then(pl.lit("suppressed")).otherwise(pl.lit("undone")),
        "consent": pl.lit("no_consent"),
        "address": pl.lit("no_address"),
        "qualified": pl.lit("not_qualified"),
        "recoverable": pl.lit("unrecoverable"),
        "holdout": pl.lit("holdout"),
        "fatigue": pl.lit("fatigue"),
        "frequency": pl.lit("frequency_cap"),
        "journey": journey_code,
        "cooldown": pl.when(~purchase).then(pl.lit("cooldown_purchase")).otherwise(pl.lit("cooldown_complaint")),
        "quiet_hours": pl.lit("no_hour"),
        "value": pl.lit("no_value"),
    }
    return gates, codes


def _offer_gates(routing: Routing) -> dict[str, pl.Expr]:
    """Per gate that looks at the offer: when that is passed (never null)."""
    return {
        "qualified": pl.col("offer_id").is_not_null(),
        "journey": _promise_kept(routing),
        "value": ((pl.col("expected_value") > 0) & (pl.col("score") > 0)).fill_null(value=False),
    }


def _first_failing(gates: Mapping[str, pl.Expr]) -> pl.Expr:
    stop = pl.lit(PASSED, dtype=pl.Int8)
    for position, gate in reversed(list(enumerate(GATES))):
        if gate in gates:
            stop = pl.when(gates[gate]).then(stop).otherwise(pl.lit(position, dtype=pl.Int8))
    return stop


def _journey(lane: Lane, routing: Routing, as_of: dt.date) -> tuple[pl.Expr, pl.Expr]:
    """Whether the step is due and no other programme's journey stands in its way, and the code where not, or where a promise
    would be broken."""
    started = pl.col(f"last_step_{lane.name}")
    complete = started.is_not_null() & (started >= lane.number)
    due = started.is_null() | (days_since_step(lane, as_of) >= lane.step.wait_days)
    if lane.step.if_not_opened:
        due = due & ~pl.col(f"last_opened_{lane.name}").fill_null(value=False)
    busy = pl.lit(value=False)
    for other in lane.programme.conflicts_with:
        since = (pl.lit(as_of + dt.timedelta(days=1)) - pl.col(f"last_day_{other}")).dt.total_days()
        busy = busy | (since <= routing.programmes[other].active_days).fill_null(value=False)
    code = (
        pl.when(complete)
        .then(pl.lit("journey_complete"))
        .when(busy)
        .then(pl.lit("journey_conflict"))
        .when(~due)
        .then(pl.lit("journey_waiting"))
        .otherwise(pl.lit("open_promise"))
    )
    return ~complete & due & ~busy, code


def _promise_kept(routing: Routing) -> pl.Expr:
    """While a discount that was promised is open, no lower one goes out, and nothing that sells at full price."""
    harmless = (pl.col("discount_pct") == 0) & ~pl.col("content_type").is_in(list(routing.contact.full_price_content))
    return harmless | (pl.col("promised_pct") <= pl.col("discount_pct")).fill_null(value=True)
