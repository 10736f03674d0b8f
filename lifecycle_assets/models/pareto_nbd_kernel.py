"""The integral in the Pareto/NBD likelihood for many histories, compiled by numba. Import it inside the function that needs it.

    s * integral from tx to T of (alpha + t)^-(r + x) (beta + t)^-(s + 1) dt / ((alpha + T)^-(r + x) (beta + T)^-s)

is the odds of having left by T. By y = log((c + t) / (c + tx)), c = min(alpha, beta), the integrand falls faster and faster:
as far as it has not fallen by e^-40, Gauss-Legendre in y is exact to 1e-7 or better, and so is the gradient made of the same
nodes. Everything is relative to the integrand at tx, so that nothing overflows.
"""

# ruff: noqa: N803 - T is the models' own name of the time observed

import numpy as np
from numba import njit

FALL = 40.0


@njit(cache=True, nogil=True)
def odds_of_having_left(
    x: np.ndarray,
    tx: np.ndarray,
    T: np.ndarray,
    parameters: tuple[float, float, float, float],
    nodes: np.ndarray,
    weights: np.ndarray,
    moments: bool,
) -> np.ndarray:
    """Row 0: logarithm of the odds per history, -inf where tx = T. With `moments` four more: the means, over the time t of
    leaving, of log(alpha + t), 1 / (alpha + t), log(beta + t) and 1 / (beta + t)."""
    r, alpha, s, beta = parameters
    # The smaller of alpha and beta sets the scale on which the integrand moves.
    near, apart = min(alpha, beta), abs(alpha - beta)
    result = np.zeros((5 if moments else 1, x.size))
    for i in range(x.size):
        inner, outer = (r + x[i], s + 1.0) if alpha <= beta else (s + 1.0, r + x[i])
        start, end = near + tx[i], near + T[i]
        span = np.log(end / start)
        if span <= 0.0:
            result[0, i] = -np.inf
            continue
        # Its slope at tx is the flattest there is.
        slope = inner - 1.0 + outer * start / (start + apart)
        reach = min(span, FALL / slope) if slope > 0.0 else span
        total = m_inner = m_inner_inverse = m_outer = m_outer_inverse = 0.0
        for j in range(nodes.size):
            y = nodes[j] * reach
            at = start * np.exp(y)
            drop = np.log((at + apart) / (start + apart))
            f = weights[j] * reach * np.exp(-(inner - 1.0) * y - outer * drop)
            total += f
            if moments:
                m_inner += f * y
                m_inner_inverse += f / at
                m_outer += f * drop
                m_outer_inverse += f / (at + apart)
        result[0, i] = (
            np.log(s * total * start)
            - (r + x[i]) * np.log((alpha + tx[i]) / (alpha + T[i]))
            - s * np.log((beta + tx[i]) / (beta + T[i]))
            - np.log(beta + tx[i])
        )
        if moments:
            # Row of alpha's and row of beta's moments.
            a, b = (1, 3) if alpha <= beta else (3, 1)
            result[a, i] = np.log(start) + m_inner / total
            result[a + 1, i] = m_inner_inverse / total
            result[b, i] = np.log(start + apart) + m_outer / total
            result[b + 1, i] = m_outer_inverse / total
    return result
