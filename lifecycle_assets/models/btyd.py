"""What the buy-till-you-die models have in common: how they are fitted, and how they look ahead for many customers at once.

A model sees a customer as repeat purchases, the time of the last of them and the time observed. Equal customers count
once, with a weight. The logarithms of the parameters are found by L-BFGS-B with exact gradients, in units of the shop's mean
time observed. A fit has converged when the gradient says so, not when the optimiser stops; otherwise other starting points
are tried. Below 100 repeat customers the likelihood is too flat: normal priors on the log parameters are added, centred on
fits of well-known shops and wide. Given that a customer is still alive, their future depends on purchases and time observed
alone.
"""

# ruff: noqa: N803 - T is the models' own name of the time observed

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

POOLED_BELOW = 100
TOLERANCE = 1e-6
LOG_BOUND = 10.0
AGE_NODES = 32
SHORTEST_SCALE = 30.0
SAMPLE = 20_000

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Prior:
    """Independent normal priors on the log parameters: their centres, exponentiated, and standard deviations.

    Time parameters count in the shop's time scale, money parameters in its mean spend.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """How a fit ended. The gradient's norm is its largest component, per customer, by the log parameters. `pooled` says that
    priors had a part in it."""

    log_likelihood: float
    gradient_norm: float
    converged: bool
    n_customers: int
    note: str
    pooled: bool = False


class Histories(NamedTuple):
    """Distinct purchase histories in order, and how many customers share each."""

    frequency: np.ndarray
    recency: np.ndarray
    T: np.ndarray
    weight: np.ndarray


def histories(frequency: np.ndarray, recency: np.ndarray, T: np.ndarray) -> Histories:
    """The distinct rows of three arrays of one length, sorted, so that the order of customers never matters."""
    frame = pl.DataFrame({"x": frequency, "tx": recency, "T": T}).cast(pl.Float64)
    rows = frame.group_by("x", "tx", "T").len("weight").sort("x", "tx", "T").cast(pl.Float64)
    return Histories(*(rows[name].to_numpy() for name in rows.columns))


def time_scale(rows: Histories) -> float:
    """The unit in which a shop's time parameters are fitted: the mean time observed, but 30 days at least, or the priors
    would take a shop's first days for many purchases a week."""
    n = float(rows.weight.sum())
    return max(float(rows.T @ rows.weight) / n if n else 0.0, SHORTEST_SCALE)


def levels(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values in order, and the place of each value among them; faster than np.unique where they are few."""
    distinct = pl.Series(values, dtype=pl.Float64).unique().sort().to_numpy()
    return distinct, np.searchsorted(distinct, values)


def maximise(
    likelihood: Callable[[Any], Objective],
    rows: Any,
    starts: Sequence[Sequence[float]],
    prior: Prior | None,
    note: str = "",
) -> tuple[np.ndarray, Fitted]:
    """The parameters of the highest likelihood, or posterior density with a prior, and how the fit ended.

    `rows` is a named tuple of arrays, the last of them the weights. `likelihood` makes of it a function of the log
    parameters that returns the sum over customers and its gradient. Of many rows a sample is fitted first: from there
    the rows as a whole need a few Newton steps only, with the sample's curvature.
    """
    log_likelihood = likelihood(rows)
    n, n_distinct = int(rows.weight.sum()), rows.weight.size
    objective = _per_customer(log_likelihood, prior, n)
    if n_distinct >= 2 * SAMPLE:
        sample = rows._make(column[:: n_distinct // SAMPLE] for column in rows)
        rough = _per_customer(likelihood(sample), prior, int(sample.weight.sum()))
        near = _climbed(rough, starts)
        refined = _refined(objective, near.theta, _curvature(rough, near.theta))
        starts = [np.exp(refined).tolist(), *starts]
    best = _climbed(objective, starts)
    converged = best.norm <= TOLERANCE
    notes = [note] if note else []
    if not converged:
        notes.append(f"not converged: gradient {best.norm:.1e} per customer from {len(starts)} starting points")
    if np.any(np.abs(best.theta) >= LOG_BOUND):
        notes.append("a parameter lies on its bound: the likelihood has no maximum inside")
    if prior is not None:
        notes.append("pooled priors")
    value = log_likelihood(best.theta)[0]
    fitted = Fitted(value, best.norm, converged, n, "; ".join(notes), prior is not None)
    return np.exp(best.theta), fitted


def prior_for(n_repeat: int, given: Prior | None, pooled: Prior) -> Prior | None:
    """The prior that was asked for, else the pooled one where a shop has too few repeat customers, else none."""
    return pooled if given is None and n_repeat < POOLED_BELOW else given


class Alike(NamedTuple):
    """Customers of one frequency: where they stand, and how values at the nodes in T become values at their own T."""

    frequency: float
    rows: np.ndarray
    nodes: np.ndarray
    interpolate: np.ndarray
    age: np.ndarray

    def at_their_age(self, at_nodes: np.ndarray) -> np.ndarray:
        """Values (customers, ...) of values (nodes, ...)."""
        return np.tensordot(self.interpolate, at_nodes, axes=1)[self.age]


def by_frequency(
    frequency: np.ndarray,
    T: np.ndarray,
    origin: float,
    n_nodes: int,
) -> Iterator[Alike]:
    """The customers of each frequency, for anything that is smooth in log(origin + T).

    Beyond `n_nodes` distinct T it need only be known at Chebyshev nodes, the same ones for all customers: values between
    them follow by interpolation (Berrut and Trefethen, Barycentric Lagrange interpolation, 2004).
    """
    frequencies, which = levels(frequency)
    ages, age = levels(T)
    nodes, interpolate = _nodes(ages, origin, n_nodes)
    order = pl.Series(which).arg_sort().to_numpy()
    bounds = np.searchsorted(which[order], np.arange(frequencies.size + 1))
    for i, x in enumerate(frequencies.tolist()):
        rows = order[bounds[i] : bounds[i + 1]]
        present = np.zeros(ages.size, dtype=bool)
        present[age[rows]] = True
        yield Alike(x, rows, nodes, interpolate[present], (np.cumsum(present) - 1)[age[rows]])


def expected(
    curve: Callable[[float, np.ndarray], np.ndarray],
    frequency: np.ndarray,
    T: np.ndarray,
    origin: float,
    columns: int,
) -> np.ndarray:
    """What `curve` says of every customer (customers, columns), given one frequency and many T (len(T), columns)."""
    result = np.empty((frequency.size, columns))
    for alike in by_frequency(frequency, T, origin, AGE_NODES):
        result[alike.rows] = alike.at_their_age(curve(alike.frequency, alike.nodes))
    return result


def _nodes(ages: np.ndarray, origin: float, n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in T, and the matrix that takes values at the nodes to values at `ages`, which are distinct and sorted."""
    if ages.size <= n_nodes:
        return ages, np.eye(ages.size)
    place = np.log(origin + ages)
    middle, half = (place[-1] + place[0]) / 2, (place[-1] - place[0]) / 2
    angles = (2 * np.arange(n_nodes) + 1) * np.pi / (2 * n_nodes)
    nodes = middle + half * np.cos(angles)
    signs = np.where(np.arange(n_nodes) % 2, -1.0, 1.0) * np.sin(angles)
    distance = place[:, None] - nodes
    exact = np.abs(distance) < 1e-14 * (1 + np.abs(place[:, None]))
    terms = signs / np.where(exact, 1.0, distance)
    matrix = np.where(exact.any(axis=1, keepdims=True), exact, terms / terms.sum(axis=1, keepdims=True))
    return np.exp(nodes) - origin, matrix


class _Climbed(NamedTuple):
    theta: np.ndarray
    value: float
    norm: float


def _per_customer(log_likelihood: Objective, prior: Prior | None, n: int) -> Objective:
    """What is minimised: minus the log-likelihood and the prior's log density, per customer."""

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_likelihood(theta)
        if prior is not None:
            distance = (theta - np.log(prior.centre)) / prior.spread
            value, gradient = value - distance @ distance / 2, gradient - distance / np.asarray(prior.spread)
        return -value / max(n, 1), -gradient / max(n, 1)

    return objective


def _climbed(objective: Objective, starts: Sequence[Sequence[float]]) -> _Climbed:
    """The best of what L-BFGS-B finds from one start after the other, until one has converged."""
    from scipy.optimize import minimize

    best = _Climbed(np.log(starts[0]), np.inf, np.inf)
    for start in starts:
        found = minimize(
            objective,
            np.log(start),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-LOG_BOUND, LOG_BOUND)] * len(start),
            options={"maxiter": 1000, "ftol": 0.0, "gtol": TOLERANCE / 10, "maxls": 50},
        )
        if found.fun < best.value:
            best = _Climbed(found.x, float(found.fun), _projected(found.x, found.jac))
        if best.norm <= TOLERANCE:
            break
    return best


def _refined(objective: Objective, theta: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Where Newton steps with a fixed curvature lead, as long as each brings the gradient down."""
    gradient = objective(theta)[1]
    while _projected(theta, gradient) > TOLERANCE / 10:
        ahead = np.clip(theta - np.linalg.solve(curvature, gradient), -LOG_BOUND, LOG_BOUND)
        there = objective(ahead)[1]
        if not _projected(ahead, there) < _projected(theta, gradient) / 2:
            break
        theta, gradient = ahead, there
    return theta


def _projected(theta: np.ndarray, gradient: np.ndarray) -> float:
    """The largest component of the gradient that does not push against a bound."""
    blocked = ((theta <= -LOG_BOUND) & (gradient > 0)) | ((theta >= LOG_BOUND) & (gradient < 0))
    return float(np.abs(np.where(blocked, 0.0, gradient)).max())


def _curvature(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """The second derivatives, by central differences of the gradient."""
    step = 1e-4
    columns = [objective(theta + step * unit)[1] - objective(theta - step * unit)[1] for unit in np.eye(theta.size)]
    return (np.array(columns) + np.array(columns).T) / (4 * step)
