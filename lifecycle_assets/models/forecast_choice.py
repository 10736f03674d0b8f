"""Whose forecasts of the folds were best, beyond luck?

What counts is the error of months, since months are what is asked for: the root mean squared error of the sums of month-long
stretches, 0.6 of all days and 0.4 of business days; of days where a fold is shorter than a month.

Four folds hold few months, and the lowest of a dozen noisy errors is low by luck. So what a candidate's error on a series is
expected to be lies between the one measured and the candidate's mean over the series of that kind: the nearer to the mean, the
more the folds disagree and the less the series do (empirical Bayes; Efron and Morris, 1973). The median of the three of least
expected error competes as well: simple combinations are hard to beat (Makridakis, Spiliotis and Assimakopoulos, 2020). This
ensemble is the champion unless a candidate leads it by more than the standard error of the lead; of those within 1 % of the
furthest ahead, the one with the lowest mean absolute error of days. Where demand comes now and then any lead will do, since the
middle of three guesses at one level has no advantage over the best of them, and there is no tie, since the absolute error of
days favours forecasts of nothing. No champion has a larger error than seasonal naive: of months, and of days where demand comes
now and then, since the few sales of a month a year ago say little about the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle_assets.models.forecast_panel import WEEK

FOLDS = 4
MONTH = 365.25 / 12
CALENDAR_WEIGHT = 0.6
NAIVE = "seasonal_naive"
ENSEMBLE = "ensemble"
BEST = 3
# Root mean squared errors this close are a tie.
TIE = 0.01
# A squared error so many times that of the middle candidate says no more than that the candidate failed.
FAILED = 16.0
# Folds learn from much the same days, and say as much as so many times fewer that do not.
ALIKE = 2
# Share of days with nothing above which the demand of a series is now and then: a kind of its own.
RARE_SHARE = 0.4


@dataclass(frozen=True)
class Folds:
    """What came in the last FOLDS stretches of series of about one length.

    `actual`: (n_series, FOLDS, horizon), NaN where unknown. `is_business`: (FOLDS, horizon). `naive`: (n_series, FOLDS) mean
    absolute difference from a week before in what was known at each origin: the scale of MASE.
    """

    horizon: int
    actual: np.ndarray
    is_business: np.ndarray
    naive: np.ndarray

    @property
    def is_rare(self) -> np.ndarray:
        """(n_series,) which are of demand now and then."""
        return (self.actual == 0).mean(axis=(1, 2)) > RARE_SHARE

    @property
    def kinds(self) -> list[np.ndarray]:
        """The numbers of the series that may learn from each other: those of demand now and then, and the others."""
        return [rows for rows in (np.flatnonzero(self.is_rare), np.flatnonzero(~self.is_rare)) if rows.size]

    @property
    def months(self) -> int:
        """Month-long stretches in a fold."""
        return max(1, round(self.horizon / MONTH))

    @property
    def judged(self) -> int:
        """Stretches of a fold that candidates are judged on: months, or days where a fold is shorter than one."""
        return self.months if self.horizon >= MONTH - WEEK else self.horizon

    def per_stretch(self, errors: np.ndarray, stretches: int) -> tuple[np.ndarray, np.ndarray]:
        """Errors by day (..., FOLDS, horizon) -> their sums over stretches of all and of business days
        (2, ..., FOLDS, stretches), and the days of each (2, FOLDS, stretches)."""
        member = np.eye(stretches)[np.arange(self.horizon) * stretches // self.horizon]
        sums = np.stack([errors @ member, (errors * self.is_business) @ member])
        days = np.stack([np.ones(self.is_business.shape) @ member, self.is_business @ member])
        return sums, days


@dataclass(frozen=True)
class Errors:
    """Of forecasts, (n_series, n_folds) each and NaN without an answer: mean squared errors of the sums of stretches of all
    days and of business days; of days; mean absolute error of days."""

    calendar: np.ndarray
    business: np.ndarray
    squared: np.ndarray
    absolute: np.ndarray

    @property
    def weighted(self) -> np.ndarray:
        """The mean squared error that counts, per fold."""
        return CALENDAR_WEIGHT * self.calendar + (1 - CALENDAR_WEIGHT) * self.business

    @property
    def score(self) -> np.ndarray:
        """The weighted root mean squared error over the folds, in the unit of the series."""
        roots = np.sqrt(self.calendar.mean(axis=-1)), np.sqrt(self.business.mean(axis=-1))
        return CALENDAR_WEIGHT * roots[0] + (1 - CALENDAR_WEIGHT) * roots[1]


@dataclass(frozen=True)
class Chosen:
    """`path`, `ensemble`: (n_series, FOLDS, horizon) forecasts of the champion and of the ensemble. `number`: of the champion
    among the candidates, -1 for the ensemble. `best`: (n_series, BEST) numbers of those that the ensemble is of.

    (n_candidates + 1, n_series) each, the ensemble last, NaN where there is no answer: `scores`; `lead`, the squared error
    below the ensemble's that is to be expected, in units of the middle candidate's; `unsure`, its standard error."""

    path: np.ndarray
    number: np.ndarray
    best: np.ndarray
    scores: np.ndarray
    lead: np.ndarray
    unsure: np.ndarray
    ensemble: np.ndarray


def choose(paths: Mapping[str, np.ndarray], folds: Folds, judged: np.ndarray) -> Chosen:
    """The champion of each series on the folds `judged`, and its forecasts on all of them."""
    names = list(paths)
    stack = np.stack(list(paths.values()))
    every = [errors_of(path, folds, judged) for path in stack]
    weighted = np.stack([each.weighted for each in every])
    middle = _middle(weighted)
    relative = np.minimum(weighted / middle, FAILED)
    expected, _ = _drawn(relative, folds.kinds)
    best = np.argsort(np.nan_to_num(expected, nan=np.inf), axis=0, kind="stable")[:BEST].T
    rows = np.arange(stack.shape[1])
    enough = np.isfinite(expected).sum(axis=0) >= BEST
    ensemble = np.where(enough[:, None, None], np.median(stack[best.T, rows], axis=0), np.nan)
    every.append(errors_of(ensemble, folds, judged))
    # Without an ensemble the lead is that over a perfect forecast.
    relative = np.concatenate([relative, np.minimum(every[-1].weighted / middle, FAILED)[None]])
    lead, unsure = _drawn(np.where(enough[:, None], relative[-1], 0.0) - relative, folds.kinds)
    first = _first(lead, unsure, every, names, folds.is_rare)
    path = np.concatenate([stack, ensemble[None]])[first, rows]
    scores = np.stack([each.score for each in every])
    return Chosen(path, np.where(first == len(names), -1, first), best, scores, lead, unsure, ensemble)


def errors_of(path: np.ndarray, folds: Folds, judged: np.ndarray) -> Errors:
    """The errors of one candidate's forecasts (n_series, FOLDS, horizon) of all series on the folds `judged`."""
    errors = np.where(np.isfinite(folds.actual), path - folds.actual, 0.0)
    sums, _ = folds.per_stretch(errors, folds.judged)
    calendar, business = (sums[:, :, judged] ** 2).mean(axis=3)
    errors = errors[:, judged]
    return Errors(calendar, business, (errors**2).mean(axis=2), np.abs(errors).mean(axis=2))


def _middle(weighted: np.ndarray) -> np.ndarray:
    """The squared error of each series' middle candidate, (n_series, 1); 1 where that is nothing."""
    means = np.sort(weighted.mean(axis=2), axis=0)
    place = np.maximum(np.isfinite(means).sum(axis=0) - 1, 0) // 2
    middle = means[place, np.arange(means.shape[1])]
    return np.where(middle > 0, middle, 1.0)[:, None]


def _drawn(figures: np.ndarray, kinds: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(n_candidates, n_series, n_folds) -> what the mean of new folds is expected to be, and its standard error; NaN where
    unknown."""
    expected, error = np.full((2, *figures.shape[:2]), np.nan)
    for rows in kinds:
        means, folds = figures[:, rows].mean(axis=2), figures.shape[2]
        known = np.isfinite(means)
        n = np.maximum(known.sum(axis=1, keepdims=True), 1)
        of_all = np.where(known, means, 0.0).sum(axis=1, keepdims=True) / n
        between = np.where(known, means - of_all, 0.0)
        between = (between**2).sum(axis=1, keepdims=True) / np.maximum(n - 1, 1)
        within = figures[:, rows].var(axis=2, ddof=1) / (folds / ALIKE)
        within = np.where(known, within, 0.0).sum(axis=1, keepdims=True) / n
        own = np.maximum(between - within, 0.0) / np.where(between > 0, between, 1.0)
        expected[:, rows] = of_all + own * (means - of_all)
        error[:, rows] = np.where(known, np.sqrt(own * within + (1 - own) * within / n), np.nan)
    return expected, error


def _first(
    lead: np.ndarray, unsure: np.ndarray, every: Sequence[Errors], names: Sequence[str], is_rare: np.ndarray
) -> np.ndarray:
    """The champion's number per series, the last for the ensemble."""
    squared = np.stack([each.squared.mean(axis=1) for each in every])
    absolute = np.stack([each.absolute.mean(axis=1) for each in every])
    lead = np.where(np.isfinite(squared), lead, -np.inf)
    if NAIVE in names:
        measured = np.where(is_rare, squared, np.stack([each.score for each in every]))
        of_naive = measured[names.index(NAIVE)]
        lead = np.where(measured <= np.where(np.isfinite(of_naive), of_naive, np.inf), lead, -np.inf)
    lead[:-1] = np.where(np.isfinite(lead[-1]) & (lead[:-1] <= np.where(is_rare, 0.0, unsure[:-1])), -np.inf, lead[:-1])
    tied = lead >= lead.max(axis=0) - np.where(is_rare, 0.0, 2 * TIE)
    return np.lexsort((np.where(tied, absolute, -lead), ~tied), axis=0)[0]
