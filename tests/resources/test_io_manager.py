"""What the warehouse's IO manager leaves in memory: nothing."""

import datetime as dt
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from lifecycle_assets.automation import AS_OF_TAG
from lifecycle_assets.definitions import Home, build_resources
from lifecycle_assets.inputs.contracts import Costs
from lifecycle_assets.wiring import SHOP_TAG, asset_key


def test_a_run_in_this_process_holds_no_table_after_it_is_stored(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.shop_file("a").parent.mkdir(parents=True)
    home.shop_file("a").write_text(f"name: A\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: {tmp_path}\n")
    resources = build_resources(home)

    @dg.asset(key=asset_key(Costs), io_manager_key="warehouse")
    def costs() -> pl.DataFrame:
        row = {"shop_id": "a", "date": dt.date(2024, 1, 1), "cost": 1.5, "cost_type": "ads"}
        return pl.DataFrame(
            [{**dict.fromkeys(Costs.columns), **row, "as_of": dt.date(2024, 5, 1)}], Costs.polars_schema
        )

    ran = dg.materialize(
        [costs], resources={"warehouse": resources["warehouse"]}, tags={SHOP_TAG: "a", AS_OF_TAG: "2024-05-01"}
    )
    assert resources["lake"].scan(Costs, "a").collect().height == 1
    with pytest.raises(dg.DagsterInvariantViolationError):
        ran.output_for_node("raw__costs")
