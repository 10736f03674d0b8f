"""dispatch/deliveries in Dagster: what the table says night after night, and when the run fails."""

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from delivery_world import AS_OF, SECRET, Receiver, letters, lines, release

from lifecycle_assets import jobs
from lifecycle_assets.contracts import registry
from lifecycle_assets.dispatch import assets
from lifecycle_assets.dispatch.deliveries import Deliveries
from lifecycle_assets.errors import DispatchError, SettingsError
from lifecycle_assets.inputs.contracts import Consents, Customers
from lifecycle_assets.operations.shops import check_shops
from resources.carriers import Carriers
from resources.delivery import Delivery
from resources.engine.duckdb import DuckDBEngine
from resources.home import Home
from resources.io_manager import WarehouseIOManager
from resources.nights import Nights
from resources.warehouse.lake import Lake

SHOP = "name: Lupe\ntimezone: Europe/Madrid\ncurrency: EUR\ncountry: ES\ninput: /nowhere\n"
ARCHIVE = f"{SHOP}as_of: {AS_OF}\n"
TO = "dispatch: {{delivery: {{webhook: {{url: '{url}', chunk: 7, attempts: 2, backoff_seconds: 0.01}}}}}}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LIFECYCLE_WEBHOOK_SECRET_LUPE", f"whsec_{base64.b64encode(SECRET).decode()}")
    home = Home(tmp_path)
    home.shop_file("lupe").parent.mkdir()
    return home


def lake_of(home: Home) -> Lake:
    return Lake(home.warehouse, list(registry().values()))


def rows(contract: Any, given: list[dict[str, Any]]) -> pl.DataFrame:
    always = {"shop_id": "lupe", "as_of": AS_OF}
    columns = {
        name: pl.Series(name, [(always | row).get(name) for row in given], dtype=dtype)
        for name, dtype in contract.polars_schema.items()
    }
    return pl.DataFrame(columns)


def night(home: Home, settings: str, as_of: dt.date = AS_OF) -> pl.DataFrame:
    """Run the asset alone; the table that it leaves."""
    home.shop_file("lupe").write_text(settings, "utf-8")
    lake, nights, delivery = lake_of(home), Nights(home), Delivery(home.dispatch)
    needed = {key for keys in assets.deliveries.asset_deps.values() for key in keys}
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("shops", ["lupe"])
    dg.materialize(
        [assets.deliveries, *(dg.AssetSpec(key) for key in sorted(needed))],
        selection=[assets.deliveries],
        partition_key="lupe",
        instance=instance,
        tags={"lifecycle/as_of": str(as_of)},
        resources={
            "nights": nights,
            "lake": lake,
            "warehouse": WarehouseIOManager(lake, DuckDBEngine("1GB", 1), nights),
            "carriers": Carriers(delivery),
        },
    )
    return lake.scan(Deliveries, "lupe").collect()


def test_the_table_tells_what_became_of_each_batch_and_a_repeated_run_changes_nothing(home: Home) -> None:
    messages = letters({"aa": 20, "bb": 3})
    people = [{"customer_id": customer, "consent_email": True} for customer in messages["customer_id"]]
    lake_of(home).write(Customers, "lupe", AS_OF, rows(Customers, people))
    release(home.root, messages, "webhook")
    receiver = Receiver(lambda number, _: "none" if number else "500", rejects=("kaa-001",))
    with receiver.listening() as url:
        table = night(home, ARCHIVE + TO.format(url=url))
        counts = ["batch_id", "requests", "messages", "acknowledged", "refused", "dropped", "waiting", "attempts"]
        assert table.select(counts).rows() == [("aa", 4, 20, 19, 1, 0, 0, 5), ("bb", 1, 3, 3, 0, 0, 0, 1)]
        assert set(table["last_status"]) == {200} and table["last_error"].null_count() == 2
        at = lines(home.root).filter(event="acknowledged").group_by("batch_id").agg(pl.col("at").min(), z=pl.max("at"))
        told = table.select("batch_id", "first_acknowledged_at", "last_acknowledged_at")
        assert told.rows() == at.sort("batch_id").rows()
        path = home.warehouse / "dispatch/deliveries/lupe/data.parquet"
        before = path.read_bytes()
        night(home, ARCHIVE + TO.format(url=url))
        assert path.read_bytes() == before
    assert len(receiver.log) == 22


def test_a_run_that_could_not_deliver_fails_with_its_table_and_the_next_goes_on(home: Home) -> None:
    now = dt.datetime.now(tz=dt.UTC)
    as_of = now.date() - dt.timedelta(days=1)
    messages = letters({"aa": 14}, now + dt.timedelta(hours=5), as_of)
    people = [{"customer_id": customer, "consent_email": True} for customer in messages["customer_id"]]
    lake_of(home).write(Customers, "lupe", AS_OF, rows(Customers, people))
    release(home.root, messages, "webhook")
    receiver = Receiver(lambda *_: "400")
    with receiver.listening() as url:
        with pytest.raises(DispatchError, match=r"14 of 14 messages in 1 batch\(es\) still wait .*\(HTTP 400\)"):
            night(home, SHOP + TO.format(url=url), as_of)
        table = lake_of(home).scan(Deliveries, "lupe").collect()
        assert table.select("requests", "acknowledged", "waiting", "last_status").row(0) == (3, 0, 14, 400)
        assert table["last_error"].item() == "HTTP 400"
        # Somebody withdraws before the next run, which belongs to the next night.
        refusal = {"customer_id": "aa-005", "channel": "email", "granted": False, "occurred_at": now}
        lake_of(home).write(Consents, "lupe", AS_OF, rows(Consents, [refusal]))
        receiver.fault = lambda *_: "none"
        table = night(home, SHOP + TO.format(url=url), as_of + dt.timedelta(days=1))
    assert table.select("acknowledged", "dropped", "waiting").row(0) == (13, 1, 0)
    assert set(receiver.log) == set(messages["idempotency_key"]) - {"kaa-005"}


def test_what_has_expired_is_not_sent(home: Home) -> None:
    now = dt.datetime.now(tz=dt.UTC)
    as_of = now.date() - dt.timedelta(days=1)
    release(home.root, letters({"aa": 5}, now - dt.timedelta(seconds=1), as_of), "webhook")
    receiver = Receiver()
    with receiver.listening() as url:
        table = night(home, SHOP + TO.format(url=url), as_of)
    assert table.select("requests", "dropped", "waiting").row(0) == (0, 5, 0)
    assert receiver.requests == []


def test_what_was_released_to_the_folder_stays_there_when_a_webhook_comes_later(home: Home) -> None:
    release(home.root, letters({"aa": 5}), None)
    assert night(home, ARCHIVE).is_empty()
    receiver = Receiver()
    with receiver.listening() as url:
        assert night(home, ARCHIVE + TO.format(url=url)).is_empty()
    assert receiver.requests == []


def undo_job(home: Home, batch: str) -> str:
    result = jobs.undo_batch.execute_in_process(
        run_config=dg.RunConfig(ops={"take_back": {"config": {"shop": "lupe", "batch": batch, "actor": "eva"}}}),
        resources={
            "nights": Nights(home),
            "lake": lake_of(home),
            "delivery": Delivery(home.dispatch),
            "carriers": Carriers(Delivery(home.dispatch)),
        },
    )
    said: str = result.output_for_node("take_back")
    return said


def test_an_undo_tells_the_receiver_or_fails_until_it_has(home: Home) -> None:
    release(home.root, letters({"aa": 5}), "webhook")
    receiver = Receiver(lambda *_: "500")
    with receiver.listening() as url:
        home.shop_file("lupe").write_text(ARCHIVE + TO.format(url=url), "utf-8")
        with pytest.raises(DispatchError, match=r"is undone here, but the webhook did not take .* \(HTTP 500\)"):
            undo_job(home, "aa")
        assert lines(home.root).filter(event="compensated").height == 5
        receiver.fault = lambda *_: "none"
        assert "the webhook was told to cancel 5" in undo_job(home, "aa")
    assert len(receiver.cancelled) == 5


def test_an_undone_batch_of_the_folder_alone_is_no_matter_of_the_receiver(home: Home) -> None:
    release(home.root, letters({"aa": 5}), None)
    home.shop_file("lupe").write_text(ARCHIVE + TO.format(url="https://hooks.example/x"), "utf-8")
    assert "webhook" not in undo_job(home, "aa")


def test_the_check_tells_a_missing_secret(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.shop_file("lupe").write_text(ARCHIVE + TO.format(url="https://hooks.example/x"), "utf-8")

    def told() -> list[str]:
        rows = check_shops(home, ["lupe"]).rows
        return [row["problem"] for row in rows if row["table"] == "dispatch" and row["level"] == "error"]

    assert told() == []
    monkeypatch.delenv("LIFECYCLE_WEBHOOK_SECRET_LUPE")
    (problem,) = told()
    assert "neither LIFECYCLE_WEBHOOK_SECRET_LUPE nor LIFECYCLE_WEBHOOK_SECRET" in problem


def test_a_missing_secret_is_told_before_anything_is_sent(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIFECYCLE_WEBHOOK_SECRET_LUPE")
    with pytest.raises(SettingsError, match="neither LIFECYCLE_WEBHOOK_SECRET_LUPE nor LIFECYCLE_WEBHOOK_SECRET"):
        night(home, ARCHIVE + TO.format(url="https://hooks.example/x"))
    monkeypatch.setenv("LIFECYCLE_WEBHOOK_SECRET", "open sesame")
    with pytest.raises(SettingsError, match="is no webhook secret") as caught:
        night(home, ARCHIVE + TO.format(url="https://hooks.example/x"))
    assert "sesame" not in str(caught.value)
