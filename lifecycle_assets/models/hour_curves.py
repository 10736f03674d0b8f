"""Which curve over the hours of the day does each customer's response follow?

A curve tells how much more, or less, a customer responds at each local hour than the shop's usual curve has it. Customers are
taken to follow one of a few hundred: none of their own, or one peak at any hour, narrow or wide, the von Mises curve
exp(focus * cos(hour - peak)) (Mardia & Jupp, Directional Statistics, 2000, 3.5.4). From some fifty messages with four responses
no more than such a curve can be told; it carries each response over to the hours around it. Their ratio of weekends to
weekdays is told by curves of two cells in the same way.

Responses are Poisson with rate level * exposure * curve. The level of a customer is Gamma with a vague prior and integrates out
to (sum of exposure * curve) ** -responses: what counts is when they respond, not how often.

How many customers follow each curve is learnt from them all: first how far they differ, by marginal likelihood; around that
the shares of the curves (nonparametric maximum likelihood of a mixing distribution: Laird, JASA 73, 1978), of the shop and
around these of each segment, what comes before being worth STRENGTH customers, by ROUNDS of EM.

Orders show when a customer's day has its peak, not how sharply their response follows it: they have a focus of their own. The
shares are learnt with the peaks that orders tell: few responses alone hardly show how far customers differ.
"""

import numpy as np

HOURS = 24
PEAKS = 24
FOCUS = np.arange(0.25, 2.51, 0.25)
FLAT = 0.05
# How far customers may differ: the spread of a curve's logarithm. Half is likely, a quarter or all of it less so.
SPREADS = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0])
SPREADS_PENALTY = (np.log(SPREADS / 0.5) / 0.5) ** 2 / 2
STRENGTH = 50.0
ROUNDS = 50
RATIOS = np.exp(np.linspace(-1.0, 1.0, 17))
# Orders say at most as much as they would if each of them were sure to be at the customer's own hours.
ORDER_WEIGHTS = np.arange(0.0, 1.01, 0.1)
# The peak of each curve of `daily`, from 1 on; 0 is the one without.
PEAK = np.append(0, np.tile(1 + np.arange(PEAKS), FOCUS.size))


def daily() -> tuple[np.ndarray, np.ndarray]:
    """The curves by hour of the day (curves x 24), and for each spread the shares of customers that follow them (spreads x
    curves): the coefficients of cosine and sine are normal, which makes the focus Rayleigh."""
    hour = 2 * np.pi / HOURS * np.arange(HOURS)
    peaked = np.exp(FOCUS[:, None, None] * np.cos(hour - hour[:, None]))
    rayleigh = FOCUS * np.exp(-((FOCUS / SPREADS[:, None]) ** 2) / 2)
    shares = np.repeat(_shares(rayleigh) / PEAKS, PEAKS, axis=1) * (1 - FLAT)
    return (
        np.vstack([np.ones(HOURS), peaked.reshape(-1, HOURS)]),
        np.hstack([np.full((SPREADS.size, 1), FLAT), shares]),
    )


def weekly() -> tuple[np.ndarray, np.ndarray]:
    """The same by kind of day: weekday, weekend."""
    curves = np.stack([np.ones_like(RATIOS), RATIOS], axis=1)
    return curves, _shares(np.exp(-((np.log(RATIOS) / SPREADS[:, None]) ** 2) / 2))


def log_likelihoods(responses: np.ndarray, exposure: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Of each curve for each unit, units x curves, the unit's best one at 0. `responses` and `exposure` are units x cells of
    the curves; one row of exposure serves all."""
    total = responses.sum(axis=1, keepdims=True)
    expected = np.where(total > 0, exposure @ curves.T, 1.0)
    logs = responses @ np.log(curves).T - total * np.log(expected)
    return logs - logs.max(axis=1, keepdims=True)


def shares(log_likelihood: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """The shares of units that follow each curve, around the most likely of the priors, a row per spread."""
    likelihood = np.exp(log_likelihood)
    fit = np.log(likelihood @ priors.T).sum(axis=0) - SPREADS_PENALTY
    return _around(likelihood, priors[np.argmax(np.round(fit, 6))])


def shares_by_segment(
    log_likelihood: np.ndarray, segment: np.ndarray, n_segments: int, priors: np.ndarray
) -> np.ndarray:
    """The shares within each segment around those of the shop, segments x curves."""
    shop = shares(log_likelihood, priors)
    likelihood = np.exp(log_likelihood)
    return np.stack([_around(likelihood[segment == code], shop) for code in range(n_segments)])


def peak_log_likelihoods(log_likelihood: np.ndarray, curve_shares: np.ndarray) -> np.ndarray:
    """Of each peak, units x (1 + PEAKS), over curves of any focus by their shares; no peak is as likely as peaks on average."""
    likelihood = (np.exp(log_likelihood) * curve_shares)[:, 1:].reshape(-1, FOCUS.size, PEAKS).sum(axis=1)
    by_peak = likelihood / curve_shares[1:].reshape(FOCUS.size, PEAKS).sum(axis=0)
    whole = np.hstack([by_peak.mean(axis=1, keepdims=True), by_peak])
    return np.log(np.maximum(whole, np.finfo(float).tiny))


def order_weight(log_likelihood: np.ndarray, peaks: np.ndarray, curve_shares: np.ndarray) -> float:
    """How much of what orders say of the peaks holds for responses: the power of it that foretells the responses best.
    `log_likelihood` of the responses is customers x curves, `peaks` of the orders customers x (1 + PEAKS), `curve_shares` those
    of the shop. 0 without customers."""
    fits = []
    for weight in ORDER_WEIGHTS:
        told = _shares(curve_shares * np.exp(weight * (peaks - peaks.max(axis=1, keepdims=True)))[:, PEAK])
        fits.append(np.log((told * np.exp(log_likelihood)).sum(axis=1)).sum())
    return float(ORDER_WEIGHTS[np.argmax(np.round(fits, 6))])


def of_both(log_likelihood: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """What responses (units x curves) and orders (units x (1 + PEAKS)) tell together, the unit's best curve at 0."""
    both = log_likelihood + peaks[:, PEAK]
    return both - both.max(axis=1, keepdims=True)


def _around(likelihood: np.ndarray, prior: np.ndarray) -> np.ndarray:
    found = prior
    for _ in range(ROUNDS if len(likelihood) else 0):
        followers = found * ((1 / (likelihood @ found)) @ likelihood)
        found = (STRENGTH * prior + followers) / (STRENGTH + len(likelihood))
    return found


def _shares(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)
