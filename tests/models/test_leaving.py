"""Whether a shop's orders tell that customers leave: on shops drawn with and without leaving."""

# ruff: noqa: N806 - T is the models' own name of the time observed

import numpy as np
import pytest

from lifecycle_assets.models.bg_nbd import BgNbd
from lifecycle_assets.models.leaving import is_told
from lifecycle_assets.models.pareto_nbd import ParetoNbd


def told(kind: type[BgNbd | ParetoNbd], leaving_rate: float, seed: int, n: int = 1000) -> bool:
    """Of customers who buy at their own random rates over up to two years, leaving at this rate per day."""
    rng = np.random.default_rng(seed)
    T = rng.integers(1, 729, n).astype(float)
    rate = rng.gamma(0.8, 1 / 45, n)
    until = np.minimum(T, rng.exponential(1 / leaving_rate, n)) if leaving_rate else T
    frequency = rng.poisson(rate * until).astype(float)
    recency = np.where(frequency > 0, np.floor(until * rng.random(n) ** (1 / np.maximum(frequency, 1))), 0.0)
    return is_told(kind.fit(frequency, recency, T), frequency, T)


@pytest.mark.parametrize("kind", [BgNbd, ParetoNbd])
def test_only_where_customers_leave_do_the_orders_tell_it(kind: type[BgNbd | ParetoNbd]) -> None:
    assert sum(told(kind, 0.0, seed) for seed in range(20)) <= 2
    assert all(told(kind, 1 / 1000, seed) for seed in range(5))


@pytest.mark.parametrize("kind", [BgNbd, ParetoNbd])
def test_more_customers_tell_of_rarer_leaving(kind: type[BgNbd | ParetoNbd]) -> None:
    rare = 1 / 20_000
    few = sum(told(kind, rare, seed, n=200) for seed in range(8))
    many = sum(told(kind, rare, seed, n=5000) for seed in range(8))
    assert few <= 4
    assert many >= 7
