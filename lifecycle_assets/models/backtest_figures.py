"""How good was a score, given what then happened?

Four kinds of scores, each held against a simple rule on the same rows:

    probabilities  area under the ROC curve, Brier score, what happened over what was expected, lift of the top tenth
    amounts        mean absolute error, error of the total, rank correlation, coverage of the 80 % interval
    months         mean absolute percentage error, error of the total, coverage of the 80 % interval
    lists          NDCG and recall of the first ten

Intervals are of 95 %: DeLong's for areas (classifier_auc), else normal ones of means over customers; rows of one customer count
together. With nothing to tell from, a figure is left out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lifecycle_assets.confidence import Z
from lifecycle_assets.models.classifier_auc import auc
from lifecycle_assets.models.classifier_evaluation import figures


class Figure(NamedTuple):
    """One metric with its 95 % interval, the simple rule's figure, and how many rows it is of."""

    metric: str
    value: float
    lo: float | None
    hi: float | None
    simple: float | None
    n: int


def of_probabilities(
    label: np.ndarray, probability: np.ndarray, group: np.ndarray, rule: np.ndarray, usual: np.ndarray | None
) -> Iterator[Figure]:
    """`label` (bool) is what happened, `group` numbers the customers from 0; `rule` orders the rows as the simple rule does,
    `usual` is each row's share of positives as known on the day."""
    n, happened, expected = label.size, float(label.sum()), float(probability.sum())
    if n == 0:
        return
    told = figures(label, probability)
    if told["roc_auc"] is not None:
        area = auc(label, probability, group)
        yield Figure("auc", area.value, area.low, area.high, auc(label, rule, group).value, n)
        simple = figures(label, _between_0_and_1(rule))["top_decile_lift"]
        yield Figure("top_decile_lift", told["top_decile_lift"], None, None, simple, n)
    simple = None if usual is None else float(((usual - label) ** 2).mean())
    yield Figure("brier", told["brier"], *_of_mean((probability - label) ** 2, group), simple, n)
    if expected > 0:
        ratio = happened / expected
        spread = Z * float(np.sqrt((np.bincount(group, weights=label - probability) ** 2).sum())) / expected
        simple = happened / usual.sum() if usual is not None and usual.sum() > 0 else None
        yield Figure("calibration", ratio, max(ratio - spread, 0.0), ratio + spread, simple, n)


def of_amounts(
    came: np.ndarray, expected: np.ndarray, low: np.ndarray, high: np.ndarray, rule: np.ndarray
) -> Iterator[Figure]:
    """One row per customer: what came, what was expected, the 80 % interval, and what the simple rule expected."""
    n, total = came.size, float(came.sum())
    if n == 0:
        return
    each = np.arange(n)
    error = np.abs(expected - came)
    yield Figure("mae", float(error.mean()), *_of_mean(error, each), float(np.abs(rule - came).mean()), n)
    if total > 0:
        yield Figure("total_error_pct", _percent(expected, total), None, None, _percent(rule, total), n)
    ranks = _spearman(expected, came)
    if ranks is not None:
        yield Figure("spearman", ranks, None, None, _spearman(rule, came), n)
    inside = ((low <= came) & (came <= high)).astype(np.float64)
    yield Figure("interval_coverage", float(inside.mean()), *_of_mean(inside, each), None, n)


def of_months(
    came: np.ndarray, expected: np.ndarray, low: np.ndarray, high: np.ndarray, rule: np.ndarray
) -> Iterator[Figure]:
    """One row per month: what came, what was expected, the 80 % interval, and what the simple rule expected."""
    n, total = came.size, float(came.sum())
    sold = came > 0
    if sold.any():
        off, simple = (float(100 * (np.abs(made - came)[sold] / came[sold]).mean()) for made in (expected, rule))
        yield Figure("mape", off, None, None, simple, int(sold.sum()))
        yield Figure("total_error_pct", _percent(expected, total), None, None, _percent(rule, total), n)
    if n:
        yield Figure("interval_coverage", float(((low <= came) & (came <= high)).mean()), None, None, None, n)


def of_lists(metric: str, each: np.ndarray, rule: np.ndarray) -> Iterator[Figure]:
    """`each` customer's figure and that of the simple rule's list."""
    if each.size:
        yield Figure(metric, float(each.mean()), *_of_mean(each, np.arange(each.size)), float(rule.mean()), each.size)


def _between_0_and_1(rule: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(rule) / (rule.size + 1)


def _of_mean(values: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean; values of one group move together."""
    moved = np.bincount(group, weights=values - values.mean())
    spread = Z * float(np.sqrt((moved**2).sum())) / values.size
    return max(float(values.mean()) - spread, 0.0), float(values.mean()) + spread


def _percent(expected: np.ndarray, total: float) -> float:
    return 100 * (float(expected.sum()) - total) / total


def _spearman(expected: np.ndarray, came: np.ndarray) -> float | None:
    from scipy.stats import rankdata

    if np.ptp(expected) == 0 or np.ptp(came) == 0:
        return None
    return float(np.corrcoef(rankdata(expected), rankdata(came))[0, 1])
