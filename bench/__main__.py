"""`python -m bench [--sizes 1,10,50]`: measures, prints, and writes its sections of bench/RESULTS.md.

A section is a module of this package with a TITLE and a function `section(work, sizes, memory_limit)` that returns markdown.
"""

import argparse
import importlib
import platform
import tempfile
from pathlib import Path

import psutil

SECTIONS = (
    "rollups",
    "clv",
    "segmentation",
    "ward",
    "recommendations",
    "cross_sell",
    "prices",
    "forecast",
    "uplift",
    "classifiers",
    "posteriors",
    "recovery",
    "decisions",
    "dispatch",
    "audiences",
    "arms",
    "routing",
    "simulate",
    "loop",
    "reports",
    "job",
    "shops",
)
RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", default="1,10", help="millions of order lines, e.g. 1,10,50 (default: %(default)s)")
    parser.add_argument("--memory-limit", default="4GB", help="of the SQL engine (default: %(default)s)")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="which to run (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="folder for generated data, kept; default: a temporary one")
    arguments = parser.parse_args()
    names = arguments.sections.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"--sections {', '.join(sorted(unknown))}: not among {', '.join(SECTIONS)}")
    sizes = [int(float(size) * 1_000_000) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        memory = psutil.virtual_memory().total / 1024**3
        machine = f"{psutil.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}"
        parts = _known()
        for name in names:
            module = importlib.import_module(f"bench.{name}")
            print(f"== {module.TITLE}", flush=True)
            text = module.section(work, sizes, arguments.memory_limit)
            print(text, flush=True)
            parts[module.TITLE] = text
    head = f"# Measured\n\nBy `make bench` on {machine}. Times move with the machine, ratios hold better."
    titles = [importlib.import_module(f"bench.{name}").TITLE for name in SECTIONS]
    sections = [f"## {title}\n\n{parts[title]}" for title in titles if title in parts]
    RESULTS.write_text("\n\n".join([head, *sections]) + "\n", "utf-8")


def _known() -> dict[str, str]:
    """Title -> text of the sections measured before: those that are not run again stay."""
    if not RESULTS.exists():
        return {}
    _, *sections = RESULTS.read_text("utf-8").split("\n## ")
    return {title: text.strip() for title, text in (section.split("\n", 1) for section in sections)}


if __name__ == "__main__":
    main()
