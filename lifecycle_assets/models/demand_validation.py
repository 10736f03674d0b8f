"""Which demand model tells a product's sales best, and does it tell them at all?

The last quarter of each product's days is forecast by every candidate (models.demand_models) trained on the days before, and
judged by mean Poisson deviance, which the true expectation makes least. Trees take the place of the elastic net only when they
are better by more than one standard error (Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984). The
forecast to beat is the product's mean in training. A product without sales in its last quarter has no wape.
"""

import numpy as np
import polars as pl

from lifecycle_assets.models.blocks import side_by_side
from lifecycle_assets.models.demand_models import CANDIDATES, PENALTY, Elasticities, fit

TRAIN_SHARE = 0.75


def validated(days: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Per product: the algorithm chosen on its last quarter, its mape and wape, and whether it beats the mean demand."""
    first, last = pl.col("date").min().over("product"), pl.col("date").max().over("product")
    split = days.with_columns(is_train=pl.col("date") < first + (last - first) * TRAIN_SHARE)
    train, test = split.filter("is_train"), split.filter(~pl.col("is_train"))
    mean = test.join(
        train.group_by("product", maintain_order=True).agg(mean=pl.col("units").mean()),
        on="product",
        maintain_order="left",
        how="left",
    )
    base = Elasticities(train, PENALTY)
    expected = side_by_side(lambda name: pl.Series(name, fit(name, train, base, seed)(test)), CANDIDATES)
    test = test.with_columns(mean["mean"], *expected).with_columns(pl.col("mean", *CANDIDATES).clip(1e-6))
    losses = test.select(
        "product",
        "units",
        *(pl.col(name).alias(f"{name}_units") for name in CANDIDATES),
        *(_deviance(pl.col("units"), pl.col(name)).alias(name) for name in ("mean", *CANDIDATES)),
    )
    better = [pl.col(name) - pl.col("elastic_net") for name in CANDIDATES]
    scores = losses.group_by("product", maintain_order=True).agg(
        pl.col("mean", *CANDIDATES).mean(),
        *(
            (gap.mean() + gap.std().fill_null(np.inf) / pl.len().sqrt()).alias(f"{name}_bound")
            for name, gap in zip(CANDIDATES, better, strict=True)
        ),
        *((pl.col("units") - pl.col(f"{name}_units")).abs().sum().alias(f"{name}_error") for name in CANDIDATES),
        *(
            ((pl.col("units") - pl.col(f"{name}_units")).abs() / pl.col("units"))
            .filter(pl.col("units") > 0)
            .mean()
            .alias(f"{name}_mape")
            for name in CANDIDATES
        ),
        sold=pl.col("units").sum(),
    )
    trees = CANDIDATES[1:]
    eligible = [pl.when(pl.col(f"{name}_bound") < 0).then(pl.col(name)) for name in trees]
    least = pl.min_horizontal(eligible)
    algorithm = pl.coalesce(
        *(pl.when(loss == least).then(pl.lit(name)) for name, loss in zip(trees, eligible, strict=True)),
        pl.lit("elastic_net"),
    )
    return scores.with_columns(algorithm=algorithm).select(
        "product",
        "algorithm",
        mape=_of_chosen("mape"),
        wape=pl.when(pl.col("sold") > 0).then(_of_chosen("error") / pl.col("sold")),
        beats_mean=_of_chosen() < pl.col("mean"),
    )


def _deviance(units: pl.Expr, expected: pl.Expr) -> pl.Expr:
    return 2 * (pl.when(units > 0).then(units * (units / expected).log()).otherwise(0.0) - units + expected)


def _of_chosen(suffix: str = "") -> pl.Expr:
    columns = {name: f"{name}_{suffix}" if suffix else name for name in CANDIDATES}
    return pl.coalesce(pl.when(pl.col("algorithm") == name).then(pl.col(column)) for name, column in columns.items())
