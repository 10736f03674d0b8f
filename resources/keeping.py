"""Snapshots of a shop's output tables, and the way back to one: trees of hard links, made in an instant whatever the size.

    warehouse/.snapshots/<shop>/<name>/<area>/<table>/data.parquet     the tables as they were
    warehouse/.snapshots/<shop>/<name>/<area>/<table>/history/...      their dated slices
    warehouse/.snapshots/<shop>/<name>/reports/...                     the shop's reports
    warehouse/.snapshots/<shop>/<name>/snapshot.json                   when, of which night
    warehouse/.snapshots/<shop>/.restoring                             the snapshot that a restore goes back to, while it runs

A snapshot appears by one rename, and goes by one. Each night leaves one under its date; the latest `keep` nights stay, and
all that people took.

A restore puts back features, models, dispatch and reports. It never rewinds the ledger and what else is append-only, nor
dispatch's dated slices: what was sent was sent, and its text must stay to be read. It leaves raw tables alone too: a consent
withdrawn since then must be honoured, and the next night reads the input anew. Each table is replaced in one step, so readers
read on; a restore that dies half-way is finished by running it again, and `unfinished` names it until then.
"""

import datetime as dt
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.settings.base import nearest
from resources.files import fsync, link_over, replace
from resources.report_store import ReportStore
from resources.warehouse.lake import Lake

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_CARD = "snapshot.json"
_UNFINISHED = ".making-"
_RESTORING = ".restoring"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot: `nightly` ones are taken by nights, and go when newer ones have come."""

    name: str
    as_of: dt.date | None
    taken_at: dt.datetime
    nightly: bool


class Keeping:
    """The snapshots of a home."""

    def __init__(self, lake: Lake, reports: ReportStore) -> None:
        self.lake = lake
        self.reports = reports

    def take(self, shop: str, name: str, *, at: dt.datetime) -> Snapshot:
        """Take a snapshot under a name of one's own; raises LifecycleError where the name is taken or is none."""
        if not NAME.match(name) or name.endswith(".parquet"):
            raise LifecycleError(f"'{name}' is not a snapshot's name: use letters, digits, . - and _")
        if (self._folder(shop) / name).exists():
            raise LifecycleError(f"{shop}: there is a snapshot '{name}' already; choose another name")
        return self._make(shop, Snapshot(name, None, at, nightly=False))

    def take_nightly(self, shop: str, as_of: dt.date, *, at: dt.datetime, keep: int) -> Snapshot:
        """Take the snapshot of a night under its date, or the date and a number where the night left another state before;
        of nights' snapshots the latest `keep` stay. A state that the latest snapshot holds already is not taken again."""
        nightly = [snapshot for snapshot in self.list(shop) if snapshot.nightly]
        if nightly and nightly[0].as_of == as_of and self._is_current(shop, nightly[0].name):
            return nightly[0]
        again = sum(snapshot.as_of == as_of for snapshot in nightly)
        taken = {snapshot.name for snapshot in self.list(shop)}
        name = str(as_of)
        while name in taken:
            again += 1
            name = f"{as_of}-{again}"
        snapshot = self._make(shop, Snapshot(name, as_of, at, nightly=True))
        for old in [snapshot, *nightly][keep:]:
            self._remove(shop, old.name)
        return snapshot

    def list(self, shop: str) -> list[Snapshot]:
        """The shop's snapshots, the latest first."""
        found = [self._read(path.parent) for path in self._folder(shop).glob(f"[!.]*/{_CARD}")]
        return sorted(found, key=lambda snapshot: (snapshot.taken_at, snapshot.name), reverse=True)

    def unfinished(self, shop: str) -> str | None:
        """The name of the snapshot that a restore was putting back when it died."""
        marker = self._folder(shop) / _RESTORING
        return marker.read_text("utf-8") if marker.exists() else None

    def restore(self, shop: str, name: str) -> Snapshot:
        """Bring the output tables back to a snapshot; raises LifecycleError where there is none of that name."""
        source = self._folder(shop) / name
        if not (NAME.match(name) and (source / _CARD).exists()):
            known = [snapshot.name for snapshot in self.list(shop)]
            raise LifecycleError(f"{shop}: no snapshot '{name}'{nearest(name, known) or '; none was taken yet'}")
        marker = self._folder(shop) / _RESTORING
        replace(marker, name.encode())
        for contract in self._tables():
            there = source / contract.area / contract.table
            self.lake.put_back(contract, shop, there, slices=contract.history and contract.area != "dispatch")
        self.reports.put_back(shop, source / "reports")
        marker.unlink()
        fsync(marker.parent)
        return self._read(source)

    # --- helpers ---

    def _folder(self, shop: str) -> Path:
        return self.lake.root / ".snapshots" / shop

    def _tables(self) -> Iterator[Contract]:
        return (c for c in self.lake.contracts.values() if c.area != "raw" and not c.append_only)

    def _state(self, shop: str) -> Iterator[tuple[Path, Path]]:
        """Every file of the shop's output tables and reports, with its place in a snapshot."""
        for contract in self._tables():
            folder = self.lake.path(contract, shop).parent
            for file in (*folder.glob("data.parquet"), *folder.glob("history/*.parquet")):
                yield file, Path(contract.area, contract.table) / file.relative_to(folder)
        folder = self.reports.root / shop
        for file in folder.glob("*/[!.]*"):
            yield file, Path("reports") / file.relative_to(folder)

    def _is_current(self, shop: str, name: str) -> bool:
        folder = self._folder(shop) / name
        state = {place: file for file, place in self._state(shop)}
        held = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} - {Path(_CARD)}
        return held == set(state) and all(file.samefile(folder / place) for place, file in state.items())

    def _make(self, shop: str, snapshot: Snapshot) -> Snapshot:
        folder = self._folder(shop)
        folder.mkdir(parents=True, exist_ok=True)
        with self.lake.lock(shop, "snapshots"):
            for dead in folder.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(dead)
            making = folder / f"{_UNFINISHED}{uuid.uuid4().hex}"
            making.mkdir()
            for file, place in self._state(shop):
                (making / place).parent.mkdir(parents=True, exist_ok=True)
                link_over(file, making / place)
            card = {
                "as_of": None if snapshot.as_of is None else str(snapshot.as_of),
                "taken_at": snapshot.taken_at.isoformat(),
                "nightly": snapshot.nightly,
            }
            replace(making / _CARD, json.dumps(card).encode())
            making.rename(folder / snapshot.name)
            fsync(folder)
        return snapshot

    def _remove(self, shop: str, name: str) -> None:
        """Take a snapshot away in one step; what is left of one when the run dies here goes with the next snapshot."""
        folder = self._folder(shop)
        with self.lake.lock(shop, "snapshots"):
            dead = (folder / name).rename(folder / f"{_UNFINISHED}{uuid.uuid4().hex}")
            fsync(folder)
            shutil.rmtree(dead)

    @staticmethod
    def _read(folder: Path) -> Snapshot:
        card = json.loads((folder / _CARD).read_text("utf-8"))
        as_of = card["as_of"] and dt.date.fromisoformat(card["as_of"])
        return Snapshot(folder.name, as_of, dt.datetime.fromisoformat(card["taken_at"]), card["nightly"])
