"""What are customers told apart by: one row of scaled numbers per customer.

Each configured feature as a number: by z-score (mean and standard deviation, the default), robustly (median and
interquartile range) or as it is. An unknown value takes the feature's median, 0 when it is known of nobody. A feature that
is the same for everyone tells nobody apart and becomes 0. `one_hot_top` adds the most frequent primary categories as 0 or 1,
unscaled: by z-score a rare category would outweigh everything else.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from lifecycle_assets.features.quantiles import quantiles
from lifecycle_assets.settings import Segmentation


@dataclass(frozen=True)
class Features:
    """`original` and `scaled` have a row per customer and a column per name; scaled = (original - center) / scale. `spend` is
    the purchase_total of each customer, whether it is a feature or not."""

    customers: pl.Series
    spend: np.ndarray
    names: list[str]
    original: np.ndarray
    scaled: np.ndarray
    center: np.ndarray
    scale: np.ndarray


def feature_matrix(customer_features: pl.LazyFrame, settings: Segmentation) -> Features:
    """The numbers of each row of features.customer_features, ordered by customer_id.

    A number depends on the customers' values alone, to the last bit, never on their order. Without customers the arrays
    have no rows.
    """
    frame = (
        customer_features.select(
            "customer_id",
            "primary_category",
            pl.col("purchase_total").cast(pl.Float64).alias("spend"),
            *(pl.col(name).cast(pl.Float64) for name in settings.features),
        )
        .sort("customer_id")
        .collect()
    )
    columns = [_filled(frame[name]) for name in settings.features]
    categories = _top_categories(frame["primary_category"], settings.one_hot_top)
    flags = [
        (frame["primary_category"] == name).fill_null(value=False).cast(pl.Float64).to_numpy() for name in categories
    ]
    original = np.column_stack([*columns, *flags])
    fits = [_center_and_scale(column, settings.scaling) for column in columns]
    center, scale = np.array([*fits, *[(0.0, 1.0)] * len(flags)]).T
    return Features(
        customers=frame["customer_id"],
        spend=frame["spend"].to_numpy(),
        names=[*settings.features, *(f"category: {name}" for name in categories)],
        original=original,
        scaled=(original - center) / scale,
        center=center,
        scale=scale,
    )


def _filled(values: pl.Series) -> np.ndarray:
    median = values.median()
    return values.fill_null(0.0 if median is None else median).to_numpy()


def _top_categories(categories: pl.Series, top: int) -> list[str]:
    counts = categories.drop_nulls().value_counts(name="n")
    return counts.sort(["n", categories.name], descending=[True, False])[categories.name].head(top).to_list()


def _center_and_scale(values: np.ndarray, scaling: str) -> tuple[float, float]:
    if scaling == "none" or not values.size:
        return 0.0, 1.0
    # Sums of floats depend on the order of what is added.
    ordered = np.sort(values)
    if ordered[0] == ordered[-1]:
        return float(ordered[0]), 1.0
    if scaling == "robust":
        lower, middle, upper = quantiles(ordered, [0.25, 0.5, 0.75]).tolist()
        # Half of the customers or more have one value: the spread of all is the next best.
        return middle, upper - lower if upper > lower else float(ordered.std())
    return float(ordered.mean()), float(ordered.std())
