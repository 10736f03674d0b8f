"""How revenue, units and cost are forecast."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group

AtLeastOne = Annotated[int, Field(ge=1)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Promotion(Group):
    """Days of a promotion, past or planned."""

    first: dt.date
    last: dt.date

    @model_validator(mode="after")
    def _ordered(self) -> "Promotion":
        if self.last < self.first:
            raise ValueError("a promotion must not end before it begins")
        return self


class Units(Group):
    months: AtLeastOne = Field(6, description="months ahead, for units")
    top_products: AtLeastOne = Field(500, description="products forecast each night: those of most revenue in a year")
    whole_catalogue_on: Weekday | None = Field(
        None, description="weekday (of as_of) on which all products of the last year are forecast; null: never"
    )


class Forecasting(Group):
    months: AtLeastOne = Field(12, description="months ahead, for revenue and cost")
    parts: AtLeastOne = Field(
        10, description="largest parts per dimension with a forecast of their own; the rest is `other`"
    )
    units: Units = Units()
    promotions: tuple[Promotion, ...] = Field((), description="promotions whose days are known, past and planned")
    budget_seconds: Annotated[float, Field(gt=0)] = Field(
        15, description="seconds that the slow candidates may take in a race, by what a fit usually costs"
    )
    retrain_days: AtLeastOne | None = Field(
        None, description="age at which the candidates race anew; default: by the tier, as scores.retrain_days"
    )
