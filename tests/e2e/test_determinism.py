"""Any number of threads and any executor make the same tables, batches, reports and ledger.

Numbers may differ in their last digits, as sums do that are added up in another order; all else is equal to the byte.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifecycle_assets.automation import NIGHTLY
from lifecycle_assets.operations.homes import open_instance
from resources.home import Home
from tests.faults.small_shop import BRIEF, ROOT, SHOP, held, make_home, write_input

# Every library that computes on several threads has its own word for their number.
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "LIFECYCLE_LOG": "json",
}
WITHIN = 1e-9


def night(home: Home, select: str | None = None, **environment: str) -> Home:
    """A night by the command line: one process."""
    chosen = ["--select", select] if select else []
    return _done(home, [sys.executable, "-m", "lifecycle_assets.cli", "run", "--shop", SHOP, *chosen], environment)


def launched(home: Home) -> Home:
    """A night as Dagster launches it, in the executor of the deployment."""
    with open_instance(home):
        pass
    dagster = [sys.executable, "-m", "dagster", "job", "execute", "-m", "lifecycle_assets.definitions", "-j", NIGHTLY]
    return _done(
        home, [*dagster, "--tags", json.dumps({"dagster/partition": SHOP})], {"DAGSTER_HOME": str(home.dagster)}
    )


def _done(home: Home, command: list[str], environment: dict[str, str]) -> Home:
    paths = {"PYTHONPATH": str(ROOT), "LIFECYCLE_HOME": str(home.root)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **paths, **environment}
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return home


def unlike(own: Home, other: Home) -> list[str]:
    """The first difference in each table, slice, batch, report and in the ledger."""
    left, right = held(own), held(other)
    assert len(right) > 100
    found = [f"{name}: only in one" for name in left.keys() ^ right.keys()]
    for name in left.keys() & right.keys():
        found += [f"{name}: {pair}" for pair in _pairs(left[name], right[name])][:1]
    return found


def _pairs(left: list[str], right: list[str]) -> list[str]:
    if left == right:
        return []
    if len(left) != len(right):
        return [f"{len(left)} lines instead of {len(right)}"]
    return [f"{a[:300]} instead of {b[:300]}" for a, b in zip(left, right, strict=True) if not _same(a, b)]


def _same(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return _close(json.loads(a), json.loads(b))
    except ValueError:
        return False


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=WITHIN, abs_tol=WITHIN)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.slow
def test_one_thread_makes_what_all_cores_make(tmp_path: Path) -> None:
    shop_input = write_input(tmp_path / "input", customers=300, orders=1_500)
    every = night(make_home(tmp_path / "every", shop_input), BRIEF)
    one = night(make_home(tmp_path / "one", shop_input, deployment="threads: 1\n"), BRIEF, **ONE_THREAD)
    assert unlike(one, every) == []


@pytest.mark.nights
def test_a_whole_night_of_many_customers_is_the_same_on_one_thread_and_in_a_process_per_step(tmp_path: Path) -> None:
    shop_input = write_input(tmp_path / "input", customers=20_000, orders=80_000, products=400)
    every = night(make_home(tmp_path / "every", shop_input))
    one = night(make_home(tmp_path / "one", shop_input, deployment="threads: 1\n"), **ONE_THREAD)
    assert unlike(one, every) == []
    apart = launched(make_home(tmp_path / "apart", shop_input, deployment="executor: multiprocess\n"))
    assert unlike(apart, every) == []
