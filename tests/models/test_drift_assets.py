"""Drift in Dagster, over a real store: nothing on the night of training, and the scores of a week ago held to account."""

import datetime as dt
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from test_visitor_intent import AS_OF, ZONE, world

from lifecycle_assets.contracts import registry
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.contracts import Products, WebEvents
from lifecycle_assets.models.assets import drift as drift_assets
from lifecycle_assets.models.assets import scores as scores_assets
from lifecycle_assets.models.drift import Drift
from lifecycle_assets.models.visitor_intent import VisitorIntent
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.model_store import ModelStore
from resources.nights import Nights
from resources.warehouse.lake import Lake

WEEK_BEFORE = AS_OF - dt.timedelta(days=7)


@pytest.mark.slow
def test_a_model_is_held_to_its_night_of_training_and_its_scores_to_what_happened(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("s").parent.mkdir()
    home.shop_file("s").write_text(
        f"{{name: S, timezone: {ZONE}, currency: EUR, country: ES, input: none, "
        "scores: {candidates: [logistic], folds: 2, training_rows: 4000, retrain_days: 30}}"
    )
    lake, nights = Lake(home.warehouse, list(registry().values())), Nights(home)
    events = world()
    given = {contract: contract.empty() for contract in drift_assets.READS} | {
        WebEvents: events, Products: Products.empty(), IdentityMap: IdentityMap.empty()
    }  # fmt: skip
    resources = {
        "nights": nights,
        "lake": lake,
        "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
        "model_store": ModelStore(home.models),
    }
    made = [scores_assets.visitor_intent_evaluation, scores_assets.visitor_intent, drift_assets.drift]
    others = [c for c in (*given, *drift_assets.TRAINED) if dg.AssetKey(c.key) not in {asset.key for asset in made}]

    def night(as_of: dt.date) -> pl.DataFrame:
        for contract, table in given.items():
            lake.write(contract, "s", as_of, table.with_columns(as_of=pl.lit(as_of, pl.Date)))
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("shops", ["s"])
            result = dg.materialize(
                [*made, *(dg.AssetSpec(contract.key) for contract in others)],
                selection=made,
                partition_key="s", tags={"lifecycle/as_of": str(as_of)}, instance=instance, resources=resources,
            )  # fmt: skip
        assert result.success
        return lake.scan(Drift, "s").collect()

    training, later = night(WEEK_BEFORE), night(AS_OF)
    looks = training.filter(pl.col("kind") != "calibration")
    assert looks["model"].unique().to_list() == ["visitor_intent_7_days"]
    assert looks["statistic"].to_list() == pytest.approx([0.0] * looks.height, abs=1e-12)
    assert "No score of this version is old enough yet." in training["note"].to_list()
    # The same world a week later, looked at a week after its scores.
    assert later.filter(pl.col("kind") != "feature")["is_drifted"].to_list() == [False, False]
    settled = later.row(by_predicate=pl.col("kind") == "calibration", named=True)
    assert settled["n"] > 100
    assert settled["statistic"] is not None
    # Nights need not be a week apart to the day: scores of the latest night that is old enough are held to their own week.
    again = night(AS_OF + dt.timedelta(days=2)).row(by_predicate=pl.col("kind") == "calibration", named=True)
    assert (again["n"], again["statistic"]) == (settled["n"], settled["statistic"])
    # Scores that another version made say nothing of the one in force.
    slices = lake.scan_night(VisitorIntent, "s", WEEK_BEFORE)
    assert slices is not None
    others_scores = slices.with_columns(model_version=pl.col("model_version") + 1).collect()
    lake.write(VisitorIntent, "s", WEEK_BEFORE, others_scores)
    other = night(AS_OF).row(by_predicate=pl.col("kind") == "calibration", named=True)
    assert (other["n"], other["note"]) == (0, "No score of this version is old enough yet.")
