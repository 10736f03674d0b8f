"""The best few of many scores, row by row, compiled by numba. Import it inside the function that needs it.

Every row is worked on by itself, so results do not depend on the number of threads. Scores are rounded to six decimals before
they are compared, ties go to the lower code: the last bits, in which two ways of adding up differ, decide nothing.
"""

import numpy as np
from numba import njit, prange

NOTHING = -1
BLOCK = 64
TILE = 16
CHUNKS = 64
PLACES = np.float32(1e6)
# More than rounding can add to a bound.
SLACK = np.float32(1e-5)


@njit(cache=True, inline="always")
def _rounded(score: np.floating) -> np.floating:
    return np.float32(np.floor(score * PLACES + np.float32(0.5)) / PLACES)


@njit(cache=True)
def _remove(codes: np.ndarray, values: np.ndarray, place: int) -> None:
    for q in range(place, codes.size - 1):
        codes[q], values[q] = codes[q + 1], values[q + 1]
    codes[-1], values[-1] = NOTHING, 0


@njit(cache=True)
def _insert(codes: np.ndarray, values: np.ndarray, first: int, code: int, value: np.floating) -> None:
    """Put a code of a value above 0 in its place from `first` on; the last one of a full list falls out."""
    place = codes.size
    while place > first and (
        codes[place - 1] == NOTHING
        or values[place - 1] < value
        or (values[place - 1] == value and codes[place - 1] > code)
    ):
        place -= 1
    if place == codes.size or value <= 0:
        return
    for q in range(codes.size - 1, place, -1):
        codes[q], values[q] = codes[q - 1], values[q - 1]
    codes[place], values[place] = code, value


@njit(cache=True)
def _in_the_way(
    codes: np.ndarray, first: int, name: np.ndarray, category: np.ndarray, code: int, most: int
) -> tuple[bool, int]:
    """Whether its name or category leaves no room for the code, and the place, from `first` on, that could be cleared."""
    members, worst = 0, NOTHING
    for place in range(codes.size):
        other = codes[place]
        if other == NOTHING:
            break
        if name[code] >= 0 and name[other] == name[code]:
            return True, place if place >= first else NOTHING
        if category[code] >= 0 and category[other] == category[code]:
            members += 1
            if place >= first:
                worst = place
    return members >= most, worst


@njit(cache=True, nogil=True)
def extend_lists(
    scores: np.ndarray,
    customers: np.ndarray,
    closed_starts: np.ndarray,
    closed_items: np.ndarray,
    is_open: np.ndarray,
    name: np.ndarray,
    category: np.ndarray,
    most: int,
    codes: np.ndarray,
    values: np.ndarray,
) -> None:
    """Fill the empty places of each customer's list with the items of the highest scores above 0.

    `scores` has a row for each of `customers`; all else is of all customers. What stands in `codes` (customer x place, -1 =
    empty) stays in front. Left out: an item in the list already, one that is closed to the customer (compressed rows), one
    that is not open to anyone, a second item of one `name` and more than `most` items of one category (below 0: none; items
    of one name are of one category). Lists with such bounds are a matroid: exchanging an item for the worst one that stands
    in its way finds the best list in one pass. `scores` is used up. Runs on the thread that calls it.
    """
    n_items = scores.shape[1]
    for r in range(customers.size):
        row, customer = scores[r], customers[r]
        mine, worth = codes[customer], values[customer]
        first = 0
        while first < mine.size and mine[first] != NOTHING:
            row[mine[first]] = -1
            first += 1
        for q in range(closed_starts[customer], closed_starts[customer + 1]):
            row[closed_items[q]] = -1
        least = np.float32(0)
        for start in range(0, n_items if first < mine.size else 0, BLOCK):
            end = min(start + BLOCK, n_items)
            best = row[start]
            for item in range(start, end):
                best = max(best, row[item])
            if best <= least:
                continue
            for item in range(start, end):
                if row[item] > least and is_open[item]:
                    value = _rounded(row[item])
                    if value <= least:
                        continue
                    is_full, worst = _in_the_way(mine, first, name, category, item, most)
                    if is_full:
                        if worst == NOTHING or value <= worth[worst]:
                            continue
                        _remove(mine, worth, worst)
                    _insert(mine, worth, first, item, value)
                    if mine[-1] != NOTHING:
                        least = worth[-1]


@njit(cache=True, parallel=True)
def most_alike_bought(factors: np.ndarray, starts: np.ndarray, bought: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """For each item of each customer's list the item bought whose row of `factors` (of length 1) has the largest cosine
    with it; -1 where none is above 0."""
    found = np.full(codes.shape, NOTHING, np.int32)
    for customer in prange(codes.shape[0]):
        for place in range(codes.shape[1]):
            if codes[customer, place] == NOTHING:
                continue
            most = np.float32(0)
            for q in range(starts[customer], starts[customer + 1]):
                cosine = np.float32(0)
                for f in range(factors.shape[1]):
                    cosine += factors[codes[customer, place], f] * factors[bought[q], f]
                cosine = _rounded(cosine)
                if cosine > most:
                    most, found[customer, place] = cosine, bought[q]
    return found


@njit(cache=True)
def _shared(rows: tuple, a: int, b: int) -> np.floating:
    """The product of two sparse rows whose terms ascend."""
    starts, terms, weights = rows
    total, p, q = np.float32(0), starts[a], starts[b]
    while p < starts[a + 1] and q < starts[b + 1]:
        if terms[p] == terms[q]:
            total += weights[p] * weights[q]
        step = terms[p] - terms[q]
        p += step <= 0
        q += step >= 0
    return total


@njit(cache=True, parallel=True)
def most_alike_in_words(texts: tuple, starts: np.ndarray, bought: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """As `most_alike_bought`, by the cosine of the items' texts: sparse rows of length 1 (indptr, terms, weights)."""
    found = np.full(codes.shape, NOTHING, np.int32)
    for customer in prange(codes.shape[0]):
        for place in range(codes.shape[1]):
            if codes[customer, place] == NOTHING:
                continue
            most = np.float32(0)
            for q in range(starts[customer], starts[customer + 1]):
                cosine = _rounded(_shared(texts, codes[customer, place], bought[q]))
                if cosine > most:
                    most, found[customer, place] = cosine, bought[q]
    return found


@njit(cache=True, nogil=True)
def profile_scores(profiles: np.ndarray, texts: tuple) -> np.ndarray:
    """The product of each dense profile (customer x term) with each sparse row (item x term): customer x item. Runs on the
    thread that calls it."""
    starts, terms, weights = texts
    n_customers, n_terms = profiles.shape
    scores = np.empty((n_customers, starts.size - 1), np.float32)
    for tile in range((n_customers + TILE - 1) // TILE):
        # The values of a term for several customers side by side: one read of memory serves all of them.
        mine = profiles[tile * TILE : (tile + 1) * TILE]
        side_by_side = np.zeros((n_terms, TILE), np.float32)
        side_by_side[:, : len(mine)] = mine.T
        total = np.empty(TILE, np.float32)
        for item in range(starts.size - 1):
            total[:] = 0
            for q in range(starts[item], starts[item + 1]):
                values, weight = side_by_side[terms[q]], weights[q]
                for c in range(TILE):
                    total[c] += values[c] * weight
            for c in range(len(mine)):
                scores[tile * TILE + c, item] = total[c]
    return scores


@njit(cache=True)
def _shared_rare_words(item: int, rare: tuple, postings: tuple, text: np.ndarray, touched: np.ndarray) -> int:
    """Add up what each item shares with this one in `text`, list those items in `touched`; their number."""
    n_touched = 0
    for q in range(rare[0][item], rare[0][item + 1]):
        term, weight = rare[1][q], rare[2][q]
        for p in range(postings[0][term], postings[0][term + 1]):
            other = postings[1][p]
            if text[other] == 0:
                touched[n_touched] = other
                n_touched += 1
            text[other] += weight * postings[2][p]
    return n_touched


@njit(cache=True, parallel=True)
def alike(
    items: np.ndarray,
    rare: tuple,
    common: tuple,
    postings: tuple,
    common_length: np.ndarray,
    collaborative: np.ndarray,
    column: np.ndarray,
    item_of_column: np.ndarray,
    text_share: float,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The items most alike to each of `items`, itself among them: text_share * cosine of the texts + what `collaborative`
    says, if that is above 0. Returns the codes and values of the best `k`.

    The texts' sparse rows are split into `rare` and `common` words (indptr, terms, weights); `postings` are the columns of
    `rare` (indptr, items, weights); `common_length` is the length of each common part. `collaborative` has a row for each of
    `items`, if they have any, and a column for each item that has (`column` of an item, -1 = none; `item_of_column` the other
    way round).
    Candidates share a rare word or have a collaborative value above 0. The common part of a cosine, at most the product of
    the lengths, is added up only where it could matter.
    """
    codes, values = np.full((items.size, k), NOTHING, np.int32), np.zeros((items.size, k), np.float32)
    column_length = common_length[item_of_column]
    for chunk in prange(CHUNKS):
        text = np.zeros(column.size, np.float32)
        touched = np.empty(column.size, np.int32)
        for r in range(items.size * chunk // CHUNKS, items.size * (chunk + 1) // CHUNKS):
            item, mine, worth = items[r], codes[r], values[r]
            n_touched = _shared_rare_words(item, rare, postings, text, touched)
            for t in range(n_touched):
                other = touched[t]
                extra = np.float32(0)
                if column[item] >= 0 and column[other] >= 0:
                    extra = max(extra, collaborative[r, column[other]])
                most = text_share * (text[other] + common_length[item] * common_length[other]) + extra
                if mine[-1] == NOTHING or most > worth[-1] - SLACK:
                    cosine = text[other] + _shared(common, item, other)
                    _insert(mine, worth, 0, other, _rounded(text_share * cosine + extra))
            if column[item] >= 0:
                for c in range(item_of_column.size):
                    extra, other = collaborative[r, c], item_of_column[c]
                    most = text_share * common_length[item] * column_length[c] + extra
                    if (mine[-1] == NOTHING or most > worth[-1] - SLACK) and extra > 0 and text[other] == 0:
                        _insert(mine, worth, 0, other, _rounded(text_share * _shared(common, item, other) + extra))
            text[touched[:n_touched]] = 0
    return codes, values
