"""The reasons: largest first, in words."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models.classifier_drivers import Words, factors_in_words, top_drivers


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 5))
def test_the_largest_effects_come_first_with_their_own_values(seed: int, width: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=(20, width))
    names = [f"f{number}" for number in range(width)]
    values = rng.integers(0, 100, (20, width))
    made = top_drivers(pl.DataFrame(values, schema=names), names, effects, rng.random(20), n)
    for row, told in enumerate(made.iter_rows(named=True)):
        order = np.argsort(-np.abs(effects[row]))[:n]
        for k, place in enumerate(order, 1):
            assert told[f"driver_{k}"] == names[place]
            assert told[f"effect_{k}"] == effects[row, place]
            assert told[f"value_{k}"] == str(values[row, place])
        assert all(told[f"driver_{k}"] is None for k in range(width + 1, n + 1))


def test_points_are_what_the_probability_would_lose() -> None:
    made = top_drivers(
        pl.DataFrame({"a": [1.0, 1.0, 1.0]}), ["a"], np.log([[3.0], [1 / 3], [1.0]]), np.array([0.75, 0.25, 0.5]), 1
    )
    assert np.round(made["points_1"].to_list()[:2], 9).tolist() == [25, -25]
    assert made["driver_1"].to_list() == ["a", "a", None]


def test_factors_read_like_sentences() -> None:
    drivers = pl.DataFrame(
        {
            "driver_1": ["recency_days", "plan", "recency_days", None],
            "effect_1": [1.0, -0.5, 0.2, None],
            "points_1": [18.2, -3.4, 0.42, None],
            "value_1": ["120", "pro", None, None],
            "driver_2": ["plan", None, "other_thing", None],
            "effect_2": [-0.1, None, 0.001, None],
            "points_2": [-1.2, None, 0.004, None],
            "value_2": [None, None, "0.25", None],
        }
    )
    words = {
        "recency_days": Words("ordered {} days ago", "never ordered"),
        "plan": Words("is on plan {}", "has no plan"),
    }
    assert factors_in_words(drivers, words).to_list() == [
        "ordered 120 days ago (raises it by 18 points); has no plan (lowers it by 1 point)",
        "is on plan pro (lowers it by 3 points)",
        "never ordered (raises it by 0.4 points); other_thing is 0.25 (raises it by less than 0.1 points)",
        None,
    ]


def test_values_are_told_with_few_digits() -> None:
    rows = pl.DataFrame(
        {
            "a": pl.Series([3.0, 0.123456, 1234.5678, -0.00012345, float("inf"), None, 1e15]),
        }
    )
    made = top_drivers(rows, ["a"], np.ones((7, 1)), np.full(7, 0.5), 1)
    assert made["value_1"].to_list() == ["3", "0.123", "1235", "-0.000123", None, None, "1000000000000000"]
    assert top_drivers(
        pl.DataFrame({"f": [True], "c": ["x"]}), ["f", "c"], np.array([[2.0, 1.0]]), np.array([0.5]), 2
    ).select("value_1", "value_2").row(0) == ("true", "x")
