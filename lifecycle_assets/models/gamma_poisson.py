"""By how much does a unit respond more, or less, than was expected of it?

Counts y with expected counts e (both may be fractional) are Poisson(m * e), the multiplier m is Gamma(k, k) over units: 1 on
average. Then y is negative binomial, which gives k by maximum marginal likelihood, and m given y is Gamma(k + y, k + e), of
mean (k + y) / (k + e). What is expected holds the parent's multiplier already, so levels are chained: a child's multiplier
is the parent's times m.

A weak prior keeps k finite: log k ~ Normal(log 10, 1.5). With little data units are taken to differ by a third or so.
(Gelman et al., Bayesian Data Analysis, 2013, 2.6 and 5; Hilbe, Negative Binomial Regression, 2011, 8.)
"""

import numpy as np

from lifecycle_assets.models.blocks import of_blocks

# The standard normal quantile at 0.95: the ends of a 90 % interval.
Z90 = 1.644854
PRIOR_LOG_K, PRIOR_SPREAD = np.log(10.0), 1.5
LEAST_K, MOST_K = 0.05, 1e5
# Cells of counts within this ratio of each other are taken together in the fit.
CELL = 0.05
# What the prior of the dispersion within rows is worth: pairs of responses, as far as they tell of it.
PRIOR_PAIRS = 100.0


def dispersion(y: np.ndarray, expected: np.ndarray) -> float:
    """The shape k of the units' multipliers, of counts and expected counts of any one shape. Units without expectation say
    nothing; without any unit k is the prior's 10."""
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaln

    y, expected, weight = _cells(np.ravel(y), np.ravel(expected))

    def cost(log_k: float) -> float:
        k = np.exp(log_k)
        likelihood = gammaln(k + y) - gammaln(k) + k * log_k - (k + y) * np.log(k + expected)
        return float(0.5 * ((log_k - PRIOR_LOG_K) / PRIOR_SPREAD) ** 2 - weight @ likelihood)

    found = minimize_scalar(cost, bounds=(np.log(LEAST_K), np.log(MOST_K)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def dispersion_within(
    y: np.ndarray, y_squares: np.ndarray, expected: np.ndarray, expected_squares: np.ndarray
) -> float:
    """The shape k of the multipliers within rows (rows x cells), whatever the rows' levels, by moments of pairs of responses.

    Two responses of a row fall into one cell by chance; the more often beyond it, the more the multipliers differ. A response
    makes no pair with itself: the sums of squares over the single messages are taken off. Rows with less than two responses
    say nothing. (Compare Kleinman, JASA 68, 1973; pairs of distinct messages make it free of bias in short rows.)
    """

    def told(block: slice) -> tuple[float, float]:
        known = expected[block].sum(axis=1) ** 2 > expected_squares[block].sum(axis=1)
        own, sent = y[block][known], expected[block][known]
        all_pairs = np.maximum(own.sum(axis=1) ** 2 - y_squares[block][known].sum(axis=1), 0.0)
        hoped = sent**2 - expected_squares[block][known]
        chance = hoped / (sent.sum(axis=1) ** 2 - expected_squares[block][known].sum(axis=1))[:, None]
        share = sent / sent.sum(axis=1, keepdims=True)
        # Variance of the square of a cell's share per variance of the multipliers, which are relative to their average.
        effect = (chance * (1 - 2 * share + (share**2).sum(axis=1, keepdims=True))).sum(axis=1)
        beyond = (own**2 - y_squares[block][known]).sum() - all_pairs @ chance.sum(axis=1)
        return beyond, all_pairs @ effect

    beyond, worth = np.sum(of_blocks(told, len(y)), axis=0)
    variance = (beyond + PRIOR_PAIRS / np.exp(PRIOR_LOG_K)) / (worth + PRIOR_PAIRS)
    return float(np.clip(1 / max(variance, 1 / MOST_K), LEAST_K, MOST_K))


def gamma_interval(mean: np.ndarray, cv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 90 % interval of gamma distributions by their mean and coefficient of variation (Wilson and Hilferty, 1931)."""
    shape = 1 / np.maximum(cv, 1e-9) ** 2
    low, high = (mean * np.maximum(1 - 1 / (9 * shape) + z / (3 * np.sqrt(shape)), 0.0) ** 3 for z in (-Z90, Z90))
    return low, high


def _cells(y: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units of nearly equal counts taken together: their mean counts, and how many they are. They are as many as there are
    kinds of units, not units."""
    known = expected > 0
    y, expected = y[known], expected[known]
    step = np.log1p(CELL)
    cell = np.stack([np.round(np.log1p(10 * y) / step), np.round(np.log(expected) / step)], axis=1)
    _, which, weight = np.unique(cell, axis=0, return_inverse=True, return_counts=True)
    which = np.ravel(which)
    return np.bincount(which, y) / weight, np.bincount(which, expected) / weight, weight.astype(np.float64)
