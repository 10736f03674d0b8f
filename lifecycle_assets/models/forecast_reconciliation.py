"""How do the parts of a forecast add up to the whole?

Weighted least squares with diagonal variances, the structure of MinT (Wickramasuriya, Athanasopoulos and Hyndman, 2019): the
whole and the parts of every dimension move as little as possible, each in proportion to the variance of its error, so that
the parts of each dimension come to the whole. For one whole and several ways of dividing it the solution has a closed form:
the whole is the mean of its own forecast and of the sums of each dimension's parts, weighted by the inverse of their
variances; what a dimension lacks is shared out among its parts by variance. Cents left by rounding go to the largest
remainders.
"""

import numpy as np

CENTS = 100
# Share of the largest variance below which a series counts as certain.
LEAST_VARIANCE = 1e-9


def reconciled(values: np.ndarray, dimension: np.ndarray, variance: np.ndarray, *, nonnegative: bool) -> np.ndarray:
    """Forecasts that add up, in whole cents (int64). `values`: (n_series, n_days) with the whole first. `dimension`:
    (n_series,) number of the dimension that a part belongs to, -1 for the whole. `variance`: (n_series,) of the errors."""
    weights = np.maximum(variance / (variance.max() or 1.0), LEAST_VARIANCE)
    dimensions = np.unique(dimension[1:])
    sums = np.stack([values[0], *(values[dimension == each].sum(axis=0) for each in dimensions)])
    of_sums = np.array([weights[0], *(weights[dimension == each].sum() for each in dimensions)])
    whole = (sums / of_sums[:, None]).sum(axis=0) / (1 / of_sums).sum()
    cents = np.zeros(values.shape, dtype=np.int64)
    cents[0] = np.rint(whole * CENTS)
    for place, each in enumerate(dimensions):
        parts = dimension == each
        share = weights[parts, None] / of_sums[place + 1]
        moved = values[parts] + share * (whole - sums[place + 1])
        if nonnegative:
            moved = np.maximum(moved, 0.0)
            total = moved.sum(axis=0)
            # Where all parts are 0, the whole is theirs in equal shares.
            moved = np.where(total > 0, moved * whole / np.where(total > 0, total, 1.0), whole / parts.sum())
        cents[parts] = _in_cents(moved, cents[0])
    return cents


def _in_cents(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The parts of each column rounded to whole cents that come to `total`, by the largest remainder."""
    exact = parts * CENTS
    floor = np.floor(exact).astype(np.int64)
    missing = total - floor.sum(axis=0)
    order = np.argsort(floor - exact, axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(len(parts))[:, None], order.shape), axis=0)
    # At magnitudes where a float no longer holds cents more than one may be missing per part.
    each, rest = np.divmod(missing, len(parts))
    return floor + each + (rank < rest)
