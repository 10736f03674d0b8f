"""The gates of a decision in words: what each looked at, from the numbers in the decision's trace and the profile.

A trace holds what the version that made it told: a number that it lacks is left out. Of a gate that failed for one
of several limits only those reached are told.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from lifecycle_assets.dispatch.eligibility import qualifies
from lifecycle_assets.dispatch.offers import lanes
from lifecycle_assets.dispatch.rule_words import holds, rule_words
from lifecycle_assets.settings import AllOf, Programme, Routing, Shop

Numbers = Mapping[str, Any]
CONSENT = {
    "event": "gave consent, on record",
    "flag": "gave consent, by the customer table",
    "assumed": "said nothing; the configuration assumes consent",
    "withdrawn": "withdrew consent or refused it",
    "not_stated": "has not given consent",
}
# What the parts of the expected value are called in a trace; without one of them the formula cannot be told.
FORMULA = ("response_rate", "base_rate", "caused", "order_worth", "discount_pct", "ticket")


def gate_words(trace: Numbers, reason: str, profile: pl.DataFrame, shop: Shop, *, as_of: dt.date) -> dict[str, str]:
    """What each gate looked at. `trace`, `reason` and `as_of` are those of a decision,
    `profile` is the customer's row of profile.profiles."""
    gates, routing = trace["gates"], shop.routing
    programme = _programme(trace, routing)
    recoverable = programme.recoverable if programme else None
    arm, by = gates["holdout"]["arm"], gates["address"]["by"]
    return {
        "erased": "did not ask to be forgotten" if gates["erased"]["pass"] else "asked to be forgotten",
        "suppressed": _suppressed(gates["suppressed"], reason),
        "consent": CONSENT.get(gates["consent"]["basis"], "no channel to ask about"),
        "address": f"{'has' if gates['address']['pass'] else 'has no'} {by}" if by else "no channel to ask about",
        "qualified": _qualified(trace, programme, profile, routing),
        "recoverable": rule_words(recoverable, profile, routing) if recoverable else "the programme takes everyone",
        "holdout": f"is in the experiment's arm {arm}" if arm else "no experiment",
        "fatigue": _fatigue(gates["fatigue"], routing),
        "frequency": _frequency(gates["frequency"], programme, routing),
        "journey": _journey(trace, programme, profile, routing, as_of),
        "cooldown": _cooldown(gates["cooldown"], programme, routing),
        "throttle": _throttle(reason, gates["throttle"]["limit"]),
        "quiet_hours": _quiet_hours(gates["quiet_hours"]),
        "value": _value(trace, shop) if trace["programme"] else "there is no message to value",
    }


def amount(value: float) -> str:
    """An amount of currency: two decimals, or three digits of less than one."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _many(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _limits(limits: Sequence[tuple[bool, str]]) -> str:
    """The words of the limits that are reached, of all where none is."""
    reached = [words for is_reached, words in limits if is_reached]
    return "; ".join(reached or [words for _, words in limits])


def _programme(trace: Numbers, routing: Routing) -> Programme | None:
    """The programme as it is configured now; None where it, or its step, is no more."""
    programme = routing.programmes.get(trace["programme"] or "")
    return programme if programme and programme.enabled and trace["step"] <= len(programme.steps) else None


def _qualified(trace: Numbers, programme: Programme | None, profile: pl.DataFrame, routing: Routing) -> str:
    if trace["programme"] is None:
        return "there is no programme that could speak now"
    if programme is None:
        return f"{trace['programme']} is not configured so any more"
    step = programme.steps[trace["step"] - 1]
    offer = routing.offers.get(trace["gates"]["qualified"]["offer"] or "")
    asked = AllOf(all=tuple(rule for rule in (programme.when, step.when, offer.when if offer else None) if rule))
    words = rule_words(asked, profile, routing)
    if trace["gates"]["qualified"]["pass"] or not holds(asked, profile, routing):
        return words
    wanted = {name: rule for name in step.offers if (rule := routing.offers[name].when)}
    others = [
        f"but for {name}: {rule_words(rule, profile, routing)}"
        for name, rule in wanted.items()
        if not holds(rule, profile, routing)
    ]
    return "; ".join([words, *others])


def _suppressed(numbers: Numbers, reason: str) -> str:
    if reason == "undone":
        return "a message of the programme was taken back, and what it began is not over"
    return f"is {'not ' if numbers['pass'] else ''}on the list of people not to contact"


def _fatigue(numbers: Numbers, routing: Routing) -> str:
    tired, unopened = routing.contact.fatigue, routing.contact.fatigue_unopened
    sent, seen, opened = numbers["sent"], numbers["sent_seen"], numbers["opened"]
    return _limits(
        [
            (
                sent >= numbers["limit"],
                f"{_many(sent, 'message')} in {_many(tired.days, 'day')}, tired from {numbers['limit']} on",
            ),
            (
                seen >= unopened.messages and opened == 0,
                f"{opened} opened of {seen} in {_many(unopened.days, 'day')}, tired from {unopened.messages} on when none is",
            ),
        ]
    )


def _frequency(numbers: Numbers, programme: Programme | None, routing: Routing) -> str:
    limits = [("all", "all_cap", routing.contact.cap.days, "over all programmes")]
    if programme and programme.cap:
        limits.append(("programme", "programme_cap", programme.cap.days, "of the programme"))
    if numbers.get("own_cap") is not None:
        limits.append(("week", "own_cap", 7, "by what the customer bears"))
    return _limits(
        [
            (
                numbers[sent] >= numbers[cap],
                f"{numbers[sent]} of at most {_many(numbers[cap], 'message')} in {_many(days, 'day')} {over}",
            )
            for sent, cap, days, over in limits
        ]
    )


def _journey(
    trace: Numbers, programme: Programme | None, profile: pl.DataFrame, routing: Routing, as_of: dt.date
) -> str:
    numbers = trace["gates"]["journey"]
    last, promised = numbers["last_step"], numbers.get("promised_pct")
    words = []
    if last is not None:
        words.append(f"step {last} was {_many(numbers['days_since'], 'day')} ago")
        if last < trace["step"]:
            words.append(f"this step waits {_many(numbers['wait_days'], 'day')}")
            if programme and programme.steps[trace["step"] - 1].if_not_opened:
                opened = profile.get_column(f"last_opened_{trace['programme']}").item()
                words.append(f"it is for those who did not open that one, which was {'' if opened else 'not '}opened")
        elif _is_last(trace["programme"], last, profile, routing):
            words = [f"{words[0]} and was the last one for this customer"]
    for other in programme.conflicts_with if programme else ():
        step, day = profile.select(f"last_step_{other}", f"last_day_{other}").row(0)
        lasts = routing.programmes[other].active_days
        if day and (since := (as_of - day).days + 1) <= lasts:
            words.append(
                f"{other} is under way: its step {step} was {_many(since, 'day')} ago, which counts for {_many(lasts, 'day')}"
            )
    if promised is not None:
        words.append(f"{promised:g} % off are promised and open")
    return "; ".join(words) or "no message of the programme is under way"


def _is_last(programme: str, last: int, profile: pl.DataFrame, routing: Routing) -> bool:
    """Whether the customer qualifies for no step after `last`."""
    later = [lane for lane in lanes(routing) if lane.name == programme and lane.number > last]
    return not any(profile.select(qualifies(lane, routing)).item() for lane in later)


def _cooldown(numbers: Numbers, programme: Programme | None, routing: Routing) -> str:
    own = programme.cooldown_purchase_days if programme else None
    rest = routing.contact.cooldown_purchase_days if own is None else own
    bought, complained = numbers["days_since_purchase"], numbers["days_since_complaint"]
    limits = [
        (bought < rest, f"bought {_many(bought, 'day')} ago, left alone for {_many(rest, 'day')} after a purchase"),
        (False, "no complaint"),
    ]
    if complained is not None:
        calm = routing.contact.cooldown_complaint_days
        words = f"complained {_many(complained, 'day')} ago, left alone for {_many(calm, 'day')} after a complaint"
        limits[1] = (complained < calm, words)
    return _limits(limits)


def _throttle(reason: str, limit: int | None) -> str:
    if reason == "offer_used_up":
        return "better ones took the offer's last messages"
    if reason == "throttled":
        return "better ones took the last room of the night, or of every open hour"
    return "no limit per night" if limit is None else f"within the {_many(limit, 'message')} of a night"


def _quiet_hours(numbers: Numbers) -> str:
    if not numbers["pass"]:
        return "no hour of the day is open, by quiet hours and law"
    if numbers["moved"] is None:
        return "no hour was looked for"
    return "the hour liked best is closed, another is open" if numbers["moved"] else "the hour liked best is open"


def _value(trace: Numbers, shop: Shop) -> str:
    """The expected value spelled out; see arbitration for the formula."""
    value = trace["gates"]["value"]
    expected = f"{amount(value['expected_value'])} {shop.currency}"
    if any(name not in value for name in FORMULA):
        return f"{expected} are expected; the decision's trace does not say what of"
    load = _many(value.get("load", 0), "message")
    factors = {
        "channel_factor": "the channel",
        "content_factor": "the content",
        "tier_factor": "the tier",
        "load_factor": f"the load of {load} in 7 days",
    }
    costs = {"message_cost": "for the message", "unsubscribe_cost": "for those who unsubscribe"}
    rate = [percent(value["base_rate"])]
    rate += [f"times {value[name]:.2f} for {what}" for name, what in factors.items() if name in value]
    terms = [
        f"{expected} = {percent(value['response_rate'])} chance of an order ({', '.join(rate)}) x "
        f"({percent(value['caused'])} caused by it x {amount(value['order_worth'])} margin of an order - "
        f"{value['discount_pct']:g} % discount of {amount(value['ticket'])})",
        *(f"{amount(value[name])} {what}" for name, what in costs.items() if name in value),
    ]
    return f"{' - '.join(terms)}; {_caused(trace, shop.routing)}"


def _caused(trace: Numbers, routing: Routing) -> str:
    """Where the share of the orders that the message causes comes from."""
    all_of = "the share caused is all of the step's configured response rate"
    if trace["gates"]["value"].get("channel_rate") is None:
        return f"{all_of}, as the shop has no evidence of the channel"
    campaign = trace.get("models", {}).get("uplift_campaign")
    if campaign:
        share = f"what campaign {campaign} says"
    else:
        setting = percent(routing.posteriors.caused_share)
        share = f"{setting} (routing.posteriors.caused_share), averaged with what randomised campaigns say"
    own = "or what the programme's own experiment measured (models.caused_share)"
    return f"{all_of} and, of the orders that the shop ascribes to messages, {share}, {own}"
