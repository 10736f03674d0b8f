"""Customers with planted segments, as the tables that the segmentation reads."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.contracts import Contract
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.models.segmentation import LastNight, labels_of, points, score, segmentation_benchmark
from lifecycle_assets.models.segmentation_features import feature_matrix
from lifecycle_assets.models.segmentation_labels import segmentation_labels
from lifecycle_assets.settings import Segmentation

SHOP = "made"
AS_OF = dt.date(2024, 3, 1)
DEFAULTS: dict[str, dict[str, Any]] = {
    "features.customer_features": {
        "avg_ticket": 1.0,
        "product_diversity": 1,
        "recency_days": 10,
        "tenure_days": 100,
        "orders_30d": 0,
        "orders_90d": 0,
        "orders_365d": 0,
        "spend_90d": 0,
        "spend_prev_90d": 0,
        "loyalty_score": 0.5,
    }
}


def table(contract: Contract, as_of: dt.date = AS_OF, **columns: Any) -> pl.DataFrame:
    """The contract's table from some of its columns; what is not given is null, or a value of no importance."""
    given = pl.DataFrame(columns).with_columns(pl.lit(SHOP).alias("shop_id"), pl.lit(as_of).alias("as_of"))
    rest = {name: DEFAULTS.get(contract.name, {}).get(name) for name in contract.columns if name not in given.columns}
    return contract.conform(given.lazy().with_columns(pl.lit(v).alias(name) for name, v in rest.items())).collect()


def customers(values: np.ndarray, ids: list[str] | None = None, **columns: Any) -> pl.DataFrame:
    """features.customer_features of customers with these visits, spends and numbers of categories."""
    return table(
        CustomerFeatures,
        customer_id=ids or [f"c{i:05d}" for i in range(len(values))],
        visit_frequency=np.round(values[:, 0]).astype(int),
        purchase_total=pl.Series(np.round(values[:, 1], 2)).cast(pl.Decimal(18, 4)),
        category_diversity=np.round(values[:, 2]).astype(int),
        **columns,
    )


def planted(seed: int = 1, size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Four kinds of customers, well apart, in random order: their values and their kinds 0 .. 3 by spend."""
    rng = np.random.default_rng(seed)
    means = np.array([[5, 100, 2], [40, 900, 4], [8, 2500, 20], [60, 4000, 22]])
    kinds = np.repeat(np.arange(4), [2 * size, size, size, size // 2])
    values = means[kinds] + rng.normal(0, [1.5, 60, 0.8], (kinds.size, 3))
    shuffled = rng.permutation(kinds.size)
    return np.maximum(values, 1)[shuffled], kinds[shuffled]


def segmented(
    features: pl.DataFrame, settings: Segmentation, last: LastNight | None = None, as_of: dt.date = AS_OF
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The benchmark and the labels of a night."""
    matrix = feature_matrix(features.lazy(), settings)
    these = points(matrix, last)
    scored = pl.concat([score(family, these, SHOP, as_of, settings, 0) for family in settings.families])
    benchmark = segmentation_benchmark(scored, features.height, SHOP, as_of, settings)
    labels = labels_of(benchmark, these, SHOP, settings, 0)
    return benchmark, segmentation_labels(labels, these, matrix, SHOP, as_of, last)


def night(benchmark: pl.DataFrame, labels: pl.DataFrame) -> LastNight:
    as_of, family, parameter = benchmark.filter("chosen").select("as_of", "family", "parameter").row(0)
    return LastNight(as_of, family, parameter, labels.select("customer_id", "segment", "segment_id", "distance"))
