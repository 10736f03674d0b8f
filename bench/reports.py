"""All reports of a night in three languages and four formats, and what a browser takes to print the same pages."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import job
from bench.harness import measure, table

TITLE = "All reports of a night"
SMALL = 100_000


def section(_work: Path, sizes: Sequence[int], memory_limit: str) -> str:
    """Markdown: seconds per report and size, as Dagster's event log has them, and the PDF files beside a browser's."""
    nights = [measure("bench.reports:night", lines=lines, memory_limit=memory_limit).value for lines in (SMALL, *sizes)]
    names = sorted(nights[0]["reports"])
    rows = [
        [
            f"{night['lines']:,}",
            f"{night['customers']:,}",
            f"{sum(night['reports'].values()):.1f} s",
            *(f"{night['reports'][name]:.1f}" for name in names),
            f"{night['files']} ({night['megabytes']:.0f} MB)",
        ]
        for night in nights
    ]
    small = nights[0]
    text = [
        "Every report in English, Spanish and Portuguese, each as HTML, PDF, XLSX and JSON: reading the tables, reckoning, "
        "drawing, setting and writing.",
        table(["lines", "customers", "all", *names, "files"], rows),
    ]
    if small["printed"]:
        text.append(
            f"A script that has a headless Chromium print the {small['pages']} pages of the smallest shop to PDF takes "
            f"{small['printed']:.1f} s for that alone, against {sum(small['reports'].values()):.1f} s here for everything."
        )
    return "\n\n".join(text)


def night(lines: int, memory_limit: str) -> dict[str, Any]:
    """One night in a home of its own: seconds of each report, and of printing its pages."""
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.operations.homes import open_instance
    from lifecycle_assets.operations.nights import run_night

    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "input"
        customers = job.shop_input(folder, lines)
        home = Home(Path(base) / "home")
        (home.root / "shops").mkdir(parents=True)
        (home.root / "lifecycle.yaml").write_text(f"memory_limit: {memory_limit}\n")
        home.shop_file("bench").write_text(job.SHOP.format(folder=folder))
        done = run_night(home, "bench")
        if not done.success:
            raise SystemExit("\n".join(done.failures))
        with open_instance(home) as instance:
            stats = instance.get_run_step_stats(done.run_id)
        files = [file for file in home.reports.glob("bench/*/*.*") if file.name != "index.json"]
        pages = sorted(file for file in files if file.suffix == ".html")
        seconds = {
            stat.step_key.removeprefix("reports__"): (stat.end_time or 0) - (stat.start_time or 0)
            for stat in stats
            if stat.step_key.startswith("reports__") and stat.step_key != "reports__snapshot"
        }
        return {
            "lines": lines,
            "customers": customers,
            "reports": seconds,
            "files": len(files),
            "megabytes": sum(file.stat().st_size for file in files) / 1e6,
            "pages": len(pages),
            "printed": _printed(pages, Path(base)) if lines == SMALL else 0,
        }


def _printed(pages: Sequence[Path], folder: Path) -> float:
    """Seconds that a headless Chromium takes to print the pages, one by one; 0 where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return 0
    began = time.perf_counter()
    for page in pages:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={folder / page.stem}.pdf"]
        subprocess.run([chromium, *options, page.as_uri()], capture_output=True, check=True)
    return time.perf_counter() - began
