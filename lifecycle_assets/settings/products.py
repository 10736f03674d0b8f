"""Cross-sell, upsell and prices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lifecycle_assets.settings.base import Group, Share

AtLeastOne = Annotated[int, Field(ge=1)]


class CrossSell(Group):
    basket: Literal["order", "customer"] = Field("order", description="what is bought together: in one order, or ever")
    min_support: AtLeastOne = Field(20, description="baskets that a pair, and each item of it, needs")
    window_days: AtLeastOne | None = Field(365, description="baskets of the last this many days; null: of all history")
    symmetric: bool = Field(False, description="confidence is the mean of both directions")


class Plan(Group):
    name: Annotated[str, Field(min_length=1, description="as raw.subscriptions and raw.customers have it")]
    price: Annotated[float, Field(ge=0, description="price of a month")]
    unit_cost: Annotated[float, Field(ge=0)] | None = Field(None, description="what a month of it costs the shop")


class Upsell(Group):
    min_price_step: Annotated[float, Field(gt=0)] = Field(0.10, description="least rise in price, share of today's")
    max_price_step: Annotated[float, Field(gt=0)] = Field(0.60, description="largest rise in price, share of today's")
    per_customer: Annotated[int, Field(ge=1, le=3)] = Field(3, description="suggestions per customer at most")
    lookback_days: AtLeastOne = Field(365, description="bought or viewed within this many days")
    horizon_days: AtLeastOne = Field(90, description="days within which a move up counts as accepted")
    plan_ladders: tuple[tuple[Plan, ...], ...] = Field(
        (), description="the shop's plans, ladder by ladder, each from the least plan to the best"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Upsell":
        if self.max_price_step < self.min_price_step:
            raise ValueError("max_price_step must not be below min_price_step")
        names = [plan.name for ladder in self.plan_ladders for plan in ladder]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"plan_ladders: a plan has one place; more than one have {', '.join(twice)}")
        return self


class Prices(Group):
    optimize_for: Literal["profit", "revenue"] = Field("profit", description="what the best price brings most of")
    horizon_days: AtLeastOne = Field(28, description="days that expected units, revenue and profit are of")
    min_margin: Share = Field(0.10, description="least margin of an advised price, share of the price")
    candidates: dict[str, tuple[float, ...]] = Field(
        {}, description="prices to weigh, by product_id; other products get a grid around today's price"
    )
    max_move: Annotated[float, Field(gt=0, le=1)] = Field(
        0.20, description="largest move from today's price, as a share"
    )
    window_days: AtLeastOne = Field(730, description="history that demand is learnt from")
    max_products: AtLeastOne = Field(2000, description="products that get a price: those that sell for most")


class Recommendations(Group):
    k: Annotated[int, Field(ge=1, le=100)] = Field(10, description="items per customer")
    max_per_category: AtLeastOne = Field(3, description="items of one category per list at most")
    horizon_days: AtLeastOne = Field(28, description="days that a list is for; also those it is judged on")
    half_life_days: AtLeastOne = Field(90, description="days after which a purchase weighs half as much")
    rebuy_share: Share = Field(
        0.20, description="share of a product's buyers who came back that makes it replenishable"
    )
    factors: AtLeastOne = 50
    iterations: AtLeastOne = 30
    min_users: AtLeastOne = Field(75, description="users without whom nothing is learnt from who bought what")
    min_items: AtLeastOne = Field(50, description="items without which nothing is learnt from who bought what")
    min_interactions: AtLeastOne = Field(1500, description="pairs of user and item without which nothing is learnt")


class SimilarItems(Group):
    k: Annotated[int, Field(ge=1, le=100)] = Field(10, description="items per product")
    blend_cf: Share = Field(0.5, description="weight of who bought what; the rest is that of the texts")
    factors: AtLeastOne = 30
    iterations: AtLeastOne = 20
    min_buyers: AtLeastOne = Field(5, description="buyers below whom a product's factors say nothing")


class Products(Group):
    cross_sell: CrossSell = CrossSell()
    upsell: Upsell = Upsell()
    prices: Prices = Prices()
    recommendations: Recommendations = Recommendations()
    similar_items: SimilarItems = SimilarItems()
