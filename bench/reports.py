"""All reports of a night in three languages and four formats, and what a browser takes to print the same pages."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bench import job
from bench.harness import measure, table

TITLE = "All reports of a night"
LINES = 100_000
MANY = 1_000_000  # customers
SHOP = "bench"


def section(work: Path, sizes: Sequence[int], memory_limit: str) -> str:  # noqa: ARG001 - one size of its own
    """Markdown: seconds per report for the shop of one real night, and for the same shop many times over."""
    home = str(work / "home")
    measure("bench.reports:night", home=home, memory_limit=memory_limit)
    small, large = (measure("bench.reports:write", home=home, least=least) for least in (0, MANY))
    names = sorted(small.value["reports"])
    rows = [
        [
            f"{run.value['customers']:,}",
            f"{sum(run.value['reports'].values()):.1f} s",
            *(f"{run.value['reports'][name]:.1f}" for name in names),
            f"{run.peak_gb:.1f} GB",
            f"{run.value['files']} ({run.value['megabytes']:.0f} MB)",
        ]
        for run in (small, large)
    ]
    printed = _printed(sorted(Path(home).glob("out0/*/*/*.html")), work)
    text = [
        f"Every report in English, Spanish and Portuguese, each as HTML, PDF, XLSX and JSON: reading the tables, reckoning, "
        f"drawing, setting and writing. The tables are those of one night of {LINES:,} order lines; the larger shop has "
        "them many times over, with other customers and orders.",
        table(["customers", "all", *names, "peak memory", "files"], rows),
    ]
    if printed:
        whole = sum(small.value["reports"].values())
        text.append(
            "A script that has a headless Chromium print the pages of the smaller shop to PDF takes "
            f"{printed:.1f} s for that alone, against {whole:.1f} s here for everything."
        )
    return "\n\n".join(text)


def night(home: str, memory_limit: str) -> None:
    """One night of a shop in a home of its own."""
    from lifecycle_assets.definitions import Home
    from lifecycle_assets.operations.nights import run_night

    place = Home(Path(home))
    job.shop_input(place.root / "input", LINES)
    (place.root / "shops").mkdir(parents=True)
    (place.root / "lifecycle.yaml").write_text(f"memory_limit: {memory_limit}\n")
    place.shop_file(SHOP).write_text(job.SHOP.format(folder=place.root / "input"))
    done = run_night(place, SHOP)
    if not done.success:
        raise SystemExit("\n".join(done.failures))


def write(home: str, least: int) -> dict[str, Any]:
    """Seconds of each report on the home's tables, repeated until there are at least so many customers."""
    import lifecycle_assets.definitions as code
    from lifecycle_assets.features.customer import CustomerFeatures
    from lifecycle_assets.reports import dictionary, experiment, forecast, lifecycle, segmentation
    from lifecycle_assets.reports.report import in_languages
    from lifecycle_assets.reports.tables import Tables
    from resources.report_store import ReportStore

    place = code.Home(Path(home))
    lake, settings = code.build_resources(place)["lake"], place.shop(SHOP)
    customers = lake.scan(CustomerFeatures, SHOP).select(pl.len()).collect().item()
    as_of = lake.scan(CustomerFeatures, SHOP).select(pl.col("as_of").first()).collect().item()
    copies = max(1, -(-least // customers))
    reports = (lifecycle, segmentation, forecast, experiment, dictionary)
    frames = {
        contract.table: _copied(
            lake.scan(contract, SHOP), copies, place.root / f"copies{copies}-{contract.table}.parquet"
        )
        for contract in {contract for made in reports for contract in made.READS}
    }
    store, seconds = ReportStore(place.root / f"out{least}"), {}
    for made in reports:
        began = time.perf_counter()
        facts = made.facts(Tables({contract.table: frames[contract.table] for contract in made.READS}), as_of, settings)
        write_one = _writer(made, facts, as_of, settings)
        store.put(*in_languages(write_one, settings.reports.languages).values())
        seconds[made.NAME] = time.perf_counter() - began
    files = [file for file in store.root.glob(f"{SHOP}/*/*.*") if file.name != "index.json"]
    return {
        "customers": customers * copies,
        "reports": seconds,
        "files": len(files),
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
    }


def _writer(made: Any, facts: Any, as_of: Any, settings: Any) -> Any:
    return lambda language: made.report(facts, SHOP, as_of, settings, language)


def _copied(frame: pl.LazyFrame, copies: int, file: Path) -> pl.LazyFrame:
    """The rows with other customers, orders and messages in each copy; tables without customers as they are."""
    own = [name for name in ("customer_id", "order_id", "idempotency_key") if name in frame.collect_schema()]
    if copies == 1 or "customer_id" not in own:
        return frame
    again = [frame.with_columns(pl.col(own) + f"-{number}") for number in range(copies)]
    pl.concat(again).sink_parquet(file)
    return pl.scan_parquet(file)


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
