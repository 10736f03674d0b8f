"""The best few arms of each customer, and how often each is best under draws from the posteriors; compiled by numba. Import it
inside the function that needs it.

Random numbers are those of random_kernel at the customer's own key.
"""

import numpy as np
from numba import njit, prange

from lifecycle_assets.random_kernel import bits, uniform


@njit(cache=True, parallel=True)
def uniforms(keys: np.ndarray) -> np.ndarray:
    """The first number of each key, above 0 and below 1."""
    found = np.empty(keys.size)
    for i in prange(keys.size):
        found[i] = uniform(keys[i], 0)
    return found


@njit(cache=True, parallel=True)
def best_few(values: np.ndarray, group: np.ndarray, most: int) -> np.ndarray:
    """For each column of `values` up to `most` of its rows: first those of the highest value of each group of rows, then those
    of the highest values of the rest. They are sorted by their values, best first, of equal ones the first; -1 after them. A
    value of -inf is none; `group` numbers each row's group."""
    n_arms, n = values.shape
    found = np.full((n, most), -1, np.int16)
    for i in prange(n):
        leader = np.full(group.max() + 1, -1, np.int64)
        for a in range(n_arms):
            best = leader[group[a]]
            if values[a, i] > -np.inf and (best < 0 or values[a, i] > values[best, i]):
                leader[group[a]] = a
        leaders = min((leader >= 0).sum(), most)
        for a in range(n_arms):
            if leader[group[a]] == a:
                _insert(found[i], values[:, i], a, 0)
        for a in range(n_arms):
            if leader[group[a]] != a:
                _insert(found[i], values[:, i], a, leaders)
        few = found[i].copy()
        found[i] = -1
        for a in np.sort(few[few >= 0]):
            _insert(found[i], values[:, i], a, 0)
    return found


@njit(cache=True, inline="always")
def _insert(places: np.ndarray, values: np.ndarray, a: int, first: int) -> None:
    """Put `a` among the places from `first` on, which are sorted by their values; the last one may fall out."""
    place = places.size
    while place > first and values[a] > -np.inf and (places[place - 1] < 0 or values[places[place - 1]] < values[a]):
        place -= 1
    for q in range(places.size - 1, place, -1):
        places[q] = places[q - 1]
    if place < places.size:
        places[place] = a


@njit(cache=True, parallel=True)
def chances_to_be_best(
    log_scores: np.ndarray,
    exponents: np.ndarray,
    log_sd: np.ndarray,
    factors: np.ndarray,
    keys: np.ndarray,
    draws: int,
    normals: np.ndarray,
) -> np.ndarray:
    """ranking x customer x arm: the share of `draws` draws in which the arm's score is the highest.

    A draw multiplies the arm's response by exp(sd z - sd^2 / 2) for each of its factors (`factors`, their numbers, and
    `log_sd`, both customer x arm x factor); arms with the same factor share its z. The score moves with the response to the
    power of the ranking's exponent. An arm of a log score of -inf is never best. z is one of `normals`, equally likely values
    of the normal distribution, 2^12 of them.
    """
    n_rankings, n, n_arms = log_scores.shape
    n_kinds = factors.shape[2]
    n_factors = factors.max() + 1 if factors.size else 0
    found = np.zeros((n_rankings, n, n_arms), np.float64)
    for i in prange(n):
        moved = np.empty(n_arms)
        z = np.empty(n_factors)
        drawn = np.full(n_factors, -1, np.int64)
        for draw in range(draws):
            for a in range(n_arms):
                moved[a] = 0.0
                for kind in range(n_kinds):
                    sd = log_sd[i, a, kind]
                    if sd > 0:
                        factor = factors[i, a, kind]
                        if drawn[factor] != draw:
                            z[factor] = normals[bits(keys[i], 1 + draw * n_factors + factor) >> np.uint64(52)]
                            drawn[factor] = draw
                        moved[a] += sd * z[factor] - 0.5 * sd * sd
            for r in range(n_rankings):
                best, highest = -1, -np.inf
                for a in range(n_arms):
                    value = log_scores[r, i, a] + exponents[r] * moved[a]
                    if value > highest:
                        best, highest = a, value
                if best >= 0:
                    found[r, i, best] += 1.0 / draws
    return found
