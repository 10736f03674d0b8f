"""Counts messages and adds up evidence, compiled by numba. Import it inside the function that needs it."""

import numpy as np
from numba import njit

# Sums are of whole units of 2^-60, in two halves: of 2^-30 each, and the rest.
HALF = 2.0**30


@njit(cache=True, nogil=True)
def grouped(
    first: np.ndarray, group: np.ndarray, outcome: np.ndarray, weight: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (units x groups x 2: messages, those with the outcome) and sums (units x groups x 4: of the weights, of their
    squares, of the weights with the outcome, of the squares of these). The rows of unit i are first[i] to first[i + 1] - 1;
    those of a group below 0 do not count."""
    units = first.size - 1
    counts = np.zeros((units, size, 2), np.int64)
    sums = np.zeros((units, size, 4))
    high, low = np.zeros((size, 4), np.int64), np.zeros((size, 4), np.int64)
    for unit in range(units):
        high[:], low[:] = 0, 0
        for row in range(first[unit], first[unit + 1]):
            g = group[row]
            if g < 0:
                continue
            counts[unit, g, 0] += 1
            counts[unit, g, 1] += outcome[row]
            value = weight[row]
            for power in range(2):
                whole = int(value * HALF)
                rest = int((value * HALF - whole) * HALF)
                high[g, power] += whole
                low[g, power] += rest
                if outcome[row]:
                    high[g, power + 2] += whole
                    low[g, power + 2] += rest
                value *= weight[row]
        for g in range(size):
            for k in range(4):
                sums[unit, g, k] = (high[g, k] * HALF + low[g, k]) / HALF**2
    return counts, sums


@njit(cache=True)
def within(moment: np.ndarray, order: np.ndarray, span: int) -> np.ndarray:
    """Of each moment, how many others are earlier by at most `span`; `order` sorts them."""
    counts = np.empty(moment.size, np.uint32)
    first, same = 0, 0
    for place in range(order.size):
        now = moment[order[place]]
        while moment[order[first]] < now - span:
            first += 1
        if moment[order[same]] < now:
            same = place
        counts[order[place]] = same - first
    return counts
