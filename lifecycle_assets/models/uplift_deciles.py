"""Do customers with a higher score really gain more from the treatment?

Customers in ten groups of equal size by their out-of-fold uplift_score, 1 with the lowest; equal scores are never parted.
Groups of fewer than LEAST customers, or LEAST_OF_ARM of an arm, are merged with the next one and bear the higher number. In
each: what was foretold, and what was seen with its 95 % interval: the difference of the response rates (Newcombe's interval,
see uplift_rates), or, where the treatment was not drawn at random, the mean of the doubly robust signal (see
uplift_learners.signal; the sorted group effects of Chernozhukov, Demirer, Duflo and Fernández-Val, 2018). A campaign that was
refused has no rows.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.confidence import Z
from lifecycle_assets.contracts import as_of_column, count, key, number, share, shop_key, table
from lifecycle_assets.models.uplift_learners import signal
from lifecycle_assets.models.uplift_rates import rate_difference
from lifecycle_assets.models.uplift_trial import Trial

GROUPS = 10
LEAST = 15
LEAST_OF_ARM = 5


@table("models.uplift_deciles", needs=("raw.campaign_assignments",))
class UpliftDeciles(dy.Schema):
    """What the treatment changed among the customers of each score decile of each campaign."""

    shop_id = shop_key()
    as_of = as_of_column()
    campaign_id = key("The campaign.")
    uplift_decile = dy.Int64(
        primary_key=True,
        min=1,
        max=GROUPS,
        description="1 lowest scores, 10 highest; merged ones bear the higher number.",
    )
    n_customers = count("Customers.", "customers")
    n_treated = count("Of these treated.", "customers")
    n_control = count("Of these controls.", "customers")
    treatment_cr = share("Responses per treated customer; null without any.", nullable=True)
    control_cr = share("Responses per control as observed; null without any.", nullable=True)
    predicted_uplift = number("Mean uplift_score.", "share")
    observed_uplift = number("Effect seen, allowing for who was treated and for contaminated controls.", "share")
    observed_lo = number("Lower end of its 95 % interval.", "share")
    observed_hi = number("Upper end of its 95 % interval.", "share")


@dataclass(frozen=True)
class Deciles:
    """The deciles that there are, in rising order, and the scores midway between neighbours."""

    numbers: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, score: np.ndarray, treated: np.ndarray) -> "Deciles":
        """Of at least one score; `treated` is 0 or 1."""
        from scipy.stats import rankdata

        place = np.minimum(((rankdata(score) - 0.5) / score.size * GROUPS).astype(np.int64), GROUPS - 1)
        arms = np.stack([np.bincount(place, weights=treated == arm, minlength=GROUPS) for arm in (0, 1)])
        ends, waiting = [], np.zeros(2)
        for group, sizes in enumerate(arms.T):
            waiting = waiting + sizes
            if sizes.sum() and waiting.sum() >= LEAST and waiting.min() >= LEAST_OF_ARM:
                ends.append(group)
                waiting = np.zeros(2)
        # What is left over at the top belongs to the last group.
        top = int(arms.sum(axis=0).nonzero()[0][-1])
        ends = [*ends[:-1], top]
        bounds = [(score[place <= end].max() + score[place > end].min()) / 2 for end in ends[:-1]]
        return cls(np.asarray(ends) + 1, np.asarray(bounds))

    def place(self, score: np.ndarray) -> np.ndarray:
        """The decile of each score, of these customers or of others."""
        return self.numbers[np.searchsorted(self.bounds, score)]


def decile_effects(trial: Trial) -> pl.DataFrame:
    """The columns of UpliftDeciles from uplift_decile on, one row per decile of a campaign."""
    arms, effect = trial.arms, trial.calibration.effect(trial.scores[trial.chosen])
    place = Deciles.of(effect, arms.treated).place(effect)
    seen = trial.dilution * signal(arms, trial.expected)
    return pl.DataFrame([_observed(trial, place == decile, effect, seen, int(decile)) for decile in np.unique(place)])


def _observed(trial: Trial, own: np.ndarray, effect: np.ndarray, seen: np.ndarray, decile: int) -> dict[str, object]:
    treated, control = (trial.arms.response[own & (trial.arms.treated == arm)] for arm in (1, 0))
    if trial.assigned.randomised and min(treated.size, control.size):
        observed, low, high = (trial.dilution * part for part in rate_difference(treated, control))
    else:
        observed = float(seen[own].mean())
        half = Z * float(seen[own].std(ddof=1)) / np.sqrt(own.sum()) if own.sum() > 1 else np.inf
        low, high = observed - half, observed + half
    return {
        "uplift_decile": decile,
        "n_customers": int(own.sum()),
        "n_treated": treated.size,
        "n_control": control.size,
        "treatment_cr": float(treated.mean()) if treated.size else None,
        "control_cr": float(control.mean()) if control.size else None,
        "predicted_uplift": float(effect[own].mean()),
        "observed_uplift": observed,
        "observed_lo": max(low, -1.0),
        "observed_hi": min(high, 1.0),
    }


def uplift_deciles(trials: Sequence[Trial], shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """One row per campaign and decile, sorted by them."""
    parts = [
        UpliftDeciles.conform(
            decile_effects(trial)
            .lazy()
            .with_columns(shop_id=pl.lit(shop_id), as_of=pl.lit(as_of), campaign_id=pl.lit(trial.campaign_id))
        ).collect()
        for trial in trials
    ]
    return pl.concat([UpliftDeciles.empty(), *parts]).sort("campaign_id", "uplift_decile")
