"""The areas under the gain curves of many resamples, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def gains(
    order: np.ndarray,
    ends: np.ndarray,
    treated: np.ndarray,
    response: np.ndarray,
    weight: np.ndarray,
    times: np.ndarray,
    points: np.ndarray,
) -> int:
    """Fill the rows of `points` with share, gain and uplift at the end of each group of equal scores (see uplift_curve), and
    return how many there are. `order` ranks the customers, `ends` tells where a group ends, `times` how often each counts."""
    n_treated, n_control, by_treated, by_control = 0.0, 0.0, 0.0, 0.0
    seen, filled = 0, 0
    for place in range(order.size):
        row = order[place]
        counted = times[row] * weight[row]
        seen += times[row]
        if treated[row] == 1:
            n_treated += counted
            by_treated += counted * response[row]
        else:
            n_control += counted
            by_control += counted * response[row]
        if ends[place]:
            points[filled, 0] = seen
            points[filled, 1], points[filled, 2] = 0.0, 0.0
            if n_treated > 0 and n_control > 0:
                points[filled, 1] = by_treated - by_control * n_treated / n_control
                points[filled, 2] = by_treated / n_treated - by_control / n_control
            filled += 1
    points[:filled, 0] /= seen
    points[:filled, 1] /= max(n_treated, 1e-300)
    points[:filled, 2] *= points[:filled, 0]
    return filled


@njit(cache=True, nogil=True)
def areas(
    order: np.ndarray,
    ends: np.ndarray,
    treated: np.ndarray,
    response: np.ndarray,
    weight: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:
    """Qini and AUUC of each resample, a row of `times` each."""
    points = np.empty((ends.sum(), 3))
    found = np.empty((times.shape[0], 2))
    for b in range(times.shape[0]):
        filled = gains(order, ends, treated, response, weight, times[b], points)
        share, under = 0.0, np.zeros(2)
        before = np.zeros(2)
        for i in range(filled):
            step = points[i, 0] - share
            share = points[i, 0]
            for k in range(2):
                under[k] += step * (points[i, 1 + k] + before[k]) / 2
                before[k] = points[i, 1 + k]
        found[b, 0] = under[0] - before[0] / 2
        found[b, 1] = under[1]
    return found
