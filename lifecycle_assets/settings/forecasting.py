"""How revenue, units and cost are forecast."""

from typing import Annotated

from pydantic import Field

from lifecycle_assets.settings.base import Group

AtLeastOne = Annotated[int, Field(ge=1)]


class Forecasting(Group):
    months: AtLeastOne = Field(12, description="months ahead, for revenue and cost")
    budget_seconds: Annotated[float, Field(gt=0)] = Field(60, description="time that a night's race may take")
