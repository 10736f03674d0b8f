"""Pairs of products in the same orders: this project's counting, SciPy's sparse product and pandas' self-merge, from the same
numbers to the same pairs; and the whole table from order lines."""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.harness import measure, table
from lifecycle_assets.inputs.contracts import OrderLines, Products
from lifecycle_assets.models.cross_sell import cross_sell_matrix
from lifecycle_assets.models.cross_sell_kernel import pair_counts
from lifecycle_assets.settings import CrossSell

TITLE = "Cross-sell"
N_PRODUCTS, PER_ORDER, MIN_SUPPORT, TIMES = 5_000, 3, 5, 3
# One order for so many order lines of the other sections: 1 M means 250 000 orders here.
LINES_PER_ORDER = 4
WAYS = ("kernel", "scipy", "pandas")
Pairs = tuple[int, float]


def section(_work: Path, sizes: Sequence[int], _memory_limit: str) -> str:
    """The section of the report; raises AssertionError where the ways disagree."""
    rows = []
    for size in sizes:
        orders = size // LINES_PER_ORDER
        measured = {way: measure("bench.cross_sell:best_of", way=way, orders=orders) for way in WAYS}
        found = {tuple(one.value["pairs"]) for one in measured.values()}
        assert len(found) == 1, f"the ways disagree: {found}"
        whole = measure("bench.cross_sell:whole_table", orders=orders)
        ours = measured["kernel"].value["seconds"]
        cells = [f"{orders:,}", f"{found.pop()[0]:,}"]
        for one in measured.values():
            seconds = one.value["seconds"]
            cells.append(f"{seconds:.3f} s ({seconds / ours:.1f} x), {one.peak_gb:.2f} GB")
        rows.append([*cells, f"{whole.value:.1f} s", "pairs equal"])
    header = ["orders", "pairs", "this project", "SciPy X'X", "pandas merge", "whole table from lines", "results"]
    return "\n\n".join(
        [
            f"Pairs of {N_PRODUCTS:,} products in orders of {PER_ORDER} lines, at least {MIN_SUPPORT} orders each, with "
            f"confidence and lift; the best of {TIMES} runs, peak memory of the process.",
            table(header, rows),
        ]
    )


def best_of(way: str, orders: int) -> dict[str, object]:
    """Seconds of the fastest run, and the number of pairs with the sum of their lifts."""
    order, product = lines(orders)
    call: Callable[[np.ndarray, np.ndarray], Pairs] = {"kernel": _kernel, "scipy": _scipy, "pandas": _pandas}[way]
    call(order[:9], product[:9])
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        pairs = call(order, product)
        seconds.append(time.perf_counter() - started)
    return {"seconds": min(seconds), "pairs": [pairs[0], round(pairs[1], 3)]}


def whole_table(orders: int) -> float:
    """Seconds of models.cross_sell_matrix from order lines in memory."""
    order, product = lines(orders)
    as_of = dt.date(2024, 12, 31)
    frame = pl.DataFrame({"order_id": order, "product_id": product}).select(
        pl.format("o{}", "order_id").alias("order_id"),
        pl.format("p{}", "product_id").alias("product_id"),
        customer_id=pl.format("c{}", pl.col("order_id") // 4),
        order_date=as_of,
        quantity=1.0,
        status=pl.lit("completed"),
        category=pl.lit(None, pl.String),
    )
    products = Products.empty().lazy()
    assert set(frame.columns) <= set(OrderLines.columns)
    settings = CrossSell(min_support=MIN_SUPPORT)
    cross_sell_matrix(frame.head(9).lazy(), products, "bench", as_of, settings)
    started = time.perf_counter()
    cross_sell_matrix(frame.lazy(), products, "bench", as_of, settings)
    return time.perf_counter() - started


def lines(orders: int) -> tuple[np.ndarray, np.ndarray]:
    """Order and product of each line, orders one after the other; products sell at very unequal rates."""
    rng = np.random.default_rng(0)
    rate = 1 / np.arange(1, N_PRODUCTS + 1) ** 0.8
    product = rng.choice(N_PRODUCTS, PER_ORDER * orders, p=rate / rate.sum()).astype(np.int32)
    return np.repeat(np.arange(orders, dtype=np.int32), PER_ORDER), product


def _kernel(order: np.ndarray, product: np.ndarray) -> Pairs:
    n, support, (i, j, both) = pair_counts(order, product, N_PRODUCTS, MIN_SUPPORT)
    lift = both * n / (support[i] * support[j])
    return 2 * i.size, float((both / support[i] + both / support[j]).sum() + 2 * lift.sum())


def _scipy(order: np.ndarray, product: np.ndarray) -> Pairs:
    from scipy import sparse

    held = sparse.csr_matrix((np.ones(order.size, np.float32), (order, product)), shape=(order.max() + 1, N_PRODUCTS))
    held.sum_duplicates()
    held.data[:] = 1
    both = (held.T @ held).tocsr()
    support = both.diagonal().astype(np.int64)
    both = both.tocoo()
    kept = (both.data >= MIN_SUPPORT) & (both.row != both.col)
    i, j, n_ij = both.row[kept], both.col[kept], both.data[kept].astype(np.int64)
    lift = n_ij * held.shape[0] / (support[i] * support[j])
    return i.size, float((n_ij / support[i]).sum() + lift.sum())


def _pandas(order: np.ndarray, product: np.ndarray) -> Pairs:
    import pandas as pd

    held = pd.DataFrame({"order": order, "product": product}).drop_duplicates()
    support = held.groupby("product").size()
    pairs = held.merge(held, on="order")
    pairs = pairs[pairs.product_x != pairs.product_y].groupby(["product_x", "product_y"]).size()
    pairs = pairs[pairs >= MIN_SUPPORT].reset_index(name="both")
    confidence = pairs.both / pairs.product_x.map(support)
    lift = confidence * held.order.nunique() / pairs.product_y.map(support)
    return len(pairs), float(confidence.sum() + lift.sum())
