"""Parts add up to the whole, to the cent, and move where their errors are large."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models.forecast_reconciliation import reconciled

DIMENSION = np.array([-1, 0, 0, 1, 1, 1])
amounts = st.floats(0, 1e9) | st.just(0.0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(amounts, min_size=6, max_size=6), min_size=1, max_size=4),
    st.lists(amounts, min_size=6, max_size=6),
)
def test_the_parts_of_every_dimension_come_to_the_whole(days: list[list[float]], variance: list[float]) -> None:
    cents = reconciled(np.array(days).T, DIMENSION, np.array(variance), nonnegative=True)
    assert (cents[0] == cents[1:3].sum(axis=0)).all()
    assert (cents[0] == cents[3:].sum(axis=0)).all()
    assert (cents >= 0).all()


def test_costs_may_be_negative_and_add_up_all_the_same() -> None:
    values = np.array([[10.0], [-30.005], [20.0], [5.0], [1.0], [1.0]])
    cents = reconciled(values, DIMENSION, np.ones(6), nonnegative=False)
    assert cents[0, 0] == cents[1:3, 0].sum() == cents[3:, 0].sum()
    assert cents[1, 0] < 0


def test_it_is_weighted_least_squares() -> None:
    rng = np.random.default_rng(5)
    values, variance = rng.uniform(10, 100, (6, 3)), rng.uniform(0.5, 4, 6)
    # The coherent forecasts are the image of this matrix: one dimension free, of the other all parts but the last.
    free = np.zeros((6, 4))
    free[1, 0], free[2, 1] = 1, 1
    free[0, :2] = 1
    free[3, 2], free[4, 3] = 1, 1
    free[5] = [1, 1, -1, -1]
    weighted = free / variance[:, None]
    expected = free @ np.linalg.solve(free.T @ weighted, weighted.T @ values)
    assert reconciled(values, DIMENSION, variance, nonnegative=False) / 100 == pytest.approx(expected, abs=0.02)


def test_what_adds_up_already_stays() -> None:
    values = np.array([[100.0], [60.0], [40.0], [10.0], [20.0], [70.0]])
    assert (reconciled(values, DIMENSION, np.ones(6), nonnegative=True) == values * 100).all()
