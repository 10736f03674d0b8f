"""Path-dependent SHAP values of one decision tree, compiled by numba. Import it inside the function that needs it.

What a leaf adds to a feature depends only on which conditions on its path hold for the row: a table with one line per set of
conditions is made once per tree, and each row is a look-up per leaf (as in Yang, "Fast TreeSHAP", 2021). With n features on a
path, r_k the share of the cover that feature k's conditions let through and o_k whether they hold, a leaf of value v adds

    v (o_j - r_j) * integral from 0 to 1 of the product over k != j of (o_k t + r_k (1 - t)) dt

to feature j. The integrand is a polynomial in t, which Gauss-Legendre sums exactly.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def tables_of(
    left: np.ndarray,
    right: np.ndarray,
    column: np.ndarray,
    value: np.ndarray,
    cover: np.ndarray,
    nodes: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The tables of all leaves, one after the other: the leaves, where the columns and the table of each begin, the columns,
    the tables. Children have higher numbers than their parents; `left` is -1 at a leaf. `nodes` and `weights` are those of the
    quadrature."""
    parent = np.full(left.size, -1, np.int64)
    depth = np.zeros(left.size, np.int64)
    for node in range(left.size):
        if left[node] >= 0:
            for child in (left[node], right[node]):
                parent[child], depth[child] = node, depth[node] + 1
    leaves = np.flatnonzero(left < 0)
    lengths = depth[leaves]
    begins = np.zeros((leaves.size + 1, 2), np.int64)
    columns = np.empty(lengths.sum(), np.int64)
    tables = np.zeros((lengths * 2**lengths).sum())
    for number in range(leaves.size):
        length, node = lengths[number], leaves[number]
        on_path, kept = np.empty(length, np.int64), np.empty(length)
        for i in range(length - 1, -1, -1):
            on_path[i], kept[i] = column[parent[node]], cover[node] / cover[parent[node]]
            node = parent[node]
        first, line = begins[number]
        n = _fill(on_path, kept, value[leaves[number]], nodes, weights, columns[first:], tables[line:])
        begins[number + 1, 0], begins[number + 1, 1] = first + n, line + n * 2**length
    return leaves, begins, columns, tables


@njit(cache=True, nogil=True)
def _fill(
    on_path: np.ndarray,
    kept: np.ndarray,
    value: float,
    nodes: np.ndarray,
    weights: np.ndarray,
    columns: np.ndarray,
    table: np.ndarray,
) -> int:
    """Write the distinct columns of a path, and sets of conditions x columns: what the leaf adds. Return how many columns. The
    set in which condition i of the path holds has bit length - 1 - i; `kept` is the share that each condition lets through."""
    length, n = on_path.size, 0
    place, share = np.empty(length, np.int64), np.ones(length)
    for i in range(length):
        place[i] = n
        for k in range(n):
            if columns[k] == on_path[i]:
                place[i] = k
        if place[i] == n:
            columns[n] = on_path[i]
            n += 1
        share[place[i]] *= kept[i]
    holds, factor = np.empty(n), np.empty(n)
    for held in range(1 << length):
        holds[:] = 1.0
        for i in range(length):
            if not (held >> (length - 1 - i)) & 1:
                holds[place[i]] = 0.0
        for q in range(nodes.size):
            product = weights[q] * value
            for k in range(n):
                factor[k] = holds[k] * nodes[q] + share[k] * (1 - nodes[q])
                product *= factor[k]
            for k in range(n):
                table[held * n + k] += (holds[k] - share[k]) * product / factor[k]
    return n


@njit(cache=True, nogil=True)
def add_tree(
    inputs: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    column: np.ndarray,
    below: np.ndarray,
    leaves: np.ndarray,
    begins: np.ndarray,
    columns: np.ndarray,
    tables: np.ndarray,
    result: np.ndarray,
) -> None:
    """Add the tree's values for each row of `inputs` to `result` (rows x columns). A row goes left where it is `below`."""
    held = np.zeros(left.size, np.int64)
    for row in range(inputs.shape[0]):
        for node in range(left.size):
            if left[node] >= 0:
                goes_left = 1 if inputs[row, column[node]] < below[node] else 0
                held[left[node]] = (held[node] << 1) | goes_left
                held[right[node]] = (held[node] << 1) | (1 - goes_left)
        for number in range(leaves.size):
            first, end = begins[number, 0], begins[number + 1, 0]
            line = begins[number, 1] + held[leaves[number]] * (end - first)
            for k in range(end - first):
                result[row, columns[first + k]] += tables[line + k]
