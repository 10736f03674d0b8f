"""Counts which items stand in one basket, compiled by numba. Import it inside the function that needs it.

One item after the other: a row of counters over all items, filled from the baskets that hold the item, is read off and
cleared (Gustavson, Two fast algorithms for sparse matrices, 1978). Memory grows with lines and pairs found, never with
items times items. Within a basket items ascend, so that each pair is met once, at its larger item.
"""

import numpy as np
from numba import njit

SMALL = 32


@njit(cache=True)
def pair_counts(
    baskets: np.ndarray, items: np.ndarray, n_items: int, min_support: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of baskets, support of every item, and the pairs: item, other item and baskets with both, a row of each.

    Lines (basket, item) may come in any order, both numbered from 0, baskets with gaps; an item counts once per basket.
    Only pairs of at least `min_support` baskets, each once, item > other."""
    content, is_first = _baskets(baskets, items)
    support = np.zeros(n_items, np.int64)
    for item in content:
        support[item] += 1
    starts = np.zeros(n_items + 1, np.int64)
    starts[1:] = np.cumsum(support)
    places = np.empty(content.size, np.int64)
    filled = starts[:-1].copy()
    for place in range(content.size):
        item = content[place]
        places[filled[item]] = place
        filled[item] += 1

    counts = np.zeros(n_items, np.int64)
    met = np.empty(n_items, np.int64)
    found, pairs = 0, np.empty((3, 1 << 12), np.int64)
    for item in range(n_items):
        if support[item] < min_support:
            continue
        n_met = 0
        for k in range(starts[item], starts[item + 1]):
            place = places[k]
            while not is_first[place]:
                place -= 1
                other = content[place]
                if counts[other] == 0:
                    met[n_met] = other
                    n_met += 1
                counts[other] += 1
        if found + n_met > pairs.shape[1]:
            wider = np.empty((3, 2 * (found + n_met)), np.int64)
            wider[:, :found] = pairs[:, :found]
            pairs = wider
        for k in range(n_met):
            other = met[k]
            if counts[other] >= min_support:
                pairs[0, found], pairs[1, found], pairs[2, found] = item, other, counts[other]
                found += 1
            counts[other] = 0
    return is_first.sum(), support, pairs[:, :found]


@njit(cache=True)
def _baskets(baskets: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct items of each basket, ascending, basket after basket; and which of them open a basket."""
    n_baskets = np.int64(baskets.max()) + 1
    ends = np.zeros(n_baskets + 1, np.int64)
    for basket in baskets:
        ends[basket + 1] += 1
    ends = np.cumsum(ends)
    content = np.empty(items.size, np.int32)
    filled = ends[:-1].copy()
    for line in range(items.size):
        basket = baskets[line]
        content[filled[basket]] = items[line]
        filled[basket] += 1

    is_first = np.zeros(items.size, np.bool_)
    kept = 0
    for basket in range(n_baskets):
        start, end = ends[basket], ends[basket + 1]
        if end - start > SMALL:
            content[start:end].sort()
        else:
            _sort_few(content, start, end)
        for line in range(start, end):
            if line == start or content[line] != content[kept - 1]:
                content[kept] = content[line]
                is_first[kept] = line == start
                kept += 1
    return content[:kept], is_first[:kept]


@njit(cache=True)
def _sort_few(values: np.ndarray, start: int, end: int) -> None:
    for i in range(start + 1, end):
        value, j = values[i], i
        while j > start and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
