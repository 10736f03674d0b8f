"""The gates between a customer and a message, in their one order; the first that fails is the reason for silence.

    erased > suppressed > consent > address > qualified > recoverable > holdout > fatigue > frequency > journey >
    cooldown > throttle > quiet_hours > value

Every gate is judged for every customer, so that the trace of a decision shows all of them; only the first failing one
holds. Quiet hours move the hour and never fail. The throttle and an offer's cap are limits over all customers of a night:
they are judged last, among those who would be sent something (see decisions), and have their place in the order only.
"""

import datetime as dt

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
    "cooldown_purchase": "bought only just now",
    "cooldown_complaint": "complained only just now",
    "throttled": "the shop's limit of messages per night was reached by better ones",
    "offer_used_up": "the offer's limit of messages was reached by better ones",
    "no_value": "a message would cost more than it is expected to bring",
}


def applies(lane: Lane) -> pl.Expr:
    """Whether the step is one that the customer could get next: the first while no journey is under way, else a later one
    than the last; the final one also stands for a journey that has come to its end."""
    last = pl.col(f"last_step_{lane.name}")
    later = (last < lane.number) | pl.lit(lane.final)
    return pl.when(last.is_null()).then(pl.lit(lane.first)).otherwise(later)


def judge(offered: pl.LazyFrame, lane: Lane, routing: Routing, *, as_of: dt.date) -> pl.LazyFrame:
    """Adds `pass_<gate>` for every gate, `stop` (position of the first failing gate, PASSED when none fails, null where
    the lane does not apply) and `reason`. `offered` are profiles with the lane's best offer (offers.with_best_offer)."""
    gates, codes = _gates(lane, routing, as_of)
    stop = pl.lit(PASSED, dtype=pl.Int16)
    reason = pl.lit("best_action")
    for position, gate in reversed(list(enumerate(GATES))):
        if gate in gates:
            failed = ~pl.col(f"pass_{gate}")
            stop = pl.when(failed).then(pl.lit(position, dtype=pl.Int16)).otherwise(stop)
            reason = pl.when(failed).then(codes[gate]).otherwise(reason)
    judged = {gate: gates.get(gate, pl.lit(value=True)) for gate in GATES}
    return offered.with_columns(passes.alias(f"pass_{gate}") for gate, passes in judged.items()).with_columns(
        pl.when(applies(lane)).then(stop).alias("stop"), reason.alias("reason")
    )


def days_since_step(lane: Lane, as_of: dt.date) -> pl.Expr:
    """Days from the journey's last message to the day on which tonight's messages go out."""
    return (pl.lit(as_of + dt.timedelta(days=1)) - pl.col(f"last_day_{lane.name}")).dt.total_days()


def _gates(lane: Lane, routing: Routing, as_of: dt.date) -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
    """Per gate that can fail: when it is passed (never null), and the code of its failing."""
    channel, contact = lane.step.channel, routing.contact
    qualified, recoverable = _rules(lane, routing)
    bought = pl.col("recency_days")
    wait = lane.programme.cooldown_purchase_days
    purchase = bought >= (contact.cooldown_purchase_days if wait is None else wait)
    calm = pl.col("complaint_days").is_null() | (pl.col("complaint_days") >= contact.cooldown_complaint_days)
    unopened = (pl.col("seen_messages") >= contact.fatigue_unopened.messages) & (pl.col("seen_opened") == 0)
    capped = pl.col("sent_capped") >= contact.cap.messages
    if lane.programme.cap:
        capped = capped | (pl.col(f"sent_{lane.name}") >= lane.programme.cap.messages)
    journey, journey_code = _journey(lane, routing, as_of)
    arm = pl.col(f"arm_{lane.programme.experiment}") if lane.programme.experiment else pl.lit(None, dtype=pl.String)
    gates = {
        "erased": ~pl.col("erased"),
        "suppressed": ~pl.col(f"suppressed_{channel}"),
        "consent": pl.col(f"consent_{channel}").is_in(list(GIVEN)),
        "address": pl.col(f"address_{channel}").is_not_null(),
        "qualified": qualified,
        "recoverable": recoverable,
        "holdout": arm.ne_missing("holdout"),
        "fatigue": (pl.col("sent_fatigue") < contact.fatigue.messages) & ~unopened,
        "frequency": ~capped,
        "journey": journey,
        "cooldown": purchase & calm,
        "value": ((pl.col("expected_value") > 0) & (pl.col("score") > 0)).fill_null(value=False),
    }
    codes = {
        "erased": pl.lit("erased"),
        "suppressed": pl.lit("suppressed"),
        "consent": pl.lit("no_consent"),
        "address": pl.lit("no_address"),
        "qualified": pl.lit("not_qualified"),
        "recoverable": pl.lit("unrecoverable"),
        "holdout": pl.lit("holdout"),
        "fatigue": pl.lit("fatigue"),
        "frequency": pl.lit("frequency_cap"),
        "journey": journey_code,
        "cooldown": pl.when(~purchase).then(pl.lit("cooldown_purchase")).otherwise(pl.lit("cooldown_complaint")),
        "value": pl.lit("no_value"),
    }
    return gates, codes


def _rules(lane: Lane, routing: Routing) -> tuple[pl.Expr, pl.Expr]:
    """Who qualifies for the step (and for an offer of it), and who is worth winning back."""
    conditions = [rules.expression(rule, routing.computed) for rule in (lane.programme.when, lane.step.when) if rule]
    recoverable = lane.programme.recoverable
    worth_it = rules.expression(recoverable, routing.computed) if recoverable else pl.lit(value=True)
    return pl.all_horizontal(*conditions, pl.col("offer_id").is_not_null()), worth_it


def _journey(lane: Lane, routing: Routing, as_of: dt.date) -> tuple[pl.Expr, pl.Expr]:
    """Whether the step is due and no other programme's journey stands in its way, and the code where not."""
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
        .otherwise(pl.lit("journey_waiting"))
    )
    return ~complete & due & ~busy, code
