"""The merges of Ward's method over distinct points, compiled by numba. Import it inside the function that needs it.

A nearest-neighbour chain (Murtagh, 1983) over centroids: from some cluster to its nearest neighbour, to that one's nearest
neighbour and so on; two clusters that are each other's nearest are merged. Neighbours are looked for in a k-d tree (Friedman,
Bentley and Finkel, 1977) of the clusters, whose nodes know their bounding box and their lightest cluster. A merged cluster
takes the place of its heavier part, and the boxes above both are fitted anew. After a sweep over all clusters the tree is
built again. Memory grows with the number of points, not with its square.

Half the squared height of a merge is |a - b|^2 / (1/weight_a + 1/weight_b). Written so, rounding never puts a box further
away than a cluster inside it, so that the neighbour found does not depend on how the tree was cut.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

LEAF = 8
# A chain this long is followed to its end.
SHORT = 4
# Boxes are of the first features alone: more rule out little and cost much.
BOX_FEATURES = 8


class Clusters(NamedTuple):
    """The clusters not yet merged away, one per row."""

    centre: np.ndarray  # n x features
    weight: np.ndarray
    first: np.ndarray  # the lowest of its points, which settles ties
    node: np.ndarray  # its number in the result: a point, or n points + the merge that made it
    height: np.ndarray  # at which it was made


class Tree(NamedTuple):
    """A complete binary tree in heap order. Its leaves hold LEAF places each, some of them empty."""

    n_inner: int
    cluster: np.ndarray  # in each place; -1 for none
    place: np.ndarray  # of each cluster
    coordinates: np.ndarray  # leaves x features x LEAF
    inverse_weight: np.ndarray  # of the cluster in each place
    low: np.ndarray  # nodes x BOX_FEATURES at most
    high: np.ndarray
    lightest: np.ndarray  # largest inverse weight below each node


@njit(cache=True)
def merges(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two clusters of each merge, its height and the weight of the whole, in the order in which they were found: parts
    before wholes, heights not ascending. Clusters 0 .. n-1 are the points, n + i is what merge i made."""
    n = points.shape[0]
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1)
    sizes = np.empty(n - 1)
    clusters = Clusters(points.copy(), weights.copy(), np.arange(n), np.arange(n), np.zeros(n))
    done = 0
    while done < n - 1:
        tree = _grow(clusters)
        done = _sweep(done, clusters, tree, pairs, heights, sizes)
        clusters = _remaining(clusters, tree)
    return pairs, heights, sizes


@njit(cache=True)
def _sweep(done: int, clusters: Clusters, tree: Tree, pairs: np.ndarray, heights: np.ndarray, sizes: np.ndarray) -> int:
    """Start a chain at every cluster in turn; returns the number of merges after those `done` before.

    A short chain is left once it has led to a merge, so that clusters grow evenly everywhere and boxes stay small. A long one
    is followed to its end: on data where nothing but the end of a chain can be merged, it would be walked again each time.
    """
    n = pairs.shape[0] + 1
    first_made = n + done
    chain = np.empty(clusters.weight.size + 1, np.int64)
    in_chain = np.zeros(clusters.weight.size, np.bool_)
    nodes = np.empty(tree.low.shape[0], np.int64)
    bounds = np.empty(tree.low.shape[0])
    length = 0
    # The clusters stand in the order of the tree before this one: neighbours follow each other.
    for start in range(clusters.weight.size):
        is_gone = tree.cluster[tree.place[start] // LEAF, tree.place[start] % LEAF] < 0
        if is_gone or clusters.node[start] >= first_made:
            continue
        chain[0] = start
        in_chain[start] = True
        length = 1
        while length and done < n - 1:
            here = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            nearest, half_squared = _nearest(here, before, clusters, tree, nodes, bounds)
            if nearest != before:
                # In exact arithmetic a chain never returns to itself; rounding can lead it back: go on from there.
                while in_chain[nearest]:
                    length -= 1
                    in_chain[chain[length]] = False
                chain[length] = nearest
                in_chain[nearest] = True
                length += 1
                continue
            length -= 2
            in_chain[here] = in_chain[before] = False
            height = max(np.sqrt(2.0 * half_squared), clusters.height[here], clusters.height[before])
            pairs[done, 0], pairs[done, 1] = clusters.node[here], clusters.node[before]
            heights[done] = height
            sizes[done] = clusters.weight[here] + clusters.weight[before]
            _merge(here, before, n + done, height, clusters, tree)
            done += 1
            if length < SHORT:
                in_chain[chain[:length]] = False
                length = 0
    return done


@njit(cache=True)
def _merge(one: int, other: int, node: int, height: float, clusters: Clusters, tree: Tree) -> None:
    """The heavier of the two becomes the whole, the other leaves its place."""
    kept, gone = (one, other) if clusters.weight[one] >= clusters.weight[other] else (other, one)
    weight = clusters.weight[kept] + clusters.weight[gone]
    leaf, slot = divmod(tree.place[kept], LEAF)
    for f in range(clusters.centre.shape[1]):
        mean = (
            clusters.weight[kept] * clusters.centre[kept, f] + clusters.weight[gone] * clusters.centre[gone, f]
        ) / weight
        clusters.centre[kept, f] = mean
        tree.coordinates[leaf, f, slot] = mean
    clusters.weight[kept] = weight
    clusters.first[kept] = min(clusters.first[kept], clusters.first[gone])
    clusters.node[kept] = node
    clusters.height[kept] = height
    tree.inverse_weight[leaf, slot] = 1.0 / weight
    tree.cluster[tree.place[gone] // LEAF, tree.place[gone] % LEAF] = -1
    _refit(tree.place[gone] // LEAF, clusters, tree)
    _refit(leaf, clusters, tree)


@njit(cache=True)
def _refit(leaf: int, clusters: Clusters, tree: Tree) -> None:
    """Fit the box of a leaf to its clusters, and the boxes above as far as they change."""
    low, high, lightest, n_inner = tree.low, tree.high, tree.lightest, tree.n_inner
    v = n_inner + leaf
    low[v], high[v], lightest[v] = np.inf, -np.inf, 0.0
    for slot in range(LEAF):
        c = tree.cluster[leaf, slot]
        if c >= 0:
            lightest[v] = max(lightest[v], tree.inverse_weight[leaf, slot])
            for f in range(low.shape[1]):
                low[v, f] = min(low[v, f], clusters.centre[c, f])
                high[v, f] = max(high[v, f], clusters.centre[c, f])
    changed = True
    while changed and v > 0:
        v = (v - 1) // 2
        left, right = 2 * v + 1, 2 * v + 2
        light = max(lightest[left], lightest[right])
        changed = light != lightest[v]
        lightest[v] = light
        for f in range(low.shape[1]):
            below, above = min(low[left, f], low[right, f]), max(high[left, f], high[right, f])
            changed |= below != low[v, f] or above != high[v, f]
            low[v, f], high[v, f] = below, above


@njit(cache=True)
def _nearest(
    here: int, before: int, clusters: Clusters, tree: Tree, nodes: np.ndarray, bounds: np.ndarray
) -> tuple[int, float]:
    """The cluster at the smallest height from `here`, and half that height squared. Of equal ones the pair with the lowest
    first point wins, then the one whose other first point is lowest. From the leaf upwards, so that most of the tree is
    ruled out early."""
    n_inner, low, high, lightest = tree.n_inner, tree.low, tree.high, tree.lightest
    coordinates, inverse_weight, cluster, first = tree.coordinates, tree.inverse_weight, tree.cluster, clusters.first
    centre = clusters.centre[here]
    inverse = 1.0 / clusters.weight[here]
    best, nearest = np.inf, -1
    if before >= 0:
        best = _squared(centre, clusters.centre[before]) / (inverse + 1.0 / clusters.weight[before])
        nearest = before
    squared = np.empty(LEAF)
    # The own leaf is the first to be looked at, then the siblings of the nodes on the way to the root.
    v = n_inner + tree.place[here] // LEAF
    nodes[0], bounds[0] = v, 0.0
    while True:
        waiting = 1
        while waiting:
            waiting -= 1
            u = nodes[waiting]
            if bounds[waiting] > best:
                continue
            if u < n_inner:
                near, far = 2 * u + 1, 2 * u + 2
                near_bound = _bound(low, high, near, centre, inverse + lightest[near])
                far_bound = _bound(low, high, far, centre, inverse + lightest[far])
                if far_bound < near_bound:
                    near, far = far, near
                    near_bound, far_bound = far_bound, near_bound
                if far_bound <= best:
                    nodes[waiting], bounds[waiting] = far, far_bound
                    waiting += 1
                if near_bound <= best:
                    nodes[waiting], bounds[waiting] = near, near_bound
                    waiting += 1
                continue
            leaf = u - n_inner
            _distances(coordinates, leaf, centre, squared)
            for slot in range(LEAF):
                value = squared[slot] / (inverse + inverse_weight[leaf, slot])
                other = cluster[leaf, slot]
                if value > best or other < 0 or other == here:
                    continue
                if value < best or _goes_first(first[here], first[other], first[nearest]):
                    nearest, best = other, value
        if v == 0:
            return nearest, best
        sibling = v - 1 if v % 2 == 0 else v + 1
        nodes[0], bounds[0] = sibling, _bound(low, high, sibling, centre, inverse + lightest[sibling])
        v = (v - 1) // 2


@njit(cache=True, inline="always")
def _distances(coordinates: np.ndarray, leaf: int, centre: np.ndarray, squared: np.ndarray) -> None:
    """The squared distance of each place of a leaf."""
    squared[:] = 0.0
    for f in range(centre.size):
        for slot in range(LEAF):
            squared[slot] += (coordinates[leaf, f, slot] - centre[f]) ** 2


@njit(cache=True)
def _goes_first(here: int, other: int, than: int) -> bool:
    """Whether the pair (here, other) comes before the pair (here, than): by its lower member, then by its higher one."""
    return (min(here, other), max(here, other)) < (min(here, than), max(here, than))


@njit(cache=True)
def _squared(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for f in range(one.size):
        total += (other[f] - one[f]) ** 2
    return total


@njit(inline="always")
def _bound(low: np.ndarray, high: np.ndarray, v: int, centre: np.ndarray, inverse: float) -> float:
    """No cluster in the box is nearer than this."""
    total = 0.0
    for f in range(low.shape[1]):
        outside = max(low[v, f] - centre[f], centre[f] - high[v, f], 0.0)
        total += outside * outside
    return total / inverse


# --- the tree -----------------------------------------------------------------------------------------------------------


@njit(cache=True)
def _grow(clusters: Clusters) -> Tree:
    n, n_features = clusters.centre.shape
    n_leaves = 1
    while n_leaves * LEAF < n:
        n_leaves *= 2
    n_inner = n_leaves - 1
    n_nodes = n_inner + n_leaves
    order = np.arange(n)
    keys = np.empty(n)
    ends = np.empty((n_nodes, 2), np.int64)
    ends[0] = 0, n
    low = np.full((n_nodes, min(n_features, BOX_FEATURES)), np.inf)
    high = np.full_like(low, -np.inf)
    lightest = np.zeros(n_nodes)
    for v in range(n_nodes):
        lo, hi = ends[v]
        for i in range(lo, hi):
            c = order[i]
            lightest[v] = max(lightest[v], 1.0 / clusters.weight[c])
            for f in range(low.shape[1]):
                low[v, f] = min(low[v, f], clusters.centre[c, f])
                high[v, f] = max(high[v, f], clusters.centre[c, f])
        if v < n_inner:
            f = np.argmax(high[v] - low[v])
            for i in range(lo, hi):
                keys[i] = clusters.centre[order[i], f]
            middle = (lo + hi) // 2
            _halve(keys, order, lo, middle, hi)
            ends[2 * v + 1] = lo, middle
            ends[2 * v + 2] = middle, hi

    cluster = np.full((n_leaves, LEAF), -1)
    place = np.empty(n, np.int64)
    coordinates = np.zeros((n_leaves, n_features, LEAF))
    inverse_weight = np.ones((n_leaves, LEAF))
    for leaf in range(n_leaves):
        lo, hi = ends[n_inner + leaf]
        for slot in range(hi - lo):
            c = order[lo + slot]
            cluster[leaf, slot] = c
            place[c] = leaf * LEAF + slot
            coordinates[leaf, :, slot] = clusters.centre[c]
            inverse_weight[leaf, slot] = 1.0 / clusters.weight[c]
    return Tree(n_inner, cluster, place, coordinates, inverse_weight, low, high, lightest)


@njit(cache=True)
def _halve(keys: np.ndarray, order: np.ndarray, lo: int, middle: int, hi: int) -> None:
    """Rearrange lo .. hi-1 so that no key before `middle` is above one behind it (Hoare's selection)."""
    left, right = lo, hi - 1
    while left < right:
        pivot = keys[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            right = j
        elif middle >= i:
            left = i
        else:
            return


@njit(cache=True)
def _remaining(clusters: Clusters, tree: Tree) -> Clusters:
    """The clusters that still have a place, in the order of the tree."""
    kept = tree.cluster.ravel()
    kept = kept[kept >= 0]
    return Clusters(
        clusters.centre[kept], clusters.weight[kept], clusters.first[kept], clusters.node[kept], clusters.height[kept]
    )
