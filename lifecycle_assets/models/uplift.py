"""What did the shop's campaigns change, for whom, and how sure is that? The four uplift tables from one pass.

Every campaign is learnt by itself, with random numbers of its own: what comes out of one does not depend on the others.
"""

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from lifecycle_assets.hashing import generator
from lifecycle_assets.models.uplift_curve import UpliftCurve, uplift_curve
from lifecycle_assets.models.uplift_deciles import UpliftDeciles, uplift_deciles
from lifecycle_assets.models.uplift_evaluation import Refusal, UpliftEvaluation, uplift_evaluation
from lifecycle_assets.models.uplift_rows import Encoding, with_features
from lifecycle_assets.models.uplift_scores import UpliftScores, uplift_scores
from lifecycle_assets.models.uplift_trial import Trial, trial
from lifecycle_assets.settings import Uplift

# Every fold needs some of each arm and of each response.
LEAST_OF_EACH = 10


class UpliftTables(NamedTuple):
    """The rows of UpliftEvaluation, UpliftCurve, UpliftDeciles and UpliftScores."""

    evaluation: pl.DataFrame
    curve: pl.DataFrame
    deciles: pl.DataFrame
    scores: pl.DataFrame


TABLES = (UpliftEvaluation, UpliftCurve, UpliftDeciles, UpliftScores)


def uplift(
    assigned: pl.DataFrame,
    snapshots: Mapping[dt.date, pl.DataFrame],
    customer_features: pl.LazyFrame,
    *,
    shop_id: str,
    as_of: dt.date,
    settings: Uplift,
    seed: int,
) -> UpliftTables:
    """The tables of the campaigns of `assigned` (see uplift_rows); `snapshots` holds the features as of each day of
    its column `known`, `customer_features` is tonight's table."""
    left_out = _left_out(assigned)
    rows = with_features(assigned.filter(pl.col("left_out").is_null()), snapshots)
    tonight = customer_features.collect()
    trials: list[Trial] = []
    refusals: list[Refusal] = []
    customers: dict[str, pl.Series] = {}
    others: dict[str, tuple[pl.Series, np.ndarray]] = {}
    names: dict[str, list[str]] = {}
    for campaign_id in assigned["campaign_id"].unique().sort().to_list():
        of_campaign = rows.filter(pl.col("campaign_id") == campaign_id)
        encoding = Encoding.of(of_campaign)
        if refusal := _refusal(campaign_id, of_campaign, encoding, settings.min_rows):
            refusals.append(refusal)
            continue
        learnt = trial(
            campaign_id,
            encoding.matrix(of_campaign),
            of_campaign["treatment"].to_numpy(),
            of_campaign["outcome"].to_numpy(),
            settings.contaminated_share.get(campaign_id, 0.0),
            generator(shop_id, f"{UpliftScores.name} {campaign_id}", seed),
        )
        trials.append(learnt)
        names[campaign_id] = encoding.features
        customers[campaign_id] = of_campaign["customer_id"]
        if learnt.is_used:
            rest = tonight.join(of_campaign, on="customer_id", how="anti").sort("customer_id")
            others[campaign_id] = rest["customer_id"], encoding.matrix(rest)
    return UpliftTables(
        uplift_evaluation(trials, refusals, left_out, names, shop_id, as_of),
        uplift_curve(trials, shop_id, as_of),
        uplift_deciles(trials, shop_id, as_of),
        uplift_scores(trials, customers, others, shop_id, as_of),
    )


def _refusal(campaign_id: str, rows: pl.DataFrame, encoding: Encoding, min_rows: int) -> Refusal | None:
    """Why the campaign can not be learnt from; None where it can."""
    treated, responded = int(rows["treatment"].sum()), int(rows["outcome"].sum())
    counts = {
        "treated customers": treated,
        "controls": rows.height - treated,
        "customers with a response": responded,
        "customers without one": rows.height - responded,
    }
    said = f"{rows.height} assigned customers: " + ", ".join(f"{n} {name}" for name, n in counts.items())
    if rows.height < min_rows or min(counts.values()) < LEAST_OF_EACH:
        reason = f"Refused. {said}; {min_rows} are needed, and {LEAST_OF_EACH} of each kind."
    elif not encoding.features:
        reason = f"Refused. {said}; nothing was known before the assignment that tells them apart."
    else:
        return None
    return Refusal(campaign_id, treated, rows.height - treated, reason)


def _left_out(assigned: pl.DataFrame) -> pl.DataFrame:
    """campaign_id and a sentence on who of the campaign was left out."""
    counted = assigned.drop_nulls("left_out").group_by("campaign_id", "left_out").len().sort("campaign_id", "left_out")
    return counted.group_by("campaign_id", maintain_order=True).agg(
        left_out=pl.format("Left out: {}.", pl.format("{} {}", "len", "left_out").str.join(", "))
    )
