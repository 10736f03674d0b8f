"""The first nights of several shops of a new home begin at the same moment: all find Dagster's storage whole."""

import subprocess
import sys
from pathlib import Path

from lifecycle_assets.definitions import Home
from lifecycle_assets.operations.homes import make_home
from tests.faults.small_shop import ROOT

OPENS = """
import sys
from pathlib import Path
from lifecycle_assets.operations.homes import Home, open_instance
print("ready", flush=True)
sys.stdin.readline()
with open_instance(Home(Path(sys.argv[1]))) as instance:
    print(instance.get_runs_count())
"""


def test_a_new_home_is_opened_by_three_at_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    make_home(home)
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, str(home.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(3)
    ]
    for process in opening:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in opening:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in opening:
        told, wrong = process.communicate(timeout=60)
        assert (process.returncode, told) == (0, "0\n"), wrong
