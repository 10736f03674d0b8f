"""The matrix: medians, indicators, levels."""

import json

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.models.classifier_encoding import Encoding


def test_a_missing_number_becomes_the_median_with_an_indicator() -> None:
    rows = pl.DataFrame({"a": [1.0, None, 3.0, float("nan"), 8.0], "b": [1, 2, 3, 4, 5]})
    made = Encoding.fit(rows, ["a", "b"], []).matrix(rows)
    assert made.dtype == np.float32
    assert made.tolist() == [[1, 0, 1], [3, 1, 2], [3, 0, 3], [3, 1, 4], [8, 0, 5]]


def test_levels_are_pooled_below_a_hundred_rows_or_one_percent() -> None:
    few = pl.DataFrame({"c": ["a"] * 100 + ["b"] * 99 + [None] * 150 + ["d"] * 9_000})
    assert Encoding.fit(few, [], ["c"]).levels == {"c": ("(missing)", "a", "d")}
    many = pl.DataFrame({"c": ["a"] * 199 + ["b"] * 200 + ["d"] * 19_601})
    assert Encoding.fit(many, [], ["c"]).levels == {"c": ("b", "d")}


def test_an_unseen_level_is_other_and_a_feature_without_levels_keeps_its_place() -> None:
    rows = pl.DataFrame({"c": ["a"] * 100 + ["b"] * 100, "rare": [f"r{number}" for number in range(200)]})
    encoding = Encoding.fit(rows, [], ["rare", "c"])
    new = pl.DataFrame({"c": ["b", "new", None], "rare": ["r1", None, ""]})
    assert encoding.matrix(new).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert encoding.starts.tolist() == [0, 1]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True), st.integers(-100, 100).map(float)), min_size=1),
    st.sampled_from(["a", "b", "(missing)", ""]),
)
def test_whatever_comes_the_matrix_is_finite_as_wide_as_told_and_the_same_when_read_back(
    values: list[float | None], level: str
) -> None:
    rows = pl.DataFrame({"n": pl.Series(values, dtype=pl.Float64), "c": [level] * len(values)})
    encoding = Encoding.fit(rows, ["n"], ["c"])
    made = encoding.matrix(rows)
    assert np.isfinite(made**2).all()
    assert np.array_equal(Encoding.from_json(json.loads(json.dumps(encoding.to_json()))).matrix(rows), made)
    assert encoding.starts.size == 2 and encoding.starts[-1] < made.shape[1]
