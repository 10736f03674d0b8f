"""The candidates against the libraries' own answers."""

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from lifecycle_assets.models import classifier_candidates
from lifecycle_assets.models.classifier_candidates import Xgboost, refit, tune

NAMES = ["logistic", "random_forest", "xgboost", "catboost"]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, label, and which rows are held out. Some columns are 0 or 1, as the encoding makes them."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6_000, 12)).astype(np.float32)
    inputs[:, 8:] = inputs[:, 8:] > 0.5
    log_odds = inputs[:, 0] - inputs[:, 1] * inputs[:, 2] + 0.5 * inputs[:, 3] + inputs[:, 9] * inputs[:, 4] - 1
    return inputs, rng.random(6_000) < 1 / (1 + np.exp(-log_odds)), rng.random(6_000) < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_what_the_columns_add_sums_to_the_log_odds(data: tuple[np.ndarray, ...], name: str) -> None:
    inputs, label, held = data
    model, _ = tune(name, inputs, label, held, 1)
    base = model.log_odds(inputs) - model.shap(inputs).sum(axis=1)
    assert np.ptp(base) < 1e-4


@pytest.mark.parametrize("name", ["random_forest", "xgboost"])
def test_what_the_columns_add_is_what_xgboost_itself_says(data: tuple[np.ndarray, ...], name: str) -> None:
    inputs, label, _ = data
    model = refit(name, inputs, label, 40, 1)
    assert isinstance(model, Xgboost)
    theirs = model.booster.predict(xgboost.DMatrix(inputs[:300]), pred_contribs=True)[:, :-1]
    ours = model.shap(inputs[:300])
    if name == "random_forest":  # the same shares of a sum on another scale
        ours, theirs = (each / each.sum(axis=1, keepdims=True) for each in (ours, theirs))
    assert ours == pytest.approx(theirs, abs=1e-4 if name == "xgboost" else 2e-2)


def test_the_forests_log_odds_are_of_the_mean_share_of_positives_in_the_leaves() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.integers(0, 2, (40_000, 1)).astype(np.float32)
    label = rng.random(40_000) < np.where(inputs[:, 0] > 0, 0.6, 0.05)
    found = refit("random_forest", inputs, label, 1, 1).log_odds(np.array([[0], [1]], np.float32))
    assert 1 / (1 + np.exp(-found)) == pytest.approx([0.05, 0.6], abs=0.01)


def test_the_forest_orders_as_well_as_scikit_learns(data: tuple[np.ndarray, ...]) -> None:
    inputs, label, held = data
    ours = refit("random_forest", inputs[~held], label[~held], 1, 1).log_odds(inputs[held])
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0).fit(inputs[~held], label[~held])
    theirs = forest.predict_proba(inputs[held])[:, 1]
    assert roc_auc_score(label[held], ours) > roc_auc_score(label[held], theirs) - 0.01


@pytest.mark.parametrize("name", ["xgboost", "random_forest", "catboost"])
def test_the_number_of_threads_changes_no_probability(
    data: tuple[np.ndarray, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, label, _ = data
    one = refit(name, inputs, label, 60, 1).log_odds(inputs)
    for options in ("BOOSTING", "FOREST", "OBLIVIOUS"):
        threads = {"thread_count": 2} if options == "OBLIVIOUS" else {"nthread": 2}
        monkeypatch.setattr(classifier_candidates, options, {**getattr(classifier_candidates, options), **threads})
    two = refit(name, inputs, label, 60, 1).log_odds(inputs)
    assert 1 / (1 + np.exp(-two)) == pytest.approx(1 / (1 + np.exp(-one)), abs=1e-6)
