"""What is older than a shop keeps it: lines of the ledger, folders of batches, dated slices. Nothing else is ever removed.

What later nights still read stays however old it is (dispatch.retention). Slices stay for good of the tables that are put
together from all nights, models.message_evidence and models.policy_log, and of dispatch.audience_exports, which says since
when an experiment counts. The totals of the ledger's lines are written before the lines go; a run that dies in between goes
on with the next one.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.dispatch.retention import LedgerTotals, parting
from lifecycle_assets.features.churn_labels import label_days
from lifecycle_assets.settings import Shop
from resources.delivery import Delivery
from resources.warehouse.lake import Lake

MADE_OF_ALL_NIGHTS = {"models.message_evidence", "models.policy_log", "dispatch.audience_exports"}


@dataclass(frozen=True)
class Pruned:
    """What went, or would go: lines of the ledger, and paths below the home."""

    ledger_lines: int
    paths: list[Path]


class Pruning:
    """Keeps a home from growing for ever."""

    def __init__(self, lake: Lake, delivery: Delivery) -> None:
        self.lake = lake
        self.delivery = delivery

    def prune(self, shop: str, settings: Shop, as_of: dt.date, *, dry_run: bool = False) -> Pruned:
        """Remove what is too old at the end of `as_of`; with `dry_run` only say what would go."""
        with self.lake.lock(shop, "ledger"):
            lines, totals = (self.lake.scan(contract, shop) for contract in (Ledger, LedgerTotals))
            parted = parting(lines, totals, settings, as_of=as_of)
            paths = sorted(self._too_old(shop, settings, as_of))
            if dry_run:
                return Pruned(parted.gone, paths)
            if parted.totals.height:
                self.lake.append(LedgerTotals, shop, as_of, parted.totals)
            if parted.gone:
                self.lake.keep_rows(Ledger, shop, parted.kept)
            for path in paths:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for contract in self.lake.contracts.values():
                if any(path.is_relative_to(self.lake.path(contract, shop).parent) for path in paths):
                    self.lake.refresh(contract, shop)
        return Pruned(parted.gone, paths)

    def _too_old(self, shop: str, settings: Shop, as_of: dt.date) -> Iterator[Path]:
        kept = settings.retention
        # Scores are held against what happened when their label is known (models.drift).
        models_days = kept.models_days and max(kept.models_days, label_days(settings.customer.churn))
        areas = {"dispatch": kept.dispatch_days, "features": kept.features_days, "models": models_days}
        first = {area: as_of - dt.timedelta(days=days) for area, days in areas.items() if days is not None}
        for night in self.delivery.nights(shop):
            if night < first["dispatch"]:
                yield self.delivery.night(shop, night)
        for contract in self.lake.contracts.values():
            if contract.history and contract.area in first and contract.name not in MADE_OF_ALL_NIGHTS:
                for night in self.lake.nights(contract, shop):
                    if night < first[contract.area]:
                        yield self.lake.path(contract, shop).parent / "history" / f"{night}.parquet"
