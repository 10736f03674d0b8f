"""Runs one measured call per child process: its seconds, and the most memory the process ever held."""

import importlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
