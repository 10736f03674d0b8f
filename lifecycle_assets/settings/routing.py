"""Channels, offers, programmes, contact rules and experiments, with what ships configured."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings import profile_fields
from lifecycle_assets.settings.base import Days, Group, Name, Share, laid_over, nearest
from lifecycle_assets.settings.rules import Rule, rule_problems

ChannelName = Literal["email", "whatsapp", "sms", "push", "in_app", "ads", "call", "postal"]
Hour = Annotated[int, Field(ge=0, le=23)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Cap(Group):
    """At most so many messages on so many consecutive days, the day of the new one included."""

    messages: Annotated[int, Field(ge=0)]
    days: Annotated[int, Field(ge=1)]


class Channel(Group):
    enabled: bool = False
    cost: Amount = Field(0.0, description="what one message costs, in the shop's currency")
    send_hour: Hour = Field(10, description="local hour at which messages go out on the day after as_of")
    quiet_hours: tuple[Hour, Hour] | None = Field(None, description="from, until: no message in these local hours")
    explicit_consent: bool = Field(False, description="consent must be on record; it can never be assumed")
    addressed_by: Literal["email", "phone", "customer_id"] = Field(
        "customer_id", description="what the sending tool needs; customer_id when it holds the addresses itself"
    )


class Offer(Group):
    """What a message offers; the shop's whole range of them competes for every customer."""

    name: str = Field(min_length=1)
    content_type: Name = Field(description="which message template tells it")
    category: str | None = Field(None, description="product category that it is about; relevant to its buyers first")
    discount_pct: Percent = 0.0
    priority: Annotated[int, Field(ge=1, le=10)] = Field(5, description="the operator's emphasis, 10 = highest")
    margin_rate: Share | None = Field(
        None, description="margin before discount; default: the customer's, else routing's"
    )
    business_value: Amount | None = Field(
        None, description="worth of one response; default: margin of an average order"
    )
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None
    cap: Annotated[int, Field(ge=0)] | None = Field(None, description="messages with it, over all nights")
    when: Rule | None = Field(None, description="who qualifies; default: everyone in the programme")


class Step(Group):
    """One message of a programme. The first step begins the journey, the later ones follow the message before."""

    channel: ChannelName
    offers: tuple[Name, ...] = Field(min_length=1)
    wait_days: Days = Field(0, description="days since the journey's last message")
    response_rate: Share = Field(description="prior: share of those reached who buy because of it")
    if_not_opened: bool = Field(False, description="only when the journey's last message was not opened")
    when: Rule | None = Field(None, description="who gets this step; default: everyone in the programme")


class Programme(Group):
    """A journey of one or more steps for the customers that a rule describes. A purchase ends it."""

    enabled: bool = True
    when: Rule = Field(description="who qualifies")
    recoverable: Rule | None = Field(None, description="whom it is worth winning back; the others are left in peace")
    steps: tuple[Step, ...] = Field(min_length=1)
    experiment: Name | None = Field(None, description="the experiment whose holdout gets nothing")
    cap: Cap | None = None
    cooldown_purchase_days: Days | None = Field(None, description="default: that of routing.contact")
    conflicts_with: tuple[Name, ...] = Field((), description="programmes whose running journey keeps this one waiting")
    active_days: Days = Field(14, description="a journey is running this long after its last message")


class Contact(Group):
    """How much contact is too much, over all programmes and channels."""

    cap: Cap = Cap(messages=4, days=7)
    fatigue: Cap = Field(Cap(messages=5, days=7), description="tired from this many messages on")
    fatigue_unopened: Cap = Field(Cap(messages=3, days=7), description="tired from this many on when none was opened")
    cooldown_purchase_days: Days = 3
    cooldown_complaint_days: Days = Field(14, description="after a support ticket was opened")
    throttle: Annotated[int, Field(ge=0)] | None = Field(None, description="messages per night over the whole shop")


class Ranking(Group):
    """Exponents of the score's parts, and what a part becomes where the customer and the offer do not match."""

    propensity: Amount = 1.0
    relevance: Amount = 1.0
    impact: Amount = 1.0
    emphasis: Amount = 1.0
    uplift: Amount = 1.0
    other_category: Share = 0.5
    other_channel: Share = 0.8


_CHANNELS: dict[str, dict[str, Any]] = {
    "email": {"enabled": True, "cost": 0.001, "quiet_hours": [21, 8], "addressed_by": "email"},
    "whatsapp": {"cost": 0.06, "quiet_hours": [20, 9], "explicit_consent": True, "addressed_by": "phone"},
    "sms": {"cost": 0.05, "quiet_hours": [20, 9], "explicit_consent": True, "addressed_by": "phone"},
    "push": {"quiet_hours": [22, 8]},
    "in_app": {},
    "ads": {"cost": 0.01},
    "call": {"cost": 4.0, "quiet_hours": [18, 9], "addressed_by": "phone"},
    "postal": {"cost": 1.0},
}

_OFFERS: dict[str, dict[str, Any]] = {
    "winback_10": {"name": "10 % off the next order", "content_type": "winback", "discount_pct": 10, "priority": 6},
    "welcome_hello": {"name": "Welcome and how to get the most of the shop", "content_type": "welcome"},
}

_PROGRAMMES: dict[str, dict[str, Any]] = {
    "winback": {
        "when": {
            "all": [
                {"field": "stage", "op": "==", "value": "lapsed"},
                {"field": "days_since_last_purchase", "op": "between", "value": [90, 365]},
            ]
        },
        "recoverable": {"field": "is_recoverable", "op": "==", "value": True},
        "experiment": "winback",
        "cap": {"messages": 3, "days": 30},
        "steps": [
            {"channel": "email", "offers": ["winback_10"], "response_rate": 0.02},
            {"channel": "sms", "offers": ["winback_10"], "response_rate": 0.03, "wait_days": 7, "if_not_opened": True},
            {"channel": "call", "offers": ["winback_10"], "response_rate": 0.08, "wait_days": 7},
        ],
    },
    "welcome": {
        "when": {"field": "stage", "op": "==", "value": "new"},
        "experiment": "welcome",
        "cooldown_purchase_days": 1,
        "steps": [{"channel": "email", "offers": ["welcome_hello"], "response_rate": 0.05}],
    },
}

_COMPUTED: dict[str, dict[str, Any]] = {
    "is_recoverable": {
        "all": [
            {"field": "visit_frequency", "op": ">=", "value": 3},
            {"field": "purchase_total", "op": ">=", "value": 50},
        ]
    },
}


class Routing(Group):
    """Who hears what, where, when. Channels, offers, programmes and computed fields given in a shop's file are laid over
    the shipped ones, key by key; `enabled: false` switches a shipped programme or channel off."""

    channels: dict[ChannelName, Channel]
    computed: dict[Name, Rule] = Field(description="fields that are true or false by a rule over the profile")
    offers: dict[Name, Offer]
    programmes: dict[Name, Programme]
    contact: Contact = Contact()
    ranking: Ranking = Ranking()
    margin_rate: Share = Field(0.30, description="margin of a sale where costs are unknown")
    assume_consent: tuple[ChannelName, ...] = Field(
        (), description="for demonstrations only: channels on which consent that is not stated counts as given"
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        shipped = {"channels": _CHANNELS, "offers": _OFFERS, "programmes": _PROGRAMMES}
        laid = {group: laid_over(defaults, data.get(group)) for group, defaults in shipped.items()}
        computed = data.get("computed", {})
        return {**data, **laid, "computed": {**_COMPUTED, **computed} if isinstance(computed, dict) else computed}

    @model_validator(mode="after")
    def _hangs_together(self) -> "Routing":
        problems = [*self._broken_rules(), *self._broken_references()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _broken_rules(self) -> Iterator[str]:
        profile: dict[str, str] = dict(profile_fields.kinds())
        for name, rule in self.computed.items():
            yield from rule_problems(rule, profile, f"computed {name}")
        known = {**profile, **dict.fromkeys(self.computed, "flag")}
        for name, offer in self.offers.items():
            if offer.when:
                yield from rule_problems(offer.when, known, f"offer {name}: when")
        for name, programme in self.programmes.items():
            yield from rule_problems(programme.when, known, f"programme {name}: when")
            if programme.recoverable:
                yield from rule_problems(programme.recoverable, known, f"programme {name}: recoverable")
            for number, step in enumerate(programme.steps, 1):
                if step.when:
                    yield from rule_problems(step.when, known, f"programme {name}, step {number}: when")

    def _broken_references(self) -> Iterator[str]:
        for name, programme in self.programmes.items():
            for number, step in enumerate(programme.steps, 1):
                for offer in step.offers:
                    if offer not in self.offers:
                        yield f"programme {name}, step {number}: no offer '{offer}'" + nearest(offer, self.offers)
            for other in programme.conflicts_with:
                if other not in self.programmes:
                    yield f"programme {name}: no programme '{other}' to conflict with" + nearest(other, self.programmes)
        for channel in self.assume_consent:
            if self.channels[channel].explicit_consent:
                yield f"assume_consent: {channel} needs explicit consent, which cannot be assumed"


class MessageTemplate(Group):
    """Jinja templates of one message; `first_name`, `shop`, `discount_pct`, `url` and `cta` may be used."""

    subject: str = ""
    text: str = Field(min_length=1)
    html: str = ""
    cta: str = ""


class Dispatch(Group):
    landing_url: str | None = Field(
        None, pattern="^https?://[^ ]+$", description="where a message's button leads; tracking parameters are added"
    )
    expiry_hours: Annotated[int, Field(ge=1)] = Field(24, description="a batch must not be sent later than this")
    templates: dict[str, MessageTemplate] = Field(
        {}, description="content_type.channel.language -> the shop's own text, e.g. winback.email.en"
    )


class Experiment(Group):
    holdout_share: Share = 0.15
    salt: str = Field("", description="change it to draw the arms anew; the experiment's name always counts as well")


class Measurement(Group):
    experiments: dict[Name, Experiment]

    @model_validator(mode="before")
    @classmethod
    def _over_the_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**data, "experiments": laid_over({"winback": {}, "welcome": {}}, data.get("experiments"))}
