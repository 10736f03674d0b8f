"""How customer lifetime value is forecast."""

from typing import Annotated

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group, Share


class Clv(Group):
    annual_discount_rate: Annotated[float, Field(ge=0, le=1)] = Field(0.10, description="for the discounted values")
    high_share: Share = Field(0.30, description="top share of all customers by the 12-month forecast: tier High")
    low_share: Share = Field(0.30, description="bottom share of all customers by the 12-month forecast: tier Low")
    raced_customers: Annotated[int, Field(ge=1_000)] = Field(
        100_000, description="the candidates are trained and compared on so many customers at most, drawn at random"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> "Clv":
        if self.high_share + self.low_share > 1:
            raise ValueError("high_share and low_share together are more than 1")
        return self
