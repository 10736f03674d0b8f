"""How well does a score order, and how sure is that?

The area under the ROC curve is the chance that a random positive scores above a random negative, ties counting half. Its
variance is the sum of squares of what every row moves it by (DeLong, DeLong and Clarke-Pearson, "Comparing the areas under
two or more correlated ROC curves", 1988). Rows of one group (a customer) move it together, so theirs are summed first
(Obuchowski, "Nonparametric analysis of clustered ROC curve data", 1997); with one row per group this is DeLong's again.
"""

from typing import NamedTuple

import numpy as np

from lifecycle_assets.confidence import Z as Z95

TAIL = 0.025


class Auc(NamedTuple):
    """`value` with its 95 % interval, and how much every row moved it."""

    value: float
    low: float
    high: float
    moved: np.ndarray


def auc(label: np.ndarray, score: np.ndarray, group: np.ndarray) -> Auc:
    """The area under the curve of `score` for the boolean `label`, both classes present; `group` numbers the groups from 0.

    The interval is taken on the scale of the log-odds, so that it stays within 0 and 1 (Pepe, "The Statistical Evaluation of
    Medical Tests for Classification and Prediction", 2003, section 5.2.5). Where no pair is out of order it is that of a
    proportion without failures among the rows of the smaller class.
    """
    from scipy.stats import rankdata

    positives, negatives = int(label.sum()), int((~label).sum())
    below = rankdata(score)
    # Of the other class, the share that a row is on the right side of.
    placed = np.empty(score.size)
    placed[label] = (below[label] - rankdata(score[label])) / negatives
    placed[~label] = 1 - (below[~label] - rankdata(score[~label])) / positives
    value = float(placed[label].mean())
    moved = (placed - value) / np.where(label, positives, negatives)
    if value in (0.0, 1.0):
        farthest = TAIL ** (1 / min(positives, negatives))
        return Auc(value, *((0.0, 1 - farthest) if value == 0 else (farthest, 1.0)), moved)
    spread = Z95 * standard_error(moved, group) / (value * (1 - value))
    odds = np.log(value / (1 - value))
    low, high = 1 / (1 + np.exp(-(odds - spread))), 1 / (1 + np.exp(-(odds + spread)))
    return Auc(value, float(low), float(high), moved)


def standard_error(moved: np.ndarray, group: np.ndarray) -> float:
    """The standard error of an area, or, given the difference of what two scores' areas are moved by, of their difference."""
    sums = np.bincount(group, weights=moved)
    groups = np.count_nonzero(np.bincount(group))
    return float(np.sqrt((sums**2).sum() * groups / max(groups - 1, 1)))
