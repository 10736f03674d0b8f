"""The whole nightly job on generated order lines - inputs, features, decisions, batch, report - and what Dagster adds.

python -m bench.job LINES        one run in this process, as JSON on the last line
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from bench import generate

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


def run(lines: int) -> dict[str, object]:
    """One night in a home of its own; seconds per asset come from Dagster's own event log."""
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.operations import open_instance, run_night

    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "input"
        customers = shop_input(folder, lines)
        home = Home(Path(base) / "home")
        (home.root / "shops").mkdir(parents=True)
        home.shop_file("bench").write_text(SHOP.format(folder=folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        night = run_night(home, "bench")
        seconds = time.perf_counter() - began
        if not night.success:
            raise SystemExit("\n".join(night.failures))
        with open_instance(home) as instance:
            stats = instance.get_run_step_stats(night.run_id)
        steps = {s.step_key: round((s.end_time or 0) - (s.start_time or 0), 3) for s in stats}
        return {
            "lines": lines,
            "customers": customers,
            "seconds": round(seconds, 2),
            "steps": len(steps),
            "seconds_outside_steps": round(seconds - sum(steps.values()), 2),
            "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "gib_before": round(before / 2**20, 2),
            "slowest": dict(sorted(steps.items(), key=lambda item: -item[1])[:12]),
        }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))))
