"""Random numbers inside compiled loops, each row by a key of its own. Import it inside the function that needs it.

Uniform numbers are those of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014) at
the row's key (see hashing.random_keys) and a counter, so they depend neither on the order of the rows nor on the number of
threads. Gamma numbers are by rejection (Marsaglia and Tsang, A simple method for generating gamma variables, 2000).
"""

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
UNIT = 1.0 / 2.0**53


@njit(cache=True, inline="always")
def bits(key: np.uint64, counter: int) -> np.uint64:
    """64 random bits."""
    z = key + (np.uint64(counter) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))


@njit(cache=True, inline="always")
def uniform(key: np.uint64, counter: int) -> float:
    """A number above 0 and below 1."""
    return (np.float64(bits(key, counter) >> np.uint64(11)) + 0.5) * UNIT


@njit(cache=True)
def gamma(key: np.uint64, counter: int, shape: float) -> tuple[float, int]:
    """A Gamma(shape, 1) number, and the counter after those that it used."""
    boost = 1.0
    if shape < 1.0:
        boost = uniform(key, counter) ** (1.0 / shape)
        counter += 1
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / np.sqrt(9.0 * d)
    while True:
        radius = np.sqrt(-2.0 * np.log(uniform(key, counter)))
        normal = radius * np.cos(2.0 * np.pi * uniform(key, counter + 1))
        accept = uniform(key, counter + 2)
        counter += 3
        v = (1.0 + c * normal) ** 3
        if v > 0.0 and np.log(accept) < 0.5 * normal * normal + d * (1.0 - v + np.log(v)):
            return boost * d * v, counter


@njit(cache=True)
def beta(key: np.uint64, counter: int, a: float, b: float) -> tuple[float, int]:
    """A Beta(a, b) number, and the counter after those that it used."""
    first, counter = gamma(key, counter, a)
    second, counter = gamma(key, counter, b)
    return first / (first + second), counter
