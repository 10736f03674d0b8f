"""Was the treatment drawn at random, and if not: can treated and controls be compared?

A model tries to foretell from the features who was treated. If it ranks treated above controls in folds that it has not seen
(area under the ROC curve above .5, Mann-Whitney test at 1 %), the assignment depended on the features: each customer's
cross-fitted probability of being treated then weighs whatever is measured. Two diagnostics tell whether this can work: the
share of customers with a probability beyond .05 and .95, who have hardly anybody to be compared with (Crump, Hotz, Imbens and
Mitnik, "Dealing with limited overlap", 2009), and the effective sample size of the weights (Kish, 1965). The largest
standardised mean difference of a feature says how far apart the arms are (Austin, 2009: above .1 is notable). Weighting repairs
what the features tell; what else decided about the treatment stays in the effect.
"""

from dataclasses import dataclass

import numpy as np

NOT_RANDOM = 2.326
OVERLAP = (0.05, 0.95)
# Least effective sample, as a share of the customers, and most customers beyond OVERLAP.
LEAST_WEIGHT, MOST_BEYOND = 0.6, 0.02
# What cross-fitting adds to a standard error when there is nothing to find. Folds learn from each other, so that chance
# agreement of two of them counts twice: of K folds with scores linear in the others, each of the K (K - 1) / 2 pairs enters the
# sum twice, and the variance is double that of independent folds (see Wager, "Sequential validation of treatment
# heterogeneity", 2024).
CROSS_FITTED = float(np.sqrt(2))


@dataclass(frozen=True)
class Assignment:
    """`propensity` and `weight` are per customer: the probability of being treated, and one over the probability of the arm
    that the customer was in (1 when randomised). `furthest` is the feature (its position) with the largest difference."""

    randomised: bool
    auc: float
    propensity: np.ndarray
    weight: np.ndarray
    beyond_overlap: float
    effective_sample_size: float
    largest_difference: float
    furthest: int

    @property
    def is_comparable(self) -> bool:
        """Whether an interval of the effect means what it says: below these limits it held the truth too seldom in simulation,
        even where everything that decided about the treatment was known."""
        enough = self.effective_sample_size >= LEAST_WEIGHT * self.weight.size
        return self.randomised or (enough and self.beyond_overlap <= MOST_BEYOND)


def assignment(features: np.ndarray, treated: np.ndarray, foretold: np.ndarray, fold: np.ndarray) -> Assignment:
    """Judge an assignment by the cross-fitted probabilities `foretold` of being treated, per customer as the rest."""
    auc, error = _auc(treated, foretold, fold)
    randomised = auc - 0.5 <= NOT_RANDOM * error
    share = np.full(treated.size, treated.mean())
    propensity = share if randomised else np.clip(foretold, *OVERLAP)
    of_arm = np.where(treated == 1, propensity, 1 - propensity)
    weight = np.ones(treated.size) if randomised else 1 / of_arm
    beyond = 0.0 if randomised else float(((foretold < OVERLAP[0]) | (foretold > OVERLAP[1])).mean())
    differences = _standardised_differences(features, treated)
    return Assignment(
        randomised,
        auc,
        propensity,
        weight,
        beyond,
        float(weight.sum() ** 2 / (weight**2).sum()),
        float(differences.max()),
        int(differences.argmax()),
    )


def _auc(treated: np.ndarray, foretold: np.ndarray, fold: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve, the mean over the folds, and its standard error if treated and controls are alike, which allows
    for cross-fitting."""
    from scipy.stats import rankdata

    areas, variances = [], []
    for k in np.unique(fold):
        rows = fold == k
        ranks, is_treated = rankdata(foretold[rows]), treated[rows] == 1
        n, m = int(is_treated.sum()), int((~is_treated).sum())
        areas.append((ranks[is_treated].sum() - n * (n + 1) / 2) / (n * m))
        variances.append((n + m + 1) / (12 * n * m))
    return float(np.mean(areas)), float(CROSS_FITTED * np.sqrt(np.sum(variances)) / len(areas))


def _standardised_differences(features: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """Per feature: difference of the arms' means over their pooled standard deviation; missing values take the mean."""
    known = ~np.isnan(features)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, features, 0.0).sum(axis=0) / counts
    filled = np.where(known, features, means)
    arms = [filled[treated == arm] for arm in (0, 1)]
    spread = np.sqrt((arms[0].var(axis=0) + arms[1].var(axis=0)) / 2)
    apart = np.abs(arms[1].mean(axis=0) - arms[0].mean(axis=0))
    return np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)
