"""How many more responses does a campaign win when it treats the customers with the highest scores first?

Definition. Customers are ranked by score, the highest first. Among the first customers let n_t, n_c be the treated and the
controls and r_t, r_c their responses, each weighed by one over the probability of its arm where the treatment was not
randomised; N_t counts all treated. Then, over the share of customers targeted,

    gain     (r_t - r_c n_t / n_c) / N_t                 responses won per treated customer of the campaign (Radcliffe, "Using
                                                         control groups to target on predicted lift", 2007)
    uplift   share * (r_t / n_t - r_c / n_c)             responses won per customer of the campaign (Gutierrez and Gérardy,
                                                         "Causal inference and uplift modelling", 2017)
    Qini     area under gain less the triangle under the straight line to its end, which a random order follows
    AUUC     area under uplift; half the average effect for a random order

Both curves are 0 until both arms have been seen, and straight within customers of equal scores, whose order means nothing.
Areas are of trapezoids. Contaminated controls hide a part of every effect: with a known share c of them gain, uplift and areas
are divided by 1 - c. Intervals are from resampled customers, with the scores as they are (Poisson bootstrap; Chamandy,
Muralidharan, Najmi and Naidu, "Estimating uncertainty for massive data streams", 2012).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, flag, key, number, share, shop_key, table

if TYPE_CHECKING:
    from lifecycle_assets.models.uplift_trial import Trial

RESAMPLES = 400
BLOCK = 50
STEPS = 100


@table("models.uplift_curve", needs=("raw.campaign_assignments",))
class UpliftCurve(dy.Schema):
    """The Qini curve of each campaign: what treating the best-ranked customers alone would win, for every candidate, and for a
    plain response model. Customers are ranked by score, the highest first; gain is (r_t - r_c n_t / n_c) / N_t with n_t, n_c
    the treated and controls among those targeted, r_t, r_c their responses and N_t all treated; uplift is the share targeted
    times (r_t / n_t - r_c / n_c)."""

    shop_id = shop_key()
    as_of = as_of_column()
    campaign_id = key("The campaign.")
    candidate = key("Whose scores rank the customers; response_model ranks them by their response when treated.")
    targeted_pct = dy.Int64(
        primary_key=True, min=0, max=STEPS, description="Customers targeted.", metadata={"unit": "percent"}
    )
    chosen = flag("The candidate whose scores are in models.uplift_scores.")
    gain = number("Responses won so far per treated customer of the campaign.", "responses")
    random_gain = number("The same in a random order: the straight line.", "responses")
    uplift = number("Responses won so far per customer of the campaign.", "responses")
    targeted_share = share("targeted_pct as a share.")


@dataclass(frozen=True)
class Ranking:
    """The order of the customers by score, the highest first, and where in it a group of equal scores ends."""

    order: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray) -> "Ranking":
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        return cls(order, np.append(ranked[1:] != ranked[:-1], True))


@dataclass(frozen=True)
class Responses:
    """What curves are made of, per customer: arm and response 0 or 1, and the weight."""

    treated: np.ndarray
    response: np.ndarray
    weight: np.ndarray


def areas(rankings: Sequence[Ranking], responses: Responses) -> np.ndarray:
    """Qini and AUUC (columns) of each ranking (rows), of the customers as they are."""
    return _areas(rankings, responses, np.ones((1, responses.treated.size), np.int64))[0]


def resampled_areas(rankings: Sequence[Ranking], responses: Responses, rng: np.random.Generator) -> np.ndarray:
    """The same for RESAMPLES resamples of the customers: resample x ranking x (Qini, AUUC)."""
    blocks = (rng.poisson(1.0, (BLOCK, responses.treated.size)) for _ in range(RESAMPLES // BLOCK))
    return np.concatenate([_areas(rankings, responses, times) for times in blocks])


def curve(ranking: Ranking, responses: Responses) -> np.ndarray:
    """Share targeted, gain and uplift (columns) at 0, 1 ... 100 % of the customers."""
    from lifecycle_assets.models import uplift_curve_kernel as kernel

    points = np.zeros((1 + int(ranking.ends.sum()), 3))
    once = np.ones(responses.treated.size, np.int64)
    kernel.gains(ranking.order, ranking.ends, responses.treated, responses.response, responses.weight, once, points[1:])
    targeted = np.arange(STEPS + 1) / STEPS
    return np.column_stack([targeted, *(np.interp(targeted, points[:, 0], points[:, k]) for k in (1, 2))])


def uplift_curve(trials: Sequence["Trial"], shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """One row per campaign, candidate (the response model with them) and percent, sorted by them."""
    parts = [UpliftCurve.empty()]
    for trial in trials:
        for name, ranking in trial.rankings.items():
            points = curve(ranking, trial.responses) * np.array([1, trial.dilution, trial.dilution])
            rows = pl.DataFrame(points, schema=["targeted_share", "gain", "uplift"]).with_columns(
                shop_id=pl.lit(shop_id),
                as_of=pl.lit(as_of),
                campaign_id=pl.lit(trial.campaign_id),
                candidate=pl.lit(name),
                targeted_pct=pl.int_range(STEPS + 1),
                chosen=pl.lit(name == trial.chosen),
                random_gain=pl.col("gain").last() * pl.col("targeted_share"),
            )
            parts.append(UpliftCurve.conform(rows.lazy()).collect())
    return pl.concat(parts).sort("campaign_id", "candidate", "targeted_pct")


def _areas(rankings: Sequence[Ranking], responses: Responses, times: np.ndarray) -> np.ndarray:
    from lifecycle_assets.models import uplift_curve_kernel as kernel

    return np.stack(
        [
            kernel.areas(ranking.order, ranking.ends, responses.treated, responses.response, responses.weight, times)
            for ranking in rankings
        ],
        axis=1,
    )
