"""Many shops in one night on one machine: how long, how much memory, who waits how long, and that a broken one fails alone.

All nights are asked for at once, as at two in the morning; two processes make them, in the order in which Dagster's queue
would hand them out (automation.queue_tags), each taking the next one when it is done, as `lifecycle run` does.
"""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.generate import ORDERS_PER_LINE
from bench.harness import childrens_gib, table, watched
from bench.job import SHOP, shop_input

TITLE = "Many shops in one night"
SHOPS = int(os.environ.get("BENCH_SHOPS", "50"))
SMALLEST, LARGEST = 2_000, 200_000
TIERS = ("starter", "starter", "pro", "agency", "enterprise")
AT_A_TIME = 2
EVERY = 0.5


@dataclass(frozen=True)
class Night:
    """One shop's night: seconds after all were asked for when it began and ended."""

    shop: str
    tier: str
    orders: int
    began: float
    ended: float
    success: bool


def section(work: Path, _sizes: Sequence[int], memory_limit: str) -> str:
    """Markdown: wall time, peak memory and waiting of `SHOPS` shops of 2,000 to 200,000 orders, the last of them broken."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        home = Path(folder)
        (home / "lifecycle.yaml").write_text(f"memory_limit: {memory_limit}\nthreads: 1\n")
        shops = _shops(home)
        with watched(childrens_gib, EVERY) as held:
            nights = _nights(home, _in_turn(shops))
    failed = [night.shop for night in nights if not night.success]
    assert failed == [max(shops)], f"only the broken shop may fail: {failed}"
    return "\n\n".join(
        [
            f"{len(nights)} shops of {SMALLEST:,} to {LARGEST:,} orders, all asked for at once, {AT_A_TIME} at a time, each "
            "from its files to its reports, every model trained. One shop's input is broken: it failed, and it alone.",
            f"All done after **{max(night.ended for night in nights) / 60:.0f} minutes**; at most "
            f"{max(gib for _, gib in held):.1f} GiB held by all processes together.",
            table(["tier", "shops", "orders", "waited, median", "waited, longest", "night, median"], _by_tier(nights)),
        ]
    )


def _shops(home: Path) -> dict[str, tuple[str, int]]:
    """Write each shop's input and configuration; shop -> tier and orders. The last one's input is broken."""
    (home / "shops").mkdir()
    made = {}
    for number, orders in enumerate(np.geomspace(SMALLEST, LARGEST, SHOPS).round(-2).astype(int).tolist()):
        # Small and large ones in turn: neither tier nor place in the queue goes with size.
        name, tier = f"shop{number:02}", TIERS[number % len(TIERS)]
        folder = home / "input" / name
        shop_input(folder, round(orders / ORDERS_PER_LINE))
        (home / "shops" / f"{name}.yaml").write_text(SHOP.format(folder=folder) + f"tier: {tier}\n")
        made[name] = (tier, orders)
    (home / "input" / max(made) / "order_lines.parquet").write_bytes(b"PAR1 broken PAR1")
    return made


def _in_turn(shops: dict[str, tuple[str, int]]) -> list[tuple[str, str, int]]:
    """In the order of the queue, where all were asked for at the same moment: by tier, within it by name."""
    from lifecycle_assets.automation import PRIORITY_TAG, queue_tags
    from lifecycle_assets.settings import Shop

    now = dt.datetime.now(dt.UTC)

    def priority(tier: str) -> int:
        known = {"name": "x", "timezone": "UTC", "currency": "EUR", "country": "ES", "input": ".", "tier": tier}
        return int(queue_tags(Shop.model_validate(known), now)[PRIORITY_TAG])

    rows = [(shop, tier, orders) for shop, (tier, orders) in shops.items()]
    return sorted(rows, key=lambda row: (-priority(row[1]), row[0]))


def _nights(home: Path, shops: list[tuple[str, str, int]]) -> list[Night]:
    asked = time.perf_counter()

    def night(shop: str, tier: str, orders: int) -> Night:
        began = time.perf_counter() - asked
        done = subprocess.run(
            [sys.executable, "-m", "lifecycle_assets.cli", "run", "--shop", shop, "--home", str(home)],
            capture_output=True,
            check=False,
            cwd=Path(__file__).parent.parent,
        )
        made = Night(shop, tier, orders, began, time.perf_counter() - asked, done.returncode == 0)
        state = "done" if made.success else "FAILED"
        print(
            f"{made.ended:7.0f} s  {shop} ({tier}, {orders:,} orders) {state}, {made.ended - began:.0f} s",
            file=sys.stderr,
        )
        return made

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda row: night(*row), shops))


def _by_tier(nights: list[Night]) -> list[list[str]]:
    rows = []
    for tier in (*reversed(dict.fromkeys(TIERS)), "all"):
        of_it = [night for night in nights if tier in {night.tier, "all"}]
        if not of_it:
            continue
        waited, took = [night.began for night in of_it], [night.ended - night.began for night in of_it]
        orders = f"{min(n.orders for n in of_it):,} to {max(n.orders for n in of_it):,}"
        seconds = (np.median(waited), max(waited), np.median(took))
        rows.append([tier, str(len(of_it)), orders, *(f"{value:.0f} s" for value in seconds)])
    return rows
