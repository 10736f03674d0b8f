"""What drives churn, over all customers and in each segment?

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
    """How much every feature moves the churn probability, overall and by segment."""

    shop_id = shop_key()
    as_of = as_of_column()
    segment = key("Segment of models.segmentation_labels; `all` for all customers, `none` for those in no segment.")
    feature = key("The feature: a column of features.customer_orders, features.customer_behaviour or of subscriptions.")
    rank = count("1 moves most within the segment.", "rank", minimum=1)
    mean_abs_shap = number("Mean absolute SHAP value.", "log-odds", minimum=0)
    share_of_all = share("Of the sum over all features.", nullable=True)
    customers = count("Customers looked at.", "customers", minimum=1)
    note = text("What to know about the model.")


def churn_drivers(
    tonight: Snapshot,
    churn_risk: pl.LazyFrame,
    segmentation_labels: pl.LazyFrame,
    champion: Champion,
    settings: Churn,
    timezone: str,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Rows of the customers of `churn_risk`, ordered by segment and rank."""
    scored = churn_risk.select("shop_id", "as_of", "customer_id").sort("customer_id").collect()
    model = champion.model
    if model is None or scored.is_empty():
        return ChurnDrivers.empty()
    if scored.height > MOST:
        scored = scored[np.sort(rng.choice(scored.height, MOST, replace=False))]
    rows = (
        scored.join(segmentation_labels.select("customer_id", "segment").collect(), on="customer_id", how="left")
        # 0 is in no segment.
        .with_columns(pl.col("segment").replace(0, None).cast(pl.String).fill_null("none"))
        .join(features_at(tonight, settings, timezone)[0], on="customer_id", how="left")
        .sort("segment", "customer_id")
    )
    by_segment = pl.concat(
        model.importance(part).with_columns(pl.lit(segment).alias("segment"), pl.lit(part.height).alias("customers"))
        for (segment,), part in rows.group_by("segment", maintain_order=True)
    )
    whole = pl.col("mean_abs_shap") * pl.col("customers")
    overall = by_segment.group_by("feature", maintain_order=True).agg(
        (whole.sum() / pl.col("customers").sum()).alias("mean_abs_shap"),
        pl.lit(EVERYONE).alias("segment"),
        pl.col("customers").sum(),
    )
    size = pl.col("mean_abs_shap")
    total = size.sum().over("segment")
    return ChurnDrivers.conform(
        pl.concat([overall.select(by_segment.columns), by_segment])
        .lazy()
        .sort("segment", "mean_abs_shap", "feature", descending=[False, True, False])
        .with_columns(
            pl.lit(scored["shop_id"][0]).alias("shop_id"),
            pl.lit(scored["as_of"][0]).alias("as_of"),
            pl.int_range(1, pl.len() + 1).over("segment").alias("rank"),
            pl.when(total > 0).then(size / total).alias("share_of_all"),
            pl.lit(champion.note or None, dtype=pl.String).alias("note"),
        )
    ).collect()
