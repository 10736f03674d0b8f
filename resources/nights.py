"""Which shop and which date a run is about: the clock and the configuration, read once per run."""

import datetime as dt
import zoneinfo
from typing import Any

import dagster as dg

from lifecycle_assets.automation import AS_OF_TAG, SET_TAG
from lifecycle_assets.errors import LifecycleError, SettingsError
from lifecycle_assets.night import Night
from lifecycle_assets.settings import as_of_default
from lifecycle_assets.wiring import SHOP_TAG
from resources.home import Home


class Nights:
    """Tells an asset its night: the shop from the partition, the date from the run's tag, else from the shop's settings
    and the moment the run was created, so that a run that crosses midnight still has one date."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._known: dict[str, Night] = {}

    def of(self, context: Any) -> Night:
        """The night of an asset, check, input or output context."""
        step = context if hasattr(context, "run") else context.step_context
        run = step.run if hasattr(step, "run") else step.dagster_run
        if run.run_id not in self._known:
            if SHOP_TAG not in run.tags:
                raise SettingsError(
                    "this run names no shop: choose a partition (shop) when materialising, or use lifecycle run --shop"
                )
            self._known[run.run_id] = self.of_run(step.instance, run.run_id)
        return self._known[run.run_id]

    def of_run(self, instance: dg.DagsterInstance, run_id: str) -> Night:
        """The night of a run that the instance knows."""
        record = instance.get_run_record_by_id(run_id)
        if record is None:
            raise LifecycleError(f"run {run_id} is not in Dagster's storage; start it again")
        tags, created = record.dagster_run.tags, record.create_timestamp
        shop = tags[SHOP_TAG]
        overrides = [line for line in tags.get(SET_TAG, "").splitlines() if line]
        settings = self.home.shop(shop, overrides)
        as_of = dt.date.fromisoformat(tags[AS_OF_TAG]) if AS_OF_TAG in tags else as_of_default(settings, created)
        today = created.astimezone(zoneinfo.ZoneInfo(settings.timezone)).date()
        return Night(shop, as_of, today, created.astimezone(dt.UTC), settings)
