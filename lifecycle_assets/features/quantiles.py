"""Cut points that tell equal values from different ones exactly."""

from collections.abc import Sequence

import numpy as np


def quantiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """The quantiles of at least one value at `shares` (0..1) by linear interpolation, type 7 of Hyndman and Fan (1996).

    A quantile that falls on a value is that value to the last bit: the position is rounded to 9 decimals first, so that
    0.7 * 10 is 7. Customers whose value equals a cut point would otherwise change sides with the number of customers.
    """
    ordered = np.sort(values)
    position = np.round(np.asarray(shares, dtype=np.float64) * (ordered.size - 1), 9)
    below = np.floor(position).astype(np.int64)
    above = np.ceil(position).astype(np.int64)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
