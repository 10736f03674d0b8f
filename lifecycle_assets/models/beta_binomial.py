"""What rate does each unit have, when every unit has few trials but there are many units of a few kinds?

The rate of a unit of group g is Beta(kappa_g mu_g, kappa_g (1 - mu_g)); its responses are binomial, so that marginally they are
beta-binomial (Skellam, 1948). logit mu_g and log kappa_g are normal around the whole's, with a variance of their own: three
levels, estimated by empirical Bayes (Carlin and Louis, Bayes and Empirical Bayes Methods, 2000): Newton steps with exact
derivatives on each group's penalised marginal likelihood, in turn with the EM step of the whole's mean and variance, the
groups' curvature standing for their uncertainty. Trials and responses may be fractions, as effective counts are.

Units marked as favourable have the mean lift * mu_g. The lift is estimated with them: responses over those that mu_g lets
expect, on top of `weight` prior responses, which say what a mark is worth before there is evidence of it; later they fade.
That is at the rate of all units as counted, once and for all: were it told at the mean that is being fitted, evidence of almost
only marked units would let the mean fall and the lift rise without end.

The means and variances of the whole have weak priors (the constants below), so that with little data, or none, the result is
near those and wide. A group's prior is widened by what is not known of its mean and kappa.
"""

from typing import NamedTuple

import numpy as np

# Of the whole: mean and standard deviation of logit mu (5 % response, a tenth to ten times the odds) and of log kappa.
CENTRE = np.array([np.log(0.05 / 0.95), np.log(20.0)])
CENTRE_SD = np.array([1.5, 1.0])
# Of the groups' variance around the whole: inverse gamma of this shape and scale (a standard deviation of about 0.2).
SHAPE, SCALE = 1.0, 0.09
KAPPA = (1.0, 5_000.0)
# The mean of favourable units stays below it.
HIGHEST = 0.95
# Without prior responses and without any of their own, favourable units are still not impossible ones.
LEAST_LIFT = 1e-3
STEPS, LONGEST, ENOUGH = 200, 0.7, 1e-7
# Units whose trials differ by less than this factor, and responses by less than a 12th of a root, are fitted as one.
TRIALS, ROOTS = 1.04, 12.0


class Hierarchy(NamedTuple):
    """Per group the prior's mean and its kappa; the lift of favourable units."""

    mean: np.ndarray
    kappa: np.ndarray
    lift: float

    def prior(self, group: np.ndarray, favourable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and kappa of the prior of each unit."""
        mean = self.mean[group]
        return np.where(favourable, np.minimum(mean * self.lift, HIGHEST), mean), self.kappa[group]


class _Cells(NamedTuple):
    """Units that are nearly the same: trials, responses (means of the cell), group, favourable or not, number of units."""

    n: np.ndarray
    x: np.ndarray
    group: np.ndarray
    favourable: np.ndarray
    units: np.ndarray


def fit(
    n: np.ndarray, x: np.ndarray, group: np.ndarray, favourable: np.ndarray, groups: int, weight: float
) -> Hierarchy:
    """The hierarchy of units with `n` trials and `x` responses each, `group` from 0 to `groups` - 1."""
    cells = _cells(n, x, group, favourable)
    theta = np.tile(_start(cells), (groups, 1))
    centre, variance = theta[0], np.full(2, SCALE)
    lift = stated = _stated_lift(centre, weight)
    for _ in range(STEPS):
        gradient, hessian = _derivatives(cells, theta, lift)
        gradient -= (theta - centre) / variance
        information = -hessian + np.diag(1 / variance)
        # Away from the top the curvature may point the other way: its size is used all the same.
        values, vectors = np.linalg.eigh(information)
        inverse = (vectors / np.maximum(np.abs(values), 1e-3)[:, None, :]) @ vectors.transpose(0, 2, 1)
        step = np.clip(np.einsum("gij,gj->gi", inverse, gradient), -LONGEST, LONGEST)
        theta = theta + step
        theta[:, 1] = np.clip(theta[:, 1], *np.log(KAPPA))
        uncertain = np.diagonal(inverse, axis1=1, axis2=2)
        before = centre, lift
        centre = (theta.sum(0) / variance + CENTRE / CENTRE_SD**2) / (groups / variance + 1 / CENTRE_SD**2)
        variance = (((theta - centre) ** 2 + uncertain).sum(0) + 2 * SCALE) / (groups + 2 * SHAPE + 2)
        lift = _lift(cells, theta, stated, weight)
        if max(np.abs(step).max(), np.abs(centre - before[0]).max(), abs(lift - before[1])) < ENOUGH:
            break
    mean, kappa = _natural(theta)
    unknown = _uncertainty(np.diagonal(information, axis1=1, axis2=2), variance)
    # The variance of a unit's rate around the group's mean, on average over what kappa may be, and that of the mean.
    spread = np.exp(unknown[:, 1] / 2) / (kappa + 1) + mean * (1 - mean) * unknown[:, 0]
    wider = 1 / spread - 1
    return Hierarchy(mean, np.maximum(wider, KAPPA[0]), lift)


def quantile(alpha: np.ndarray, beta: np.ndarray, probability: float) -> np.ndarray:
    """The quantile of Beta(alpha, beta) for each pair, by a spline over the logarithms of both: within 0.1 % of the exact."""
    from scipy.interpolate import RectBivariateSpline
    from scipy.special import betaincinv, expit, logit

    if not alpha.size:
        return np.zeros(0)

    def nodes(values: np.ndarray) -> np.ndarray:
        lowest, highest = np.log(values.min()) - 0.01, np.log(values.max()) + 0.01
        return np.linspace(lowest, highest, max(8, int((highest - lowest) / 0.12)))

    rows, columns = nodes(alpha), nodes(beta)
    exact = betaincinv(np.exp(rows)[:, None], np.exp(columns), probability)
    table = RectBivariateSpline(rows, columns, logit(np.clip(exact, 1e-300, 1 - 1e-16)))
    return expit(table.ev(np.log(alpha), np.log(beta)))


def _cells(n: np.ndarray, x: np.ndarray, group: np.ndarray, favourable: np.ndarray) -> _Cells:
    told = n > 0
    n, x, group, favourable = n[told], np.minimum(x, n)[told], group[told], favourable[told]
    levels = np.stack([np.round(np.log(n) / np.log(TRIALS)), np.round(ROOTS * np.sqrt(x)), group, favourable]).astype(
        np.int64
    )
    lowest = levels.min(axis=1, initial=0)
    sizes = levels.max(axis=1, initial=0) - lowest + 1
    _, cell = np.unique(np.ravel_multi_index(tuple(levels - lowest[:, None]), tuple(sizes)), return_inverse=True)
    units = np.bincount(cell)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values) / units

    return _Cells(mean(n), mean(x), mean(group).astype(np.int64), mean(favourable) > 0, units)


def _start(cells: _Cells) -> np.ndarray:
    """The whole's rate, in the parameters' units."""
    responses, trials = (cells.units * cells.x).sum() + 1.0, (cells.units * cells.n).sum() + 20.0
    return np.array([np.log(responses / (trials - responses + 1.0)), CENTRE[1]])


def _natural(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 1 / (1 + np.exp(-theta[..., 0])), np.exp(theta[..., 1])


def _stated_lift(centre: np.ndarray, weight: float) -> float:
    """What `weight` more responses make of the prior's mean."""
    mean, kappa = _natural(centre)
    return float((kappa * mean + weight) / (kappa + weight) / mean)


def _lift(cells: _Cells, theta: np.ndarray, stated: float, weight: float) -> float:
    marked = cells.favourable
    mean, kappa = (values[cells.group[marked]] for values in _natural(theta))
    n = cells.n[marked]
    # Trials of one unit tell of one rate: so many of them are independent.
    worth = cells.units[marked] * n * (kappa + 1) / (kappa + n)
    expected = (worth * mean).sum()
    if not weight + expected:
        return 1.0
    return max(float((weight * stated + (worth * cells.x[marked] / n).sum()) / (weight + expected)), LEAST_LIFT)


def _uncertainty(information: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Variance of each group's parameters: what its own units leave open around the whole's, and what is open of those."""
    own = np.maximum(information - 1 / variance, 0.0)
    whole = 1 / ((own / (1 + own * variance)).sum(0) + 1 / CENTRE_SD**2)
    pull = 1 / (1 + own * variance)
    return pull * variance + pull**2 * whole


def _derivatives(cells: _Cells, theta: np.ndarray, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (groups x 2) and Hessian (groups x 2 x 2) of the log-likelihood by logit mu and log kappa."""
    from scipy.special import polygamma, psi

    groups = len(theta)
    own, kappa = (values[cells.group] for values in _natural(theta))
    factor = np.where(cells.favourable, lift, 1.0)
    mean = np.minimum(own * factor, HIGHEST)
    a, b = kappa * mean, kappa * (1 - mean)
    # First and second derivative of a by logit mu; those of b are the opposite.
    d = np.where(own * factor < HIGHEST, kappa * factor * own * (1 - own), 0.0)
    dd = d * (1 - 2 * own)
    by_a, by_b, by_k = (
        psi(cells.x + a) - psi(a),
        psi(cells.n - cells.x + b) - psi(b),
        psi(kappa) - psi(cells.n + kappa),
    )
    by_aa, by_bb, by_kk = (
        polygamma(1, cells.x + a) - polygamma(1, a),
        polygamma(1, cells.n - cells.x + b) - polygamma(1, b),
        polygamma(1, kappa) - polygamma(1, cells.n + kappa),
    )

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cells.group, cells.units * values, minlength=groups).astype(float)

    slope = a * by_a + b * by_b + kappa * by_k
    gradient = np.stack([total(d * (by_a - by_b)), total(slope)], axis=1)
    mixed = total(d * (by_a - by_b + a * by_aa - b * by_bb))
    hessian = np.empty((groups, 2, 2))
    hessian[:, 0, 0] = total(d**2 * (by_aa + by_bb) + dd * (by_a - by_b))
    hessian[:, 0, 1] = hessian[:, 1, 0] = mixed
    hessian[:, 1, 1] = total(slope + a**2 * by_aa + b**2 * by_bb + kappa**2 * by_kk)
    return gradient, hessian
