"""The raw assets on a real lake: tables, quarantine and counts, absent inputs, failures that leave last night's table alone."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from reading import LINE, TABLES, lines

from lifecycle_assets import contracts
from lifecycle_assets.errors import InputNotReadyError
from lifecycle_assets.inputs import assets
from lifecycle_assets.inputs.contracts import InputReads, OrderLines, Products, Quarantine
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.sources import Sources
from resources.warehouse.lake import Lake

SHOP = "name: Test\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: input\nas_of: 2026-06-30\n"


class House:
    """A home with one shop, and its raw assets."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.input = root / "input"
        for folder in (self.input, root / "shops"):
            folder.mkdir(parents=True)
        (root / "shops" / "s.yaml").write_text(SHOP)
        raw = [contract for contract in contracts.registry().values() if contract.area == "raw"]
        self.lake = Lake(self.home.warehouse, raw)
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions("shops", ["s"])

    def run(self, sources: Any = None, selection: Any = None) -> dg.ExecuteInProcessResult:
        nights = Nights(self.home)
        resources: Mapping[str, Any] = {
            "nights": nights,
            "lake": self.lake,
            "sources": sources or Sources(self.home.root),
            "warehouse": WarehouseIOManager(self.lake, DuckDBEngine(), nights),
        }
        return dg.materialize(
            [*assets.raw_tables, assets.quarantine, assets.input_reads, assets.every_row_accounted_for],
            resources=resources,
            instance=self.instance,
            partition_key="s",
            selection=selection,
            raise_on_error=False,
        )

    def files(self) -> dict[str, tuple[int, str]]:
        return {
            str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in self.home.warehouse.rglob("*")
            if path.is_file() and ".locks" not in path.parts
        }


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path / "home")
    (made.input / "orders.csv").write_text(lines(*[LINE] * 30, "broken"))
    (made.input / "products.csv").write_text(
        "product_id,price\nP1,2\n" + "".join(f"Q{i},1\n" for i in range(30)) + "P1,3\n"
    )
    return made


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def test_a_night_fills_every_raw_table_and_accounts_for_every_row(house: House) -> None:
    (house.input / "suppressions.csv").write_text("customer_id,channel\nC1,newsletter\nC2,sms\n")
    result = house.run()
    assert result.success
    assert checks(result) == {"every_row_accounted_for": True}
    assert house.lake.scan(OrderLines, "s").collect().height == 30
    aside = house.lake.scan(Quarantine, "s").select("table", "row_number", "column", "rule").collect()
    assert aside.rows() == [("order_lines", 31, None, "malformed"), ("products", 32, "product_id", "repeated")]
    reads = house.lake.scan(InputReads, "s").collect()
    assert reads["table"].to_list() == sorted(TABLES)
    assert reads.filter(pl.col("source").is_not_null())["table"].to_list() == [
        "order_lines",
        "products",
        "suppressions",
    ]
    materialized = {e.asset_key.path[-1]: e.materialization.metadata for e in result.get_asset_materialization_events()}
    assert materialized["order_lines"]["rows kept"].value == 30
    assert "a table named costs would fill it" in materialized["costs"]["source"].value
    assert materialized["suppressions"]["opt-outs read with caution"].value == 1
    assert "opt-outs read with caution" not in materialized["order_lines"]


def test_a_repeated_night_changes_no_file_and_leaves_none_behind(house: House) -> None:
    assert house.run().success
    before = house.files()
    assert house.run().success
    assert house.files() == before
    assert not any(".staged-" in name or "/.work/" in name for name in before)


def test_a_broken_input_leaves_last_nights_table_as_it_was(house: House) -> None:
    assert house.run().success
    before = house.lake.scan(OrderLines, "s").collect()
    (house.input / "orders.csv").write_text("order_id,price\nA,1\n")
    result = house.run()
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "raw.order_lines needs ordered_at" in str(failure.step_failure_data.error)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert house.lake.scan(OrderLines, "s").collect().equals(before)
    assert house.lake.scan(Quarantine, "s").collect().height == 2


def test_the_other_tables_are_still_read_when_one_fails(house: House) -> None:
    (house.input / "orders.csv").write_text("order_id,price\nA,1\n")
    assert not house.run().success
    assert house.lake.scan(Products, "s").collect().height == 31


def test_what_may_pass_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "RETRY", dg.RetryPolicy(max_retries=2, delay=0.01))
    tries = []

    class Locked(Sources):
        def open(self, shop: Any) -> Any:
            tries.append(shop)
            if len(tries) < 3:
                raise InputNotReadyError("locked")
            return super().open(shop)

    assert house.run(Locked(house.home.root), selection=[dg.AssetKey(["raw", "order_lines"])]).success
    assert len(tries) == 3


def test_a_table_that_was_tampered_with_does_not_pass_the_check(house: House) -> None:
    assert house.run().success
    frame = house.lake.scan(OrderLines, "s").collect()
    house.lake.path(OrderLines, "s").unlink()
    frame.head(29).write_parquet(house.lake.path(OrderLines, "s"))
    again = house.run(selection=[dg.AssetKey(["raw", "input_reads"])])
    assert checks(again) == {"every_row_accounted_for": False}
