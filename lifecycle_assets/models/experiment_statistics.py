"""By how much do two arms differ, and how sure is it?

Everything is computed from moments per arm, so that a million customers are summed once. Outcomes are per customer.

difference      Welch 1947: unequal variances, Satterthwaite's degrees of freedom
relative        the difference over the control's mean, by the delta method
ratio           a ratio of two means (revenue per order) per arm, by the delta method (Deng, Knoblich & Lu 2018)
cuped           Deng, Xu, Kohavi & Walker 2013: less what the outcome of the time before explains
sequential      Robbins 1970, the normal mixture: holds at every look at once, however often one looks
mismatch        chi-squared test of the arms' sizes against their shares
false discovery Benjamini & Hochberg 1995
shrunk          effects of many experiments drawn towards their mean by how uncertain each is (Efron & Morris 1975, Gelman 2006)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, the 95 % interval and the two-sided p value against 0."""

    value: float
    error: float
    lo: float
    hi: float
    p: float


@dataclass(frozen=True)
class Arm:
    """Number of customers, and the means and covariance matrix of what was measured of each (columns of `values`)."""

    n: int
    means: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Arm":
        """Of customers x measures; an arm of fewer than two customers has a covariance of nan."""
        n, measures = values.shape
        if n < 2:
            return cls(n, np.full(measures, np.nan), np.full((measures, measures), np.nan))
        return cls(n, values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)))

    def variance_of_mean(self, measure: int) -> float:
        return float(self.covariance[measure, measure]) / self.n


def difference(treated: Arm, control: Arm, measure: int = 0) -> Estimate:
    """Mean of the treated less that of the control."""
    v1, v0 = treated.variance_of_mean(measure), control.variance_of_mean(measure)
    freedom = _satterthwaite(v1, treated.n, v0, control.n)
    return _estimate(float(treated.means[measure] - control.means[measure]), v1 + v0, freedom)


def relative(treated: Arm, control: Arm, measure: int = 0) -> Estimate | None:
    """The difference as a share of the control's mean; None where that mean is not clearly above 0."""
    m1, m0 = float(treated.means[measure]), float(control.means[measure])
    v1, v0 = treated.variance_of_mean(measure), control.variance_of_mean(measure)
    if not m0 > 2 * np.sqrt(v0):
        return None
    return _estimate(m1 / m0 - 1, v1 / m0**2 + v0 * m1**2 / m0**4, np.inf)


def ratio(treated: Arm, control: Arm, numerator: int, denominator: int) -> Estimate | None:
    """Difference of the arms' ratios of two means; None where an arm's denominator is 0."""
    if not (treated.means[denominator] > 0 and control.means[denominator] > 0):
        return None
    (r1, v1), (r0, v0) = (_ratio(arm, numerator, denominator) for arm in (treated, control))
    return _estimate(r1 - r0, v1 + v0, np.inf)


def cuped(treated: Arm, control: Arm, outcome: int, before: int) -> tuple[Estimate, float]:
    """The difference of `outcome` with what `before` explains taken off, and the share of variance that this saves."""
    n1, n0 = treated.n, control.n
    pooled = ((n1 - 1) * treated.covariance + (n0 - 1) * control.covariance) / (n1 + n0 - 2)
    theta = pooled[outcome, before] / pooled[before, before] if pooled[before, before] > 0 else 0.0

    def variance(arm: Arm) -> float:
        c = arm.covariance
        left = c[outcome, outcome] - 2 * theta * c[outcome, before] + theta**2 * c[before, before]
        return max(float(left), 0.0) / arm.n

    v1, v0 = variance(treated), variance(control)
    gap = treated.means - control.means
    plain = treated.variance_of_mean(outcome) + control.variance_of_mean(outcome)
    made = _estimate(float(gap[outcome] - theta * gap[before]), v1 + v0, _satterthwaite(v1, n1, v0, n0))
    return made, 1 - (v1 + v0) / plain if plain > 0 else 0.0


def sequential(value: float, variance: float, planned: float, alpha: float = ALPHA) -> tuple[float, float]:
    """The interval around `value` that holds at every look with probability 1 - alpha.

    `variance` is that of the value now, which grows as outcomes add up, `planned` the one it was expected to have at the end,
    fixed before the experiment began: there the interval is narrowest.
    """
    rho = planned / (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1)
    half = np.sqrt((variance + rho) * np.log((variance + rho) / (rho * alpha**2))) if rho > 0 else np.inf
    return float(value - half), float(value + half)


def power(error: float, effect: float) -> float:
    """Probability that an effect of this size would be told from 0 at 95 %, given the standard error."""
    from scipy.stats import norm

    z = norm.isf(ALPHA / 2)
    return float(norm.sf(z - effect / error) + norm.cdf(-z - effect / error)) if error > 0 else 0.0


def detectable(error: float, wanted: float = 0.8) -> float:
    """The smallest effect that would be told from 0 with probability `wanted`."""
    from scipy.stats import norm

    return float((norm.isf(ALPHA / 2) + norm.isf(1 - wanted)) * error)


def mismatch(sizes: Sequence[int], shares: Sequence[float]) -> float:
    """p value of the arms' sizes under their intended shares; below .001 something assigns, loses or counts wrongly."""
    from scipy.stats import chisquare

    counted, intended = np.asarray(sizes, float), np.asarray(shares, float)
    kept = intended > 0
    if counted[~kept].sum() > 0:
        return 0.0
    if counted.sum() == 0 or kept.sum() < 2:
        return 1.0
    return float(chisquare(counted[kept], counted.sum() * intended[kept] / intended[kept].sum()).pvalue)


def false_discovery(p: np.ndarray) -> np.ndarray:
    """The q value of each p value: what is called at q <= .05 is false in at most one of twenty cases on average."""
    order = np.argsort(p)
    ranked = p[order] * p.size / np.arange(1, p.size + 1)
    q = np.empty_like(ranked)
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def shrunk(values: np.ndarray, errors: np.ndarray, most: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors after drawing each towards the mean of all by its uncertainty, so that the winner of many is not
    overstated. The spread between the true values, `most` at most, is averaged over, weighed by its likelihood (Gelman 2006:
    uniform on the standard deviation). A single value stays."""
    if values.size < 2:
        return values, errors
    spreads = np.linspace(0, min(2 * (values.std() + errors.mean()), most), 201)[:, None]
    weight = 1 / (errors**2 + spreads**2)
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * values).sum(axis=1, keepdims=True) / total
    likelihood = (np.log(weight) - weight * (values - mean) ** 2).sum(axis=1) / 2 - np.log(total[:, 0]) / 2
    chance = np.exp(likelihood - likelihood.max())
    chance /= chance.sum()
    keep = spreads**2 * weight
    drawn = mean + keep * (values - mean)
    # The mean is itself estimated: what it adds to the error of a value drawn to it.
    variance = keep * errors**2 + (1 - keep) ** 2 / total
    middle = chance @ drawn
    return middle, np.sqrt(chance @ (variance + (drawn - middle) ** 2))


def _ratio(arm: Arm, top: int, bottom: int) -> tuple[float, float]:
    m, d, c = arm.means[top], arm.means[bottom], arm.covariance
    variance = c[top, top] / d**2 - 2 * m * c[top, bottom] / d**3 + m**2 * c[bottom, bottom] / d**4
    # Where every order is worth the same it is 0, but for rounding.
    return float(m / d), max(float(variance), 0.0) / arm.n


def _satterthwaite(v1: float, n1: int, v0: float, n0: int) -> float:
    below = v1**2 / (n1 - 1) + v0**2 / (n0 - 1)
    return (v1 + v0) ** 2 / below if below > 0 else np.inf


def _estimate(value: float, variance: float, freedom: float) -> Estimate:
    from scipy.stats import t

    error = float(np.sqrt(variance))
    half = float(t.isf(ALPHA / 2, freedom)) * error
    p = float(2 * t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    return Estimate(value, error, value - half, value + half, p)
