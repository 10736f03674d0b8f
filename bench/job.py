"""The whole nightly job on generated order lines - inputs, features, decisions, batch, report - and what Dagster adds."""

import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bench import generate
from bench.harness import measure, table

TITLE = "The whole nightly job"
TINY = 2_000
SHOWN = 10

SHOP = f"""\
name: Benchmark shop
timezone: Europe/Madrid
currency: EUR
country: ES
input: {{folder}}
as_of: {generate.AS_OF}
"""


def shop_input(folder: Path, lines: int) -> int:
    """Write a shop's input files; every customer has an address, nine in ten have given consent. Returns customers."""
    folder.mkdir(parents=True)
    generate.order_lines(folder / "order_lines.parquet", lines)
    generate.products(folder / "products.parquet")
    ids = pl.scan_parquet(folder / "order_lines.parquet").select(pl.col("customer_id").drop_nulls().unique().sort())
    customers = ids.with_row_index("n").select(
        "customer_id",
        email=pl.col("customer_id") + "@example.org",
        first_name=pl.lit("Alex"),
        consent_email=pl.col("n") % 10 != 0,
    )
    frame = customers.collect()
    frame.write_parquet(folder / "customers.parquet")
    return frame.height


def section(_work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """Markdown: a night per size, and the overhead per asset seen on a shop so small that computing costs nothing."""
    nights = [measure("bench.job:run", lines=lines, memory_limit=memory_limit).value for lines in (TINY, *sizes)]
    tiny = nights[0]
    slowest = _slowest(nights)
    header = ["lines", "customers", "whole job", "features to batch", "peak memory", *slowest]
    rows = [
        [
            f"{night['lines']:,}",
            f"{night['customers']:,}",
            f"{night['seconds']:.1f} s",
            f"{_from_features_to_batch(night):.1f} s",
            f"{night['peak_gib']:.1f} GiB",
            *(f"{night['steps'].get(step, 0):.1f}" for step in slowest),
        ]
        for night in nights
    ]
    steps = list(tiny["steps"].values())
    return "\n\n".join(
        [
            "From the shop's files to the batch and the report, everything validated, checked and published. *Features to "
            "batch* leaves out reading the files and the report. Beside it the seconds of the slowest steps.",
            table(header, rows),
            f"Overhead: a shop of {TINY:,} lines takes {tiny['seconds']:.1f} s for {len(steps)} steps (assets and their "
            f"checks), of which {tiny['seconds'] - sum(steps):.1f} s lie outside them. The median step takes "
            f"{statistics.median(steps) * 1000:.0f} ms; that is what an asset costs before it computes anything.",
        ]
    )


def _from_features_to_batch(night: dict[str, Any]) -> float:
    return sum(seconds for step, seconds in night["steps"].items() if step.startswith(("features.", "dispatch.")))


def _slowest(nights: list[dict[str, Any]]) -> list[str]:
    return sorted(nights[-1]["steps"], key=lambda step: -nights[-1]["steps"][step])[:SHOWN]


def run(lines: int, memory_limit: str) -> dict[str, Any]:
    """One night in a home of its own; seconds per asset come from Dagster's own event log."""
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.operations.homes import open_instance
    from lifecycle_assets.operations.nights import run_night

    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "input"
        customers = shop_input(folder, lines)
        home = Home(Path(base) / "home")
        (home.root / "shops").mkdir(parents=True)
        (home.root / "lifecycle.yaml").write_text(f"memory_limit: {memory_limit}\n")
        home.shop_file("bench").write_text(SHOP.format(folder=folder))
        began = time.perf_counter()
        night = run_night(home, "bench")
        seconds = time.perf_counter() - began
        if not night.success:
            raise SystemExit("\n".join(night.failures))
        with open_instance(home) as instance:
            stats = instance.get_run_step_stats(night.run_id)
        return {
            "lines": lines,
            "customers": customers,
            "seconds": seconds,
            "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
            "steps": {s.step_key.replace("__", "."): (s.end_time or 0) - (s.start_time or 0) for s in stats},
        }
