"""The numbers that customers are told apart by."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_shop import customers, planted
from sklearn.preprocessing import RobustScaler, StandardScaler

from lifecycle_assets.models.segmentation_features import feature_matrix
from lifecycle_assets.settings import Segmentation


@pytest.mark.parametrize(
    ("scaling", "scaler"), [("zscore", StandardScaler()), ("robust", RobustScaler()), ("none", None)]
)
def test_scaling_is_that_of_scikit_learn(scaling: str, scaler: StandardScaler | RobustScaler | None) -> None:
    frame = customers(planted()[0])
    made = feature_matrix(frame.lazy(), Segmentation.model_validate({"scaling": scaling}))
    original = frame.select(
        "visit_frequency", pl.col("purchase_total").cast(pl.Float64), "category_diversity"
    ).to_numpy()
    assert np.array_equal(made.original, original)
    assert made.scaled == pytest.approx(original if scaler is None else scaler.fit_transform(original), abs=1e-12)


def test_unknown_values_constants_and_skew_stay_finite() -> None:
    frame = customers(np.array([[3, 10, 1], [3, 10, 1], [3, 10, 1], [3, 10, 9e6]])).with_columns(
        median_gap_days=pl.Series([None, 4.0, 6.0, None])
    )
    settings = {"features": ["visit_frequency", "median_gap_days", "gap_cv", "category_diversity"]}
    for scaling in ("zscore", "robust", "none"):
        made = feature_matrix(frame.lazy(), Segmentation.model_validate({**settings, "scaling": scaling}))
        assert np.isfinite(made.scaled).all()
        assert made.original[:, 1].tolist() == [5, 4, 6, 5]  # the median of those known
        assert made.original[:, 2].tolist() == [0, 0, 0, 0]  # known of nobody
    assert feature_matrix(frame.clear().lazy(), Segmentation()).scaled.shape == (0, 3)


def test_the_most_frequent_categories_become_features() -> None:
    frame = customers(np.ones((5, 3)), primary_category=["b", "a", "b", None, "c"])
    made = feature_matrix(frame.lazy(), Segmentation(one_hot_top=2))
    assert made.names[3:] == ["category: b", "category: a"]
    assert made.scaled[:, 3:].T.tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0]]


@given(st.integers(0, 2**32 - 1))
def test_who_has_which_id_moves_no_bit(seed: int) -> None:
    values, _ = planted(size=10)
    shuffled = np.random.default_rng(seed).permutation(len(values))
    one, other = (feature_matrix(customers(rows).lazy(), Segmentation()) for rows in (values, values[shuffled]))
    assert np.array_equal(one.scaled[shuffled], other.scaled)


def test_a_feature_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no numeric feature 'visit_frequenzy'; did you mean visit_frequency"):
        Segmentation(features=("visit_frequenzy",))
