"""The shop of a simulation: calendar, catalogue, prices, and how its customers are distributed.

season(day)     weekly and yearly intensity of buying, 1 on average
prices          a product is on promotion in one week of ten, at 20 % off; within a category a product is chosen with
                probability proportional to popularity * (price / list price) ** -elasticity
stock           a product is out of stock in one week of fifty and is not chosen then
"""

import datetime as dt
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator

CHANNELS = ("email", "sms", "push", "whatsapp")
CONTENTS = ("news", "offer", "advice", "reminder")
TIERS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
SEND_HOURS = tuple(range(8, 22))
CATEGORIES = (
    "bath", "bedding", "books", "garden", "kitchen", "lighting", "music", "office", "outdoor", "pets", "sports", "toys",
)  # fmt: skip
PER_CATEGORY = 40
PROMOTION_SHARE, PROMOTION_CUT = 0.10, 0.20
OUT_OF_STOCK = 0.02
ZONES = {"US": "America/New_York", "MX": "America/Mexico_City", "ES": "Europe/Madrid"}


def ids(prefix: str, number: np.ndarray, digits: int = 0) -> pl.Series:
    """The prefix and each number, filled up with zeros to so many digits."""
    return pl.select(pl.lit(prefix) + pl.Series(number).cast(pl.String).str.zfill(digits)).to_series()


@dataclass(frozen=True)
class World:
    """What a simulation is made of. Rates are per day; `joining` is the share of customers who are there on the first day,
    the others join evenly over the days of the past. `messages_per_month` is the past's random policy."""

    shop: str
    start: dt.date
    days: int
    customers: int
    seed: int = 0
    purchase_shape: float = 0.8
    purchase_scale: float = 40.0
    dropout_a: float = 0.9
    dropout_b: float = 9.0
    joining: float = 0.3
    messages_per_month: float = 2.0
    channel_kappa: float = 25.0
    weekly: float = 0.25
    yearly: float = 0.30
    countries: tuple[str, ...] = field(default=tuple(ZONES))

    @property
    def n_products(self) -> int:
        return len(CATEGORIES) * PER_CATEGORY

    def date(self, day: int) -> dt.date:
        return self.start + dt.timedelta(days=day)

    def day(self, date: dt.date) -> int:
        return (date - self.start).days

    def season(self, day: int) -> float:
        """Intensity of buying on that day: Saturdays and the weeks before Christmas are above 1."""
        date = self.date(day)
        week = np.cos(2 * np.pi * (date.weekday() - 5) / 7)
        year = np.cos(2 * np.pi * (date.timetuple().tm_yday - 345) / 365.25)
        return float((1 + self.weekly * week) * (1 + self.yearly * year))

    @cached_property
    def list_price(self) -> np.ndarray:
        rng = generator(self.shop, "simulator prices", self.seed)
        return np.round(np.exp(rng.normal(2.7, 0.6, self.n_products)), 2)

    @cached_property
    def unit_cost(self) -> np.ndarray:
        rng = generator(self.shop, "simulator costs", self.seed)
        return np.round(self.list_price * rng.uniform(0.35, 0.65, self.n_products), 2)

    @cached_property
    def elasticity(self) -> np.ndarray:
        """How strongly the choice of each product within its category answers to its own price; above 0."""
        return generator(self.shop, "simulator elasticities", self.seed).uniform(0.5, 3.5, self.n_products)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Weight of each product within its category at list price."""
        rng = generator(self.shop, "simulator popularity", self.seed)
        return (1 / np.arange(1, PER_CATEGORY + 1) ** 0.8)[
            rng.permuted(np.tile(np.arange(PER_CATEGORY), (12, 1)), axis=1)
        ].ravel()

    def prices(self, week: int) -> np.ndarray:
        """The price of every product in a week, counted from the first day."""
        promoted = generator(self.shop, f"simulator promotions of week {week}", self.seed).random(self.n_products)
        return np.round(self.list_price * np.where(promoted < PROMOTION_SHARE, 1 - PROMOTION_CUT, 1.0), 2)

    def stock(self, week: int) -> np.ndarray:
        """Units of every product at hand in a week."""
        rng = generator(self.shop, f"simulator stock of week {week}", self.seed)
        units = np.ceil(np.exp(rng.normal(4.0, 1.0, self.n_products)))
        return np.where(rng.random(self.n_products) < OUT_OF_STOCK, 0.0, units)

    def choice(self, week: int) -> np.ndarray:
        """categories x products of a category: the cumulative probability of choosing each, in a week."""
        weight = self.popularity * (self.prices(week) / self.list_price) ** -self.elasticity * (self.stock(week) > 0)
        share = weight.reshape(len(CATEGORIES), PER_CATEGORY)
        return np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)
