"""Ward's tree of customers: this project's way, SciPy's and fastcluster's, on the same points, their heights compared."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.harness import Measured, measure, table
from lifecycle_assets.models.ward import linkage

TITLE = "Exact Ward linkage"
LINES_PER_CUSTOMER = 10
CUSTOMERS = (10_000, 40_000, 200_000, 1_000_000)
# Features -> the most customers tried.
MOST = {3: 1_000_000, 53: 1_000_000}
# Rival -> the most customers, and the most numbers, tried; SciPy keeps the distances of all pairs.
RIVALS = {"scipy": (40_000, 1_000_000), "fastcluster": (40_000, 3_000_000)}


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:  # noqa: ARG001
    """The section of the report; raises AssertionError where heights disagree."""
    largest = max(sizes) // LINES_PER_CUSTOMER
    rows = [
        _row(work, n, width)
        for width, most in MOST.items()
        for n in [n for n in CUSTOMERS if n <= min(largest, most)] or [min(largest, most)]
    ]
    header = ["customers x features", "this project", "fastcluster.linkage_vector", "SciPy", "heights"]
    return "\n\n".join([
        "Seconds of the tree alone, compiled, and peak memory of the process. 3 features are lognormal, as amounts are; 53 "
        "are these and a category of 50, one-hot. A rival is left out where it needs many gigabytes or minutes.",
        table(header, rows),
    ])  # fmt: skip


def _row(work: Path, n: int, width: int) -> list[str]:
    ours = _measured(work, "ours", n, width)
    row, compared = [f"{n:,} x {width}", _cell(ours)], "not compared"
    for rival in ("fastcluster", "scipy"):
        most_rows, most_numbers = RIVALS[rival]
        if n > most_rows or n * width > most_numbers:
            row.append("not run")
            continue
        theirs = _measured(work, rival, n, width)
        row.append(f"{_cell(theirs)}, {theirs.value / ours.value:.0f} x")
        heights = [np.load(work / f"heights_{way}.npy") for way in ("ours", rival)]
        np.testing.assert_allclose(*heights, rtol=1e-9)
        compared = "equal"
    print(f"  {' | '.join([*row, compared])}", flush=True)
    return [*row, compared]


def _measured(work: Path, way: str, n: int, width: int) -> Measured:
    return measure(f"bench.ward:{way}", n=n, width=width, target=str(work / f"heights_{way}.npy"))


def _cell(measured: Measured) -> str:
    return f"{measured.value:.2f} s, {measured.peak_gb:.1f} GB"


def ours(n: int, width: int, target: str) -> float:
    return _timed(linkage, n, width, target)


def scipy(n: int, width: int, target: str) -> float:
    from scipy.cluster import hierarchy

    return _timed(hierarchy.ward, n, width, target)


def fastcluster(n: int, width: int, target: str) -> float:
    import fastcluster as library

    return _timed(lambda points: library.linkage_vector(points, "ward"), n, width, target)


def _timed(way: Callable[[np.ndarray], np.ndarray], n: int, width: int, target: str) -> float:
    """Seconds of the second call, so that compiled code is there."""
    way(_points(100, width))
    points = _points(n, width)
    started = time.perf_counter()
    tree = way(points)
    seconds = time.perf_counter() - started
    np.save(target, tree[:, 2])
    return seconds


def _points(n: int, width: int) -> np.ndarray:
    random = np.random.default_rng(1)
    points = np.exp(random.normal(size=(n, 3)))
    if width == 3:
        return points
    return np.column_stack([points, np.eye(width - 3)[random.zipf(1.5, n) % (width - 3)]])
