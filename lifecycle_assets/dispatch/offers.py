"""What could be sent: the steps of the enabled programmes on their enabled channels, each with each of its offers.

A step on one channel is a lane, a lane with an offer is an arm, written `programme/step/channel/offer`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle_assets.settings import Channel, ChannelName, Offer, Programme, Routing, Step


@dataclass(frozen=True)
class Lane:
    """One step of one programme on one of its channels; `first` and `final` among the steps with an enabled channel."""

    name: str
    programme: Programme
    number: int
    step: Step
    channel_name: ChannelName
    channel: Channel
    first: bool
    final: bool


@dataclass(frozen=True)
class Arm:
    """One message that could be sent: an offer in a lane."""

    lane: Lane
    offer_name: str
    offer: Offer

    @property
    def name(self) -> str:
        return f"{self.lane.name}/{self.lane.number}/{self.lane.channel_name}/{self.offer_name}"


def lanes(routing: Routing) -> list[Lane]:
    """All that can be sent under the configuration, in its order: by programme, step and channel."""
    found = []
    for name, programme in routing.programmes.items():
        if not programme.enabled:
            continue
        steps = [
            (number, step, enabled)
            for number, step in enumerate(programme.steps, 1)
            if (enabled := [name for name in step.channels if _carries_any(routing.channels[name], step, routing)])
        ]
        for position, (number, step, enabled) in enumerate(steps):
            last = position == len(steps) - 1
            found += [
                Lane(name, programme, number, step, on, routing.channels[on], first=position == 0, final=last)
                for on in enabled
            ]
    return found


def channels_in_use(routing: Routing) -> list[ChannelName]:
    """The channels that some lane sends on, sorted."""
    return sorted({lane.channel_name for lane in lanes(routing)})


def arms(routing: Routing, *, as_of: dt.date, used: Mapping[str, int]) -> list[Arm]:
    """Every lane with each of its offers that is on sale, in the order of the configuration."""
    return [
        Arm(lane, name, routing.offers[name])
        for lane in lanes(routing)
        for name in lane.step.offers
        if lane.channel.carries(routing.offers[name].content_type)
        and on_sale(routing.offers[name], name, as_of=as_of, used=used)
    ]


def _carries_any(channel: Channel, step: Step, routing: Routing) -> bool:
    return channel.enabled and any(channel.carries(routing.offers[name].content_type) for name in step.offers)


def on_sale(offer: Offer, name: str, *, as_of: dt.date, used: Mapping[str, int]) -> bool:
    """Whether the offer can go out with tonight's messages, which are read on the day after as_of or later."""
    day = as_of + dt.timedelta(days=1)
    begun = offer.valid_from is None or offer.valid_from <= day
    over = offer.valid_until is not None and offer.valid_until < day
    used_up = offer.cap is not None and used.get(name, 0) >= offer.cap
    return begun and not over and not used_up
