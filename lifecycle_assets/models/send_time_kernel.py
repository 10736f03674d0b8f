"""Adds up messages by hour and reads the best hours off the customers' curves, compiled by numba. Import it inside the function
that needs it.

Sums are of whole units of 1 / UNIT, so that they do not depend on the order of the rows.
"""

import numpy as np
from numba import njit, prange

UNIT = float(2**40)
CHUNKS = 64
# Hours whose expected response differs by less are equally good.
TIE = 1e-9
NONE = -1
LOW, HIGH = 0.05, 0.95


@njit(cache=True)
def message_cells(
    who: np.ndarray,
    channel: np.ndarray,
    hour: np.ndarray,
    responded: np.ndarray,
    weight: np.ndarray,
    place: np.ndarray,
    rates: np.ndarray,
    usual: np.ndarray,
    cell: np.ndarray,
    n: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Responses, exposure, and exposure of the messages answered, all weighted (n x 3 x cells); and the sums of the weights and
    of their squares (n x 2). All in units.

    A message of customer `who` counts for row `place[who]`, none below 0, in the cell of its hour of the week. Its rate is of
    customer and channel (0: it does not count), times `usual`, the shop's curve over the week."""
    cells = np.zeros((n, 3, cell.max() + 1), np.int64)
    weights = np.zeros((n, 2), np.int64)
    for row in range(who.size):
        at, rate = place[who[row]], rates[who[row], channel[row]] * usual[hour[row]]
        if at >= 0 and rate > 0:
            here, unit = cell[hour[row]], round(UNIT * weight[row])
            exposure = round(UNIT * weight[row] * rate)
            cells[at, 1, here] += exposure
            if responded[row]:
                cells[at, 0, here] += unit
                cells[at, 2, here] += exposure
            weights[at, 0] += unit
            weights[at, 1] += round(UNIT * weight[row] ** 2)
    return cells, weights


@njit(cache=True)
def order_cells(who: np.ndarray, hour: np.ndarray, weight: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted orders of each customer by hour (n x 24), and the sums of weights and squared weights (n x 2), in units."""
    cells = np.zeros((n, 24), np.int64)
    weights = np.zeros((n, 2), np.int64)
    for row in range(who.size):
        cells[who[row], hour[row]] += round(UNIT * weight[row])
        weights[who[row], 0] += round(UNIT * weight[row])
        weights[who[row], 1] += round(UNIT * weight[row] ** 2)
    return cells, weights


@njit(cache=True)
def _follow(customer: int, evidence: tuple, model: tuple, chance: np.ndarray) -> None:
    """Write the probability that the customer follows each curve."""
    responses, exposure, peaks, segment, _ = evidence
    log_shares, peak, curves, logs = model[:4]
    total, most = responses[customer].sum(), -np.inf
    for c in range(curves.shape[0]):
        value, expected = log_shares[segment[customer], c] + peaks[customer, peak[c]], 0.0
        for h in range(24):
            value += responses[customer, h] * logs[c, h]
            expected += exposure[customer, h] * curves[c, h]
        if total > 0:
            value -= total * np.log(expected)
        chance[c] = value
        most = max(most, value)
    whole = 0.0
    for c in range(curves.shape[0]):
        chance[c] = np.exp(chance[c] - most)
        whole += chance[c]
    for c in range(curves.shape[0]):
        chance[c] /= whole


@njit(cache=True)
def _quantile(share: float, chance: np.ndarray, above: np.ndarray, below: np.ndarray, ascending: np.ndarray) -> float:
    """The quantile of above / below of the curves, between the middles of their steps."""
    passed, before, last = 0.0, 0.0, NONE
    for c in ascending:
        middle = passed + chance[c] / 2
        if middle >= share:
            value = above[c] / below[c]
            if last == NONE:
                return value
            start = above[last] / below[last]
            return start + (value - start) * (share - before) / (middle - before)
        passed += chance[c]
        before, last = middle, c
    return above[last] / below[last]


@njit(cache=True)
def _log_variance(chance: np.ndarray, logs: np.ndarray) -> float:
    mean, square = 0.0, 0.0
    for c in range(chance.size):
        mean += chance[c] * logs[c]
        square += chance[c] * logs[c] ** 2
    return square - mean**2


@njit(cache=True)
def _best_three(score: np.ndarray, preference: np.ndarray, best: np.ndarray) -> None:
    """The three hours of the highest score; of equally good ones the earlier in `preference`. NONE where there are fewer."""
    for place in range(3):
        best[place] = NONE
        for hour in preference:
            if hour == NONE or (hour == best[:place]).any():
                continue
            if best[place] == NONE or score[hour] > score[best[place]] * (1 + TIE):
                best[place] = hour


@njit(cache=True)
def _best_windows(
    curve: np.ndarray, ratio: float, usual: np.ndarray, windows: np.ndarray, score: np.ndarray, best: np.ndarray
) -> None:
    """The three windows (day, hour, hours long) of the highest mean response that do not overlap; of equally good ones the
    earlier."""
    for w in range(windows.shape[0]):
        day, first, length = windows[w, 0], windows[w, 1], windows[w, 2]
        score[w] = 0.0
        for hour in range(first, first + length):
            score[w] += usual[day * 24 + hour] * curve[hour] * (ratio if day >= 5 else 1.0) / length
    for place in range(3):
        best[place] = NONE
        for w in range(windows.shape[0]):
            is_free = True
            for taken in best[:place]:
                gap = windows[w, 1] - windows[taken, 1]
                is_free &= windows[w, 0] != windows[taken, 0] or abs(gap) >= windows[w, 2]
            if is_free and (best[place] == NONE or score[w] > score[best[place]] * (1 + TIE)):
                best[place] = w


@njit(cache=True, parallel=True)
def best_hours(
    customers: np.ndarray, evidence: tuple, model: tuple, usual: np.ndarray, weekday: int, channels: tuple
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best three hours of each of the `customers`, rows of the evidence, on each channel; lifts (of the first, lower end,
    upper end, of the second, of the third); the numbers of the best three windows; and the share of the best hour's posterior
    that comes from the prior.

    evidence, a row per customer: responses and exposure by hour, log likelihoods of the peaks by the orders, segment,
    weekend ratio. model: log shares of the curves by segment; the peak of each curve; the curves and their logarithms; the
    curves relative to their mean over the shop's hours, and the logarithms of these (both hours x curves), and their variance
    before evidence (segments x hours). channels, a row each: the hours in the order of preference (the default first, NONE at
    the end), the order of the curves by response at each hour over that at the default (hours x curves), and the windows
    (day, hour, length) in the order of preference. `usual` is the shop's curve over the week.
    """
    segment, ratio = evidence[3], evidence[4]
    relative, relative_logs, spread = model[4:]
    preference, ascending, windows = channels
    n, n_channels = customers.size, preference.shape[0]
    hours = np.empty((n, n_channels, 3), np.int8)
    lifts = np.zeros((n, n_channels, 5))
    best_windows = np.empty((n, n_channels, 3), np.int16)
    borrowed = np.empty((n, n_channels))
    for chunk in prange(CHUNKS):
        chance = np.empty(relative.shape[1])
        curve, score = np.empty(24), np.empty(24)
        window_score = np.empty(windows.shape[1])
        for row in range(n * chunk // CHUNKS, n * (chunk + 1) // CHUNKS):
            customer = customers[row]
            _follow(customer, evidence, model, chance)
            for h in range(24):
                curve[h] = 0.0
                for c in range(chance.size):
                    curve[h] += chance[c] * relative[h, c]
                score[h] = curve[h] * usual[weekday * 24 + h]
            for k in range(n_channels):
                best, lift, default = hours[row, k], lifts[row, k], preference[k, 0]
                _best_three(score, preference[k], best)
                for place, column in enumerate((0, 3, 4)):
                    if best[place] != NONE:
                        lift[column] = score[best[place]] / score[default]
                first = best[0]
                factor = usual[weekday * 24 + first] / usual[weekday * 24 + default]
                above, below, order = relative[first], relative[default], ascending[k, first]
                lift[1] = min(lift[0], factor * _quantile(LOW, chance, above, below, order))
                lift[2] = max(lift[0], factor * _quantile(HIGH, chance, above, below, order))
                before = spread[segment[customer], first]
                borrowed[row, k] = min(1.0, _log_variance(chance, relative_logs[first]) / before)
                _best_windows(curve, ratio[customer], usual, windows[k], window_score, best_windows[row, k])
    return hours, lifts, best_windows, borrowed
