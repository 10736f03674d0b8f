"""The audience assets in Dagster over a real lake: nights that tell, nights that repeat, and one that ends in between."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dispatch_world import AS_OF, SHOP_FILE, table
from test_dispatch_assets import PEOPLE, filled

from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch import assets
from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.audience_exports import AudienceExports
from lifecycle_assets.dispatch.audiences import Audiences
from lifecycle_assets.inputs.contracts import Consents
from lifecycle_assets.models.assets.measurement import experiment_results
from lifecycle_assets.models.experiment_results import ExperimentResults
from resources.delivery import Delivery
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.warehouse.lake import Lake

BACK = """
routing: {channels: {ads: {enabled: true}}, assume_consent: [ads]}
dispatch: {audiences: {back: {who: {field: stage, op: "==", value: lapsed}, min_size: 5}}}
measurement: {experiments: {ads: {holdout_share: 0.5}}}
"""
CHOSEN = [assets.assignments, assets.experiments, assets.audiences, assets.audience_exports, experiment_results]


def run(home: Home, lake: Lake, as_of: dt.date = AS_OF, chosen: list[dg.AssetsDefinition] = CHOSEN) -> None:
    nights = Nights(home)
    keys = {key for definition in CHOSEN for key in definition.keys}
    given = {key for definition in CHOSEN for keys_of in definition.asset_deps.values() for key in keys_of} - keys
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("shops", ["lupe"])
    result = dg.materialize(
        [*CHOSEN, *(dg.AssetSpec(key) for key in sorted(given))],
        selection=sorted(key for definition in chosen for key in definition.keys),
        partition_key="lupe",
        instance=instance,
        tags={"lifecycle/as_of": str(as_of)},
        resources={
            "nights": nights,
            "lake": lake,
            "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
            "delivery": Delivery(home.dispatch),
        },
    )
    assert result.success


def stamps(home: Home) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file() and ".locks" not in path.parts
    }


def at_the_tool(home: Home) -> set[str]:
    known: set[str] = set()
    for folder in sorted(home.dispatch.glob("lupe/*/*")):
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        for name in manifest["apply"]:
            for line in (folder / name).read_text("utf-8").splitlines():
                ids = {row[0] for row in json.loads(line)["payload"]["data"]}
                known = known | ids if name == "add.jsonl" else known - ids
    return known


@pytest.mark.slow
def test_nights_of_audiences(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    home.shop_file("lupe").write_text(SHOP_FILE.split("dispatch:")[0] + BACK, "utf-8")
    lake = filled(home)
    run(home, lake)
    arms = lake.scan(Assignments, "lupe").filter(experiment="ads").collect()
    treated = set(arms.filter(arm="treatment")["customer_id"]) & {name for name in PEOPLE if name != "neu"}
    assert 5 < len(treated) < len(PEOPLE) - 1
    assert at_the_tool(home) == treated
    shown = lake.scan(AudienceExports, "lupe").filter(audience="back").collect()
    assert shown.select("members", "left_out", "status").row(0) == (
        len(treated),
        len(PEOPLE) - 1 - len(treated),
        "exported",
    )
    before = stamps(home)
    run(home, lake)
    assert stamps(home) == before

    # Someone withdraws, and the run ends before the night's files are there; the night after tells it.
    leaving = min(treated)
    event = {
        "customer_id": leaving,
        "channel": "ads",
        "granted": False,
        "occurred_at": dt.datetime(2025, 3, 2, tzinfo=dt.UTC),
    }
    lake.write(Consents, "lupe", AS_OF, table(registry()["raw.consents"], [event]))
    run(home, lake, AS_OF + dt.timedelta(days=1), CHOSEN[:3])
    assert at_the_tool(home) == treated
    run(home, lake, AS_OF + dt.timedelta(days=2))
    assert at_the_tool(home) == treated - {leaving}
    run(home, lake, AS_OF + dt.timedelta(days=1))
    assert lake.scan(AudienceExports, "lupe").filter(audience="back").collect()["status"].to_list() == ["superseded"]
    assert at_the_tool(home) == treated - {leaving}
    nights = lake.nights(Audiences, "lupe")
    assert nights == [AS_OF + dt.timedelta(days=days) for days in range(3)]
    rows = lake.scan(Audiences, "lupe").collect()
    assert rows.filter(pl.col("state") == "removed")["reason"].to_list() == ["no_consent"]
    # What the advertisements bring counts from the day after the first list went out.
    measured = lake.scan(ExperimentResults, "lupe").filter(experiment="ads").collect()
    assert set(measured["started_on"]) == {AS_OF + dt.timedelta(days=1)}

    # Arms that are drawn anew are measured from the day after; the list told to the arms before says nothing of them.
    home.shop_file("lupe").write_text(SHOP_FILE.split("dispatch:")[0] + BACK.replace("0.5}", "0.5, salt: x}"), "utf-8")
    anew = AS_OF + dt.timedelta(days=3)
    run(home, lake, anew)
    assert lake.scan(ExperimentResults, "lupe").filter(experiment="ads").collect().is_empty()
    run(home, lake, anew + dt.timedelta(days=1))
    measured = lake.scan(ExperimentResults, "lupe").filter(experiment="ads").collect()
    assert set(measured["started_on"]) == {anew + dt.timedelta(days=1)}
