"""The one pass behind features.lifecycle_stage, compiled by numba. Import it inside the function that needs it.

Days are whole numbers counted from any common start. Medians are kept in Fenwick trees over the gaps' lengths in days
(Fenwick, A new data structure for cumulative frequency tables, 1994): adding a gap and finding the k-th smallest take
log2(longest gap) steps, so that a customer with a hundred thousand orders costs no more per order than any other.
"""

import numpy as np
from numba import njit

NEW, ACTIVE, AT_RISK, LAPSED, WON_BACK = range(5)
NEVER = 10_000_000


@njit(cache=True)
def _add(tree: np.ndarray, gap: int, times: int) -> None:
    i = gap + 1
    while i < tree.size:
        tree[i] += times
        i += i & -i


@njit(cache=True)
def _smallest(tree: np.ndarray, k: int) -> int:
    """The k-th smallest gap in the tree, k from 1."""
    step = 1
    while step * 2 < tree.size:
        step *= 2
    place = 0
    while step:
        if place + step < tree.size and tree[place + step] < k:
            place += step
            k -= tree[place]
        step //= 2
    return place


@njit(cache=True)
def _median(tree: np.ndarray, n: int) -> float:
    if n % 2:
        return float(_smallest(tree, (n + 1) // 2))
    return (_smallest(tree, n // 2) + _smallest(tree, n // 2 + 1)) / 2


@njit(cache=True)
def medians_by_day(ends: np.ndarray, gaps: np.ndarray, last_day: int, longest: int) -> np.ndarray:
    """The median of all gaps that ended on or before each of the days 0 .. last_day, nan before the first; `ends`, the
    day on which each gap ended, ascends."""
    tree = np.zeros(longest + 2, np.int64)
    medians = np.full(last_day + 1, np.nan)
    i = 0
    for day in range(last_day + 1):
        while i < ends.size and ends[i] == day:
            _add(tree, gaps[i], 1)
            i += 1
        if i:
            medians[day] = _median(tree, i)
    return medians


@njit(cache=True)
def _whole_days(expected: float, factor: float, at_most: int, unknown: int) -> int:
    """After how many whole days the factor times the expected gap is exceeded. Nine decimals: 3 * 3.3333333333 is 10."""
    days = unknown if np.isnan(expected) else int(factor * expected + 5e-10)
    return min(days, at_most)


@njit(cache=True)
def _with_room(
    who: np.ndarray, stage: np.ndarray, since: np.ndarray, n: int, more: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The intervals, with room for `more` after the first `n`."""
    if n + more <= who.size:
        return who, stage, since
    size = 2 * who.size + more
    larger = np.empty(size, np.int32), np.empty(size, np.int8), np.empty(size, np.int32)
    larger[0][:n], larger[1][:n], larger[2][:n] = who[:n], stage[:n], since[:n]
    return larger


@njit(cache=True)
def _push(who: np.ndarray, stage: np.ndarray, since: np.ndarray, n: int, customer: int, new: int, day: int) -> int:
    """Begin an interval, unless the customer is in that stage already; returns the number of intervals."""
    if n and who[n - 1] == customer and stage[n - 1] == new:
        return n
    who[n], stage[n], since[n] = customer, new, day
    return n + 1


@njit(cache=True)
def _after_new(
    who: np.ndarray,
    stage: np.ndarray,
    since: np.ndarray,
    n: int,
    customer: int,
    begin: int,
    until: int,
    won_back_until: int,
    at_risk_from: int,
    lapsed_from: int,
) -> int:
    """The stages of the days `begin` .. `until` when new is over; returns the number of intervals."""
    if begin <= min(until, won_back_until) and begin < at_risk_from:
        n = _push(who, stage, since, n, customer, WON_BACK, begin)
        begin = won_back_until + 1
    if begin <= until and begin < at_risk_from:
        n = _push(who, stage, since, n, customer, ACTIVE, begin)
    if at_risk_from <= until and at_risk_from < lapsed_from:
        n = _push(who, stage, since, n, customer, AT_RISK, at_risk_from)
    if lapsed_from <= until:
        n = _push(who, stage, since, n, customer, LAPSED, lapsed_from)
    return n


@njit(cache=True)
def stages(
    starts: np.ndarray,
    days: np.ndarray,
    one_order: np.ndarray,
    shop_median: np.ndarray,
    step_starts: np.ndarray,
    longest: int,
    prior: float,
    factors: tuple[float, float],
    at_most: tuple[int, int],
    new_days: int,
    won_back_days: int,
    cold_days: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every customer's stages from their first purchase to the last day.

    Customer c bought on `days[starts[c]:starts[c + 1]]`, each day once, ascending; `one_order[c]` says that
    they placed a single order on the first of them, so that they begin as new. `shop_median[s]` holds from day
    `step_starts[s]` until the day before `step_starts[s + 1]`; the first start is day 0, one more start is the day after the
    last. Returns per interval: customer, stage, first day (an interval ends where the customer's next begins); per
    customer, as of the last day: number of their last interval, expected gap (nan if unknown), whole days after which they
    are at risk and lapsed.
    """
    n_customers, n_steps = starts.size - 1, step_starts.size - 1
    end_of_days = step_starts[n_steps]
    step_of_day = np.empty(end_of_days, np.int32)
    for step in range(n_steps):
        step_of_day[step_starts[step] : step_starts[step + 1]] = step
    # Four stages follow a purchase while the shop's median stands; memory that is never written is never taken.
    who = np.empty(4 * days.size, np.int32)
    stage = np.empty(4 * days.size, np.int8)
    since = np.empty(4 * days.size, np.int32)
    last = np.empty(n_customers, np.int64)
    gap_expected = np.empty(n_customers)
    risk_after = np.empty(n_customers, np.int64)
    lapse_after = np.empty(n_customers, np.int64)
    tree = np.zeros(longest + 2, np.int64)
    n = 0
    for c in range(n_customers):
        first, end = starts[c], starts[c + 1]
        won_back_until = -NEVER
        new_until = days[first] + new_days if one_order[c] else -NEVER
        own = 0.0
        expected, risk, lapse = np.nan, NEVER, NEVER
        for i in range(first, end):
            day = days[i]
            next_day = days[i + 1] if i + 1 < end else end_of_days
            steps = range(step_of_day[day], step_of_day[next_day - 1] + 1)
            who, stage, since = _with_room(who, stage, since, n, 4 * len(steps) + 1)
            gaps = i - first
            if gaps:
                _add(tree, day - days[i - 1], 1)
                own = gaps * _median(tree, gaps)
                new_until = -NEVER
                if stage[n - 1] == LAPSED:
                    won_back_until = day + won_back_days
            elif one_order[c]:
                n = _push(who, stage, since, n, c, NEW, day)
            for step in steps:
                expected = shop_median[step]
                if gaps:
                    expected = (own + prior * expected) / (gaps + prior)
                lapse = _whole_days(expected, factors[1], at_most[1], cold_days)
                risk = min(_whole_days(expected, factors[0], at_most[0], NEVER), lapse)
                begin = max(day, step_starts[step], new_until + 1)
                until = min(next_day, step_starts[step + 1]) - 1
                at_risk_from, lapsed_from = max(day + risk + 1, begin), max(day + lapse + 1, begin)
                now = stage[n - 1] if n and who[n - 1] == c else NEW
                if (now == ACTIVE and until < at_risk_from) or (now == LAPSED and lapsed_from <= begin):
                    continue  # nothing moves, as in most steps; asking first halves the time
                n = _after_new(who, stage, since, n, c, begin, until, won_back_until, at_risk_from, lapsed_from)
        for i in range(first + 1, end):
            _add(tree, days[i] - days[i - 1], -1)
        last[c], gap_expected[c], risk_after[c], lapse_after[c] = n - 1, expected, risk, lapse
    return who[:n].copy(), stage[:n].copy(), since[:n].copy(), last, gap_expected, risk_after, lapse_after
