"""Each step in a process of its own makes the tables that one process makes, and a broken shop fails alone."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle_assets.definitions import Home, build_resources
from lifecycle_assets.operations.homes import open_instance
from lifecycle_assets.wiring import SHOP_TAG

ROOT = Path(__file__).parents[2]
SHOP = "name: A\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: {0}\nas_of: 2024-06-30\n"
TABLES = ("raw.order_lines", "features.identity_map", "features.orders")
ALL = '+key:"features/orders"'
SOME = 'key:"raw/order_lines" or key:"features/identity_map" or key:"features/orders"'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_HOME", "")
    monkeypatch.setenv("DAGSTER_HOME", "")
    lines = ["order_id,customer_id,ordered_at,product_id,quantity,unit_price"]
    lines += [
        f"{n},c{n % 97},2024-{n % 6 + 1:02}-{n % 28 + 1:02} 10:00,p{n % 7},1,{n % 50 + 1}.25" for n in range(2_000)
    ]
    for shop in ("good", "broken"):
        folder = tmp_path / "input" / shop
        folder.mkdir(parents=True)
        (folder / "order_lines.csv").write_text("\n".join(lines if shop == "good" else ["not,an,order", "1,2,3"]))
    (tmp_path / "home" / "shops").mkdir(parents=True)
    home = Home(tmp_path / "home")
    for shop in ("good", "broken"):
        home.shop_file(shop).write_text(SHOP.format(tmp_path / "input" / shop))
    return home


def made(home: Home) -> dict[str, str]:
    lake = build_resources(home)["lake"]
    files = {name: lake.path(lake.contracts[name], "good") for name in TABLES}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def materialize(home: Home, shop: str, select: str) -> int:
    """As Dagster's own command does it, in the executor of the deployment."""
    with open_instance(home):
        pass
    command = ["dagster", "asset", "materialize", "--module-name", "lifecycle_assets.definitions"]
    done = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:], "--select", select, "--partition", shop],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode


@pytest.mark.slow
def test_a_process_per_step_makes_the_same_tables_and_a_broken_shop_fails_alone(home: Home) -> None:
    assert materialize(home, "good", ALL) == 0
    alone = made(home)
    (home.root / "lifecycle.yaml").write_text("executor: multiprocess\n")
    assert materialize(home, "broken", 'key:"raw/order_lines"') != 0
    assert made(home) == alone
    assert materialize(home, "good", SOME) == 0
    assert made(home) == alone
    with open_instance(home) as instance:
        by_shop = {run.run_id: (run.tags[SHOP_TAG], run.status.value) for run in instance.get_runs()}
        assert sorted(by_shop.values()) == [("broken", "FAILURE"), ("good", "SUCCESS"), ("good", "SUCCESS")]
        latest = instance.get_runs(limit=1)[0].run_id
        events = [entry.dagster_event for entry in instance.all_logs(latest) if entry.dagster_event]
        started = [event for event in events if event.event_type_value == "STEP_WORKER_STARTED"]
        processes = {event.event_specific_data.metadata["pid"].text for event in started}
    assert len(processes) == len(started) >= len(TABLES), "each step ran in a process of its own"
