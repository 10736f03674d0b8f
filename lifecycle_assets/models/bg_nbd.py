"""How often will a customer still buy, and are they still one? The BG/NBD model.

Fader, Hardie and Lee, "Counting your customers" the easy way, Marketing Science 2005. While alive a customer buys at random
at their own rate, gamma(r, alpha) over customers; after each purchase they leave for good with their own probability,
beta(a, b) over customers. So a customer who has bought once only is alive for certain: that is the model, not the data.
Given alive, the purchases of the next t days are the smaller of two independent numbers: those of a customer who never
leaves (negative binomial), and the purchase after which they leave (beta-geometric). From that follow the distribution
and, by Gauss-Jacobi quadrature over the leaving probability, the expectation: the published formula with 2F1 / (a - 1)
is the same number, but loses it when a is near 1 or frequencies are high. Few repeat customers: see btyd.
"""

# ruff: noqa: N803 - T is the models' own name of the time observed

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle_assets.models.btyd import (
    Fitted,
    Histories,
    Objective,
    Prior,
    expected,
    histories,
    levels,
    maximise,
    prior_for,
    time_scale,
)

# Between the fits of CDNOW (0.24, 0.13, 0.79, 2.4), a gift wholesaler (0.83, 0.31, 0.003, 6.7) and a grocer (1.4, 0.03,
# 0.18, 241); the spread of one standard deviation is a factor of 2.5 to 4.5.
POOLED = Prior(centre=(0.6, 0.12, 0.3, 5.0), spread=(0.9, 1.2, 1.5, 1.5))
STARTS = ((0.3, 0.2, 0.8, 2.5), (1.0, 0.5, 0.1, 1.0), (0.2, 0.05, 1.0, 10.0), (2.0, 2.0, 0.5, 0.5))
LEAVING_NODES = 64


@dataclass(frozen=True)
class BgNbd:
    """r and alpha (days) of the buying rate, a and b of the leaving probability, and how the fit ended."""

    r: float
    alpha: float
    a: float
    b: float
    fitted: Fitted

    @classmethod
    def fit(cls, frequency: np.ndarray, recency: np.ndarray, T: np.ndarray, *, prior: Prior | None = None) -> "BgNbd":
        """The model of these customers: repeat purchases, days from first to last purchase, days observed.

        Without `prior` the likelihood alone counts, the pooled prior with it below 100 repeat customers.
        """
        distinct = histories(frequency, recency, T)
        scale = time_scale(distinct)
        parameters, fitted = maximise(
            lambda rows: _log_likelihood(rows, scale),
            distinct,
            STARTS,
            prior_for(int(np.count_nonzero(frequency)), prior, POOLED),
        )
        r, alpha, a, b = parameters.tolist()
        return cls(r, alpha * scale, a, b, fitted)

    @property
    def origin(self) -> float:
        """Days before the first purchase from which the future is smooth in the logarithm of time."""
        return self.alpha

    def probability_alive(self, frequency: np.ndarray, recency: np.ndarray, T: np.ndarray) -> np.ndarray:
        """The probability that each customer has not left by T; 1 for frequency 0."""
        from scipy.special import expit

        left = np.log(self.a) - np.log(self.b + np.maximum(frequency, 1) - 1)
        left += (self.r + frequency) * np.log((self.alpha + T) / (self.alpha + recency))
        return np.where(frequency > 0, expit(-left), 1.0)

    def expected_purchases(
        self,
        frequency: np.ndarray,
        recency: np.ndarray,
        T: np.ndarray,
        days: Sequence[float],
    ) -> np.ndarray:
        """Expected purchases of each customer in the `days` after T: (customers, len(days))."""
        alive = self.probability_alive(frequency, recency, T)
        ahead = np.asarray(days, dtype=np.float64)
        return alive[:, None] * expected(
            lambda x, ages: self.expected_if_alive(x, ages, ahead), frequency, T, self.origin, ahead.size
        )

    def expected_if_alive(self, x: float, T: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Expected purchases in the `days` after T of customers with x repeat purchases, alive at T: (len(T), len(days)).

        The mean of (1 - exp(-rate p t)) / p over rate ~ gamma(r + x, alpha + T) and p ~ beta(a, b + x).
        """
        p, weight = _beta_nodes(self.a, self.b + x)
        ratio = np.asarray(days) / (self.alpha + T[:, None])
        return (-np.expm1(-(self.r + x) * np.log1p(ratio[..., None] * p)) / p) @ weight

    def at_least_if_alive(self, n: np.ndarray, x: float, T: np.ndarray, days: np.ndarray) -> np.ndarray:
        """The probability of n (1 or more) or more purchases in the `days` after T, alive at T: (len(T), len(days), len(n))."""
        from scipy.special import betainc, betaln

        share = np.asarray(days) / (self.alpha + T[:, None] + days)
        stays = np.exp(betaln(self.a, self.b + x + n - 1) - betaln(self.a, self.b + x))
        return betainc(n, self.r + x, share[..., None]) * stays


def _log_likelihood(distinct: Histories, scale: float) -> Objective:
    """The log-likelihood by the log parameters, of which alpha is in units of `scale` days."""
    from scipy.special import digamma, gammaln

    xs, which = levels(distinct.frequency)
    per_x = np.bincount(which, distinct.weight, minlength=xs.size)
    n = distinct.weight.sum()
    ages, age = levels(distinct.T / scale)
    per_age = np.bincount(age, distinct.weight, minlength=ages.size)
    bought_per_age = np.bincount(age, distinct.weight * distinct.frequency, minlength=ages.size)
    # Only those who bought again may have left.
    again = distinct.frequency > 0
    x, weight, which, age = distinct.frequency[again], distinct.weight[again], which[again], age[again]
    lasts, last = levels(distinct.recency[again] / scale)
    constant = -np.log(scale) * bought_per_age.sum()

    def log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        r, alpha, a, b = np.exp(theta)
        log_age, log_last = np.log(alpha + ages), np.log(alpha + lasts)
        since_last = log_age[age] - log_last[last]
        left = np.log(a / (b + np.maximum(xs, 1) - 1))[which] + (r + x) * since_last
        value = constant + per_x @ (gammaln(r + xs) - gammaln(r) + gammaln(b + xs) - gammaln(b))
        value += per_x @ (gammaln(a + b) - gammaln(a + b + xs))
        value += n * r * theta[1] - (r * per_age + bought_per_age) @ log_age + weight @ np.logaddexp(0.0, left)
        gone = weight / (1 + np.exp(-left))
        gone_x = gone * (r + x)
        by_r = per_x @ (digamma(r + xs) - digamma(r)) + n * theta[1] - per_age @ log_age + gone @ since_last
        by_alpha = n * r / alpha - (r * per_age + bought_per_age) @ (1 / (alpha + ages))
        by_alpha += np.bincount(age, gone_x, ages.size) @ (1 / (alpha + ages))
        by_alpha -= np.bincount(last, gone_x, lasts.size) @ (1 / (alpha + lasts))
        both = per_x @ (digamma(a + b) - digamma(a + b + xs))
        by_a = both + gone.sum() / a
        by_b = both + per_x @ (digamma(b + xs) - digamma(b))
        by_b -= np.bincount(which, gone, xs.size) @ (1 / (b + np.maximum(xs, 1) - 1))
        return float(value), np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])

    return log_likelihood


def _beta_nodes(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the mean over beta(a, b): Golub and Welsch, Calculation of Gauss quadrature rules, 1969."""
    from scipy.linalg import eigh_tridiagonal

    k = np.arange(1, LEAVING_NODES)
    c = 2 * k + a + b - 2
    # Of the middle of the recurrence for the first k the factor a + b - 1 cancels; it may be zero.
    inner = np.where(k == 1, 1.0, (k + a + b - 2) / np.where(k == 1, 1.0, c - 1))
    beside = np.sqrt(k * (k + a - 1) * (k + b - 1) / (c + 1) * inner) / c
    middle = np.empty(LEAVING_NODES)
    middle[0] = a / (a + b)
    middle[1:] = (1 + (a - b) * (a + b - 2) / (c * (c + 2))) / 2
    nodes, vectors = eigh_tridiagonal(middle, beside)
    return np.clip(nodes, 1e-300, 1.0), vectors[0] ** 2
