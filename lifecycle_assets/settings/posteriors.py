"""What the posteriors of response rest on."""

from typing import Annotated

from pydantic import Field

from lifecycle_assets.settings.base import Group, Share

Percent = Annotated[float, Field(ge=0, le=100)]


class Posteriors(Group):
    """Evidence of what customers respond to: how long it is waited for, how it ages, what the prior is worth."""

    response_days: Annotated[int, Field(ge=1, le=30)] = Field(
        3, description="a click or an order later than this after the message does not answer it"
    )
    half_life_days: Annotated[float, Field(gt=0)] = Field(90, description="evidence of this age counts half")
    preference_weight: Annotated[float, Field(ge=0)] = Field(
        5.0, description="prior responses that a stated preferred channel is worth"
    )
    prior_messages: Annotated[float, Field(gt=0)] = Field(
        200.0, description="messages that a step's configured response rate is worth against the shop's own evidence"
    )
    caused_share: Share = Field(
        0.5,
        description="share of the orders ascribed to messages that would not have come anyway, until a randomised campaign "
        "tells it",
    )
    lost_order_weight: Annotated[float, Field(ge=1)] = Field(
        3.0,
        description="an order that a message prevents counts as so many that it brings, since who was put off stays away",
    )
    discount_tiers: tuple[Percent, ...] = Field(
        (0, 5, 10, 15, 20, 25), min_length=1, description="discounts compared, in percent, ascending"
    )
    unsubscribe_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="what an unsubscribed customer costs, in currency; default: the margin of an average order"
    )
