"""Work on many customers in blocks of them, a core each, so that memory stays bounded."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
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
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(numba.get_num_threads()) as cores:
        return list(cores.map(make, items))
