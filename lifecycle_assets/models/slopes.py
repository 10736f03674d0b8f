"""How steeply does each customer's response change along a scale, such as the discount or the load of messages?

Customer i responds y_il times in cell l, at the place x_l of the scale, where e_il responses were expected:
Poisson(r_i * e_il * exp(b_i * x_l)). The rate r_i is conditioned away (Hausman, Hall & Griliches, Econometrica 1984): given
the customer's total, the responses are multinomial. So a customer's messages are compared with one another alone, and neither
keen customers who get more messages nor customers who are given larger discounts can pass for an effect.

The slope b_i >= 0 is Gamma(shape, mean), the logarithm of a segment's mean Normal around the shop's. Whoever responds
often says most of their slope, and is of another kind than those who say little. So the customers of a segment come in LEVELS
by how often they respond, along which the logarithm of the mean changes evenly, by one trend for all segments: what the
few responses of the seldom ones leave open is told by it.

All of it is integrated on a grid: the likelihood of each customer at SLOPES, of each segment at TRENDS x SHAPES x MEANS, of the
shop at these and SPREADS, each of them under a weak prior (Gelman et al., Bayesian Data Analysis, 2013, 5.3). With little
evidence the intervals are those of the prior.
"""

import numpy as np

from lifecycle_assets.models.blocks import of_blocks

# Edges of the slopes' cells; the first begins at 0.
EDGES = np.concatenate([[0.0], np.geomspace(0.005, 8.0, 56)])
SLOPES = (EDGES[1:] + EDGES[:-1]) / 2
SHAPES = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
COARSE_MEANS = np.geomspace(0.01, 5.0, 25)
MEANS = np.geomspace(0.01, 5.0, 241)
SPREADS = np.array([0.02, 0.1, 0.2, 0.4, 0.8])
# Weak priors: spread of the logarithm of the shop's mean around what is usual, and of the shape around that of a gamma with
# a standard deviation of 0.7 times its mean.
MEAN_SPREAD = 1.0
USUAL_SHAPE, SHAPE_SPREAD = 2.0, 0.5
# Customers of a segment by how often they respond. From one level to the next the mean moves by a trend's number of cells of
# MEANS, 2.6 % each; no trend is the likeliest beforehand, with this spread in cells.
LEVELS = 5
TRENDS = np.arange(-16, 17, 2)
TREND_SPREAD = 6.0
# The cell of MEANS in which a level is, by trend, level and the cell of the segment's middle level.
PLACES = np.clip(
    np.arange(MEANS.size) + TRENDS[:, None, None] * (np.arange(LEVELS) - LEVELS // 2)[:, None], 0, MEANS.size - 1
)
LEAST = 1e-300


def fit(
    y: np.ndarray,
    expected: np.ndarray,
    x: np.ndarray,
    group: np.ndarray,
    segments: int,
    usual: float,
) -> np.ndarray:
    """segments x TRENDS x SHAPES x MEANS: the probability of each distribution of the slopes in a segment, from customers (rows
    of `y` and `expected`, columns at `x`). Customers of level l of segment s are group s * LEVELS + l. `usual` is the mean
    slope to be expected of any shop."""
    coarse = prior_masses(COARSE_MEANS).reshape(SLOPES.size, -1)

    def log_groups_of(block: slice) -> np.ndarray:
        marginal = np.log(np.maximum(_likelihood(y[block], expected[block], x) @ coarse, LEAST))
        return np.stack([marginal[group[block] == g].sum(axis=0) for g in range(segments * LEVELS)])

    log_groups = np.sum(of_blocks(log_groups_of, len(y)), axis=0)
    return _segment_weights(log_groups.reshape(segments, LEVELS, SHAPES.size, -1), usual)


def prior(weights: np.ndarray) -> np.ndarray:
    """groups x SLOPES: the probability of each slope for a customer without evidence."""
    masses = prior_masses(MEANS)
    levels = [
        np.einsum("stam,gatm->sg", weights, masses[:, :, PLACES[:, level]], optimize=True) for level in range(LEVELS)
    ]
    return np.stack(levels, axis=1).reshape(-1, SLOPES.size)


def posterior(y: np.ndarray, expected: np.ndarray, x: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """customers x SLOPES: the probability of each slope, from each customer's counts and prior (customers x SLOPES)."""
    joint = _likelihood(y, expected, x) * prior
    return joint / joint.sum(axis=1, keepdims=True)


def prior_masses(means: np.ndarray) -> np.ndarray:
    """SLOPES x SHAPES x means: the mass of each cell of slopes under Gamma(shape, mean)."""
    from scipy.special import gammainc

    shape = SHAPES[:, None]
    below = gammainc(shape, shape * EDGES[:, None, None] / means)
    mass = np.diff(below, axis=0)
    return mass / mass.sum(axis=0)


def quantile(masses: np.ndarray, share: float) -> np.ndarray:
    """The slope below which `share` of each row's mass lies."""
    below = np.cumsum(masses, axis=1)
    cell = np.minimum((below < share).sum(axis=1), SLOPES.size - 1)
    rows = np.arange(len(masses))
    mass = masses[rows, cell]
    part = np.clip((share - (below[rows, cell] - mass)) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return EDGES[cell] + part * np.diff(EDGES)[cell]


def variance(masses: np.ndarray) -> np.ndarray:
    """Of the slope, of each row."""
    return np.maximum(masses @ SLOPES**2 - (masses @ SLOPES) ** 2, 0.0)


def _likelihood(y: np.ndarray, expected: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of each customer at each slope, 1 at its maximum."""
    steps = np.outer(x, SLOPES)
    total = y.sum(axis=1, keepdims=True)
    hoped = expected @ np.exp(steps)
    log = y @ steps - total * np.log(np.where(hoped > 0, hoped, 1.0))
    return np.exp(log - log.max(axis=1, keepdims=True))


def _segment_weights(log_groups: np.ndarray, usual: float) -> np.ndarray:
    """segments x TRENDS x SHAPES x MEANS, from the log-likelihood of the segments' levels at SHAPES x COARSE_MEANS."""
    from scipy.interpolate import CubicSpline

    fine = CubicSpline(np.log(COARSE_MEANS), log_groups, axis=3)(np.log(MEANS))
    # segments x shapes x trends x means, and then trends before shapes
    log_segment = sum(fine[:, level][:, :, PLACES[:, level]] for level in range(LEVELS)).swapaxes(1, 2)
    likelihood = np.exp(log_segment - log_segment.max(axis=(1, 2, 3), keepdims=True))
    distance = np.log(MEANS)[:, None] - np.log(MEANS)
    # means of a segment x (spreads, means of the shop)
    around = np.exp(-0.5 * (distance[:, None, :] / SPREADS[:, None]) ** 2).reshape(MEANS.size, -1)
    around /= around.sum(axis=0)
    # segments x trends x shapes x (spreads, means of the shop)
    marginal = likelihood @ around
    vague = -0.5 * (np.log(MEANS / usual) / MEAN_SPREAD) ** 2
    log_shop = (
        np.log(np.maximum(marginal, LEAST)).sum(axis=0)
        + np.tile(vague, SPREADS.size)
        - 0.5 * (np.log(SHAPES / USUAL_SHAPE) / SHAPE_SPREAD)[:, None] ** 2
        - 0.5 * (TRENDS / TREND_SPREAD)[:, None, None] ** 2
    )
    shop = np.exp(log_shop - log_shop.max())
    prior = (shop / np.maximum(marginal, LEAST)) @ around.T
    weights = likelihood * prior
    return weights / weights.sum(axis=(1, 2, 3), keepdims=True)
