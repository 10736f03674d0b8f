"""A simulated shop on disk: the input tables as a shop would hand them over, the truth beside them, and where to go on from.

    <root>/world.json              what it was made of
    <root>/input/<table>/*.parquet the input tables, in parts
    <root>/truth/<day>/*.parquet   who the customers really are, after each day lived through
    <root>/state/<day>/*.npz       to go on from

The past appears whole or not at all. A night is complete when its state is there: one that was cut short is lived again, with
the same result, over whatever it left.
"""

import datetime as dt
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.simulator import service
from lifecycle_assets.simulator.baskets import products
from lifecycle_assets.simulator.day import State
from lifecycle_assets.simulator.simulation import Block, blocks, night, past
from lifecycle_assets.simulator.world import World
from resources.files import fsync


class Simulation:
    """The simulated shop below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def input(self) -> Path:
        return self.root / "input"

    def begin(self, world: World, progress: Callable[[str], None]) -> None:
        """Live through the past and write it; raises LifecycleError when there is a simulation already."""
        if self.root.exists():
            raise LifecycleError(f"{self.root} exists: go on with --night, or take it away to begin anew")
        unfinished = self.root.with_name(f".{self.root.name}-{uuid.uuid4().hex}")
        try:
            made = Simulation(unfinished)
            for number, (first, last) in enumerate(blocks(world)):
                made._write(past(world, first, last), f"past-{number:04d}", world.days - 1, number)
                progress(f"{last:,} of {world.customers:,} customers, {world.days} days each")
            made._write_shop(world, range(world.days), "past")
            described = {**asdict(world), "start": world.start.isoformat()}
            (unfinished / "world.json").write_text(json.dumps(described, indent=1), "utf-8")
            fsync(unfinished / "world.json")
            unfinished.rename(self.root)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def world(self) -> World:
        path = self.root / "world.json"
        if not path.exists():
            raise LifecycleError(
                f"no simulation in {self.root}: begin one with lifecycle simulate --shop S --customers N"
            )
        described = json.loads(path.read_text("utf-8"))
        described["start"] = dt.date.fromisoformat(described["start"])
        described["countries"] = tuple(described["countries"])
        return World(**described)

    def last_day(self) -> dt.date:
        """The last day that was lived through."""
        return self.world().date(self._last())

    def state(self, block: int) -> State:
        """The block's state after the last day that was lived through."""
        with np.load(self._state(self._last()) / f"{block:04d}.npz", allow_pickle=False) as stored:
            return State.of(stored)

    def go_on(self, messages: pl.DataFrame, progress: Callable[[str], None]) -> dt.date:
        """Live through the next day with these messages (see simulation.night), add it to the input and return its date."""
        world, day = self.world(), self._last() + 1
        for number, (first, end) in enumerate(blocks(world)):
            lived = night(world, first, end, self.state(number), day, messages)
            self._write(lived, f"night-{world.date(day)}-{number:04d}", day, number, unfinished=True)
            progress(f"{world.date(day)}: {end:,} of {world.customers:,} customers")
        self._write_shop(world, range(day, day + 1), f"night-{world.date(day)}")
        self._state(day, unfinished=True).rename(self._state(day))
        fsync(self._state(day).parent)
        return world.date(day)

    def _last(self) -> int:
        return max(int(folder.name) for folder in (self.root / "state").iterdir() if folder.name.isdigit())

    def _state(self, day: int, unfinished: bool = False) -> Path:
        return self.root / "state" / (f".{day}" if unfinished else str(day))

    def _write_shop(self, world: World, days: range, part: str) -> None:
        _put(self.input / "price_history" / f"{part}.parquet", service.price_history(world, days))
        _put(self.input / "costs" / f"{part}.parquet", service.costs(world, days))
        _put(self.input / "products" / "products.parquet", products(world, days[-1]))

    def _write(self, lived: Block, part: str, day: int, number: int, unfinished: bool = False) -> None:
        for table, frame in lived.tables.items():
            if frame.height:
                _put(self.input / table / f"{part}.parquet", frame)
        _put(self.root / "truth" / str(day) / f"{number:04d}.parquet", lived.truth)
        folder = self._state(day, unfinished)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / f"{number:04d}.npz", allow_pickle=False, **lived.state.arrays())
        fsync(folder / f"{number:04d}.npz")


def _put(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    frame.write_parquet(temporary)
    fsync(temporary)
    temporary.replace(path)
