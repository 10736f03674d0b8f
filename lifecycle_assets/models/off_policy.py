"""What would a policy have earned on decisions that another one drew with known probabilities?

With R the reward of the arm taken, w = pi(taken) / pi_logged(taken), and q(a) the reward expected of arm a:

    IPS     mean of w R                                          Horvitz and Thompson, 1952
    SNIPS   sum of w R / sum of w                                Swaminathan and Joachims, NIPS 2015
    DR      mean of sum_a pi(a) q(a) + w (R - q(taken))          Dudik, Erhan, Langford and Li, Statistical Science 2014

q(a) = intercept + slope * (the value that was expected of a when it was decided), the line through the logged rewards of the
other customers (cross-fitting, five folds of customers). A line is all that is needed: since the probabilities add to one,
sum_a pi(a) q(a) follows from sum_a pi(a) expected(a), and the arms need not be kept.

Intervals are cluster-robust, with the customer as the cluster: the decisions of one customer are not independent of each other.
They hold for one look. Who looks every night until something shows needs `at_any_time`: the normal mixture of Robbins (1970),
an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 2024; for off-policy
values Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, 2022). With fewer than two customers there is no estimate.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle_assets.confidence import CONFIDENCE, Z

FOLDS = 5
# Decisions after which the confidence sequence may begin to speak; it is tightest at about eight times as many.
ENOUGH = 1000


@dataclass(frozen=True)
class Logged:
    """Decisions and what one policy makes of them; arrays with one value per decision. `customer` numbers the customers from
    0, `expected_taken` is the value expected of the arm taken, `expected` the one of the policy's arms on average."""

    customer: np.ndarray
    reward: np.ndarray
    expected_taken: np.ndarray
    expected: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, both per decision."""

    value: float
    error: float

    @property
    def lo(self) -> float:
        """Lower end of the interval that holds for one look."""
        return self.value - Z * self.error

    @property
    def hi(self) -> float:
        return self.value + Z * self.error

    def at_any_time(self, decisions: int, comparisons: int = 1) -> tuple[float, float]:
        """The ends of an interval that holds for all looks together, and for that many comparisons together."""
        wrong = (1 - CONFIDENCE) / comparisons
        clock = decisions / ENOUGH
        half = self.error * np.sqrt((1 + 1 / clock) * (np.log1p(clock) - 2 * np.log(wrong)))
        return self.value - half, self.value + half


def ips(log: Logged) -> Estimate:
    """Inverse propensity score estimate of the policy's value: unbiased, and wide."""
    return _mean(log.weight * log.reward, log.customer)


def snips(log: Logged) -> Estimate:
    """Self-normalised estimate: a little bias for less variance. Not a number where every weight is 0."""
    share = log.weight / log.weight.mean() if log.weight.any() else np.full_like(log.weight, np.nan)
    value = float((share * log.reward).mean())
    return Estimate(value, _error(share * (log.reward - value), log.customer))


def doubly_robust(log: Logged, clip: float = np.inf) -> Estimate:
    """Doubly robust estimate, with weights above `clip` set to it: biased then, the more the lower it is."""
    return _mean(_scores(log, clip), log.customer)


def gain(rival: Logged, other: Logged) -> Estimate:
    """Doubly robust estimate of what `rival` earns more than `other`; the same decisions in the same order."""
    return _mean(_scores(rival) - _scores(other), rival.customer)


def effective_size(weight: np.ndarray) -> float:
    """Number of equally weighted decisions that would say as much: (sum |w|)^2 / sum w^2 (Kish, 1965)."""
    squares = float((weight**2).sum())
    return float(np.abs(weight).sum()) ** 2 / squares if squares else 0.0


def _scores(log: Logged, clip: float = np.inf) -> np.ndarray:
    intercept, slope = _calibration(log)
    residual = log.reward - intercept - slope * log.expected_taken
    return intercept + slope * log.expected + np.minimum(log.weight, clip) * residual


def _calibration(log: Logged) -> tuple[np.ndarray, np.ndarray]:
    """Per decision the line through the rewards of the customers of all other folds; flat where they do not differ in what was
    expected."""
    fold = log.customer % FOLDS
    x, y = log.expected_taken, log.reward
    sums = np.stack([np.bincount(fold, values, FOLDS) for values in (np.ones_like(x), x, y, x * x, x * y)])
    n, sx, sy, sxx, sxy = sums.sum(axis=1, keepdims=True) - sums
    n = np.maximum(n, 1.0)
    spread = sxx - sx * sx / n
    differs = spread > 1e-9 * np.maximum(sxx, 1e-300)
    slope = np.where(differs, (sxy - sx * sy / n) / np.where(differs, spread, 1.0), 0.0)
    intercept = (sy - slope * sx) / n
    return intercept[fold], slope[fold]


def _mean(scores: np.ndarray, customer: np.ndarray) -> Estimate:
    value = float(scores.mean())
    return Estimate(value, _error(scores - value, customer))


def _error(deviations: np.ndarray, customer: np.ndarray) -> float:
    """Standard error of a mean of which these are the decisions' deviations, customers being independent of each other."""
    sums = np.bincount(customer, deviations)
    customers = int((np.bincount(customer) > 0).sum())
    return float(np.sqrt((sums**2).sum() * customers / (customers - 1)) / customer.size)
