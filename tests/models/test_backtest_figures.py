"""The figures of the backtest: what a useless, a true and a perfect score get, and how often the intervals hold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from lifecycle_assets.models.backtest_figures import Figure, of_amounts, of_lists, of_months, of_probabilities

RUNS = 200


def told(figures: object) -> dict[str, Figure]:
    return {figure.metric: figure for figure in figures}  # type: ignore[attr-defined]


def drawn(rng: np.random.Generator, customers: int = 300, rows: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities, which the rows of a customer share in part, labels drawn from them, and the customers."""
    group = np.repeat(np.arange(customers), rows)
    truth = 1 / (1 + np.exp(2 - rng.normal(size=customers)[group] - rng.normal(size=group.size)))
    return truth, rng.random(group.size) < truth, group


def test_a_useless_score_has_half_within_its_interval() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(RUNS):
        _, label, group = drawn(rng)
        area = told(of_probabilities(label, rng.random(label.size), group, rng.random(label.size), None))["auc"]
        held += area.lo <= 0.5 <= area.hi
    # 95 % of 200, give or take three standard errors of a proportion.
    assert held >= 0.95 * RUNS - 3 * np.sqrt(RUNS * 0.95 * 0.05)


def test_true_probabilities_are_called_calibrated_as_often_as_the_interval_says() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(RUNS):
        truth, label, group = drawn(rng)
        ratio = told(of_probabilities(label, truth, group, truth, None))["calibration"]
        held += ratio.lo <= 1 <= ratio.hi
    assert abs(held - 0.95 * RUNS) <= 3 * np.sqrt(RUNS * 0.95 * 0.05)


def test_figures_are_those_of_scikit_learn() -> None:
    truth, label, group = drawn(np.random.default_rng(3))
    usual = np.full(label.size, 0.2)
    figures = told(of_probabilities(label, truth, group, -truth, usual))
    assert np.isclose(figures["auc"].value, roc_auc_score(label, truth))
    assert np.isclose(figures["auc"].simple, 1 - roc_auc_score(label, truth))
    assert np.isclose(figures["brier"].value, brier_score_loss(label, truth))
    assert np.isclose(figures["brier"].simple, brier_score_loss(label, usual))


def test_with_one_class_there_is_no_area() -> None:
    label = np.zeros(10, bool)
    figures = told(of_probabilities(label, np.full(10, 0.1), np.arange(10), np.zeros(10), None))
    assert set(figures) == {"brier", "calibration"}
    assert figures["calibration"].value == 0


def test_the_mean_error_is_known_as_well_as_it_says() -> None:
    rng, held = np.random.default_rng(4), 0
    for _ in range(RUNS):
        came = rng.gamma(1.0, 100.0, 400)
        error = told(of_amounts(came, np.full(400, 100.0), np.zeros(400), np.full(400, 300.0), came))["mae"]
        # The mean absolute deviation of an exponential from its mean is 2/e of it.
        held += error.lo <= 200 / np.e <= error.hi
        assert error.simple == 0
    assert abs(held - 0.95 * RUNS) <= 4 * np.sqrt(RUNS * 0.95 * 0.05)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=12), st.floats(0.2, 5))
def test_a_forecast_that_is_off_by_a_factor_is_off_by_that_much(months: list[float], factor: float) -> None:
    came = np.array(months)
    figures = told(of_months(came, came * factor, came, came, came))
    assert np.isclose(figures["mape"].value, 100 * abs(factor - 1))
    assert np.isclose(figures["total_error_pct"].value, 100 * (factor - 1))
    assert figures["mape"].simple == 0
    assert figures["interval_coverage"].value == 1


def test_months_without_sales_have_no_error_in_percent() -> None:
    came = np.array([0.0, 10.0, 20.0])
    figures = told(of_months(came, came + 5, came, came, came))
    assert (figures["mape"].value, figures["mape"].n) == (37.5, 2)
    assert figures["total_error_pct"].n == figures["interval_coverage"].n == 3


def test_nothing_to_judge_gives_no_figure() -> None:
    nothing = np.zeros(0)
    assert not [*of_probabilities(nothing.astype(bool), nothing, nothing.astype(int), nothing, None)]
    assert not [*of_amounts(*[nothing] * 5), *of_months(*[nothing] * 5), *of_lists("ndcg_at_10", nothing, nothing)]
