"""How good is a classifier? The figures that every evaluation table of scores has.

`cv` rows are means and standard deviations over folds that share no group (customer), on all snapshots but the last.
`out_of_time` rows are of the last snapshot, on which nothing was chosen: all candidates are scored on it in one go after the
winner is fixed, and calibrated on the folds before it.
"""

from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from lifecycle_assets.contracts import as_of_column, count, date, flag, key, number, share, shop_key, text
from lifecycle_assets.models.classifier_auc import auc

BINS = 10
LEAST = 1e-7


class EvaluationColumns(dy.Schema):
    """How each way of predicting did, one row per target, candidate and split."""

    shop_id = shop_key()
    as_of = as_of_column()
    target = key("What is predicted, where there are several (product, plan, campaign); `all` for all together.")
    candidate = key("The way of predicting; `baseline` is the simple rule that has to be beaten.")
    split = dy.String(
        primary_key=True,
        check=lambda column: column.is_in(["cv", "out_of_time"]),
        description="cv: folds of all snapshots but the last; out_of_time: the last snapshot.",
    )
    roc_auc = share("Chance that a random positive scores above a random negative.", nullable=True)
    roc_auc_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    roc_auc_lo = share("Lower end of the 95 % interval, clustered by customer; null for cv.", nullable=True)
    roc_auc_hi = share("Upper end of the 95 % interval.", nullable=True)
    pr_auc = share("Average precision; a model that knows nothing has the positive rate.", nullable=True)
    pr_auc_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    f1 = share("F1 of calling as many rows positive as the probabilities add up to.", nullable=True)
    f1_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    accuracy = share("Rows on the right side of probability .5.", nullable=True)
    accuracy_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    log_loss = number("Mean negative log-likelihood.", "nats", nullable=True, minimum=0)
    log_loss_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    brier = share("Mean squared error of the probability.", nullable=True)
    brier_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    calibration_error = share(
        "Expected calibration error: mean distance of probability and frequency over ten equal bins of rows by "
        "probability. Before calibration in cv, after it out of time.",
        nullable=True,
    )
    calibration_error_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    top_decile_lift = number(
        "Positive rate of the tenth with the highest probability over that of all.", nullable=True, minimum=0
    )
    top_decile_lift_sd = number("Standard deviation over the folds; null out of time.", nullable=True, minimum=0)
    train_rows = count("Rows learnt from; the mean over the folds in cv.", "rows")
    test_rows = count("Rows tested on; all folds together in cv.", "rows")
    positive_rate = share("Positives among the rows tested on.", nullable=True)
    seconds = number("Time taken to fit and predict, all folds together in cv.", "seconds", nullable=True, minimum=0)
    chosen = flag("This candidate won the cross-validation.")
    is_used = flag(
        "The scores may be acted on: out of time, shown to be better than chance (95 % interval) and than the baseline "
        "(one-sided 95 % interval of the difference). Null for one of several targets of a model: its scores follow the "
        "verdict on all of them together.",
        nullable=True,
    )
    trained_as_of = date("The night on which it was trained.")
    note = text("What to know about this row.")


FIGURES = (
    "roc_auc",
    "pr_auc",
    "f1",
    "accuracy",
    "log_loss",
    "brier",
    "calibration_error",
    "top_decile_lift",
)


def figures(label: np.ndarray, probability: np.ndarray) -> dict[str, Any]:
    """FIGURES of probabilities for a boolean label; those that need both classes are None where there is one."""
    p = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    y = label.astype(np.float64)
    order = np.argsort(-p, kind="stable")
    both = 0 < y.sum() < y.size
    return {
        "roc_auc": auc(label, p, np.arange(p.size)).value if both else None,
        "pr_auc": _average_precision(y[order], p[order]) if both else None,
        "f1": _f1(y[order], p[order]) if both else None,
        "accuracy": float(((p >= 0.5) == label).mean()),
        "log_loss": float(-np.where(label, np.log(p), np.log1p(-p)).mean()),
        "brier": float(((p - y) ** 2).mean()),
        "calibration_error": _calibration_error(y[order], p[order]),
        "top_decile_lift": _among_first(y[order], p[order], -(-y.size // 10)) / y.mean() if both else None,
    }


def over_folds(folds: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each figure over the folds that have it, and `<figure>_sd`; no deviation of a single fold."""
    result: dict[str, Any] = {}
    for name in FIGURES:
        known = np.array([fold[name] for fold in folds if fold[name] is not None])
        result[name] = float(known.mean()) if known.size else None
        result[f"{name}_sd"] = float(known.std(ddof=1)) if known.size > 1 else None
    return result


def evaluation(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The rows with all columns of EvaluationColumns but shop_id and as_of, null where a row says nothing, sorted by key."""
    schema = {name: column.dtype for name, column in EvaluationColumns.columns().items()}
    del schema["shop_id"], schema["as_of"]
    return pl.DataFrame(rows, schema=schema).sort("target", "candidate", "split")


def _average_precision(y: np.ndarray, p: np.ndarray) -> float:
    """Of rows from the highest probability down; rows of one probability are one step."""
    last = np.append(p[1:] != p[:-1], True)
    hits = np.cumsum(y)[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


def _f1(y: np.ndarray, p: np.ndarray) -> float:
    called = min(max(round(float(p.sum())), 1), p.size)
    right = _among_first(y, p, called) * called
    return float(2 * right / (called + y.sum()))


def _among_first(y: np.ndarray, p: np.ndarray, n: int) -> float:
    """The share of positives among the first n rows; of the rows that tie with the last one, their mean counts."""
    sure, tied = p > p[n - 1], p == p[n - 1]
    return float((y[sure].sum() + y[tied].mean() * (n - sure.sum())) / n)


def _calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    parts = np.array_split(np.arange(p.size), min(BINS, p.size))
    return float(sum(abs(p[part].sum() - y[part].sum()) for part in parts) / p.size)
