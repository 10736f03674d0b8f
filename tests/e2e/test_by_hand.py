"""Approve, undo, restore and prune as people do it: the commands, on a small shop that waits for approval."""

import json
from pathlib import Path

import polars as pl
import pytest
from test_command_line import lifecycle

from lifecycle_assets.definitions import Home, build_resources

LEDGER = "SELECT batch_id, event, actor, count(*) AS n FROM dispatch.ledger GROUP BY ALL ORDER BY ALL"
# Without the models, which take their time and change nothing here.
NIGHT = 'key:"raw/*" or key:"features/*" or key:"dispatch/*" or key:"reports/snapshot"'
DISPATCH = "dispatch.decisions or dispatch.messages or dispatch.batches or dispatch.ledger"


def told(home: Path, *arguments: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(lifecycle(home, *arguments, "--shop", "sim", "--json").stdout)["rows"]
    return rows


def ledger(home: Path) -> list[dict[str, object]]:
    return build_resources(Home(home))["lake"].query(LEDGER).to_dicts()


def tables(home: Path) -> dict[str, bytes]:
    """The current tables but the ledger and raw ones, byte for byte."""
    lake = home / "warehouse"
    return {
        str(path.relative_to(lake)): path.read_bytes()
        for area in ("features", "models", "dispatch")
        for path in sorted((lake / area).glob("*/sim/data.parquet"))
    }


@pytest.mark.slow
def test_a_shop_that_waits_for_approval_is_run_by_hand(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lifecycle(home, "simulate", "--shop", "sim", "--customers", "300", "--days", "200")
    with (home / "shops" / "sim.yaml").open("a", encoding="utf-8") as file:
        file.write("dispatch: {approval: true}\n")
    lifecycle(home, "run", "--shop", "sim", "--select", NIGHT)
    planned = told(home, "batches")
    assert len(planned) >= 3
    assert {row["state"] for row in planned} == {"planned"}
    assert not list((home / "dispatch").glob("*/*/*"))
    kept, gone, undone = (str(row["batch_id"]) for row in planned[:3])

    for batch in (kept, undone):
        assert "exported" in lifecycle(home, "approve", batch, "--shop", "sim").stdout
    lifecycle(home, "undo", gone, "--shop", "sim", "--actor", "eva")
    assert "cancel them by" in lifecycle(home, "undo", undone, "--shop", "sim").stdout
    states = {row["batch_id"]: row["state"] for row in told(home, "batches")}
    assert [states[batch] for batch in (kept, gone, undone)] == ["exported", "undone", "undone"]
    (folder,) = (home / "dispatch").glob(f"*/*/{undone}.cancel")
    cancelled = pl.read_csv(folder / "cancel.csv")["idempotency_key"].sort()
    (sent,) = (home / "dispatch").glob(f"*/*/{undone}/messages.csv")
    assert cancelled.equals(pl.read_csv(sent)["idempotency_key"].sort())
    before = ledger(home)
    assert {row["actor"] for row in before if row["batch_id"] == gone} == {"eva", "nightly run"}

    # The night again: what is out and what was undone stays so, although who was in an undone batch may get another message.
    lifecycle(home, "run", "--shop", "sim", "--select", DISPATCH)
    again = {row["batch_id"]: row["state"] for row in told(home, "batches")}
    assert [again[batch] for batch in (kept, gone, undone)] == ["exported", "undone", "undone"]
    assert "exported" not in {again[batch] for batch in again if batch != kept}
    settled = ledger(home)
    assert all(line in settled for line in before if line["batch_id"] in (kept, gone, undone))
    assert "nothing of it waits" in lifecycle(home, "approve", gone, "--shop", "sim", code=1).stderr
    assert "no batch 'nowhere'" in lifecycle(home, "undo", "nowhere", "--shop", "sim", code=1).stderr

    # Back to last night, which left a snapshot of itself, and the same again from there.
    after = tables(home)
    (snapshot,) = told(home, "snapshots")
    assert snapshot["by"] == "night"
    lifecycle(home, "run", "--shop", "sim", "--select", "features.customer_rfm", "--set", "customer.rfm.bins=3")
    assert tables(home) != after
    lifecycle(home, "restore", str(snapshot["name"]), "--shop", "sim")
    assert ledger(home) == settled
    lifecycle(home, "run", "--shop", "sim", "--select", DISPATCH)
    assert tables(home) == after
    assert ledger(home) == settled
    assert "0 lines of the ledger" in lifecycle(home, "prune", "--shop", "sim", "--dry-run").stdout
