"""Runs one measured call per child process: its seconds, and the most memory the process ever held."""

import importlib
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Measured:
    """One call: seconds without imports, processor seconds of all its threads (they stay the same on a busy machine), peak
    resident memory in GB with everything, and what it returned."""

    seconds: float
    cpu_seconds: float
    peak_gb: float
    value: Any


def measure(function: str, **arguments: Any) -> Measured:
    """Call `package.module:function` with JSON arguments in a process of its own; raises with its error output."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.harness", function, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} {arguments} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A markdown table, first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


@contextmanager
def watched(look: Callable[[], float], every: float) -> Iterator[list[tuple[float, float]]]:
    """Moments, in seconds since the epoch as in Dagster's event log, and what `look` found then, `every` so many seconds."""
    over, seen = threading.Event(), [(time.time(), look())]

    def watch() -> None:
        while not over.wait(every):
            seen.append((time.time(), look()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def own_gib() -> float:
    """GiB that this process holds."""
    return psutil.Process().memory_info().rss / 2**30


def childrens_gib() -> float:
    """GiB that this process's children hold together; pages that they share count once each."""
    held = 0
    for child in psutil.Process().children(recursive=True):
        try:
            held += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return held / 2**30


def _child(function: str, arguments: str) -> None:
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    started, busy = time.perf_counter(), time.process_time()
    value = call(**json.loads(arguments))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_gb": peak_gb, "value": value}))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2])
