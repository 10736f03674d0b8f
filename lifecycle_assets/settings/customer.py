"""Windows, weights, bins and thresholds of the customer tables."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Days, Group, Share
from lifecycle_assets.settings.clv import Clv
from lifecycle_assets.settings.identity import Identity


class LoyaltyWeights(Group):
    purchase_total: Annotated[float, Field(ge=0)] = 0.25
    visit_frequency: Annotated[float, Field(ge=0)] = 0.30
    avg_ticket: Annotated[float, Field(ge=0)] = 0.10
    product_diversity: Annotated[float, Field(ge=0)] = 0.15
    recency_days: Annotated[float, Field(ge=0)] = 0.20

    @model_validator(mode="after")
    def _some_weight(self) -> "LoyaltyWeights":
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("at least one loyalty weight must be above 0")
        return self


class LoyaltySegments(Group):
    """Lower bounds of the loyalty segments; below the last one a customer is At-Risk."""

    platinum: Share = 0.85
    gold: Share = 0.70
    silver: Share = 0.50
    bronze: Share = 0.30

    @model_validator(mode="after")
    def _descending(self) -> "LoyaltySegments":
        if not self.platinum > self.gold > self.silver > self.bronze:
            raise ValueError("loyalty thresholds must fall from platinum to bronze")
        return self


class Loyalty(Group):
    weights: LoyaltyWeights = LoyaltyWeights()
    segments: LoyaltySegments = LoyaltySegments()
    robust: bool = Field(True, description="scale between the 1st and 99th percentile and clip; false: plain min-max")


class Rfm(Group):
    bins: Annotated[int, Field(ge=2, le=10)] = 5
    loyal_share: Share = Field(0.30, description="top share of the non-champions by rfm_total")
    at_risk_share: Share = Field(0.20, description="bottom share of the non-champions by rfm_total")

    @model_validator(mode="after")
    def _shares_fit(self) -> "Rfm":
        if self.loyal_share + self.at_risk_share > 1:
            raise ValueError("loyal_share and at_risk_share together are more than 1")
        return self


class Stage(Group):
    new_days: Days = 30
    won_back_days: Days = 60
    at_risk_factor: Annotated[float, Field(gt=0)] = Field(1.5, description="times the expected gap")
    lapsed_factor: Annotated[float, Field(gt=0)] = Field(3.0, description="times the expected gap")
    at_risk_days: Days | None = Field(None, description="at risk after this many days at the latest")
    lapsed_days: Days | None = Field(None, description="lapsed after this many days at the latest")
    winback_max_days: Days = Field(365, description="beyond this a lapsed customer is cold")
    gap_prior_orders: Annotated[float, Field(ge=0)] = Field(
        3.0, description="gaps' worth of weight that the shop's median gap has against the customer's own"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Stage":
        if self.lapsed_factor < self.at_risk_factor:
            raise ValueError("lapsed_factor must not be below at_risk_factor")
        if self.at_risk_days is not None and self.lapsed_days is not None and self.lapsed_days < self.at_risk_days:
            raise ValueError("lapsed_days must not be below at_risk_days")
        return self


class ClvInputs(Group):
    include_first: bool = Field(False, description="average over all purchase days, the first one included")
    high_share: Share = Field(0.30, description="top share of the repeat customers by monetary_value")
    low_share: Share = Field(0.30, description="bottom share of the repeat customers by monetary_value")

    @model_validator(mode="after")
    def _shares_fit(self) -> "ClvInputs":
        if self.high_share + self.low_share > 1:
            raise ValueError("high_share and low_share together are more than 1")
        return self


class Churn(Group):
    business_type: Literal["ecommerce", "saas", "prepaid"] = Field(
        "ecommerce", description="ecommerce looks at purchases, saas at cancellations, prepaid at balances and top-ups"
    )
    window_days: Annotated[int, Field(ge=1)] = Field(
        90, description="ecommerce: churned after this many days without a purchase"
    )
    cancel_days: Annotated[int, Field(ge=1)] = Field(
        30, description="saas: a training label looks this many days past its snapshot for a cancellation"
    )
    cycle_days: Annotated[int, Field(ge=1)] = Field(
        30, description="prepaid: churned when the balance is used up and the last top-up this many days ago or more"
    )


class Nps(Group):
    question: str | None = Field(
        None, description="the recommend question as the input words it; default: found by its words, see features.nps"
    )


class Customer(Group):
    window_months: Annotated[int, Field(ge=1)] | None = Field(
        None, description="observation window of the metrics; customers, stages and dates are of all history"
    )
    identity: Identity = Identity()
    loyalty: Loyalty = Loyalty()
    rfm: Rfm = Rfm()
    stage: Stage = Stage()
    clv_inputs: ClvInputs = ClvInputs()
    churn: Churn = Churn()
    nps: Nps = Nps()
    clv: Clv = Clv()
