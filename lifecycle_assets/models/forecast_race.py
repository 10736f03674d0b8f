"""How does each way of forecasting do on a series' own past?

Rolling origin (Tashman, 2000): the last four stretches of a series are each forecast from what came before, as long as its
history allows. Who has done best is forecast_choice's to say, once of all folds, and once without each of them.

Cheap candidates forecast all series at once. Expensive ones come after them, series by series in the order given, while the
time lasts, and only as long as they can still win: squared errors only ever add up, so a candidate that has collected more
than the best cheap one has in total is out. So what comes of one trial never depends on another, and trials may run side by
side, elsewhere. The time is counted by what a fit usually costs, so that the same candidates are tried on any machine, however
busy it is, and on any number of workers. What was left out is said.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np

from lifecycle_assets.models.forecast_calendar import Calendar
from lifecycle_assets.models.forecast_candidates import Candidate, Mapped, Panel
from lifecycle_assets.models.forecast_choice import CALENDAR_WEIGHT, FOLDS, Chosen, Folds, choose, errors_of
from lifecycle_assets.models.forecast_panel import WEEK
from lifecycle_assets.models.forecast_preparation import to_fit

# Whole weeks, so that every weekday counts the same; below them what very young series allow.
HORIZONS = (1, 3, 7, 14, 28, 56, 91, 182, 364)
# A series needs so many fold horizons of history: two to learn from at first, four to be judged on.
SPANS = FOLDS + 2
# Seconds per series and fit above which a candidate is tried series by series.
EXPENSIVE = 0.02
COST_DAYS = 400
CANNOT_WIN = "cannot win any more"
NO_TIME = "no time left in the budget"


@dataclass
class Budget:
    """Seconds that expensive candidates may cost in all, counted by Candidate.cost, and a clock that tells what each took."""

    seconds: float
    clock: Callable[[], float]
    spent: float = field(default=0.0, init=False)

    def spend(self, seconds: float) -> bool:
        """Whether there is so much left; then it is gone."""
        if self.spent + seconds > self.seconds:
            return False
        self.spent += seconds
        return True


@dataclass(frozen=True)
class Raced:
    """The race of series of about one length.

    `paths`: candidate -> (n_series, FOLDS, horizon), NaN without an answer. `seconds`: candidate -> (n_series, FOLDS).
    `skipped`: candidate -> why it has no answer, per series, or None. `chosen`: on all folds. `left_out`: on all but each.
    """

    folds: Folds
    paths: dict[str, np.ndarray]
    seconds: dict[str, np.ndarray]
    skipped: dict[str, list[str | None]]
    chosen: Chosen
    left_out: list[Chosen]


@dataclass(frozen=True)
class Trial:
    """An expensive candidate, series number `row` alone up to the origin of each fold, and the squared error not to exceed."""

    candidate: Candidate
    row: int
    panels: list[Panel]
    folds: Folds
    best: float


@dataclass(frozen=True)
class Tried:
    """What came of a trial. `path`: (FOLDS, horizon), NaN without an answer. `seconds`: (FOLDS,). `skipped`: why it ended."""

    name: str
    row: int
    path: np.ndarray
    seconds: np.ndarray
    skipped: str | None


def horizon_of(days: int) -> int:
    """The horizon of the folds for a history of so many days; 0 where there can be none."""
    return max((horizon for horizon in HORIZONS if SPANS * horizon <= days), default=0)


def race(
    values: np.ndarray,
    horizon: int,
    kind: str,
    days: Calendar,
    candidates: Mapping[str, Candidate],
    expensive: Sequence[int],
    budget: Budget,
    seed: int,
    mapped: Mapped,
) -> Raced:
    """The candidates on series of about one length. `values`: (n_series, n_days) known values of the days from days.start, NaN
    where unknown. `expensive`: numbers of the series that expensive candidates are for, in their order. `mapped`: where these
    are tried."""
    folds, panels = _folds(values, horizon, kind, days)
    shape = folds.actual.shape
    paths = {name: np.full(shape, np.nan) for name in candidates}
    seconds = {name: np.zeros(shape[:2]) for name in candidates}
    skipped: dict[str, list[str | None]] = {name: [None] * shape[0] for name in candidates}
    cheap = {name: candidate for name, candidate in candidates.items() if candidate.cost <= EXPENSIVE}
    for name, candidate in cheap.items():
        for fold, panel in enumerate(panels):
            started = budget.clock()
            paths[name][:, fold] = candidate.forecast(panel, horizon, seed)
            seconds[name][:, fold] = (budget.clock() - started) / shape[0]
    best = _lowest(cheap, paths, folds)
    costly = {name: candidate for name, candidate in candidates.items() if name not in cheap}
    for name in costly:
        skipped[name] = ["only for the series of most weight"] * shape[0]
    trials = _trials(costly, expensive, panels, folds, best, budget, skipped)
    for tried in mapped(partial(_tried, seed=seed, clock=budget.clock), trials):
        name, row = tried.name, tried.row
        paths[name][row], seconds[name][row], skipped[name][row] = tried.path, tried.seconds, tried.skipped
    for name, candidate in candidates.items():
        _say_why(candidate, paths[name], panels[0], skipped[name])
    every = np.arange(FOLDS)
    return Raced(
        folds,
        paths,
        seconds,
        skipped,
        choose(paths, folds, every),
        [choose(paths, folds, np.delete(every, fold)) for fold in every],
    )


def _folds(values: np.ndarray, horizon: int, kind: str, days: Calendar) -> tuple[Folds, list[Panel]]:
    n_days = values.shape[1]
    begin = int(np.isfinite(values).argmax(axis=1).min())
    origins = [n_days - (FOLDS - fold) * horizon for fold in range(FOLDS)]
    panels, naive = [], []
    for origin in origins:
        fitted, _ = to_fit(values[:, begin:origin], kind, days.exempt(origin)[begin:])
        start = days.start + dt.timedelta(days=begin)
        panels.append(Panel(fitted, start, days.regressors(begin, origin + horizon), kind != "cost"))
        difference = np.abs(fitted[:, WEEK:] - fitted[:, :-WEEK])
        counts = np.isfinite(difference).sum(axis=1)
        naive.append(np.nansum(difference, axis=1) / np.where(counts > 0, counts, np.nan))
    ahead = np.array(origins)[:, None] + np.arange(horizon)
    return Folds(horizon, values[:, ahead], days.is_business[ahead], np.stack(naive, axis=1)), panels


def _trials(
    costly: Mapping[str, Candidate],
    series: Sequence[int],
    panels: Sequence[Panel],
    folds: Folds,
    best: np.ndarray,
    budget: Budget,
    skipped: Mapping[str, list[str | None]],
) -> Iterator[Trial]:
    """Each candidate on one series after another, as long as the budget lasts; says what it does not last for."""
    for (name, candidate), row in product(costly.items(), series):
        skipped[name][row] = None
        alone = [panel.of(panel.values[[row]]) for panel in panels]
        if not candidate.applies(alone[0].values)[0]:
            continue
        if budget.spend(FOLDS * candidate.cost * panels[-1].n_days / COST_DAYS):
            of_row = replace(folds, actual=folds.actual[[row]], naive=folds.naive[[row]])
            yield Trial(candidate, row, alone, of_row, best[row])
        else:
            skipped[name][row] = NO_TIME


def _tried(trial: Trial, seed: int, clock: Callable[[], float]) -> Tried:
    """The candidate on the series, the latest fold first."""
    horizon = trial.folds.horizon
    path, seconds = np.full((FOLDS, horizon), np.nan), np.zeros(FOLDS)
    squared, skipped = 0.0, None
    for fold in reversed(range(FOLDS)):
        started = clock()
        path[fold] = trial.candidate.forecast(trial.panels[fold], horizon, seed)[0]
        seconds[fold] = clock() - started
        squared += _squared(path[fold], trial.folds, fold)
        if squared > trial.best:
            path[:], skipped = np.nan, CANNOT_WIN
            break
    return Tried(trial.candidate.name, trial.row, path, seconds, skipped)


def _squared(path: np.ndarray, folds: Folds, fold: int) -> float:
    """What the fold adds at least to the weighted sum of squares of the only series, so that none is out too early: by the
    inequality of Cauchy and Schwarz the folds' own weighted sums come to no more than that of all of them."""
    errors = np.zeros((FOLDS, folds.horizon))
    errors[fold] = np.nan_to_num(path - folds.actual[0, fold])
    sums, _ = folds.per_stretch(errors, folds.judged)
    squares = (sums**2).sum(axis=(1, 2))
    return float((CALENDAR_WEIGHT * np.sqrt(squares[0]) + (1 - CALENDAR_WEIGHT) * np.sqrt(squares[1])) ** 2)


def _lowest(cheap: Mapping[str, Candidate], paths: Mapping[str, np.ndarray], folds: Folds) -> np.ndarray:
    """The lowest weighted sum of squares of each series among the cheap candidates."""
    scores = np.stack([errors_of(paths[name], folds, np.arange(FOLDS)).score for name in cheap])
    return np.nan_to_num(scores, nan=np.inf).min(axis=0) ** 2 * FOLDS * folds.judged


def _say_why(candidate: Candidate, path: np.ndarray, first: Panel, skipped: list[str | None]) -> None:
    applies = candidate.applies(first.values)
    for row in np.flatnonzero(~np.isfinite(path).all(axis=(1, 2))):
        if not applies[row]:
            skipped[row] = "not for this series, or too few days before the first fold"
        elif skipped[row] is None:
            skipped[row] = "gave no answer"
