"""The dispatch assets in Dagster, over a real lake: a night, the same night again, and again under other settings."""

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, NEW, SHOP_FILE, World, table

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch import assets
from lifecycle_assets.dispatch.batches import Batches
from lifecycle_assets.dispatch.decisions import Decisions
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.messages import Messages
from lifecycle_assets.features.customer import CustomerFeatures
from lifecycle_assets.features.stage import LifecycleStage
from lifecycle_assets.inputs.contracts import Consents, Customers
from resources.carriers import Carriers
from resources.delivery import Delivery
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.pruning import Pruning
from resources.warehouse.lake import Lake
from resources.writers import Writers

PEOPLE = {f"c{number:02d}": {**LAPSED, "email": f"c{number:02d}@example.com"} for number in range(40)} | {"neu": NEW}
ARCHIVE = f"{SHOP_FILE}as_of: {AS_OF}\n"
TABLES = (Decisions, Messages, Batches, Ledger)


def filled(home: Home) -> Lake:
    """A lake that holds the customers, with the columns that a contract forbids to be null filled in."""
    lake = Lake(home.warehouse, list(registry().values()))
    people = [{"customer_id": name, **values} for name, values in PEOPLE.items()]
    for contract in (CustomerFeatures, LifecycleStage, Customers):
        frame = table(contract, people)
        for name, column in contract.columns.items():
            if not column.nullable and frame[name].null_count():
                value: Any = AS_OF if column.dtype == pl.Date else 1
                frame = frame.with_columns(pl.col(name).fill_null(pl.lit(value).cast(column.dtype)))
        lake.write(contract, "lupe", AS_OF, frame.sort("customer_id"))
    return lake


def run(home: Home, lake: Lake, as_of: dt.date = AS_OF) -> dict[str, Any]:
    """A night of all dispatch assets; the metadata that the ledger's asset shows."""
    nights = Nights(home)
    made = [item for item in dg.load_assets_from_modules([assets]) if isinstance(item, dg.AssetsDefinition)]
    keys = {key for definition in made for key in definition.keys}
    given = {key for definition in made for keys_of in definition.asset_deps.values() for key in keys_of} - keys
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("shops", ["lupe"])
    result = dg.materialize(
        [*made, *(dg.AssetSpec(key) for key in sorted(given))],
        selection=sorted(keys),
        partition_key="lupe",
        instance=instance,
        tags={"lifecycle/as_of": str(as_of)},
        resources={
            "nights": nights,
            "lake": lake,
            "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
            "delivery": Delivery(home.dispatch),
            "pruning": Pruning(lake, Delivery(home.dispatch)),
            "carriers": Carriers(Delivery(home.dispatch)),
            "writers": Writers(home.drafts),
        },
    )
    assert result.success
    (shown,) = result.asset_materializations_for_node("dispatch__ledger")
    return {key: value.value for key, value in shown.metadata.items()}


@pytest.mark.slow
def test_three_runs_of_one_night_send_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    home.shop_file("lupe").write_text(ARCHIVE, "utf-8")
    lake = filled(home)
    run(home, lake)
    first = {contract.name: lake.scan(contract, "lupe").collect() for contract in TABLES}
    decided = first["dispatch.decisions"]
    assert decided.height == len(PEOPLE)
    assert set(decided["reason"]) == {"best_action", "holdout"}
    assert (decided["action"] == "send").sum() == first["dispatch.messages"].height
    assert first["dispatch.messages"]["batch_id"].unique().sort().equals(first["dispatch.batches"]["batch_id"])
    assert first["dispatch.ledger"].filter(event="exported").height == first["dispatch.messages"].height

    files = {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and ".locks" not in path.parts
    }
    run(home, lake)
    assert {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and ".locks" not in path.parts
    } == files

    # Other settings, and a withdrawal that comes too late for a message that is out.
    home.shop_file("lupe").write_text(ARCHIVE + "routing: {offers: {winback_10: {discount_pct: 5}}}", "utf-8")
    late = dt.datetime(2025, 2, 1, tzinfo=dt.UTC)
    consents = [{"customer_id": "c01", "channel": "email", "granted": False, "occurred_at": late}]
    lake.write(Consents, "lupe", AS_OF, World({}, consents=consents).contacts().consents)
    run(home, lake)
    for contract in (Messages, Batches, Ledger):
        assert lake.scan(contract, "lupe").collect().equals(first[contract.name]), contract.name
    again = lake.scan(Decisions, "lupe").collect()
    assert again.filter(action="send").equals(decided.filter(action="send"))


@pytest.mark.slow
def test_a_night_long_past_is_not_sent_and_one_before_the_latest_not_released(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    home.shop_file("lupe").write_text(SHOP_FILE, "utf-8")
    lake = filled(home)
    shown = run(home, lake)
    assert shown["messages exported"] == 0 and shown["held back at export"] > 0 and "released" not in shown
    lines = lake.scan(Ledger, "lupe").select("event", "detail").collect()
    assert set(lines.rows()) == {("planned", None), ("cancelled", "expired at export")}

    home.shop_file("lupe").write_text(ARCHIVE, "utf-8")
    assert run(home, lake)["messages exported"] == shown["held back at export"]
    before = lake.scan(Ledger, "lupe").collect()
    shown = run(home, lake, AS_OF - dt.timedelta(days=1))
    assert shown["released"] == "not released: the night of 2025-03-01 has gone out already"
    assert shown["messages exported"] == shown["held back at export"] == 0
    assert lake.scan(Ledger, "lupe").collect().equals(before)
    assert [path.name for path in (home.dispatch / "lupe").iterdir()] == ["2025-03-01"]
