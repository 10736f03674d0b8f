"""By how much does a campaign's treatment raise each customer's probability of responding, and whom is it for?

Customers of the campaign are scored by models that have not seen them, as of their assignment. Where uplift is used (see
uplift_trial), a model of all of them scores tonight's other customers. The score is an effect in probability: the raw one,
calibrated on the campaign's own customers. Its 95 % interval is of the mean effect among the customers of the same decile, as
seen in the campaign (see uplift_deciles), made wide enough to hold the score; it is no interval for one person's own effect,
which no data can show.

    persuadable    the interval lies above 0: respond because of the treatment
    sleeping_dog   the interval lies below 0: respond less because of it
    sure_thing     neither, and the response without treatment is the controls' mean or more
    lost_cause     neither, and it is less

Where no heterogeneity was found nothing tells who is moved: nobody is called persuadable or sleeping dog.
A campaign that was refused has no rows.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, flag, key, number, share, shop_key, table, text
from lifecycle_assets.models.uplift_deciles import GROUPS, Deciles, decile_effects
from lifecycle_assets.models.uplift_evaluation import control_rate
from lifecycle_assets.models.uplift_trial import Trial

SEGMENTS = ["persuadable", "sure_thing", "lost_cause", "sleeping_dog"]
UNUSED = "Uplift of this campaign is not used: see models.uplift_evaluation."


@table("models.uplift_scores", history=True, needs=("raw.campaign_assignments",))
class UpliftScores(dy.Schema):
    """The effect of each campaign's treatment on each customer: those of the campaign, and, where the scores proved better than
    a plain response model, tonight's other customers."""

    shop_id = shop_key()
    as_of = as_of_column()
    campaign_id = key("The campaign.")
    customer_id = key("The customer.")
    scored_as = text(
        "out_of_fold: in the campaign, by models that have not seen the customer, as of the assignment; tonight: not in it, by "
        "a model of all of its customers, as of as_of.",
        nullable=False,
        values=["out_of_fold", "tonight"],
    )
    uplift_score = number("Rise of the probability of a response by treatment.", "share")
    uplift_low = number(
        "Lower end of the 95 % interval of the mean effect in the customer's decile of the campaign, or the score where "
        "that is lower.",
        "share",
    )
    uplift_high = number("Upper end of that interval, or the score where that is higher.", "share")
    cate = number("The effect that routing uses: uplift_score where uplift is used, else null.", "share", nullable=True)
    baseline_response = share("Probability of a response without treatment.")
    uplift_decile = count("1 lowest .. 10 highest among the campaign's customers.", "decile", minimum=1, maximum=GROUPS)
    uplift_segment = text("Whom treatment is for.", nullable=False, values=SEGMENTS)
    is_used = flag("Whether routing may rely on it.")
    note = text("Why uplift is not used.")


def uplift_scores(
    trials: Sequence[Trial],
    customers: Mapping[str, pl.Series],
    tonight: Mapping[str, tuple[pl.Series, np.ndarray]],
    shop_id: str,
    as_of: dt.date,
) -> pl.DataFrame:
    """One row per campaign and customer, sorted by them. `customers` are those of each trial in its order, `tonight` the others
    with their features, for the campaigns whose uplift is used."""
    parts = [UpliftScores.empty()]
    for trial in trials:
        score = trial.scores[trial.chosen]
        parts.append(_scored(trial, customers[trial.campaign_id], score, trial.expected, "out_of_fold"))
        if trial.final:
            others, features = tonight[trial.campaign_id]
            made = trial.final.score(features), trial.final.expected(features)
            parts.append(_scored(trial, others, *made, "tonight"))
    return pl.concat(
        UpliftScores.conform(part.lazy().with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of))).collect()
        for part in parts
    ).sort("campaign_id", "customer_id")


def _scored(
    trial: Trial, customers: pl.Series, score: np.ndarray, expected: np.ndarray, scored_as: str
) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "customer_id": customers,
            "uplift_score": (effect := trial.calibration.effect(score)),
            "baseline_response": np.clip(expected[:, 1] - trial.dilution * (expected[:, 1] - expected[:, 0]), 0, 1),
            "uplift_decile": Deciles.of(trial.calibration.effect(trial.scores[trial.chosen]), trial.arms.treated).place(
                effect
            ),
        }
    ).join(decile_effects(trial), on="uplift_decile", how="left", maintain_order="left")
    low, high = pl.min_horizontal("uplift_score", "observed_lo"), pl.max_horizontal("uplift_score", "observed_hi")
    return rows.with_columns(
        campaign_id=pl.lit(trial.campaign_id),
        uplift_low=low,
        uplift_high=high,
        uplift_segment=pl.when(trial.is_heterogeneous & (low > 0))
        .then(pl.lit("persuadable"))
        .when(trial.is_heterogeneous & (high < 0))
        .then(pl.lit("sleeping_dog"))
        .when(pl.col("baseline_response") >= control_rate(trial))
        .then(pl.lit("sure_thing"))
        .otherwise(pl.lit("lost_cause")),
        scored_as=pl.lit(scored_as),
        cate=pl.when(trial.is_used).then("uplift_score"),
        is_used=pl.lit(trial.is_used),
        note=pl.lit(None if trial.is_used else UNUSED, dtype=pl.String),
    )
