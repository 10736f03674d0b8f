"""Who will buy in the next months, and for how much? Gradient boosting with a hurdle.

One model for the probability of any purchase, one for the value of those who bought (gamma deviance, so that means are
right), on point-in-time features of the orders; their product is the expected value (Mullahy, "Specification and testing of
some modified count data models", 1986). How the value of buyers spreads around its expectation is taken from data. With
fewer than MIN_CLASS buyers or non-buyers there is no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

MIN_CLASS = 50
NUMBERS = [
    "purchase_days",
    "recency_days",
    "tenure_days",
    "median_gap_days",
    "gap_cv",
    "avg_ticket",
    "purchase_total",
    "orders_30d",
    "orders_90d",
    "orders_365d",
    "spend_90d",
    "spend_prev_90d",
    "product_diversity",
    "category_diversity",
    "discount_share",
    "return_rate",
]
GROUPS = ["primary_category", "favourite_channel", "country"]
MOST_LEVELS = 30
SPREAD_POINTS = 199


@dataclass(frozen=True)
class ValueBoosting:
    """Two boosted models, the levels of the grouping columns that they know, and the quantiles of value / expected value
    among buyers."""

    buys: Any
    spends: Any
    levels: dict[str, list[str]]
    spread: np.ndarray

    @classmethod
    def fit(cls, customer_orders: pl.DataFrame, value: np.ndarray, seed: int) -> "ValueBoosting | None":
        """Learn the value of the months after a snapshot (currency; 0 for those who did not buy) from its
        customer_orders; None with too few buyers or non-buyers to learn from."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        bought = value > 0
        if min(bought.sum(), (~bought).sum()) < MIN_CLASS:
            return None
        levels = {
            name: customer_orders[name].drop_nulls().value_counts(sort=False)
            .sort("count", name, descending=[True, False])[name].head(MOST_LEVELS).to_list()
            for name in GROUPS
        }  # fmt: skip
        inputs = _matrix(customer_orders, levels)
        options: dict[str, Any] = {
            "learning_rate": 0.05,
            "max_iter": 300,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 40,
            "l2_regularization": 1.0,
            "early_stopping": True,
            "categorical_features": list(range(len(NUMBERS), inputs.shape[1])),
            "random_state": seed,
        }
        buys = HistGradientBoostingClassifier(**options).fit(inputs, bought)
        spends = HistGradientBoostingRegressor(loss="gamma", **options).fit(inputs[bought], value[bought])
        return cls(buys, spends, levels, _spread(spends.predict(inputs[bought]), value[bought]))

    def spread_of(self, spend: np.ndarray, value: np.ndarray) -> np.ndarray:
        """The quantiles of value / expected value among the buyers of rows that the model has not seen; its own where fewer
        than MIN_CLASS of them bought."""
        bought = value > 0
        return _spread(spend[bought], value[bought]) if bought.sum() >= MIN_CLASS else self.spread

    def predict(self, customer_orders: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Probability of buying, and the expected value of those who do, per row."""
        inputs = _matrix(customer_orders, self.levels)
        return self.buys.predict_proba(inputs)[:, 1], self.spends.predict(inputs)

    def quantile(self, probability: np.ndarray, spend: np.ndarray, share: np.ndarray | float) -> np.ndarray:
        """The value below which `share` of the outcomes lie; 0 where so many do not buy at all."""
        among_buyers = 1 - (1 - share) / np.maximum(probability, 1e-12)
        ratio = np.interp(among_buyers, _spread_levels(), self.spread)
        return np.where(among_buyers > 0, spend * ratio, 0.0)


def _spread(expected: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.quantile(value / expected, _spread_levels())


def _spread_levels() -> np.ndarray:
    return np.arange(1, SPREAD_POINTS + 1) / (SPREAD_POINTS + 1)


def _matrix(customer_orders: pl.DataFrame, levels: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Numbers as they are (null is missing), groups as the position among the known levels (an unknown one is missing)."""
    numbers = [pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in NUMBERS]
    groups = [
        pl.col(name).replace_strict(known, list(range(len(known))), default=None, return_dtype=pl.Float64)
        .fill_null(float("nan")).alias(name)
        for name, known in levels.items()
    ]  # fmt: skip
    return customer_orders.select(*numbers, *groups).to_numpy()
