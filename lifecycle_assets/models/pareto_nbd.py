"""How often will a customer still buy, and are they still one? The Pareto/NBD model.

Schmittlein, Morrison and Colombo, Counting your customers, Management Science 1987. While alive a customer buys at random at
their own rate, gamma(r, alpha) over customers, and leaves for good after a time that is exponential at their own rate,
gamma(s, beta) over customers; unlike in the BG/NBD model those who bought once may have left as well. The likelihood's
integral over the time of leaving is computed by quadrature, and with it the exact gradient. Given alive, rates are again
gamma, so that expected purchases have a closed form, without singularity at s = 1; their distribution is a quadrature
over the time of leaving. Few repeat customers: see btyd.
"""

# ruff: noqa: N803, N806 - T is the models' own name of the time observed

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

# Between the fits of CDNOW (0.55, 0.32, 0.61, 0.36), a gift wholesaler (0.83, 0.31) and a grocer (1.5, 0.03), of which the
# latter two hardly lose customers in a year; the spread of one standard deviation is a factor of 2.5 to 4.5.
POOLED = Prior(centre=(0.7, 0.15, 0.6, 1.5), spread=(0.9, 1.2, 1.0, 1.5))
STARTS = ((0.7, 0.4, 0.6, 0.6), (1.0, 0.5, 1.0, 5.0), (0.3, 0.1, 0.3, 0.1), (2.0, 2.0, 2.0, 2.0))
LEFT_NODES = 32
LEAVING_NODES = 12


@dataclass(frozen=True)
class ParetoNbd:
    """r and alpha (days) of the buying rate, s and beta (days) of the leaving rate, and how the fit ended."""

    r: float
    alpha: float
    s: float
    beta: float
    fitted: Fitted

    @classmethod
    def fit(
        cls, frequency: np.ndarray, recency: np.ndarray, T: np.ndarray, *, prior: Prior | None = None
    ) -> "ParetoNbd":
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
        r, alpha, s, beta = parameters.tolist()
        return cls(r, alpha * scale, s, beta * scale, fitted)

    @property
    def origin(self) -> float:
        """Days before the first purchase from which the future is smooth in the logarithm of time."""
        return min(self.alpha, self.beta)

    def probability_alive(self, frequency: np.ndarray, recency: np.ndarray, T: np.ndarray) -> np.ndarray:
        """The probability that each customer has not left by T."""
        from scipy.special import expit

        return expit(-_left(frequency, recency, T, (self.r, self.alpha, self.s, self.beta), moments=False)[0])

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
        """Expected purchases in the `days` after T of customers with x repeat purchases, alive at T: (len(T), len(days))."""
        from scipy.special import exprel

        # The integral of (1 + t / (beta + T))^-s: exprel(z) = (e^z - 1) / z stays exact as s goes through 1.
        span = np.log1p(days / (self.beta + T[:, None]))
        staying = (self.beta + T[:, None]) * span * exprel((1 - self.s) * span)
        return (self.r + x) / (self.alpha + T[:, None]) * staying

    def at_least_if_alive(self, n: np.ndarray, x: float, T: np.ndarray, days: np.ndarray) -> np.ndarray:
        """The probability of n (1 or more) or more purchases in the `days` after T, alive at T: (len(T), len(days), len(n))."""
        from scipy.special import betainc

        nodes, weights = _legendre(LEAVING_NODES)
        start = self.beta + T[:, None]
        stays = np.exp(-self.s * np.log1p(days / start))
        probability = stays[..., None] * betainc(n, self.r + x, (days / (self.alpha + T[:, None] + days))[..., None])
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            # Those who leave within the days, by the quantile of their time of leaving.
            time = start * np.expm1(-np.log1p(-node * (1 - stays)) / self.s)
            bought = betainc(n, self.r + x, (time / (self.alpha + T[:, None] + time))[..., None])
            probability += weight * (1 - stays)[..., None] * bought
        return probability


def _log_likelihood(distinct: Histories, scale: float) -> Objective:
    """The log-likelihood by the log parameters, of which alpha and beta are in units of `scale` days."""
    from scipy.special import digamma, expit, gammaln

    x, recency, T, weight = distinct.frequency, distinct.recency / scale, distinct.T / scale, distinct.weight
    xs, which = levels(x)
    per_x = np.bincount(which, weight, minlength=xs.size)
    n, constant = weight.sum(), -np.log(scale) * (weight @ x)

    def log_likelihood(theta: np.ndarray) -> tuple[float, np.ndarray]:
        r, alpha, s, beta = np.exp(theta)
        odds, log_a, by_a, log_b, by_b = _left(x, recency, T, (r, alpha, s, beta), moments=True)
        log_a_end, log_b_end = np.log(alpha + T), np.log(beta + T)
        value = constant + per_x @ (gammaln(r + xs) - gammaln(r)) + n * (r * theta[1] + s * theta[3])
        value += weight @ (np.logaddexp(0.0, odds) - (r + x) * log_a_end - s * log_b_end)
        gone = weight * expit(odds)
        here = weight - gone
        by_r = per_x @ (digamma(r + xs) - digamma(r)) + n * theta[1] - here @ log_a_end - gone @ log_a
        by_alpha = n * r / alpha - here @ ((r + x) / (alpha + T)) - gone @ ((r + x) * by_a)
        by_s = n * theta[3] - here @ log_b_end + gone.sum() / s - gone @ log_b
        by_beta = n * s / beta - s * (here @ (1 / (beta + T))) - (s + 1) * (gone @ by_b)
        return float(value), np.array([by_r * r, by_alpha * alpha, by_s * s, by_beta * beta])

    return log_likelihood


def _left(
    frequency: np.ndarray,
    recency: np.ndarray,
    T: np.ndarray,
    parameters: tuple[float, float, float, float],
    *,
    moments: bool,
) -> np.ndarray:
    # Numba takes a third of a second to import.
    from lifecycle_assets.models.pareto_nbd_kernel import odds_of_having_left

    histories_ = (np.asarray(values, dtype=np.float64) for values in (frequency, recency, T))
    return odds_of_having_left(*histories_, parameters, *_legendre(LEFT_NODES), moments)


def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on 0..1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2
