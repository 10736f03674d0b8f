"""How often is each channel the best of a customer's, under draws from the posteriors? Compiled by numba. Import it inside the
function that needs it."""

import numpy as np
from numba import njit, prange

from lifecycle_assets.random_kernel import beta


@njit(cache=True, parallel=True)
def chances_to_be_best(
    alpha: np.ndarray,
    beta_: np.ndarray,
    worth: np.ndarray,
    cost: np.ndarray,
    allowed: np.ndarray,
    keys: np.ndarray,
    draws: int,
) -> np.ndarray:
    """customer x channel: the share of draws in which the channel's response ~ Beta(alpha, beta_) times its worth less its cost
    (all customer x channel) is the highest of those allowed; of equal ones the first. 0 where it is not allowed."""
    n, channels = alpha.shape
    found = np.zeros((n, channels))
    for i in prange(n):
        counter = 0
        for _ in range(draws):
            best, highest = -1, -np.inf
            for c in range(channels):
                if allowed[i, c]:
                    response, counter = beta(keys[i], counter, alpha[i, c], beta_[i, c])
                    earned = response * worth[i, c] - cost[i, c]
                    if earned > highest:
                        best, highest = c, earned
            if best >= 0:
                found[i, best] += 1.0 / draws
    return found
