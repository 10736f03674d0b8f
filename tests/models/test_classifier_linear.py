"""The elastic net against scikit-learn's."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lifecycle_assets.models.classifier_linear import L1_SHARE, Linear, elastic_net, fit, tune


def _data(rows: int = 2_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 8)) @ rng.normal(size=(8, 8))
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    log_odds = inputs @ np.array([1.0, -0.7, 0.4, 0, 0, 0.2, 0, 0]) - 1
    return inputs, rng.random(rows) < 1 / (1 + np.exp(-log_odds))


@pytest.mark.parametrize("penalty", [0.1, 0.01, 0.001])
def test_the_coefficients_are_those_of_scikit_learns_saga(penalty: float) -> None:
    inputs, label = _data()
    ours = elastic_net(inputs, label, penalty, np.zeros(9))
    theirs = LogisticRegression(
        solver="saga", l1_ratio=L1_SHARE, C=1 / (penalty * label.size), tol=1e-8, max_iter=20_000
    ).fit(inputs, label)
    assert ours[1:] == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours[0] == pytest.approx(theirs.intercept_[0], abs=1e-4)
    assert np.array_equal(ours[1:] == 0, np.abs(theirs.coef_[0]) < 1e-7)


def test_the_penalty_is_chosen_on_held_rows_and_drops_noise() -> None:
    rng = np.random.default_rng(1)
    useful, label = _data(3_000)
    inputs = np.column_stack([useful, rng.normal(size=(3_000, 60))]).astype(np.float32)
    held = rng.random(3_000) < 0.2
    model, penalty = tune(inputs, label, held)
    assert model.penalty == penalty
    assert np.count_nonzero(model.weight[8:]) < 30
    loose = fit(inputs[~held], label[~held], 1e-6)

    def loss(made: Linear) -> float:
        signed = np.where(label[held], 1, -1) * made.log_odds(inputs[held])
        return float(np.logaddexp(0, -signed).mean())

    assert loss(model) < loss(loose)


def test_a_column_that_tells_the_classes_apart_keeps_finite_weights() -> None:
    inputs, label = _data(500)
    model = fit(np.column_stack([label * 1.0, inputs]).astype(np.float32), label, 1e-5)
    assert np.isfinite(model.weight).all()
    assert ((model.log_odds(np.column_stack([label * 1.0, inputs])) > 0) == label).all()


def test_nearly_separated_classes_and_rare_positives_do_not_run_away() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.exponential(size=(20_000, 6)).astype(np.float32)
    flag = rng.random(20_000) < 0.5
    inputs = np.column_stack([inputs, flag]).astype(np.float32)
    # One flag is never followed by the event, which is rare elsewhere.
    label = ~flag & (rng.random(20_000) < 0.02 * inputs[:, 0])
    cold = fit(inputs, label, 1e-4)
    warm, _ = tune(inputs, label, rng.random(20_000) < 0.2)

    def loss(made: Linear) -> float:
        return float(np.logaddexp(0, np.where(label, -1, 1) * made.log_odds(inputs)).mean())

    base = label.mean()
    assert loss(cold) < -(base * np.log(base) + (1 - base) * np.log(1 - base)) * 0.95
    assert loss(cold) <= loss(warm) + 1e-4
