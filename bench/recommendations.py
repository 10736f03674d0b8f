"""The ten best items for every customer, and the ten most alike for every product, beside the libraries' own ways.

Customers: generated purchases with Zipf popularity, 20 pairs a customer, 10 customers an item. The rival is implicit's batch
`recommend` on the very same factors. Products: generated names, a tenth as many as pairs. The rival multiplies blocks of the
TF-IDF rows and selects; it does so for a sample, and its time for all is its time per product times their number. Nine of ten
lists at least must be equal: near ties break by the last bit, and products that share no rarer word are not compared here.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from bench.harness import measure, table

TITLE = "Recommendations and similar items"
K = 10
SAMPLE = 1_000


def section(work: Path, sizes: list[int], memory_limit: str) -> str:  # noqa: ARG001
    """The section of the report; raises AssertionError where the two ways disagree."""
    lists, alike = [], []
    for pairs in {min(size, 1_000_000): None for size in sizes}:
        made = measure("bench.recommendations:customers", pairs=pairs).value
        lists.append(
            [
                f"{pairs // 20:,} x {pairs // 200:,} x {pairs:,}",
                f"{made['fit']:.1f} s",
                f"{made['ours']:.2f} s",
                f"{made['theirs']:.2f} s",
                f"{made['theirs'] / made['ours']:.1f} x",
                f"{made['same']:.1%} equal",
            ]
        )
        made = measure("bench.recommendations:products", products=pairs // 10).value
        alike.append(
            [
                f"{pairs // 10:,}",
                f"{made['words']:.1f} s",
                f"{made['ours']:.2f} s",
                f"{made['theirs']:.0f} s",
                f"{made['theirs'] / made['ours']:.0f} x",
                f"{made['same']:.1%} equal",
            ]
        )
    return "\n\n".join(
        [
            f"Top {K} for every customer from 50 ALS factors (30 iterations), what they have bought left out.",
            table(["customers x items x pairs", "fit", "this project", "implicit recommend", "faster", "lists"], lists),
            f"Top {K} most alike for every product, by TF-IDF cosine.",
            table(["products", "TF-IDF", "this project", "blocks of a sparse product", "faster", "lists"], alike),
        ]
    )


def customers(pairs: int) -> dict[str, float]:
    """Seconds of the fit, of our lists and of implicit's, and the share of equal lists."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    from lifecycle_assets.models.als import fit
    from lifecycle_assets.models.rankers import Groups, extend, no_lists

    rng = np.random.default_rng(0)
    n_users, n_items = pairs // 20, pairs // 200
    popularity = 1 / np.arange(1, n_items + 1) ** 0.8
    users = rng.choice(n_users, pairs)
    items = rng.choice(n_items, pairs, p=popularity / popularity.sum())
    counts = csr_matrix((np.ones(pairs, np.float32), (users, items)), shape=(n_users, n_items))
    counts.sum_duplicates()
    started = time.perf_counter()
    factors = fit(counts, 50, 30, 1, rng)
    seconds = {"fit": time.perf_counter() - started}

    is_open, none = np.ones(n_items, bool), np.full(n_items, -1)

    def ours() -> np.ndarray:
        lists = no_lists(n_users, K)
        extend(lists, lambda rows: factors.customers[rows] @ factors.items.T, counts, Groups(none, none), K, is_open)
        return lists.items

    model = AlternatingLeastSquares(factors=50)
    model.user_factors, model.item_factors = factors.customers, factors.items

    def theirs() -> np.ndarray:
        with threadpool_limits(1, "blas"):
            return model.recommend(np.arange(n_users), counts, N=K)[0]

    ours()  # compiled
    seconds["ours"], mine = _best(ours)
    seconds["theirs"], its = _best(theirs)
    # A list may end early: nothing is listed that speaks against the customer.
    same = float(((mine == its) | (mine < 0)).all(axis=1).mean())
    assert same > 0.9, f"only {same:.1%} of the lists are equal"
    return {**seconds, "same": same}


def products(products: int) -> dict[str, float]:
    """Seconds of the TF-IDF, of our neighbours, and of the plain way for all products."""
    from lifecycle_assets.models.item_text import most_alike, read_texts

    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(max(50, products // 20))])
    usage = 1 / np.arange(1, words.size + 1) ** 0.7
    drawn = words[rng.choice(words.size, (products, 6), p=usage / usage.sum())]
    names = pl.DataFrame({"name": [" ".join(row) for row in drawn]}).with_columns(
        pl.lit(None, pl.String).alias(column) for column in ("category", "brand", "metadata")
    )
    started = time.perf_counter()
    texts = read_texts(names)
    seconds = {"words": time.perf_counter() - started}
    everything = np.arange(products)
    nobody = np.zeros((products, 0), np.float32)

    def ours() -> np.ndarray:
        return most_alike(texts, everything, np.ones(products, bool), K, nobody, 0.0)[1]

    sample = np.sort(rng.choice(products, min(SAMPLE, products), replace=False))

    def theirs() -> np.ndarray:
        best = []
        for start in range(0, sample.size, 100):
            block = sample[start : start + 100]
            scores = (texts.rows[block] @ texts.rows.T).toarray()
            scores[np.arange(block.size), block] = 0
            best.append(-np.sort(np.partition(-scores, K, axis=1)[:, :K], axis=1))
        return np.concatenate(best)

    ours()  # compiled
    seconds["ours"], mine = _best(ours)
    sampled, its = _best(theirs)
    same = float(np.isclose(mine[sample], its, atol=2e-6).all(axis=1).mean())
    assert same > 0.9, f"only {same:.1%} of the lists are equal"
    return {**seconds, "theirs": sampled * products / sample.size, "same": same}


def _best(way: Callable[[], np.ndarray], times: int = 3) -> tuple[float, np.ndarray]:
    """Seconds of the fastest of a few runs, and what it made."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        made = way()
        seconds.append(time.perf_counter() - started)
    return min(seconds), made
