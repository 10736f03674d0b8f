"""Growing and reading uplift trees, compiled by numba. Import it inside the function that needs it.

A tree lies in arrays: the children of node v are 2v and 2v + 1, the root is 1. The functions release the interpreter lock and
start no threads, so that callers may run several at once; what they return does not depend on it.
"""

import numpy as np
from numba import njit

LEAF = -1
SURE = 1e-6
LEAST_OF_ARM = 10
SHRINKAGE = 10.0


@njit(cache=True, nogil=True)
def grow_forest(
    binned: np.ndarray,
    cells: np.ndarray,
    seeds: np.ndarray,
    depth: int,
    least_of_leaf: int,
    tried: int,
    feature: np.ndarray,
    cut: np.ndarray,
    rate: np.ndarray,
) -> None:
    """Fill row t of `feature`, `cut` and `rate` with the tree of `seeds[t]`, grown on rows drawn with replacement; the rest
    is as for grow_tree."""
    n = cells.size
    for t in range(seeds.size):
        np.random.seed(seeds[t])
        times = np.zeros(n, np.int64)
        for _ in range(n):
            times[np.random.randint(n)] += 1
        grow_tree(
            binned, cells, np.repeat(np.arange(n), times), depth, least_of_leaf, tried, feature[t], cut[t], rate[t]
        )


@njit(cache=True, nogil=True)
def grow_tree(
    binned: np.ndarray,
    cells: np.ndarray,
    rows: np.ndarray,
    depth: int,
    least_of_leaf: int,
    tried: int,
    feature: np.ndarray,
    cut: np.ndarray,
    rate: np.ndarray,
) -> None:
    """Grow one tree on `rows` (which are put in another order). `binned` holds the bin of each row's features, `cells` is
    2 * treated + response. Each node tries `tried` features drawn at random.

    Rows of node v go left where the bin of `feature[v]` is at most `cut[v]`; a leaf's feature is LEAF. `rate[v]` holds the
    response rates of control and treated."""
    n_features = binned.shape[1]
    n_bins = int(binned.max()) + 1
    drawn, kept = np.arange(n_features), np.empty_like(rows)
    counts = np.empty((n_bins, 4), np.int64)
    first, end = np.zeros(feature.size, np.int64), np.zeros(feature.size, np.int64)
    shrunk = np.zeros((feature.size, 2))
    feature[:] = LEAF
    end[1] = rows.size
    for v in range(1, feature.size):
        here = rows[first[v] : end[v]]
        if here.size == 0:
            continue
        node = np.zeros(4, np.int64)
        for row in here:
            node[cells[row]] += 1
        for arm in range(2):
            n, responses = node[2 * arm] + node[2 * arm + 1], node[2 * arm + 1]
            rate[v, arm] = responses / max(n, 1)
            shrunk[v, arm] = rate[v, arm] if v == 1 else _shrunk(responses, n, shrunk[v // 2, arm])
        if v >= 1 << depth or here.size < 2 * least_of_leaf:
            continue
        best = 0.0
        for u in range(tried):
            other = u + np.random.randint(n_features - u)
            drawn[u], drawn[other] = drawn[other], drawn[u]
            counts[:] = 0
            for row in here:
                counts[binned[row, drawn[u]], cells[row]] += 1
            gain, at = _best_cut(counts, node, shrunk[v], least_of_leaf)
            if gain > best:
                best, feature[v], cut[v] = gain, drawn[u], at
        if feature[v] == LEAF:
            continue
        n_left, n_right = 0, 0
        for row in here:
            if binned[row, feature[v]] <= cut[v]:
                here[n_left] = row
                n_left += 1
            else:
                kept[n_right] = row
                n_right += 1
        here[n_left:] = kept[:n_right]
        first[2 * v], end[2 * v] = first[v], first[v] + n_left
        first[2 * v + 1], end[2 * v + 1] = end[2 * v], end[v]


@njit(cache=True, nogil=True)
def read_forest(binned: np.ndarray, feature: np.ndarray, cut: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Response rates of control and treated for each row, the mean over the trees."""
    rates = np.zeros((binned.shape[0], 2))
    for i in range(binned.shape[0]):
        for t in range(feature.shape[0]):
            v = 1
            while feature[t, v] != LEAF:
                v = 2 * v + (binned[i, feature[t, v]] > cut[t, v])
            rates[i, 0] += rate[t, v, 0]
            rates[i, 1] += rate[t, v, 1]
    return rates / feature.shape[0]


@njit(cache=True, nogil=True)
def _best_cut(counts: np.ndarray, node: np.ndarray, above: np.ndarray, least_of_leaf: int) -> tuple[float, int]:
    """The largest gain of all cuts of one feature and the last bin to its left; `counts` are its cells by bin."""
    control, treated = node[0] + node[1], node[2] + node[3]
    n = control + treated
    undivided = _divergence(above[1], above[0])
    best, at = 0.0, -1
    left = np.zeros(4, np.int64)
    for b in range(counts.shape[0] - 1):
        for cell in range(4):
            left[cell] += counts[b, cell]
        control_left, treated_left = left[0] + left[1], left[2] + left[3]
        control_right, treated_right = control - control_left, treated - treated_left
        n_left = control_left + treated_left
        if n_left < least_of_leaf or min(control_left, treated_left) < LEAST_OF_ARM:
            continue
        if n - n_left < least_of_leaf or min(control_right, treated_right) < LEAST_OF_ARM:
            break
        divided = n_left * _divergence(
            _shrunk(left[3], treated_left, above[1]), _shrunk(left[1], control_left, above[0])
        ) + (n - n_left) * _divergence(
            _shrunk(node[3] - left[3], treated_right, above[1]), _shrunk(node[1] - left[1], control_right, above[0])
        )
        gain = (divided / n - undivided) / _normalisation(treated, control, treated_right, control_right)
        if gain > best:
            best, at = gain, b
    return best, at


@njit(cache=True, nogil=True)
def _shrunk(responses: int, n: int, above: float) -> float:
    """A response rate drawn towards that of the node above."""
    return (responses + SHRINKAGE * above) / (n + SHRINKAGE) if n > LEAST_OF_ARM else above


@njit(cache=True, nogil=True)
def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of response rate p from q; 0 where q is 0."""
    if q == 0.0:
        return 0.0
    q = min(max(q, SURE), 1 - SURE)
    if p == 0.0:
        return -np.log(1 - q)
    if p == 1.0:
        return -np.log(q)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


@njit(cache=True, nogil=True)
def _normalisation(treated: int, control: int, treated_right: int, control_right: int) -> float:
    """What the gain of a split is divided by: large where it parts treated from controls."""
    n = treated + control
    t, c = treated_right / (treated + 0.1), control_right / (control + 0.1)
    parting = -treated / n * np.log(control / n) * _divergence(t, c)
    return parting + treated / n * _entropy(t) + control / n * _entropy(c) + 0.5


@njit(cache=True, nogil=True)
def _entropy(p: float) -> float:
    return -p * np.log(p) if p > 0.0 else 0.0
