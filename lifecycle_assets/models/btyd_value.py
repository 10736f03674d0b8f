"""What will each customer be worth over the coming months, and between which bounds?

Expected value is expected purchases times expected spend, as the two models are independent. Discounting is by month: the
purchases of month m (30.4375 days) are worth (1 + annual rate)^-(m / 12).

The bounds are those of the models' own predictive distribution. A customer who has left, or does not buy again, brings 0.
Given n purchases, their sum is gamma(p n, nu) with the customer's posterior nu ~ gamma(shape, rate), so that it is the
rate times a beta-prime(p n, shape) variable (Fader and Hardie, The gamma-gamma model of monetary value, 2013). In units
of the rate the distribution given alive depends on frequency and T alone: its quantiles are tabulated over both and read
per customer. Where 0 has 10 % or more, the 80 % interval reaches from 0 to the 80 % quantile; else between the 10 % and
90 % quantiles. Where 0 alone has more than 80 %, the interval is that one point and holds more than 80 %, as it must.

The parameters are taken as known. Where one of the models needed pooled priors they are not, and what is stated outside is
halved: the bounds of the 80 % interval are then those of the 90 % interval. Simulated shops of 20 to 80 repeat customers,
where more than 0 is stated: without that 73 to 82 % were held after up to 90 days and 77 to 82 % after longer ones, with it
82 to 92 %.
"""

# ruff: noqa: N803 - T is the models' own name of the time observed

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.btyd import by_frequency, expected
from lifecycle_assets.models.gamma_gamma import GammaGamma
from lifecycle_assets.models.pareto_nbd import ParetoNbd

DAYS_PER_MONTH = 30.4375
# The table: nodes in T; frequencies one by one up to EVERY, then by this step; purchases likewise; values; probabilities.
AGE_NODES = 12
EVERY, STEP = 16, 1.15
PURCHASE_STEP = 1.06
VALUES = 160
PROBABILITIES = 48
RAREST = 1e-4

Model = BgNbd | ParetoNbd


@dataclass(frozen=True)
class ValueForecast:
    """Per customer the probability of being alive; per customer and horizon (columns) expected purchases, their expected
    value, the same discounted, and the bounds of the undiscounted value (currency)."""

    p_alive: np.ndarray
    purchases: np.ndarray
    value: np.ndarray
    discounted: np.ndarray
    low: np.ndarray
    high: np.ndarray


def value_forecast(
    model: Model,
    spend: GammaGamma,
    frequency: np.ndarray,
    recency: np.ndarray,
    T: np.ndarray,
    monetary_value: np.ndarray,
    *,
    months: Sequence[int] = (6, 12, 36),
    annual_discount_rate: float = 0.10,
    level: float = 0.80,
    occasions: np.ndarray | None = None,
) -> ValueForecast:
    """The value of each customer in the `months` after T: repeat purchases, days from first to last purchase, days observed,
    mean value of a repeat purchase (currency). Where that mean includes the first purchase, `occasions` counts it too: the
    same number more for all customers."""
    p_alive = model.probability_alive(frequency, recency, T)
    ahead = p_alive[:, None] * purchases_if_alive(model, frequency, T, months, annual_discount_rate)
    purchases, discounted_purchases = ahead[:, : len(months)], ahead[:, len(months) :]
    valued = frequency if occasions is None else occasions
    each = spend.expected_spend(valued, monetary_value)[:, None]
    customers = _Customers(frequency, T, valued, monetary_value)
    if model.fitted.pooled or spend.fitted.pooled:
        level = (1 + level) / 2
    days = np.asarray(months) * DAYS_PER_MONTH
    low, high = _quantiles(model, spend, customers, p_alive, days, lambda some: _tails(some, level), (1 - level) / 2)
    return ValueForecast(p_alive, purchases, purchases * each, discounted_purchases * each, low, high)


class _Customers(NamedTuple):
    frequency: np.ndarray
    T: np.ndarray
    occasions: np.ndarray
    monetary_value: np.ndarray


def purchases_if_alive(
    model: Model,
    frequency: np.ndarray,
    T: np.ndarray,
    months: Sequence[int],
    annual_discount_rate: float,
) -> np.ndarray:
    """Expected purchases if alive within each horizon, then the same discounted: (customers, 2 * horizons)."""
    month = np.arange(1, max(months) + 1)
    within = (month[:, None] <= np.asarray(months)).astype(np.float64)
    weights = np.hstack([within, within * (1 + annual_discount_rate) ** (-month[:, None] / 12)])

    def curve(x: float, ages: np.ndarray) -> np.ndarray:
        until = model.expected_if_alive(x, ages, month * DAYS_PER_MONTH)
        return np.diff(until, axis=1, prepend=0.0) @ weights

    return expected(curve, frequency, T, model.origin, weights.shape[1])


def _tails(some: np.ndarray, level: float) -> np.ndarray:
    """With which probability the value is above the lower and the upper bound, given that it is above 0 with `some`."""
    outside = 1 - level
    from_zero = 1 - some >= outside / 2
    return np.stack([np.where(from_zero, 1.0, 1 - outside / 2), np.where(from_zero, outside, outside / 2)])


def _quantiles(
    model: Model,
    spend: GammaGamma,
    customers: _Customers,
    p_alive: np.ndarray,
    days: np.ndarray,
    tails: Callable[[np.ndarray], np.ndarray],
    lowest: float,
) -> np.ndarray:
    """The values that are exceeded with the probabilities `tails` (k, customers, horizons), none of them below `lowest`.

    `tails` takes the probability of any value at all (customers, horizons). Returns (k, customers, horizons).
    """
    from scipy.special import expit, logit

    frequency = customers.frequency
    shape, rate = spend.posterior(customers.occasions, customers.monetary_value)
    unit = spend.p * rate / shape
    grid = np.linspace(logit(lowest), logit(1 - RAREST), PROBABILITIES)
    # The same for all customers.
    more = float((customers.occasions - frequency).max(initial=0))
    nodes = _frequency_nodes(float(frequency.max(initial=0)))
    tables: dict[float, np.ndarray] = {}
    parts: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    for alike in by_frequency(frequency, customers.T, model.origin, AGE_NODES):
        below, above, share = _neighbours(alike.frequency, nodes)
        for x in (below, above):
            if x not in tables:
                tables[x] = _table(model, spend, x, x + more, alike.nodes, days, expit(grid))
        at_ages = np.tensordot(alike.interpolate, (1 - share) * tables[below] + share * tables[above], axes=1)
        some = p_alive[alike.rows, None] * np.exp(np.minimum(at_ages[alike.age, :, 0], 0.0))
        wanted = tails(some)
        # Given any value at all; where that is not to be expected with this probability the bound is 0.
        given = wanted / np.maximum(some, 1e-300)
        place = (logit(np.clip(given, lowest, 1 - RAREST)) - grid[0]) / (grid[1] - grid[0])
        left = np.minimum(place.astype(np.int64), PROBABILITIES - 2)
        who, horizon = alike.age[:, None], np.arange(days.size)
        near, far = at_ages[who, horizon, 1 + left], at_ages[who, horizon, 2 + left]
        value = np.exp(near + (place - left) * (far - near)) * unit[alike.rows, None]
        parts.append(np.where(given < 1, value, 0.0))
        rows.append(alike.rows)
    if not parts:
        return tails(np.zeros((0, days.size)))
    result = np.empty((len(parts[0]), frequency.size, days.size))
    result[:, np.concatenate(rows)] = np.concatenate(parts, axis=1)
    return result


def _frequency_nodes(highest: float) -> np.ndarray:
    n = int(np.ceil(np.log(max(highest / EVERY, 1.0)) / np.log(STEP)))
    return np.append(np.arange(EVERY), EVERY * STEP ** np.arange(n + 1))


def _neighbours(x: float, nodes: np.ndarray) -> tuple[float, float, float]:
    """The nodes around x, and how far x lies between them by its logarithm."""
    i = int(np.searchsorted(nodes, x))
    if nodes[i] == x or not i:
        return float(nodes[i]), float(nodes[i]), 0.0
    below, above = float(nodes[i - 1]), float(nodes[i])
    return below, above, float(np.log(x / below) / np.log(above / below))


def _table(
    model: Model,
    spend: GammaGamma,
    x: float,
    occasions: float,
    ages: np.ndarray,
    days: np.ndarray,
    exceeded: np.ndarray,
) -> np.ndarray:
    """Of customers with x repeat purchases and so many valued occasions, alive at these ages: log probability of a purchase
    within the days, then the logarithms of the values exceeded with these probabilities given one: (ages, days,
    1 + probabilities). Values are in units of p * rate / shape."""
    from scipy.special import betainc, betaincinv, logit

    starts = _purchase_counts(model, x, ages, days)
    at_least = np.maximum(model.at_least_if_alive(starts, x, ages, days), 1e-300)
    # Up to the next count taken as their middle, in which the mixture of sums is nearly linear.
    middle = np.append((starts[:-1] + starts[1:] - 1) / 2, starts[-1])
    mass = -np.diff(at_least, axis=-1, append=0.0) / at_least[..., :1]
    shape = spend.q + spend.p * occasions
    smallest = max(float(betaincinv(spend.p, shape, RAREST)), 1e-12)
    largest = min(float(betaincinv(spend.p * starts[-1], shape, 1 - RAREST)), 1 - 1e-12)
    odds = np.exp(np.linspace(logit(smallest), logit(largest), VALUES))
    above = betainc(shape, spend.p * middle[:, None], 1 / (1 + odds))
    reached = logit(np.clip(mass.reshape(-1, starts.size) @ above, 1e-12, 1 - 1e-12))
    values = np.log(odds * shape / spend.p)
    # Ascending for the interpolation: from the highest value, the least probable, down.
    logs = np.array([np.interp(logit(exceeded), row[::-1], values[::-1]) for row in reached])
    return np.concatenate([np.log(at_least[..., :1]), logs.reshape(ages.size, days.size, -1)], axis=-1)


def _purchase_counts(model: Model, x: float, ages: np.ndarray, days: np.ndarray) -> np.ndarray:
    """1, 2, 3 .. in steps that grow with the count, up to one that hardly anybody reaches."""
    doubled = 2.0 ** np.arange(20)
    reached = model.at_least_if_alive(doubled, x, ages, days)
    often = (reached > RAREST * reached[..., :1]).any(axis=(0, 1))
    last = doubled[min(int(often.sum()), doubled.size - 1)]
    steps = PURCHASE_STEP ** np.arange(int(np.log(last) / np.log(PURCHASE_STEP)) + 2)
    return np.unique(np.round(steps))
