"""`python -m tests.faults --kills 100 --seed 1`: a whole night killed so many times, and what the next ones made of it.

Each home is killed a few times over and then runs one night to its end; this is compared with an undisturbed home.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.faults.killing import ends_alike, kill, undisturbed
from tests.faults.small_shop import BRIEF, make_home, write_input


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kills-per-home", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brief", action="store_true", help="without forecasts and most reports, as the tests do")
    chosen = parser.parse_args()
    select = BRIEF if chosen.brief else None
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        root = Path(folder)
        other, steps = undisturbed(root / "undisturbed", write_input(root / "input"), select)
        print(f"undisturbed: {len(steps)} steps in {sum(step.seconds for step in steps):.1f} s", flush=True)
        rng = np.random.default_rng(chosen.seed)
        homes, failed = -(-chosen.kills // chosen.kills_per_home), 0
        for number in range(homes):
            home = make_home(root / f"killed-{number}", root / "input")
            first = number * chosen.kills_per_home
            for count in range(first, min(first + chosen.kills_per_home, chosen.kills)):
                struck = kill(home, steps, rng, select)
                print(f"kill {count + 1:>4}  after {struck.seconds:6.1f} s  in {struck.step}", flush=True)
            began = time.monotonic()
            found = ends_alike(home, other, select)
            failed += bool(found)
            verdict = "DIFFERS" if found else "the same tables, batches, ledger and reports"
            print(f"home {number + 1:>4}  next night {time.monotonic() - began:6.1f} s: {verdict}", flush=True)
            for difference in found:
                print(f"      {difference}", flush=True)
        print(f"{chosen.kills} kills, {homes} homes, {failed} of them ended otherwise")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
