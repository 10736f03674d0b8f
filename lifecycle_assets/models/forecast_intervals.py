"""How far may what comes lie from a forecast, 80 and 95 times of a hundred?

Location and scale: the error of a month's mean has a scale of its own for each series and grows with the distance; days lie
around their month, with an error of their own that does not grow. The bounds of a day are those of both together, as the root
of the sum of squares.

Split conformal prediction (Vovk, Gammerman and Shafer, 2005; Lei et al., 2018) on the errors of the rolling origin says how
many scales suffice. Each error is divided by the series' own mean error on the other folds, by a champion chosen on the other
folds too, so that neither the choice nor the scale has seen the fold that it is judged on (cross-conformal, Vovk, 2015). These
scores are pooled over the series of a kind. Months within a fold err together, so the finite-sample correction counts folds for
them. Four folds of one series have no 80 % quantile to speak of: there Student's distribution stands in for the scores, with as
many degrees of freedom as there were months, and gives way to the scores as series are added, up to PRIOR_SERIES and beyond.

Errors grow as a power of the distance. The exponent is half that of the errors within the folds, which see no further than a
fold, and half that of what the series itself did over longer spans: how much further apart its four-weekly means are the longer
the time between them. So a season that the history is too short to show twice, or a level that wanders, widens the far months.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle_assets.models.forecast_choice import MONTH, Folds

LEVELS = np.array([0.80, 0.95])
# The growth of errors where nothing is known of it, and for how many series' worth of weight what is known of others counts.
PRIOR_GROWTH = 0.25
PRIOR_SERIES = 10
MOST_GROWTH_OF_ERRORS, MOST_GROWTH_OF_SERIES = 0.5, 1.0
FOUR_WEEKS = 28
MOST_SPANS = 6
# Of a normal distribution: the mean absolute value in standard deviations.
MEAN_ABSOLUTE = (2 / np.pi) ** 0.5
LEAST_DISTANCE = 0.5


@dataclass(frozen=True)
class Widths:
    """Half-widths of the 80 and the 95 % interval, (2, n_series): of a day around its month; per day of a month, and per
    business day, a month ahead. `covered`: (2, n_series, n_folds) share of each fold's days within the bounds. NaN for a series
    without errors."""

    day: np.ndarray
    month: np.ndarray
    business: np.ndarray
    covered: np.ndarray


def grown(days_ahead: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """How many times larger than a month ahead a month's error is so many days ahead, (n,) or (n_series, n): (n_series, n)."""
    return np.maximum(days_ahead / MONTH, LEAST_DISTANCE) ** growth[:, None]


def widths(folds: Folds, errors: np.ndarray, left_out: np.ndarray, growth: np.ndarray) -> Widths:
    """The half-widths that the folds' errors ask for, pooled over all series given.

    `errors`: (n_series, FOLDS, horizon) of the champion, NaN where nothing is known. `left_out`: (FOLDS, n_series, FOLDS,
    horizon), the same for the champion chosen without each of the folds. `growth`: (n_series,) exponents.
    """
    stretch = np.arange(folds.horizon) * folds.months // folds.horizon
    (sums, counts), (sums_out, _) = folds.per_stretch(errors, folds.months), folds.per_stretch(left_out, folds.months)
    days = np.where(counts > 0, counts, np.nan)
    months, months_out = sums / days[:, None], sums_out / days[:, None, None]
    ahead = grown((np.arange(folds.months) + 0.5) * folds.horizon / folds.months, growth)[:, None]
    month, scale = _bounds(months[0] / ahead, months_out[0] / ahead, are_together=True)
    business, _ = _bounds(months[1] / ahead, months_out[1] / ahead, are_together=True)
    around, around_out = errors - months[0][..., stretch], left_out - months_out[0][..., stretch]
    day, scale_of_day = _bounds(around, around_out, are_together=False)
    every_day = grown(np.arange(1.0, folds.horizon + 1), growth)
    covered = np.full((2, *errors.shape[:2]), np.nan)
    for fold in range(errors.shape[1]):
        size = np.abs(left_out[fold][:, fold])
        for level in range(2):
            half = np.hypot(
                (day[level] * scale_of_day[:, fold])[:, None], (month[level] * scale[:, fold])[:, None] * every_day
            )
            covered[level, :, fold] = _mean(np.where(np.isfinite(size + half), size <= half, np.nan), 1)
    own = [limit[:, None] * _mean(np.abs(of), (1, 2)) for limit, of in ((day, around), (month, months[0] / ahead))]
    of_business = business[:, None] * _mean(np.abs(months[1] / ahead), (1, 2))
    return Widths(own[0], own[1], np.where(np.isfinite(of_business), of_business, own[1]), covered)


def growth_of(errors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n_series,) exponents of the growth with the distance. `errors`: (n_series, n_folds, horizon) of the champions; `values`:
    (n_series, n_days) known days, NaN where unknown."""
    of_errors = _growth_of_errors(np.abs(errors))
    of_series = np.clip(_growth_of_series(values), 0.0, MOST_GROWTH_OF_SERIES)
    return np.where(np.isfinite(of_series), (of_errors + of_series) / 2, of_errors)


def _growth_of_errors(errors: np.ndarray) -> float:
    """The exponent with which the errors of days grow within the folds, of all series together."""
    n_series = errors.shape[0]
    scale = _mean(errors, (1, 2))
    relative = _mean(errors / np.where(scale > 0, scale, np.nan)[:, None, None], (0, 1))
    good = np.isfinite(relative) & (relative > 0)
    if good.sum() < 2:
        return PRIOR_GROWTH
    slope = float(_slope(np.log(np.arange(1.0, good.size + 1)[good]), np.log(relative[good]), np.ones(good.sum())))
    drawn = (n_series * slope + PRIOR_SERIES * PRIOR_GROWTH) / (n_series + PRIOR_SERIES)
    return float(np.clip(drawn, 0.0, MOST_GROWTH_OF_ERRORS))


def _growth_of_series(values: np.ndarray) -> np.ndarray:
    """The exponent with which a series' means of four weeks move apart; NaN where less than two spans can be compared. A span
    counts for the less the longer it is, since fewer of them fit in."""
    is_known = np.isfinite(values)
    sums, counts = (
        np.cumsum(np.pad(of, ((0, 0), (1, 0))), axis=1) for of in (np.where(is_known, values, 0.0), is_known * 1.0)
    )
    of_means = counts[:, FOUR_WEEKS:] - counts[:, :-FOUR_WEEKS]
    means = (sums[:, FOUR_WEEKS:] - sums[:, :-FOUR_WEEKS]) / np.where(of_means > FOUR_WEEKS / 2, of_means, np.nan)
    spans = np.arange(1, min(values.shape[1] // (2 * FOUR_WEEKS), MOST_SPANS) + 1)
    if spans.size < 2:
        return np.full(values.shape[0], np.nan)
    apart = [means[:, span * FOUR_WEEKS :] - means[:, : -span * FOUR_WEEKS] for span in spans]
    squares = np.stack([_mean(each**2, 1) for each in apart], axis=1)
    return _slope(np.log(spans), np.log(np.where(squares > 0, squares, np.nan)) / 2, 1 / spans)


def _slope(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of the line of y (..., n) over x (n,) by weighted least squares."""
    x = x - (weights @ x) / weights.sum()
    return y @ (weights * x) / (weights @ x**2)


def _bounds(errors: np.ndarray, left_out: np.ndarray, *, are_together: bool) -> tuple[np.ndarray, np.ndarray]:
    """(2,) how many scales, mean absolute errors of a series, LEVELS of new errors stay below; and (n_series, n_folds) the
    scale of the other folds. `are_together`: whether the errors of a fold move together and count as one."""
    n_folds = errors.shape[1]
    scores, scale = np.full(errors.shape, np.nan), np.full(errors.shape[:2], np.nan)
    for fold in range(n_folds):
        others = np.arange(n_folds) != fold
        scale[:, fold] = _mean(np.abs(left_out[fold][:, others]), (1, 2))
        positive = np.where(scale[:, fold] > 0, scale[:, fold], np.nan)
        scores[:, fold] = np.abs(left_out[fold][:, fold]) / positive[:, None]
    is_known = np.isfinite(scores)
    known = np.sort(scores[is_known])
    tonight, others = _student(n_folds * errors.shape[2]), _student((n_folds - 1) * errors.shape[2])
    if not known.size:
        return tonight, scale
    count = is_known.any(axis=2).sum() if are_together else known.size
    shares = np.minimum(LEVELS * (1 + 1 / count), 1.0)
    limits = known[np.minimum(np.ceil(shares * known.size).astype(int), known.size) - 1]
    if not are_together:
        return limits, scale
    # Tonight's scale is of one fold more than that of the scores, and the surer for it.
    company = is_known.any(axis=(1, 2)).sum() - 1
    return (company * limits * tonight / others + PRIOR_SERIES * tonight) / (company + PRIOR_SERIES), scale


def _student(errors: int) -> np.ndarray:
    """How many mean absolute errors LEVELS reach where the scale is estimated from so many errors."""
    from scipy.special import stdtrit

    return stdtrit(errors, (1 + LEVELS) / 2) / MEAN_ABSOLUTE


def _mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean of the known values; NaN where there are none."""
    is_known = np.isfinite(values)
    counts = is_known.sum(axis=axis)
    return np.where(counts > 0, np.where(is_known, values, 0.0).sum(axis=axis) / np.maximum(counts, 1), np.nan)
