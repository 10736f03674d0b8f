"""Why does this customer get this tonight, or nothing? A decision told in plain words.

Everything is taken from the decision itself: its trace holds every gate with its numbers, the arms that competed with their
chances, and the parts of the expected value; the profile adds what the rules looked at. Of an offer that somebody asks after,
every arm that carries it is judged for the customer as the night judged it, so that the first gate that stops it is named
with its numbers, or by how much another arm was better.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from lifecycle_assets.dispatch.arbitration import typical_worth
from lifecycle_assets.dispatch.decisions import policy_version, supposed_of, tonight_of
from lifecycle_assets.dispatch.eligibility import GATES, REASONS, applies
from lifecycle_assets.dispatch.gate_words import amount, gate_words
from lifecycle_assets.dispatch.knowledge import Knowledge
from lifecycle_assets.dispatch.profile import Sources, profiles
from lifecycle_assets.settings import Shop

Row = Mapping[str, Any]
# What REASONS say of a decision, said of a single arm.
_OF_ARM = {
    "journey_complete": "the customer has had this step",
    "not_qualified": "the customer does not qualify for it",
}


@dataclass(frozen=True)
class Gate:
    """One gate: whether it was passed, and what it looked at."""

    gate: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Told:
    """What came of an arm, or would have; `arm` is null where there is none to speak of."""

    arm: str | None
    reason: str
    sentence: str
    gates: list[Gate]

    def lines(self) -> Iterator[str]:
        """The gates in their order, up to the first that failed."""
        for gate in self.gates:
            yield f"{'passed' if gate.passed else 'FAILED'}  {gate.gate}: {gate.text}"
            if not gate.passed:
                return


@dataclass(frozen=True)
class Explanation:
    """What is said of a customer's decision; `asked` is the offer asked after, `offer` are tonight's arms that carry it."""

    customer_id: str
    as_of: dt.date
    told: Told
    hour: str | None
    arms: list[str]
    asked: str | None
    offer: list[Told]
    note: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        lines = [f"{self.customer_id}, night of {self.as_of}: {self.told.sentence}", ""]
        lines += [f"  {line}" for line in self.told.lines()]
        lines += ["", f"  {self.hour}"] if self.hour else []
        lines += ["", "  The arms that competed, with the chance of each:"] if self.arms else []
        lines += [f"  {arm}" for arm in self.arms]
        if self.asked and not self.offer:
            lines += ["", f"  {self.asked}: not on sale, used up, or in no enabled programme on an enabled channel"]
        for told in self.offer:
            lines += ["", f"  {told.arm}: {told.sentence}"]
            lines += [f"    {line}" for line in told.lines()] if told.arm != self.told.arm else []
        lines += ["", f"  {self.note}"] if self.note else []
        return "\n".join(lines)


def explain(
    decision: Row, sources: Sources, knowledge: Knowledge, used: Mapping[str, int], shop: Shop, offer: str | None = None
) -> Explanation:
    """The explanation of one row of `Decisions` from the tables that it was made from (see decisions.decide), and of why not
    `offer`, one of the configured offers."""
    own = pl.col("customer_id") == decision["customer_id"]
    one = replace(sources, customer_features=sources.customer_features.filter(own))
    profile = profiles(one, as_of=decision["as_of"], shop=shop)
    told = _told(decision, profile, shop, as_of=decision["as_of"])
    hours = knowledge.send_time_posteriors.filter(own).collect()
    trace = json.loads(decision["trace"])
    ranking = trace.get("models", {}).get("ranking", shop.routing.ranking)
    changed = decision["policy_version"] != policy_version(shop, ranking)
    return Explanation(
        decision["customer_id"],
        decision["as_of"],
        told,
        _hour(decision, hours, profile, shop) if decision["action"] == "send" else None,
        [f"{a['pi']:6.1%}  {a['arm']}: {_worth(a, shop)}" for a in trace.get("arms", [])],
        offer,
        list(_supposed(offer, decision, profile, sources, knowledge, used, shop)) if offer else [],
        "The configuration has changed since that night: the settings named here are those of now."
        if changed
        else None,
    )


def _told(row: Row, profile: pl.DataFrame, shop: Shop, *, as_of: dt.date) -> Told:
    trace = json.loads(row["trace"])
    words = gate_words(trace, row["reason"], profile, shop, as_of=as_of)
    gates = [Gate(gate, trace["gates"][gate]["pass"], words[gate]) for gate in GATES]
    offer = trace["gates"]["qualified"]["offer"]
    arm = f"{trace['programme']}/{trace['step']}/{trace['channel']}/{offer or '-'}" if trace["programme"] else None
    sentence = f"gets nothing: {REASONS[row['reason']]}"
    if row["action"] == "send":
        name = f'"{shop.routing.offers[offer].name}" ({offer})' if offer in shop.routing.offers else offer
        sentence = f"gets {name} by {row['channel']}, step {row['step']} of {row['programme']}"
    elif row["programme"] is None and arm:
        sentence += f"; nearest: {trace['programme']}, step {trace['step']} by {trace['channel']}"
    return Told(arm, row["reason"], sentence, gates)


def _supposed(
    offer: str,
    decision: Row,
    profile: pl.DataFrame,
    sources: Sources,
    knowledge: Knowledge,
    used: Mapping[str, int],
    shop: Shop,
) -> Iterator[Told]:
    """Every arm that carries the offer, judged for the customer by itself: what stops it, or what was better."""
    worth = sources.customer_features.select(pl.col("avg_ticket", "purchase_total", "margin_total").cast(pl.Float64))
    tonight = tonight_of(
        profile,
        pl.Series([decision["decision_id"]]),
        knowledge,
        as_of=decision["as_of"],
        shop=shop,
        used=used,
        typical=typical_worth(worth.collect(), shop.routing),
    )
    for position, arm in enumerate(tonight.arms):
        if arm.offer_name == offer:
            row = supposed_of(tonight, position, shop.seed).row(0, named=True)
            told = replace(_told(row, profile, shop, as_of=tonight.as_of), arm=arm.name)
            is_next = profile.select(applies(arm.lane)).item()
            yield replace(told, sentence=_verdict(told, row, decision, shop, is_next=is_next))


def _verdict(told: Told, row: Row, decision: Row, shop: Shop, *, is_next: bool) -> str:
    failed = next((gate.gate for gate in told.gates if not gate.passed), None)
    stops_before = failed is not None and GATES.index(failed) < GATES.index("journey")
    if not is_next and not stops_before and told.reason != "journey_complete":
        return "another step of the programme comes first"
    if failed:
        return f"no: {_OF_ARM.get(told.reason, REASONS[told.reason])}"
    if decision["action"] == "hold":
        return f"it passes every gate, but the customer gets nothing: {REASONS[decision['reason']]}"
    trace = json.loads(decision["trace"])
    taken = f"{decision['programme']}/{decision['step']}/{decision['channel']}/{decision['offer_id']}"
    if told.arm == taken:
        return "this is what the customer gets"
    competing = [arm["arm"] for arm in trace.get("arms", [])]
    if competing and told.arm not in competing:
        return (
            "it passes every gate, but does not compete: an earlier step of its programme speaks first, or "
            f"{len(competing)} others are expected to bring more"
        )
    mine, best = json.loads(row["trace"])["gates"]["value"], trace["gates"]["value"]
    return f"it passes every gate, but {taken} was taken: {_worth(best, shop)}, against {_worth(mine, shop)}"


def _worth(numbers: Row, shop: Shop) -> str:
    return f"score {numbers['score']:.3g}, expected value {amount(numbers['expected_value'])} {shop.currency}"


def _hour(decision: Row, hours: pl.DataFrame, profile: pl.DataFrame, shop: Shop) -> str:
    """When the message goes out, and why then. `hours` are the customer's rows of models.send_time_posteriors."""
    liked = default = shop.routing.channels[decision["channel"]].send_hour
    words = [f"the channel's hour is {default}:00, and nothing is known of the customer's own"]
    for best in hours.filter(channel=decision["channel"]).iter_rows(named=True):
        liked = best["best_hour"]
        lift = f"{best['best_lift']:.2f} times the response at {default}:00"
        interval = f"90 % interval {best['best_lift_lo']:.2f} to {best['best_lift_hi']:.2f}"
        words = [f"the customer's best hour is {liked}:00 ({lift}, {interval})"]
    if json.loads(decision["trace"])["gates"]["quiet_hours"]["moved"]:
        words.append("quiet hours or law close it")
    elif decision["send_at_local"].hour != liked:
        words.append("it is full, or too early for the message")
    timezone, country = profile.select("timezone", "country").row(0)
    if timezone is None and country is None:
        words.append("neither time zone nor country is stated, so that the shop's clock counts")
    elif timezone is None:
        words.append("no time zone is stated, so that the hour has to be open in the whole country")
    when = f"{decision['send_at_local']:%Y-%m-%d %H:%M} local time ({decision['send_at']:%Y-%m-%d %H:%M} UTC)"
    return f"It goes out {when}: {'; '.join(words)}"
