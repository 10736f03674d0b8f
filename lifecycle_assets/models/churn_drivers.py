"""What drives churn, over all customers and at each stage of their lives?

The mean absolute SHAP value of every feature, on the log-odds: by how much it moves the prediction of a typical customer, up
or down. Of large shops MOST customers are looked at, drawn at random. Without a model the table is empty.
"""

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table, text
from lifecycle_assets.features.snapshot import Snapshot
from lifecycle_assets.models.champion import Champion
from lifecycle_assets.models.churn_features import features_at
from lifecycle_assets.settings import Churn

MOST = 50_000
EVERYONE = "all"


@table("models.churn_drivers")
class ChurnDrivers(dy.Schema):
    """How much every feature moves the churn probability, overall and by lifecycle stage."""

    shop_id = shop_key()
    as_of = as_of_column()
    stage = key("Stage of features.lifecycle_stage; `all` for all customers, `none` for those without a purchase.")
    feature = key("The feature: a column of features.customer_orders, features.customer_behaviour or of subscriptions.")
    rank = count("1 moves most within the stage.", "rank", minimum=1)
    mean_abs_shap = number("Mean absolute SHAP value.", "log-odds", minimum=0)
    share_of_all = share("Of the sum over all features.", nullable=True)
    customers = count("Customers looked at.", "customers", minimum=1)
    note = text("What to know about the model.")


def churn_drivers(
    tonight: Snapshot,
    churn_risk: pl.LazyFrame,
    lifecycle_stage: pl.LazyFrame,
    champion: Champion,
    settings: Churn,
    timezone: str,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Rows of the customers of `churn_risk`, ordered by stage and rank."""
    scored = churn_risk.select("shop_id", "as_of", "customer_id").sort("customer_id").collect()
    model = champion.model
    if model is None or scored.is_empty():
        return ChurnDrivers.empty()
    if scored.height > MOST:
        scored = scored[np.sort(rng.choice(scored.height, MOST, replace=False))]
    rows = (
        scored.join(lifecycle_stage.select("customer_id", "stage").collect(), on="customer_id", how="left")
        .with_columns(pl.col("stage").fill_null("none"))
        .join(features_at(tonight, settings, timezone)[0], on="customer_id", how="left")
        .sort("stage", "customer_id")
    )
    by_stage = pl.concat(
        model.importance(part).with_columns(pl.lit(stage).alias("stage"), pl.lit(part.height).alias("customers"))
        for (stage,), part in rows.group_by("stage", maintain_order=True)
    )
    whole = pl.col("mean_abs_shap") * pl.col("customers")
    overall = by_stage.group_by("feature", maintain_order=True).agg(
        (whole.sum() / pl.col("customers").sum()).alias("mean_abs_shap"),
        pl.lit(EVERYONE).alias("stage"),
        pl.col("customers").sum(),
    )
    size = pl.col("mean_abs_shap")
    total = size.sum().over("stage")
    return ChurnDrivers.conform(
        pl.concat([overall.select(by_stage.columns), by_stage])
        .lazy()
        .sort("stage", "mean_abs_shap", "feature", descending=[False, True, False])
        .with_columns(
            pl.lit(scored["shop_id"][0]).alias("shop_id"),
            pl.lit(scored["as_of"][0]).alias("as_of"),
            pl.int_range(1, pl.len() + 1).over("stage").alias("rank"),
            pl.when(total > 0).then(size / total).alias("share_of_all"),
            pl.lit(champion.note or None, dtype=pl.String).alias("note"),
        )
    ).collect()
