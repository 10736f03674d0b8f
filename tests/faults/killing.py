"""Nights that are killed again and again at moments drawn by a seed, and the one after them that may end.

A third of the kills are drawn evenly over the time that the night takes, a third evenly over its steps, and a third over the
steps that leave something besides a table. Moments are told by the progress of the night itself, so that a slow machine is
struck in the same places as a fast one.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resources.home import Home
from tests.faults.small_shop import BRIEF, differences, make_home, start

BESIDES_TABLES = (
    "reports.",
    "dispatch.ledger",
    "dispatch.audience_exports",
    "dispatch.erasures",
    "_evaluation",
    "prices",
)


@dataclass(frozen=True)
class Step:
    """A step of a night, and the seconds since the one before it ended; the first step holds the start of the process."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Kill:
    """The step that a kill struck, and the age of the process in seconds."""

    step: str
    seconds: float


def undisturbed(root: Path, shop_input: Path, select: str | None = BRIEF) -> tuple[Home, list[Step]]:
    """A home after one night that nothing happened to, and the night's steps in their order."""
    home = make_home(root, shop_input)
    process = start(home, select)
    began = time.monotonic()
    steps = []
    for name in _ended(process):
        now = time.monotonic()
        steps.append(Step(name, now - began))
        began = now
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return home, steps


def kill(home: Home, steps: list[Step], rng: np.random.Generator, select: str | None = BRIEF) -> Kill:
    """Start a night, and kill its process and all that it started at a moment of its own."""
    index, delay = _moment(steps, rng)
    process = start(home, select)
    began = time.monotonic()
    ended = _ended(process)
    for _ in range(index):
        next(ended, None)
    time.sleep(delay)
    has_ended = process.poll() is not None
    seconds = time.monotonic() - began
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return Kill("nothing: the night had ended" if has_ended else steps[index].name, seconds)


def ends_alike(home: Home, other: Home, select: str | None = BRIEF) -> list[str]:
    """Let a night run to its end; what is then otherwise than in the undisturbed home."""
    process = start(home, select)
    said = "".join(process.communicate())
    return [f"the next night failed: {said[-2000:]}"] if process.returncode else differences(home, other)


def _moment(steps: list[Step], rng: np.random.Generator) -> tuple[int, float]:
    """After how many steps, and how many seconds into the next one."""
    seconds = np.array([step.seconds for step in steps])
    besides = np.array([any(mark in step.name for mark in BESIDES_TABLES) for step in steps], float)
    weights = (seconds, np.ones(len(steps)), besides)[rng.integers(3)]
    index = int(rng.choice(len(steps), p=weights / weights.sum()))
    return index, float(rng.uniform(0, seconds[index]))


def _ended(process: subprocess.Popen[str]) -> Iterator[str]:
    """The steps of a night as they end."""
    for line in process.stderr or ():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("event") == "step_success":
            yield told["asset"]
