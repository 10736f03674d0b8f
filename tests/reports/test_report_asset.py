"""The report as a Dagster asset: what it writes and what the UI shows of it."""

import base64
import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
from report_frames import AS_OF, SHOP, frames, lines

from lifecycle_assets.night import Night
from lifecycle_assets.reports.assets import lifecycle
from lifecycle_assets.settings import Routing
from lifecycle_assets.wiring import SHOPS
from resources.report_store import ReportStore
from resources.writers import Writers

ASSUMING = SHOP.model_copy(update={"routing": Routing.model_validate({"assume_consent": ["email"]})})
NIGHT = Night("corner", AS_OF, AS_OF + dt.timedelta(days=1), dt.datetime(2024, 7, 1, 2, tzinfo=dt.UTC), ASSUMING)


class Frames(dg.IOManager):
    """Gives the asset the made-up tables, by name."""

    def __init__(self) -> None:
        self.tables = frames(lines(customers=60, days=400))

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError("the report has no table to store")

    def load_input(self, context: dg.InputContext) -> pl.LazyFrame:
        return self.tables[context.asset_key.path[-1]]


def materialize(root: Path, instance: dg.DagsterInstance) -> dict[str, Any]:
    instance.add_dynamic_partitions("shops", ["corner"])
    upstream = [dg.AssetSpec(key, partitions_def=SHOPS) for key in lifecycle.keys_by_input_name.values()]
    result = dg.materialize(
        [lifecycle, *upstream],
        selection=[lifecycle],
        instance=instance,
        partition_key="corner",
        resources={
            "nights": SimpleNamespace(of=lambda _: NIGHT),
            "report_store": ReportStore(root),
            "writers": Writers(root / "drafts"),
            "warehouse": Frames(),
        },
    )
    (made,) = result.asset_materializations_for_node("reports__lifecycle")
    return {key: value.value for key, value in made.metadata.items()}


def test_the_asset_writes_the_report_and_shows_its_headline_charts_and_path(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        shown = materialize(tmp_path, instance)
        page = tmp_path / "corner" / "2024-06-30" / "lifecycle.en.html"
        assert shown["path"] == str(page)
        facts = json.loads(page.with_suffix(".json").read_text("utf-8"))
        assert shown["headline"] == facts["headline"] and shown["answers"]
        assert shown["seconds"] > 0 and shown["as_of"] == "2024-06-30"
        for name in ("weekly", "stages", "rfm", "tiers", "segments"):
            title, picture = shown[f"chart {name}"].split("\n\n")
            assert title.startswith("**") and title.strip("*") in page.read_text("utf-8")
            drawn = base64.b64decode(picture.partition("base64,")[2].rstrip(")")).decode()
            assert drawn.startswith("<svg") and 'xmlns="http://www.w3.org/2000/svg"' in drawn
        assert "Consent is assumed" in page.read_text("utf-8")
        before = page.read_bytes()
        materialize(tmp_path, instance)
        assert page.read_bytes() == before
