"""What could be sent: the steps of the enabled programmes on enabled channels, and the best offer of a step for everyone.

A step that could be sent is called a lane here. Offers compete inside a lane by their score (see arbitration).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from lifecycle_assets.dispatch import rules
from lifecycle_assets.dispatch.arbitration import PARTS, worth
from lifecycle_assets.settings import Channel, ChannelName, Offer, Programme, Routing, Step


@dataclass(frozen=True)
class Lane:
    """One step of one programme; `first` and `final` among the steps whose channels are enabled."""

    name: str
    programme: Programme
    number: int
    step: Step
    channel: Channel
    first: bool
    final: bool


def lanes(routing: Routing) -> list[Lane]:
    """All that can be sent under the configuration, in its order: programme by programme, step by step."""
    found = []
    for name, programme in routing.programmes.items():
        if not programme.enabled:
            continue
        steps = [(n, s) for n, s in enumerate(programme.steps, 1) if routing.channels[s.channel].enabled]
        for position, (number, step) in enumerate(steps):
            channel = routing.channels[step.channel]
            last = position == len(steps) - 1
            found.append(Lane(name, programme, number, step, channel, first=position == 0, final=last))
    return found


def channels_in_use(routing: Routing) -> list[ChannelName]:
    """The channels that some lane sends on, sorted."""
    return sorted({lane.step.channel for lane in lanes(routing)})


def on_sale(offer: Offer, name: str, *, as_of: dt.date, used: Mapping[str, int]) -> bool:
    """Whether the offer can go out with tonight's messages, which are read on the day after as_of or later."""
    day = as_of + dt.timedelta(days=1)
    begun = offer.valid_from is None or offer.valid_from <= day
    over = offer.valid_until is not None and offer.valid_until < day
    used_up = offer.cap is not None and used.get(name, 0) >= offer.cap
    return begun and not over and not used_up


def with_best_offer(
    profiles: pl.LazyFrame, lane: Lane, routing: Routing, *, as_of: dt.date, used: Mapping[str, int], typical: float
) -> pl.LazyFrame:
    """The profiles with `offer_id` (null where none qualifies), `content_type`, `discount_pct`, the parts of the score,
    `score`, `margin_rate` and `expected_value` of the lane's best offer; of equal scores the one configured first wins.
    """
    kinds = {
        **dict.fromkeys(("offer_id", "content_type"), pl.String),
        **dict.fromkeys(("discount_pct", "margin_rate", *PARTS, "score", "expected_value"), pl.Float64),
    }
    frame = profiles.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in kinds.items())
    for name in lane.step.offers:
        offer = routing.offers[name]
        if not on_sale(offer, name, as_of=as_of, used=used):
            continue
        values = {
            "offer_id": pl.lit(name),
            "content_type": pl.lit(offer.content_type),
            **worth(offer, lane.step, lane.channel, routing, typical=typical),
        }
        qualifies = rules.expression(offer.when, routing.computed) if offer.when else pl.lit(value=True)
        better = qualifies & (pl.col("score").is_null() | (values["score"] > pl.col("score")))
        frame = frame.with_columns(better.alias("_better")).with_columns(
            pl.when("_better").then(values[column].cast(kind)).otherwise(column).alias(column)
            for column, kind in kinds.items()
        )
    return frame.drop("_better", strict=False)
