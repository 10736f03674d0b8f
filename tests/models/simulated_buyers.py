"""Customers with known truth: drawn as the buy-till-you-die models say, with their future."""

# ruff: noqa: N803, N806 - T is the models' own name of the time observed

from dataclasses import dataclass

import numpy as np

from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.pareto_nbd import ParetoNbd

DAYS_PER_MONTH = 30.4375
MONTHS = (6, 12, 36)


@dataclass(frozen=True)
class Buyers:
    """What is seen of each customer up to T, and what nobody sees: whether they are alive, and their future purchases, their
    value, plain and discounted, within each of MONTHS (columns)."""

    frequency: np.ndarray
    recency: np.ndarray
    T: np.ndarray
    monetary_value: np.ndarray
    alive: np.ndarray
    purchases: np.ndarray
    value: np.ndarray
    discounted: np.ndarray


def simulate_bg_nbd(
    model: BgNbd, spend: GammaGamma, n: int, rng: np.random.Generator, T: np.ndarray | None = None
) -> Buyers:
    """Purchase by purchase: after each one the customer leaves with their own probability."""
    T = rng.integers(30, 730, n).astype(float) if T is None else T
    rate, leaving = rng.gamma(model.r, 1 / model.alpha, n), rng.beta(model.a, model.b, n)
    return _buy(rate, np.full(n, np.inf), leaving, T, spend, rng)


def simulate_pareto_nbd(
    model: ParetoNbd, spend: GammaGamma, n: int, rng: np.random.Generator, T: np.ndarray | None = None
) -> Buyers:
    """Purchase by purchase: none after the customer's own time of leaving."""
    T = rng.integers(30, 730, n).astype(float) if T is None else T
    rate, leaving = rng.gamma(model.r, 1 / model.alpha, n), rng.gamma(model.s, 1 / model.beta, n)
    return _buy(rate, rng.exponential(1 / leaving), np.zeros(n), T, spend, rng)


def _buy(
    rate: np.ndarray,
    leaves_at: np.ndarray,
    leaving: np.ndarray,
    T: np.ndarray,
    spend: GammaGamma,
    rng: np.random.Generator,
) -> Buyers:
    n = T.size
    nu = rng.gamma(spend.q, 1 / spend.v, n)
    horizons = np.array(MONTHS) * DAYS_PER_MONTH
    frequency, recency, spent = np.zeros(n), np.zeros(n), np.zeros(n)
    purchases, value, discounted = (np.zeros((n, len(MONTHS))) for _ in range(3))
    alive = leaves_at > T
    time, going = np.zeros(n), np.arange(n)
    while going.size:
        time[going] += rng.exponential(1 / rate[going])
        going = going[time[going] <= np.minimum(leaves_at, T + horizons[-1])[going]]
        worth = rng.gamma(spend.p, 1 / nu[going])
        seen = time[going] <= T[going]
        past, future = going[seen], going[~seen]
        frequency[past] += 1
        recency[past] = time[past]
        spent[past] += worth[seen]
        within = (time[future] - T[future])[:, None] <= horizons
        month = np.ceil((time[future] - T[future]) / DAYS_PER_MONTH)
        purchases[future] += within
        value[future] += within * worth[~seen, None]
        discounted[future] += within * (worth[~seen] * 1.1 ** (-month / 12))[:, None]
        leaves = rng.random(going.size) < leaving[going]
        alive[going[leaves & seen]] = False
        going = going[~leaves]
    mean = spent / np.maximum(frequency, 1)
    return Buyers(frequency, recency, T, mean, alive, purchases, value, discounted)


def standard_errors(log_likelihood, log_parameters):
    """Of the log parameters, from the curvature of a log-likelihood that returns its value and gradient."""
    step = 1e-4 * np.eye(len(log_parameters))
    information = [(log_likelihood(log_parameters - h)[1] - log_likelihood(log_parameters + h)[1]) / 2e-4 for h in step]
    return np.sqrt(np.diag(np.linalg.inv(np.array(information))))
