"""The whole nightly job on generated order lines, from the shop's files to batches and reports: a night that trains every
model, and the one after it, which only scores. How do time and memory grow, where do they go, and what does Dagster add?"""

import datetime as dt
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench import generate
from bench.harness import measure, own_gib, table, watched

TITLE = "The whole nightly job"
TINY = 2_000
SHOWN = 15
EVERY = 0.1
TRAINS, SCORES = "trains every model", "only scores"

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


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """Markdown: two nights per size, the growth between sizes, the largest ones' profiles, and the overhead per asset seen on a
    shop so small that computing costs nothing."""
    shops = [_nights(work, lines, memory_limit) for lines in (TINY, *sizes)]
    measured = [night for nights in shops for night in nights]
    rows = [
        [
            f"{night['lines']:,}",
            f"{night['customers']:,}",
            night["kind"],
            f"{night['seconds']:.0f} s",
            f"{night['cpu_seconds']:.0f} s",
            f"{night['peak_gib']:.1f} GiB",
        ]
        for night in measured
    ]
    parts = [
        "From the shop's files to the batches and the reports, everything validated, checked and published. The night after "
        "the first one finds every model trained within its cadence and only scores.",
        table(["lines", "customers", "the night", "wall clock", "processor", "peak memory"], rows),
        *(_growth(kind, shops[1:]) for kind in (TRAINS, SCORES) if len(sizes) > 1),
        *(_profile(night) for night in shops[-1]),
        _overhead(shops[0][1]),
    ]
    return "\n\n".join(parts)


def _nights(work: Path, lines: int, memory_limit: str) -> list[dict[str, Any]]:
    """The first night of a new shop and the one after it, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=work) as base:
        folder = Path(base) / "input"
        customers = shop_input(folder, lines)
        home = Path(base) / "home"
        (home / "shops").mkdir(parents=True)
        (home / "lifecycle.yaml").write_text(f"memory_limit: {memory_limit}\n")
        (home / "shops" / "bench.yaml").write_text(SHOP.format(folder=folder))
        known = {"lines": lines, "customers": customers}
        first, second = generate.AS_OF - dt.timedelta(days=1), generate.AS_OF
        return [
            {**known, "kind": kind, **measure("bench.job:run", home=str(home), as_of=day.isoformat()).value}
            for kind, day in ((TRAINS, first), (SCORES, second))
        ]


def _growth(kind: str, shops: list[list[dict[str, Any]]]) -> str:
    """The exponent of the number of lines, by least squares on logarithms."""
    nights = [night for nights in shops for night in nights if night["kind"] == kind]
    lines = np.log([night["lines"] for night in nights])
    of = {what: np.polyfit(lines, np.log([night[what] for night in nights]), 1)[0] for what in ("seconds", "peak_gib")}
    last = np.log(nights[-1]["seconds"] / nights[-2]["seconds"]) / (lines[-1] - lines[-2])
    return (
        f"The time of a night that {kind} grows with the lines to the power of {of['seconds']:.2f} over all sizes, and of "
        f"{last:.2f} between the two largest ones; its memory to the power of {of['peak_gib']:.2f}."
    )


def _profile(night: dict[str, Any]) -> str:
    steps = sorted(night["steps"].items(), key=lambda step: -step[1]["seconds"])
    shown = steps[:SHOWN]
    rest = sum(step["seconds"] for _, step in steps[SHOWN:])
    rows = [
        [
            name,
            f"{step['seconds']:.1f} s",
            f"{step['seconds'] / night['seconds']:.0%}",
            f"{step['begins_gib']:.1f}",
            f"{step['peak_gib']:.1f}",
        ]
        for name, step in shown
    ]
    rows.append([f"{len(steps) - len(shown)} others", f"{rest:.1f} s", f"{rest / night['seconds']:.0%}", "", ""])
    return "\n\n".join(
        [
            f"Where a night that {night['kind']} spends its time and memory, {night['lines']:,} lines; GiB of the process when "
            "a step begins, and at most while it runs:",
            table(["step", "time", "of all", "GiB before", "GiB at most"], rows),
        ]
    )


def _overhead(night: dict[str, Any]) -> str:
    seconds = [step["seconds"] for step in night["steps"].values()]
    return (
        f"Overhead: a shop of {TINY:,} lines takes {night['seconds']:.1f} s for {len(seconds)} steps (assets and their "
        f"checks), of which {night['seconds'] - sum(seconds):.1f} s lie outside them. The median step takes "
        f"{statistics.median(seconds) * 1000:.0f} ms; that is what an asset costs before it computes anything."
    )


def run(home: str, as_of: str) -> dict[str, Any]:
    """One night; seconds per step come from Dagster's own event log."""
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.operations.homes import open_instance
    from lifecycle_assets.operations.nights import run_night

    began, busy = time.perf_counter(), time.process_time()
    with watched(own_gib, EVERY) as held:
        night = run_night(Home(Path(home)), "bench", dt.date.fromisoformat(as_of))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - busy
    if not night.success:
        raise SystemExit("\n".join(night.failures))
    with open_instance(Home(Path(home))) as instance:
        stats = instance.get_run_step_stats(night.run_id)
    moments, gib = (np.array(column) for column in zip(*held, strict=True))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "steps": {
            s.step_key.replace("__", "."): _step(s.start_time or 0, s.end_time or 0, moments, gib) for s in stats
        },
    }


def _step(start: float, end: float, moments: np.ndarray, gib: np.ndarray) -> dict[str, float]:
    first, after = np.searchsorted(moments, [start, end])
    first = max(min(first, gib.size - 1) - 1, 0)
    return {"seconds": end - start, "begins_gib": gib[first], "peak_gib": gib[first : max(after, first + 1)].max()}
