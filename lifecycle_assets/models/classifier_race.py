"""Which candidate orders unseen customers best? Cross-validation with grouped, stratified folds.

No group (customer) is in two folds. Each fold's part to learn from gives a seventh of its groups to deciding how far a
candidate goes (penalty, rounds). After the first fold a candidate that is behind the best by more than BEHIND and by more than
two standard errors of the difference leaves the race. Best is the mean ROC-AUC to four decimals, then F1, then accuracy, then
the candidate that stands first in the settings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from lifecycle_assets.models.blocks import one_blas_thread
from lifecycle_assets.models.classifier_auc import auc, standard_error
from lifecycle_assets.models.classifier_candidates import side_by_side, tune
from lifecycle_assets.models.classifier_evaluation import figures, over_folds

BASELINE = "baseline"
INNER_FOLDS = 7
BEHIND = 0.01


@dataclass
class Raced:
    """How a candidate did: `log_odds` of each row by a model that had not seen its group (NaN where it was no longer in the
    race), how `far` it went in each fold, the figures of each fold."""

    name: str
    log_odds: np.ndarray
    far: list[float] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    note: str | None = None

    @property
    def finished(self) -> bool:
        return self.note is None

    @property
    def typical_far(self) -> float:
        return float(np.median(self.far))

    @property
    def mean(self) -> dict[str, Any]:
        return over_folds(self.folds)


def group_folds(label: np.ndarray, group: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold for each row: groups stay whole, and folds have about equally many groups, rows and positives.

    `group` numbers the groups from 0. The groups are dealt out in the order of their positives and sizes, ties at random.
    """
    rows = np.bincount(group)
    positives = np.bincount(group, weights=label)
    order = np.lexsort((rng.random(rows.size), rows, positives))
    fold = np.empty(rows.size, np.int64)
    fold[order] = np.arange(rows.size) % folds
    return fold[group]


def race(
    inputs: Mapping[str, np.ndarray], label: np.ndarray, group: np.ndarray, folds: int, rng: np.random.Generator
) -> list[Raced]:
    """Each candidate's cross-validation. `inputs` are the candidates' matrices, the baseline's among them."""
    fold = group_folds(label, group, folds, rng)
    held = [group_folds(label[fold != k], group[fold != k], INNER_FOLDS, rng) == 0 for k in range(folds)]
    seed = int(rng.integers(2**31))
    runners = [Raced(name, np.full(label.size, np.nan)) for name in inputs]

    def run(runner: Raced, k: int) -> tuple[Raced, int, np.ndarray, float, float]:
        started = perf_counter()
        matrix, learnt, ahead = inputs[runner.name], fold != k, fold == k
        model, far = tune(runner.name, matrix[learnt], label[learnt], held[k], seed)
        return runner, k, model.log_odds(matrix[ahead]), far, perf_counter() - started

    # One thread each: sums of the linear model come out the same on any machine.
    with one_blas_thread(), side_by_side() as pool:
        for first, jobs in ((True, [0]), (False, range(1, folds))):
            running = [pool.submit(run, runner, k) for runner in runners if runner.finished for k in jobs]
            for done in running:
                runner, k, log_odds, far, seconds = done.result()
                ahead = fold == k
                runner.log_odds[ahead] = log_odds
                runner.far.append(far)
                runner.folds.append(figures(label[ahead], 1 / (1 + np.exp(-log_odds))))
                runner.seconds += seconds
            if first:
                _drop_the_hopeless(runners, label[fold == 0], group[fold == 0], fold == 0)
    return runners


def winner(runners: Sequence[Raced]) -> Raced:
    """The best of those that finished; the baseline does not count."""
    able = [runner for runner in runners if runner.finished and runner.name != BASELINE]
    return max(able, key=lambda r: (round(r.mean["roc_auc"], 4), r.mean["f1"], r.mean["accuracy"]))


def _drop_the_hopeless(runners: Sequence[Raced], label: np.ndarray, group: np.ndarray, ahead: np.ndarray) -> None:
    areas = {r.name: auc(label, r.log_odds[ahead], group) for r in runners if r.name != BASELINE}
    best = max(areas, key=lambda name: areas[name].value)
    for runner in runners:
        if runner.name == BASELINE:
            continue
        behind = areas[best].value - areas[runner.name].value
        error = standard_error(areas[best].moved - areas[runner.name].moved, group)
        if behind > BEHIND and behind > 2 * error:
            runner.note = (
                f"Left the race after the first fold: AUC {areas[runner.name].value:.3f}, "
                f"{best} had {areas[best].value:.3f}."
            )
