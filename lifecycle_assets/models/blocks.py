"""Work on many customers in blocks of them, a core each, so that memory stays bounded."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

BLOCK = 50_000
Item = TypeVar("Item")
Made = TypeVar("Made")


def blocks(rows: int) -> list[slice]:
    """The rows in slices, at least one."""
    return [slice(start, start + BLOCK) for start in range(0, max(rows, 1), BLOCK)]


def of_blocks(make: Callable[[slice], Made], rows: int) -> list[Made]:
    """What `make` makes of each block, in their order."""
    return side_by_side(make, blocks(rows))


def side_by_side(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What `make` makes of each item, in their order, a core each. The threads of BLAS would only get in the way of theirs."""
    import numba

    with one_blas_thread(), ThreadPoolExecutor(numba.get_num_threads()) as cores:
        return list(cores.map(make, items))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread: sums by several would be in another order, and differ in their last digits."""
    # Only libraries that are loaded can be held: NumPy's is, and numba's kernels call SciPy's.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield
