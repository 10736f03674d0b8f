"""Channels, offers, programmes, contact rules and experiments, with what ships configured."""

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings import profile_fields, shipped
from lifecycle_assets.settings.audiences import Audience
from lifecycle_assets.settings.base import Days, Group, Name, Share, laid_over, nearest
from lifecycle_assets.settings.delivery import Delivery
from lifecycle_assets.settings.destinations import DestinationName, Destinations
from lifecycle_assets.settings.posteriors import Posteriors
from lifecycle_assets.settings.rules import Rule, rule_problems

ChannelName = Literal["email", "whatsapp", "sms", "push", "in_app", "ads", "call", "postal"]
Hour = Annotated[int, Field(ge=0, le=23)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]
# What arms are called; no variant may be.
RESERVED = {"all", "holdout", "treatment"}


class Cap(Group):
    """At most so many messages on so many consecutive days, the day of the new one included."""

    messages: Annotated[int, Field(ge=0)]
    days: Annotated[int, Field(ge=1)]


class Channel(Group):
    enabled: bool = False
    cost: Amount = Field(0.0, description="what one message costs, in the shop's currency")
    send_hour: Hour = Field(10, description="local hour at which messages go out on the day after as_of")
    quiet_hours: tuple[Hour, Hour] | None = Field(None, description="from, until: no message in these local hours")
    per_hour: Annotated[int, Field(ge=0)] | None = Field(
        None, description="messages that the channel can send in an hour; what is beyond goes out in another hour"
    )
    explicit_consent: bool = Field(False, description="consent must be on record; it can never be assumed")
    addressed_by: Literal["email", "phone", "push_token", "customer_id"] = Field(
        "customer_id",
        description="what the sending tool needs; customer_id when it holds the addresses itself. push_token is read from "
        "a further column of that name in the customers' input",
    )
    destination: DestinationName = Field(
        "generic", description="the tool that the channel's batches are written for; generic files suit any"
    )
    needs_template: bool = Field(False, description="the network delivers messages by an approved template only")
    approved_templates: dict[Name, str] = Field(
        {}, description="content_type -> the approved template's name; other content does not go out here"
    )
    max_parts: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="parts of a text message: the first of 160 (GSM-7) or 70 (UCS-2) characters, of several 153 or 67",
    )
    max_subject: Annotated[int, Field(ge=1)] | None = Field(None, description="characters of a subject or title")
    max_body: Annotated[int, Field(ge=1)] | None = Field(None, description="characters of a text")

    def carries(self, content_type: str) -> bool:
        """Whether such content may go out here at all."""
        return not self.needs_template or content_type in self.approved_templates


class Offer(Group):
    """What a message offers; the shop's whole range of them competes for every customer."""

    name: str = Field(min_length=1)
    content_type: Name = Field(description="which message template tells it")
    category: str | None = Field(None, description="product category that it is about; relevant to its buyers first")
    discount_pct: Percent = 0.0
    code: str | None = Field(
        None, pattern="^[^ ]+$", description="what the customer enters to get it; told in the message"
    )
    valid_days: Days = Field(14, description="a discount is promised for so many days from the day of sending on")
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
    variant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*\.[a-z0-9][a-z0-9_]*$")] | None = Field(
        None, description="experiment.variant: only for those whom the experiment gave it; default: everyone"
    )


class Step(Group):
    """One message of a programme. The first step begins the journey, the later ones follow the message before."""

    channels: tuple[ChannelName, ...] = Field(min_length=1, description="those that compete for the message")
    offers: tuple[Name, ...] = Field(min_length=1)
    wait_days: Days = Field(0, description="days since the journey's last message")
    response_rate: Share = Field(description="prior: share of those reached who buy because of it")
    response_rates: dict[ChannelName, Share] = Field({}, description="the same for channels that differ from it")
    if_not_opened: bool = Field(False, description="only when the journey's last message was not opened")
    when: Rule | None = Field(None, description="who gets this step; default: everyone in the programme")

    def prior(self, channel: ChannelName) -> float:
        """The response rate on the channel before the shop has evidence of its own."""
        return self.response_rates.get(channel, self.response_rate)


class Programme(Group):
    """A journey of one or more steps for the customers that a rule describes. A purchase ends it, and so does the next
    event of its trigger: what was sent before belongs to another journey."""

    enabled: bool = True
    when: Rule = Field(description="who qualifies")
    trigger: profile_fields.Trigger | None = Field(None, description="the event that it answers; see dispatch.triggers")
    delay_hours: Amount = Field(0.0, description="hours from the trigger's event to the earliest sending")
    recoverable: Rule | None = Field(None, description="whom it is worth winning back; the others are left in peace")
    steps: tuple[Step, ...] = Field(min_length=1)
    is_service: bool = Field(
        False, description="tells what the customer waits for, so that a campaign's uplift says nothing of it"
    )
    experiment: Name | None = Field(None, description="the experiment whose holdout gets nothing")
    cap: Cap | None = None
    cooldown_purchase_days: Days | None = Field(None, description="default: that of routing.contact")
    conflicts_with: tuple[Name, ...] = Field((), description="programmes whose running journey keeps this one waiting")
    active_days: Days = Field(14, description="a journey is running this long after its last message")
    again_after_days: Annotated[int, Field(ge=1)] | None = Field(
        None, description="a new journey may begin so many days after the last message; default: not without its end"
    )


class Contact(Group):
    """How much contact is too much, over all programmes and channels."""

    cap: Cap = Cap(messages=4, days=7)
    fatigue: Cap = Field(Cap(messages=5, days=7), description="tired from this many messages on")
    fatigue_unopened: Cap = Field(Cap(messages=3, days=7), description="tired from this many on when none was opened")
    cooldown_purchase_days: Days = 3
    cooldown_complaint_days: Days = Field(14, description="after a support ticket was opened")
    throttle: Annotated[int, Field(ge=0)] | None = Field(None, description="messages per night over the whole shop")
    full_price_content: tuple[Name, ...] = Field(
        ("cross_sell", "upgrade", "vip"), description="content that is not sent at full price while a discount is open"
    )


class Ranking(Group):
    """A ranking profile: exponents of the score's parts, and what a part becomes where the customer and the offer do not
    match. Two profiles are two policies, which models.policy_evaluation compares."""

    propensity: Amount = 1.0
    relevance: Amount = 1.0
    impact: Amount = 1.0
    emphasis: Amount = 1.0
    uplift: Amount = 1.0
    other_category: Share = 0.5
    other_channel: Share = 0.8


class Exploration(Group):
    """How chance enters: of `share` of the customers each eligible arm gets eps, and the rest goes to the arm that is best
    under posterior draws; the others get the best by the posterior means."""

    share: Share = Field(0.2, description="share of the customers, drawn anew each night, for whom the policy explores")
    eps: Annotated[float, Field(ge=0, le=0.05)] = Field(0.02, description="least probability of each eligible arm")
    arms: Annotated[int, Field(ge=2, le=20)] = Field(8, description="eligible arms that compete, the best by score")
    draws: Annotated[int, Field(ge=16)] = Field(64, description="posterior draws behind each probability")


class Routing(Group):
    """Who hears what, where, when. Channels, offers, programmes and computed fields given in a shop's file are laid over
    the shipped ones, key by key; `enabled: false` switches a shipped programme or channel off."""

    channels: dict[ChannelName, Channel]
    computed: dict[Name, Rule] = Field(description="fields that are true or false by a rule over the profile")
    offers: dict[Name, Offer]
    programmes: dict[Name, Programme]
    contact: Contact = Contact()
    rankings: dict[Name, Ranking] = Field(description="ranking profiles")
    ranking: Name = Field("balanced", description="the ranking profile in force until a better one has proved itself")
    exploration: Exploration = Exploration()
    posteriors: Posteriors = Posteriors()
    margin_rate: Share = Field(0.30, description="margin of a sale where costs are unknown")
    assume_consent: tuple[ChannelName, ...] = Field(
        (), description="for demonstrations only: channels on which consent that is not stated counts as given"
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        groups = {
            "channels": shipped.CHANNELS,
            "offers": shipped.OFFERS,
            "programmes": shipped.PROGRAMMES,
            "rankings": shipped.RANKINGS,
        }
        laid = {group: laid_over(defaults, data.get(group)) for group, defaults in groups.items()}
        computed = data.get("computed", {})
        return {
            **data,
            **laid,
            "computed": {**shipped.COMPUTED, **computed} if isinstance(computed, dict) else computed,
        }

    @model_validator(mode="after")
    def _hangs_together(self) -> "Routing":
        problems = [*self._broken_rules(), *self._broken_references(), *self._broken_channels()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _broken_rules(self) -> Iterator[str]:
        profile: dict[str, str] = dict(profile_fields.kinds())
        for name, rule in self.computed.items():
            yield from rule_problems(rule, profile, f"computed {name}")
        known = self.fields()
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

    def fields(self) -> dict[str, str]:
        """The kind of every field that a rule may name."""
        return {**profile_fields.kinds(), **dict.fromkeys(self.computed, "flag")}

    def _broken_references(self) -> Iterator[str]:
        for name, programme in self.programmes.items():
            for number, step in enumerate(programme.steps, 1):
                for offer in step.offers:
                    if offer not in self.offers:
                        yield f"programme {name}, step {number}: no offer '{offer}'" + nearest(offer, self.offers)
                for channel in sorted(set(step.response_rates) - set(step.channels)):
                    yield f"programme {name}, step {number}: response_rates of {channel}, which is not among its channels"
            for other in programme.conflicts_with:
                if other not in self.programmes:
                    yield f"programme {name}: no programme '{other}' to conflict with" + nearest(other, self.programmes)
            if programme.delay_hours and programme.trigger is None:
                yield f"programme {name}: delay_hours counts from the event of a trigger, and it has none"
        if self.ranking not in self.rankings:
            yield f"ranking: no ranking profile '{self.ranking}'" + nearest(self.ranking, self.rankings)

    def _broken_channels(self) -> Iterator[str]:
        known = sorted({offer.content_type for offer in self.offers.values()})
        for name, channel in self.channels.items():
            for content in channel.approved_templates:
                if content not in known:
                    yield f"channel {name}: no offer has the content_type '{content}'" + nearest(content, known)
            if channel.enabled and channel.needs_template and not channel.approved_templates:
                yield f"channel {name} sends approved templates only: name them in approved_templates"
        for channel in self.assume_consent:
            if self.channels[channel].explicit_consent:
                yield f"assume_consent: {channel} needs explicit consent, which cannot be assumed"


class MessageTemplate(Group):
    """Jinja texts of one message. `first_name`, `shop`, `discount_pct`, `code`, `offer`, `products`, `language`, `url` and
    `cta` may be used. An e-mail without `html` is set into the shipped layout: greeting, text, products, button."""

    subject: str = ""
    text: str = Field(min_length=1)
    html: str = ""
    cta: str = ""
    products: str = Field(
        "", description="line above the recommended products of an e-mail; without it they are not shown"
    )
    parameters: tuple[str, ...] = Field((), description="values of a network's approved template, in its order")
    template_language: str = Field(
        "",
        description="the code under which the network holds its approved template, e.g. pt_BR; default: the language",
    )


class WritingModel(Group):
    """A language model that drafts messages, one per group of customers; it is told nothing of any customer. Its key is
    read from the environment: LIFECYCLE_WRITER_KEY."""

    url: str = Field(pattern="^https?://[^ ]+$", description="OpenAI-compatible, e.g. https://api.example/v1")
    model: str = Field(min_length=1, description="the model's name there")
    timeout_seconds: Annotated[float, Field(gt=0)] = Field(30, description="for each draft; the template serves then")


class Dispatch(Group):
    landing_url: str | None = Field(
        None, pattern="^https?://[^ ]+$", description="where a message's button leads; tracking parameters are added"
    )
    expiry_hours: Annotated[int, Field(ge=1)] = Field(24, description="a batch must not be sent later than this")
    approval: bool = Field(False, description="batches wait until a person releases them: lifecycle approve BATCH")
    delivery: Delivery = Delivery()
    destinations: Destinations = Destinations()
    templates: dict[str, MessageTemplate] = Field(
        {}, description="content_type.channel.language -> the shop's own text, e.g. winback.email.en"
    )
    writer: WritingModel | None = Field(None, description="a language model that drafts messages; off by default")
    audiences: dict[Name, Audience] = Field(
        description="lists of people at advertising tools, laid over the shipped ones key by key"
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**data, "audiences": laid_over(shipped.AUDIENCES, data.get("audiences"))}


class Experiment(Group):
    holdout_share: Share = 0.15
    salt: str = Field("", description="change it to draw the arms anew; the experiment's name always counts as well")
    variants: dict[Name, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {}, description="variant -> its share of the treated, e.g. {a: 0.5, b: 0.5}; offers name theirs in `variant`"
    )
    layer: Name | None = Field(None, description="of the experiments of a layer a customer is in one at most")
    traffic: tuple[Share, Share] = Field(
        (0.0, 1.0), description="from, until: the experiment's part of the layer's customers, e.g. [0, 0.4]"
    )

    @model_validator(mode="after")
    def _hangs_together(self) -> "Experiment":
        starts, ends = self.traffic
        if starts >= ends:
            raise ValueError(f"traffic {starts:g} to {ends:g} is nobody: the second number must be the higher one")
        if self.layer is None and self.traffic != (0.0, 1.0):
            raise ValueError("traffic is a part of a layer's customers: name the layer")
        if self.variants and (len(self.variants) < 2 or abs(sum(self.variants.values()) - 1) > 1e-9):
            told = f"{len(self.variants)} with {sum(self.variants.values()):g} in all"
            raise ValueError(f"variants: two or more are needed, whose shares add up to 1; there are {told}")
        if wrong := sorted(RESERVED & set(self.variants)):
            raise ValueError(f"variants: {', '.join(wrong)} is the name of an arm; choose another one")
        return self


class Measurement(Group):
    experiments: dict[Name, Experiment]
    worth_detecting: Annotated[float, Field(gt=0)] = Field(
        0.05, description="relative change of an experiment's metric that is worth finding; sets power and days to go"
    )
    attribution_days: dict[ChannelName, Days] = Field(
        description="an order so many days after a message of the channel, or fewer, may come from it"
    )

    @model_validator(mode="before")
    @classmethod
    def _over_the_shipped(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        groups = {"experiments": shipped.EXPERIMENTS, "attribution_days": shipped.ATTRIBUTION_DAYS}
        return {**data, **{group: laid_over(defaults, data.get(group)) for group, defaults in groups.items()}}

    @model_validator(mode="after")
    def _nobody_in_two(self) -> "Measurement":
        layers = sorted((e.layer, e.traffic, name) for name, e in self.experiments.items() if e.layer)
        for (layer, (_, ends), name), (other, (starts, _), later) in pairwise(layers):
            if layer == other and starts < ends:
                raise ValueError(f"experiments: {name} and {later} overlap in the layer {layer}: change their traffic")
        return self
