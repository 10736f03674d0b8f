"""How long does `lifecycle simulate` take for the past of a shop? There is no naive way to it."""

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.harness import measure, table

TITLE = "Simulated shops"
SIZES, DAYS = (100_000, 1_000_000), 730


def section(work: Path, _sizes: Sequence[int], _memory_limit: str) -> str:
    """Markdown: two years of shops."""
    rows = []
    for customers in SIZES:
        made = measure("bench.simulate:begin", customers=customers, days=DAYS, work=str(work))
        counts = [f"{made.value[name]:,}" for name in ("orders", "messages")]
        rows.append([f"{customers:,}", *counts, f"{made.seconds:.0f} s", f"{made.peak_gb:.1f} GB"])
    header = ["customers", "order lines", "messages", "time", "memory"]
    return f"{DAYS} days of the past, all input tables and the truth written.\n\n" + table(header, rows)


def begin(customers: int, days: int, work: str) -> dict[str, int]:
    """The past of a shop on disk; how many rows it has."""
    from lifecycle_assets.simulator.world import World
    from resources.simulation import Simulation

    rows = {"orders": "order_lines", "messages": "engagement"}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        simulation = Simulation(Path(folder) / "big")
        simulation.begin(World("big", dt.date(2024, 1, 1), days, customers), lambda _: None)
        return {
            name: pl.scan_parquet(simulation.input / of / "*.parquet").select(pl.len()).collect().item()
            for name, of in rows.items()
        }
