"""Which units of a product are to be expected on a day, given its price and what else is known?

Three candidates, all of expected units, all falling with the price or free to say how they do:

    elastic_net    per product, units log-linear in log price, competitor's price, promotion, market, trend, season, weekday
                   and holiday, by Poisson pseudo-likelihood, so that days without a sale count, with an elastic net on all
                   but the price
    xgboost        boosted trees over all products at once (Chen and Guestrin, 2016), monotone decreasing in the price
    random_forest  a forest of such trees, each on a sample of the rows (Breiman, 2001)

Trees begin where the elastic net ends: they correct its expectation, so that between and beyond the prices seen demand still
falls smoothly (steps alone would make the far end of every step look best). They know each product by its elasticity.
Rows are those of models.demand.product_days with `product`, the product's number from 0, products one after the other.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from lifecycle_assets.models.blocks import side_by_side

Predict = Callable[[pl.DataFrame], np.ndarray]

CANDIDATES = ["elastic_net", "xgboost", "random_forest"]
# Below this many rows of a product only price, competitor, promotion and market are told apart; a season needs most of a year.
RICH_ROWS = 60
SEASON_DAYS = 330
PENALTY = 0.02
LEVEL = 0.975
MONOTONE = {"relative_price": -1, "price_ratio": -1}
TREES = 100
# Products fitted in one go, a core each.
TOGETHER = 100


class Elasticities:
    """Log-linear regressions of demand, one per product: what each product's demand does when its price moves.

    `value` and `error` are each product's elasticity and its standard error, `critical` the multiple of the error that makes
    the half-width of a 95 % interval.
    """

    def __init__(self, rows: pl.DataFrame, penalty: float = 0.0) -> None:
        # Heavy, and most processes never fit a demand curve.
        from scipy import stats

        from lifecycle_assets.models import demand_kernel

        counts = rows.group_by("product", maintain_order=True).agg(n=pl.len())["n"].to_numpy()
        starts = np.concatenate([[0], np.cumsum(counts)])
        self._spans = _spans(rows)
        design, units = self._design(rows), rows["units"].to_numpy().astype(np.float64)
        parts = [starts[first : first + TOGETHER + 1] for first in range(0, max(counts.size, 1), TOGETHER)]
        fitted = side_by_side(lambda part: demand_kernel.fit_products(part, design, units, penalty), parts)
        self.coefficients, self._means, self._covariances, degrees = map(np.concatenate, zip(*fitted, strict=True))
        self.critical = stats.t.ppf(LEVEL, degrees)
        self.value = self.coefficients[:, 1]
        # No variance can be told where nothing tells the price from the rest.
        variance = self._covariances[:, 1, 1]
        self.error = np.sqrt(np.where(variance > 0, variance, np.inf))

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        """Expected units of each row, whatever the order of the rows."""
        product = rows["product"].to_numpy()
        away = self._away(rows)
        return np.exp(np.clip((away * self.coefficients[product]).sum(axis=1), -30, 30))

    def log_error(self, rows: pl.DataFrame) -> np.ndarray:
        """Standard error of the logarithm of each row's expected units."""
        product = rows["product"].to_numpy()
        away = self._away(rows)
        return np.sqrt(np.einsum("ij,ijk,ik->i", away, self._covariances[product], away, optimize=True).clip(0))

    def _away(self, rows: pl.DataFrame) -> np.ndarray:
        return self._design(rows) - self._means[rows["product"].to_numpy()]

    def _design(self, rows: pl.DataFrame) -> np.ndarray:
        known = rows.join(self._spans, on="product", how="left", maintain_order="left")
        angle = pl.col("date").dt.ordinal_day() * (2 * np.pi / 365.25)
        competitor = pl.col("competitor_price").log().fill_null(pl.col("mean_log_competitor")).fill_null(0.0)
        rich = [
            ((pl.col("date") - pl.col("last")).dt.total_days() / 365.25).alias("trend"),
            pl.when("has_season").then(angle.sin()).otherwise(0.0).alias("season_sin"),
            pl.when("has_season").then(angle.cos()).otherwise(0.0).alias("season_cos"),
            *((pl.col("date").dt.weekday() == day).cast(pl.Float64).alias(f"weekday_{day}") for day in range(1, 7)),
            pl.col("holiday"),
        ]
        columns = known.select(
            pl.lit(1.0).alias("one"),
            pl.col("price").log().alias("log_price"),
            competitor.alias("log_competitor"),
            pl.col("promotion").cast(pl.Float64),
            pl.col("market").log().alias("log_market"),
            *(pl.when("is_rich").then(column).otherwise(0.0) for column in rich),
        )
        return np.ascontiguousarray(columns.to_numpy())


def fit(name: str, rows: pl.DataFrame, base: Elasticities, seed: int) -> Predict:
    """The candidate `name` trained on `rows` (sorted by product and date): expected units of each row of a frame like it.
    `base` is the elastic net of the same rows, `Elasticities(rows, PENALTY)`."""
    return base.predict if name == "elastic_net" else _trees(name, rows, base, seed)


def _spans(rows: pl.DataFrame) -> pl.DataFrame:
    span = (pl.col("date").max() - pl.col("date").min()).dt.total_days()
    return rows.group_by("product", maintain_order=True).agg(
        is_rich=pl.len() >= RICH_ROWS,
        has_season=span >= SEASON_DAYS,
        last=pl.col("date").max(),
        mean_log_competitor=pl.col("competitor_price").log().mean(),
    )


def _trees(name: str, rows: pl.DataFrame, base: Elasticities, seed: int) -> Predict:
    import xgboost

    spans = rows.group_by("product", maintain_order=True).agg(
        mean_units=pl.col("units").mean().clip(1e-3),
        mean_log_price=pl.col("price").log().mean(),
        mean_stock=pl.col("inventory_level").mean(),
    ).with_columns(elasticity=base.value.clip(-5, 1))  # fmt: skip

    def matrix(frame: pl.DataFrame, *, with_units: bool) -> xgboost.DMatrix:
        known = frame.join(spans, on="product", how="left", maintain_order="left")
        features = known.select(
            relative_price=pl.col("price").log() - pl.col("mean_log_price"),
            price_ratio=pl.col("price") / pl.col("competitor_price"),
            promotion=pl.col("promotion").cast(pl.Float64),
            stock=pl.col("inventory_level") / pl.col("mean_stock"),
            market=pl.col("market"),
            holiday=pl.col("holiday"),
            weekday=pl.col("date").dt.weekday(),
            day_of_year=pl.col("date").dt.ordinal_day(),
            elasticity=pl.col("elasticity"),
        )
        return xgboost.DMatrix(
            features.cast(pl.Float32).to_numpy(),
            label=known["units"].to_numpy() if with_units else None,
            # Products count by their rows, not by their units.
            weight=(1 / known["mean_units"]).to_numpy(),
            base_margin=np.log(base.predict(frame)),
            feature_names=features.columns,
            nthread=1,
        )

    shape = {"num_parallel_tree": 1, "eta": 0.1, "max_depth": 4, "subsample": 1.0, "colsample_bynode": 1.0}
    if name == "random_forest":
        shape = {"num_parallel_tree": TREES, "eta": 1.0, "max_depth": 8, "subsample": 0.63, "colsample_bynode": 0.5}
    booster = xgboost.train(
        {
            "objective": "count:poisson",
            "tree_method": "hist",
            "max_bin": 64,
            "monotone_constraints": MONOTONE,
            "min_child_weight": 20,
            # One thread: sums of many would differ in their last digits from run to run.
            "nthread": 1,
            "seed": seed,
            **shape,
        },
        matrix(rows, with_units=True),
        num_boost_round=1 if name == "random_forest" else TREES,
    )
    return lambda frame: booster.predict(matrix(frame, with_units=False)).astype(np.float64)
