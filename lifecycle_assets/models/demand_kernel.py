"""Log-linear regressions of demand for many products in one pass, compiled by numba. Import it inside the function that
needs it.

Each product's rows stand together, in time order, from starts[p] to starts[p + 1]. The first column of the design is 1, the
second the centred logarithm of the price.
"""

import numpy as np
from numba import njit

ROUNDS, SWEEPS, TOLERANCE = 30, 100, 1e-8
RIDGE = 1e-8
# Of the elastic net's penalty this share is the lasso's.
L1_SHARE = 0.5
FREE = 2


@njit(cache=True, nogil=True)
def fit_products(
    starts: np.ndarray, design: np.ndarray, units: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(coefficients, means of the columns, covariances of the coefficients, degrees of freedom) of every product; the rows
    of one lie from its start to the next one's.

    Poisson pseudo-maximum likelihood of units on the columns less their means (Santos Silva and Tenreyro, The log of gravity,
    2006: consistent with zeros and whatever the variance), by iteratively reweighted least squares with coordinate descent
    (Friedman, Hastie and Tibshirani, 2010) under an elastic-net `penalty` on the scaled columns beyond the first two; 0: none.
    A column that does not vary gets the coefficient 0. Coefficients are per unit of the column. Covariances hold for serially
    correlated demand; their intervals need the t distribution with the degrees of freedom, which are those of the price.
    """
    n_products, k = starts.size - 1, design.shape[1]
    coefficients = np.zeros((n_products, k))
    means = np.zeros((n_products, k))
    covariances = np.zeros((n_products, k, k))
    degrees = np.ones(n_products)
    for p in range(n_products):
        x = design[starts[p] : starts[p + 1]].copy()
        y = units[starts[p] : starts[p + 1]]
        scales = np.ones(k)
        for j in range(1, k):
            means[p, j] = x[:, j].mean()
            x[:, j] -= means[p, j]
            scales[j] = np.sqrt((x[:, j] ** 2).mean())
            if scales[j] < 1e-9:
                scales[j] = np.inf
            x[:, j] /= scales[j]
        if y.sum() <= 0:
            coefficients[p, 0] = -np.inf
            continue
        beta, gram, fitted = _fit(x, y, penalty)
        coefficients[p] = beta / scales
        covariance, degrees[p] = _covariance(x, y - fitted, fitted, gram)
        covariances[p] = covariance / np.outer(scales, scales)
    return coefficients, means, covariances, degrees


@njit(cache=True)
def _fit(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coefficients, weighted cross products of the columns, expected units)."""
    n, k = x.shape
    beta = np.zeros(k)
    gram, target = np.zeros((k, k)), np.zeros(k)
    fitted = (y + y.mean()) / 2
    for _ in range(ROUNDS):
        gram[:] = 0.0
        target[:] = 0.0
        for i in range(n):
            working = fitted[i] * np.log(fitted[i]) + y[i] - fitted[i]
            for j in range(k):
                target[j] += x[i, j] * working
                weighted = x[i, j] * fitted[i]
                for h in range(j + 1):
                    gram[j, h] += weighted * x[i, h]
        for j in range(k):
            for h in range(j):
                gram[h, j] = gram[j, h]
        moved = _descend(beta, gram, target, penalty * fitted.sum())
        for i in range(n):
            eta = 0.0
            for j in range(k):
                eta += x[i, j] * beta[j]
            fitted[i] = np.exp(min(max(eta, -30.0), 30.0))
        if moved < TOLERANCE:
            break
    return beta, gram, fitted


@njit(cache=True)
def _descend(beta: np.ndarray, gram: np.ndarray, target: np.ndarray, penalty: float) -> float:
    """Coordinate descent in place; how far the coefficient that went farthest went."""
    before = beta.copy()
    for _ in range(SWEEPS):
        largest = 0.0
        for j in range(beta.size):
            if gram[j, j] <= 0:
                continue
            rest = target[j] + gram[j, j] * beta[j]
            for h in range(beta.size):
                rest -= gram[j, h] * beta[h]
            l1, l2 = (penalty * L1_SHARE, penalty * (1 - L1_SHARE)) if j >= FREE else (0.0, 0.0)
            new = np.sign(rest) * max(abs(rest) - l1, 0.0) / (gram[j, j] * (1 + RIDGE) + l2)
            largest = max(largest, abs(new - beta[j]))
            beta[j] = new
        if largest < TOLERANCE:
            break
    return np.abs(beta - before).max()


@njit(cache=True)
def _covariance(x: np.ndarray, residual: np.ndarray, fitted: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, float]:
    """Sandwich covariance of the coefficients, and the degrees of freedom of the price's variance.

    The long-run variance of the scores is that of their first cosine transforms, equally weighted (Lazarus, Lewis, Stock and
    Watson, HAR inference, 2018). Prices that move seldom, next to a season, leave little in the slowest of these: the
    regression has taken out of the residuals what it could explain. So the variance is divided by what it would come to on
    average for independent Poisson demand, and the degrees of freedom are Satterthwaite's for it (Bell and McCaffrey, Bias
    reduction in standard errors for linear regression with multi-stage samples, 2002, with cosines in place of clusters).
    """
    n, k = x.shape
    bread = gram.copy()
    for j in range(k):
        # A column without variation stands alone; any number will do on its diagonal.
        bread[j, j] = gram[j, j] * (1 + RIDGE) if gram[j, j] > 0 else 1.0
    inverse = np.linalg.inv(bread)
    cosines = max(2, int(0.4 * n ** (2 / 3)))
    waves = np.empty((cosines, n))
    for c in range(cosines):
        waves[c] = np.sqrt(2 / cosines) * np.cos(np.pi * (c + 1) * (np.arange(n) + 0.5) / n)
    transforms = (waves * residual) @ x
    covariance = inverse @ (transforms.T @ transforms) @ inverse
    # How each row's demand moves the price's coefficient, and each of its transforms once the regression has had its share.
    influence = x @ np.ascontiguousarray(inverse[1])
    moved = waves * influence
    moved -= (moved * fitted) @ x @ inverse @ x.T
    if_poisson = (moved * fitted) @ moved.T
    on_average = np.trace(if_poisson)
    if on_average <= 0:
        return covariance, 1.0
    correction = (influence**2 * fitted).sum() / on_average
    return covariance * correction, max(on_average**2 / (if_poisson**2).sum(), 1.0)
