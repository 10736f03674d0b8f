"""The main job on real data: it ends well, a second run changes nothing, and readers never notice."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

READER = """
import duckdb, sys, time
path, stop = sys.argv[1], sys.argv[2]
import pathlib
held = duckdb.connect(path, read_only=True) if sys.argv[3] == "held" else None
SQL = ("SELECT count(*), count(DISTINCT customer_id), min(as_of), max(as_of) FROM features.customer_features "
       "WHERE shop_id = 'demo'")
reads, nights, last = 0, set(), False
def read():
    connection = held or duckdb.connect(path, read_only=True)
    rows, customers, low, high = connection.execute(SQL).fetchone()
    if not held:
        connection.close()
    assert rows == customers > 0 and low == high, (rows, customers, low, high)
    nights.add(low)
read()
print("ready", flush=True)
while not pathlib.Path(stop).exists():
    read()
    reads += 1
    time.sleep(0.02)
read()
print(reads, len(nights), flush=True)
"""


def lifecycle(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "lifecycle_assets.cli", *arguments, "--home", str(home)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def contents(home: Path) -> dict[str, tuple[int, str]]:
    """Every file of the home that people read, with its time and its hash; not Dagster's own log of the runs."""
    return {
        str(path.relative_to(home)): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for part in ("warehouse", "dispatch", "reports", "shops")
        for path in sorted((home / part).rglob("*"))
        if path.is_file() and ".locks" not in path.parts and path.name != ".lock"
    }


def test_the_demo_twice_with_a_reader_at_the_table(tmp_path: Path) -> None:
    home = tmp_path / "home"
    summary = json.loads(lifecycle(home, "demo", "--json").stdout)
    rows = {row["table"]: row["rows"] for row in summary["tables"]}
    assert summary["night"]["success"]
    assert (
        rows["features.customer_features"] == rows["dispatch.decisions"] == 2467
    )  # two of the 2,469 households bought nothing but fuel
    assert rows["dispatch.messages"] > 0
    assert rows["dispatch.ledger"] == 2 * rows["dispatch.messages"]  # planned and exported
    first = contents(home)

    again = json.loads(lifecycle(home, "demo", "--json").stdout)
    assert again["tables"] == summary["tables"]
    assert contents(home) == first

    stop = tmp_path / "stop"
    database = str(home / "warehouse/lifecycle.duckdb")
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, database, str(stop), kind],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for kind in ("fresh", "held")
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() == "ready"
    lifecycle(home, "run", "--shop", "demo", "--as-of", "2017-11-30", "--select", "+features/customer_features")
    stop.touch()
    told = []
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert reader.returncode == 0, err
        told.append([int(word) for word in out.split()])
    assert min(reads for reads, _ in told) > 10
    # One that connects anew sees the night before, then the night after; one that stays connected keeps its own.
    assert [nights for _, nights in told] == [2, 1]
