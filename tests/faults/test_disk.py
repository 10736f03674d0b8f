"""A disk that is full, and one that changes what was written: what is said, what stays, and how the next night heals it."""

import datetime as dt
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle_assets.contracts import registry
from lifecycle_assets.definitions import build_resources
from resources.home import Home
from tests.faults.small_shop import NIGHT, SHOP, bytes_of, differences, make_home, run_here, start

FEATURES = "+features/customer_features"
BEFORE = NIGHT - dt.timedelta(days=1)
NewHome = Callable[..., Home]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("only root may make a disk of its own")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Leave so many bytes of a disk."""
    state = os.statvfs(disk)
    filler = disk / "filler"
    with filler.open("wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, state.f_bavail * state.f_frsize - free)
    return filler


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs a file that takes all room at once")
def test_a_full_disk_leaves_the_tables_of_before_and_the_next_night_goes_on(
    kiosk: Path, small_disk: Path, new_home: NewHome
) -> None:
    home, other = make_home(small_disk / "home", kiosk), new_home()
    for each in (home, other):
        assert run_here(each, FEATURES, BEFORE).success
    before = bytes_of(home)
    # It fills while the night runs, in which Dagster writes as well, and is full when the next one begins.
    process = start(home, FEATURES)
    assert process.stderr is not None
    process.stderr.readline()
    filler = fill(small_disk, 100_000)
    met = "".join(process.communicate())
    again = start(home, FEATURES)
    said = again.communicate()[1]
    assert (process.returncode, again.returncode) == (1, 1)
    assert "full" in met or "No space left" in met, met
    assert f"the disk of {home.root} is full" in said and "Traceback" not in said
    after = bytes_of(home)
    assert after.keys() >= before.keys()
    filler.unlink()
    for each in (home, other):
        assert run_here(each, FEATURES).success
    assert differences(home, other) == []


def flip(path: Path) -> None:
    """Change bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 16] = bytes(255 - byte for byte in content[middle : middle + 16])
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Lose the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.slow
def test_a_damaged_table_is_named_and_made_anew_by_the_next_night(new_home: NewHome) -> None:
    home = new_home()
    assert run_here(home, FEATURES).success
    calm = bytes_of(home)
    lake = build_resources(home)["lake"]
    orders, loyalty = (lake.path(registry()[name], SHOP) for name in ("features.orders", "features.customer_loyalty"))
    cut(orders)
    flip(loyalty)
    night = run_here(home, "features/customer_orders")
    assert not night.success
    for path in (orders, loyalty):
        assert any(f"{path} is damaged" in said and "Run the whole night again" in said for said in night.failures)
    assert run_here(home, FEATURES).success
    assert bytes_of(home) == calm


@pytest.mark.slow
def test_a_model_that_was_changed_is_not_loaded_and_the_night_makes_what_does_not_need_it(new_home: NewHome) -> None:
    home = new_home()
    select = "+models/churn_risk or models/registry or features/nps"
    assert run_here(home, select).success
    calm = bytes_of(home)
    file = next(path for path in sorted((home.models / SHOP / "churn_risk").rglob("*")) if path.name == "card.json")
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b"takes_over", b"takes_ovre"))
    night = run_here(home, select)
    assert not night.success
    assert any(
        str(file) in said and "was not loaded" in said and "Restore the folder" in said for said in night.failures
    )
    assert "features.nps" in night.assets and "models.churn_risk" not in night.assets
    file.write_bytes(kept)
    assert run_here(home, select).success
    assert bytes_of(home) == calm
