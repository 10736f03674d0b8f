"""The Parquet lake: one file per table and shop, written whole or not at all, and read without any lock.

    warehouse/<area>/<table>/<shop>/data.parquet           the current table, always at the same path
    warehouse/<area>/<table>/<shop>/history/<as_of>.parquet   one slice per night, for tables whose past matters
    warehouse/.versions/<area>/<table>/<shop>/<hash>.parquet  what the catalogue's views read; the same bytes (hard links)
    warehouse/.work/                                        unfinished files
    warehouse/.erased/<shop>.json                           whom the raw tables leave out, under a key of its own
    warehouse/lifecycle.duckdb                              the catalogue: commented views

A reader opens a Parquet file twice, once to plan and once to read, so a path whose file may be replaced in between could
show it a footer of one night and pages of another. The views therefore name files that never change, and publishing
replaces the (small) catalogue by rename. A superseded version stays for `keep_versions` so that an open reader can finish.
"""

import datetime as dt
import fcntl
import hashlib
import json
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import ContractError, LifecycleError
from lifecycle_assets.inputs.tombstones import Tombstones
from resources.files import alone, beside, fsync, link_over, replace
from resources.warehouse.catalogue import Catalogue
from resources.warehouse.postgres import Postgres

ROW_GROUP = 122_880
VALIDATION_ROWS = 2 * ROW_GROUP
DEAD_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Published:
    """What a write left behind."""

    path: Path
    rows: int
    sha256: str
    changed: bool


class Lake:
    """Storage of all tables of a home."""

    def __init__(
        self,
        root: Path,
        contracts: Sequence[Contract],
        keep_versions: dt.timedelta = dt.timedelta(hours=48),
        postgres: Postgres | None = None,
    ) -> None:
        """`postgres`: a database that shows the same tables."""
        self.root = root
        self.contracts = {contract.name: contract for contract in contracts}
        self.keep_versions = keep_versions
        self.postgres = postgres
        self.catalogue = Catalogue(root / "lifecycle.duckdb", contracts)
        # Rows of the tables that were validated here, by table, shop and SHA-256 of the file.
        self._validated: dict[tuple[str, ...], int] = {}

    # --- reading ---

    def path(self, contract: Contract, shop: str) -> Path:
        return self._folder(contract, shop) / "data.parquet"

    def files(self, contract: Contract, shop: str) -> list[Path]:
        """The Parquet files that together are the shop's current table; a typed empty one where nothing was written."""
        if contract.append_only:
            return [self._empty(contract), *sorted(self._folder(contract, shop).glob("*.parquet"))]
        current = self.path(contract, shop)
        return [current if current.exists() else self._empty(contract)]

    def scan(self, contract: Contract, shop: str) -> pl.LazyFrame:
        """The shop's current table, typed by its contract; no rows when it was never written.

        Raises ContractError where an earlier release wrote it and it lacks columns that it has today.
        """
        stored = pl.scan_parquet(self.files(contract, shop), glob=False)
        if missing := contract.missing(stored):
            raise ContractError(
                f"{contract.name}: the stored table was made by an older version, without {', '.join(missing)}. "
                f"Make it anew: lifecycle run --shop {shop} --select +{'/'.join(contract.key)}"
            )
        return contract.conform(stored)

    def scan_night(self, contract: Contract, shop: str, as_of: dt.date) -> pl.LazyFrame | None:
        """The slice that a past night left of a table with history, or None.

        Columns that an earlier release did not have are null; where they may not be null the slice counts as not there.
        """
        path = self._folder(contract, shop) / "history" / f"{as_of}.parquet"
        if not path.exists():
            return None
        slice_ = pl.scan_parquet(path)
        missing = contract.missing(slice_)
        if any(not contract.columns[name].nullable for name in missing):
            return None
        return contract.conform(slice_.with_columns(pl.lit(None).alias(name) for name in missing))

    def scan_before(self, contract: Contract, shop: str, as_of: dt.date) -> pl.LazyFrame | None:
        """The slice of the latest night before `as_of` of a table with history, or None."""
        earlier = [night for night in self.nights(contract, shop) if night < as_of]
        return self.scan_night(contract, shop, earlier[-1]) if earlier else None

    def nights(self, contract: Contract, shop: str) -> list[dt.date]:
        """The dates of which a table with history holds slices, oldest first."""
        folder = self._folder(contract, shop) / "history"
        return sorted(dt.date.fromisoformat(path.stem) for path in folder.glob("*.parquet"))

    # --- writing ---

    @contextmanager
    def staging(self, contract: Contract, shop: str) -> Iterator[Path]:
        """A path to write a new file of the table to; whatever is not published from there disappears."""
        path = self._work() / f"{_safe(shop)}-{contract.table}-{uuid.uuid4().hex}.parquet"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def write(self, contract: Contract, shop: str, as_of: dt.date, frame: pl.DataFrame | pl.LazyFrame) -> Published:
        """Validate and publish a frame as the shop's table; on any error the table stays as it was."""
        with self.staging(contract, shop) as staged:
            contract.conform(frame.lazy()).sink_parquet(staged, compression="zstd", row_group_size=ROW_GROUP)
            return self.publish(contract, shop, as_of, staged)

    def publish(self, contract: Contract, shop: str, as_of: dt.date, staged: Path) -> Published:
        """Make a staged file the shop's table. Writing the same bytes again changes nothing, not even a time stamp."""
        rows = self.validate(contract, shop, [staged])
        digest = _sha256(staged)
        self._validated[contract.name, shop, digest] = rows
        version = self._versions(contract, shop) / f"{digest[:32]}.parquet"
        current = self.path(contract, shop)
        changed = not (version.exists() and current.exists() and version.samefile(current))
        # A disk may have changed what was written: then the same rows are written again.
        if changed or _sha256(version) != digest:
            fsync(staged)
            for folder in (version.parent, current.parent):
                folder.mkdir(parents=True, exist_ok=True)
            staged.replace(version)
            link_over(version, current)
            self._retire(contract, shop, keep=version)
        if contract.history:
            night = current.parent / "history" / f"{as_of}.parquet"
            if not (night.exists() and night.samefile(version)):
                night.parent.mkdir(exist_ok=True)
                link_over(version, night)
        self.refresh(contract, shop)
        return Published(current, rows, digest, changed)

    def put_back(self, contract: Contract, shop: str, folder: Path, *, slices: bool) -> None:
        """Make what a folder laid out like the table's holds the shop's table again, and with `slices` its dated slices;
        what the folder lacks goes. Readers see the one or the other."""
        own = self._folder(contract, shop)
        pattern = "history/*.parquet" if slices else "data.parquet"
        names = {path.relative_to(place) for place in (own, folder) for path in place.glob(pattern)} | {
            Path("data.parquet")
        }
        for name in sorted(names):
            if not (folder / name).exists():
                (own / name).unlink(missing_ok=True)
            elif not ((own / name).exists() and (own / name).samefile(folder / name)):
                (own / name).parent.mkdir(parents=True, exist_ok=True)
                link_over(folder / name, own / name)
        self.refresh(contract, shop)

    def append(self, contract: Contract, shop: str, as_of: dt.date, frame: pl.DataFrame) -> Published:
        """Add rows to an append-only table as one new, immutable file."""
        contract.require(frame)
        folder = self._folder(contract, shop)
        folder.mkdir(parents=True, exist_ok=True)
        with self.staging(contract, shop) as staged:
            frame.write_parquet(staged, compression="zstd")
            digest = _sha256(staged)
            path = folder / f"{as_of}-{len(list(folder.glob('*.parquet'))):06d}-{digest[:12]}.parquet"
            fsync(staged)
            staged.replace(path)
            fsync(folder)
        self.refresh(contract, shop)
        return Published(path, frame.height, digest, changed=True)

    def keep_rows(self, contract: Contract, shop: str, kept: pl.DataFrame) -> None:
        """Take rows out of an append-only table for good: all but `kept`, told by the key. Each file that loses rows is
        replaced in one step, and goes where nothing of it is left."""
        for path in sorted(self._folder(contract, shop).glob("*.parquet")):
            before = pl.read_parquet(path)
            after = before.join(kept, on=contract.primary_key, how="semi", maintain_order="left")
            if after.is_empty():
                path.unlink()
            elif after.height < before.height:
                with self.staging(contract, shop) as staged:
                    after.write_parquet(staged, compression="zstd")
                    fsync(staged)
                    staged.replace(path)
                    fsync(path.parent)
        self.refresh(contract, shop)

    @contextmanager
    def workspace(self, shop: str) -> Iterator[Path]:
        """A folder on the lake's disk for a computation's own files; it disappears with all that is left in it."""
        with tempfile.TemporaryDirectory(dir=self._work(), prefix=f"{_safe(shop)}-") as folder:
            yield Path(folder)

    def keep_staged(self, contract: Contract, shop: str, file: Path) -> Path:
        """Take a finished file out of a workspace, for `publish`."""
        return file.replace(self._work() / f"{_safe(shop)}-{contract.table}-{uuid.uuid4().hex}.parquet")

    def leave_part(self, shop: str, name: str, file: Path) -> None:
        """Keep a finished file as the part `name` of a table that is put together from several, replacing the last one;
        the same bytes again change nothing."""
        part = self.root / ".parts" / _safe(shop) / f"{name}.parquet"
        if part.exists() and _sha256(part) == _sha256(file):
            return
        part.parent.mkdir(parents=True, exist_ok=True)
        fsync(file)
        file.replace(part)

    def parts(self, contract: Contract, shop: str, kind: str) -> pl.LazyFrame:
        """The rows of all parts whose names end in `.kind`; none where no part was left."""
        files = sorted((self.root / ".parts" / _safe(shop)).glob(f"*.{kind}.parquet"))
        return contract.conform(pl.scan_parquet([self._empty(contract), *files], glob=False))

    def erased(self, shop: str) -> Tombstones:
        """The people who were erased from the shop."""
        path = self._erased(shop)
        if not path.exists():
            return Tombstones()
        stored = json.loads(path.read_text("utf-8"))
        return Tombstones(stored["key"], frozenset(stored["hashes"]))

    def bury(self, shop: str, known: Mapping[str, Iterable[str]]) -> None:
        """Add a person to those erased from the shop, by what they go by (see Tombstones.joined_by)."""
        before = self.erased(shop)
        now = Tombstones(before.key or secrets.token_hex(32), before.hashes).joined_by(known)
        path = self._erased(shop)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, json.dumps({"key": now.key, "hashes": sorted(now.hashes)}).encode())

    @contextmanager
    def lock(self, shop: str, purpose: str) -> Iterator[None]:
        """Let one process at a time do `purpose` for the shop; others wait. Readers never take it."""
        with alone(self.root / ".locks" / f"{shop}.{purpose}"):
            yield

    @contextmanager
    def try_lock(self, shop: str, purpose: str) -> Iterator[bool]:
        """Like `lock`, but where another process holds it: False at once."""
        folder = self.root / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{shop}.{purpose}").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def check(self, contract: Contract, shop: str) -> int:
        """Number of rows of the shop's table as it lies on disk; raises ContractError like `validate`. What was validated
        here when it was published is only read to see that its bytes are still the same."""
        files = self.files(contract, shop)
        rows = self._validated.get((contract.name, shop, *map(_sha256, files)))
        return self.validate(contract, shop, files) if rows is None else rows

    def validate(self, contract: Contract, shop: str, files: Sequence[Path]) -> int:
        """Number of rows in the files; raises ContractError when one of them breaks the contract or another shop's row
        is among them. Memory stays bounded: rows are looked at a part at a time, keys by their hash."""
        rows = 0
        keyed = bool(contract.primary_key)
        for file in files:
            stored = contract.conform(pl.scan_parquet(file, glob=False))
            for first in range(0, pq.read_metadata(file).num_rows, VALIDATION_ROWS):
                frame = stored.slice(first, VALIDATION_ROWS).collect()
                contract.require(frame)
                if frame.filter(pl.col("shop_id") != shop).height:
                    raise ContractError(
                        f"{contract.name}: holds rows of another shop than {shop}; nothing was written."
                    )
                rows += frame.height
        if keyed and rows > VALIDATION_ROWS:
            keys = pl.scan_parquet(list(files), glob=False).select(pl.struct(contract.primary_key).hash().alias("key"))
            distinct = keys.select(pl.col("key").n_unique()).collect(engine="streaming").item()
            # A 64-bit hash of n keys collides by chance with probability n^2 / 2^65: below 3e-6 at ten million.
            if distinct != rows:
                raise ContractError(
                    f"{contract.name}: {rows - distinct} of {rows} rows repeat the key "
                    f"({', '.join(contract.primary_key)}). The table was left as it was."
                )
        return rows

    def damaged(self, shop: str) -> Iterator[tuple[Path, bool]]:
        """The files of the shop's tables that are no longer what was written, and whether they are of the past: those no
        night makes again."""
        for contract in self.contracts.values():
            current = self.path(contract, shop)
            if current.exists() and self._current_version(current).stem != _sha256(current)[:32]:
                yield current, False
            folder = self._folder(contract, shop)
            past = folder.glob("*.parquet" if contract.append_only else "history/*.parquet")
            for path in sorted(past):
                if not (current.exists() and path.samefile(current)) and not _is_readable(path):
                    yield path, True

    def refresh(self, contract: Contract, shop: str) -> None:
        """Let readers see the shop's current files of a table: in the catalogue, and in the database where there is one."""
        with self.lock("_all", "catalogue"):
            self._point(contract)
        if self.postgres and self._show(self.postgres, contract, shop):
            for other in self._shops(contract):
                self._show(self.postgres, contract, other)

    def refresh_all(self) -> None:
        """Let readers see all that lies in the lake (after a move, a restore, or a new release)."""
        for contract in self.contracts.values():
            with self.lock("_all", "catalogue"):
                self._point(contract)
            for shop in self._shops(contract) if self.postgres else []:
                self.refresh(contract, shop)

    def query(self, sql: str) -> pl.DataFrame:
        """The rows of one SELECT over the tables, in the database where there is one."""
        return (self.postgres or self.catalogue).query(sql)

    # --- helpers ---

    def _point(self, contract: Contract) -> None:
        """Point the catalogue's views of a table at its current files."""
        folder = self.root / contract.area / contract.table
        if contract.append_only:
            current, slices = [self._empty(contract)], f"{folder}/*/*.parquet"
            has_slices = any(folder.glob("*/*.parquet"))
            self.catalogue.point(contract, current, slices if has_slices else None, None)
            return
        versions = [self._current_version(path) for path in sorted(folder.glob("*/data.parquet"))]
        history = f"{folder}/*/history/*.parquet" if any(folder.glob("*/history/*.parquet")) else None
        self.catalogue.point(contract, [self._empty(contract), *versions], None, history)

    def _show(self, postgres: Postgres, contract: Contract, shop: str) -> bool:
        """Show the shop's table in the database; whether the table was made anew there, without the other shops' rows."""
        slices = {
            day: self._folder(contract, shop) / "history" / f"{day}.parquet" for day in self.nights(contract, shop)
        }
        files = self.files(contract, shop)
        if not contract.append_only:
            files = [self._current_version(file) if file.name == "data.parquet" else file for file in files]
        return postgres.show(contract, shop, files, slices)

    def _shops(self, contract: Contract) -> list[str]:
        return sorted(folder.name for folder in (self.root / contract.area / contract.table).glob("*/"))

    def _work(self) -> Path:
        """Where unfinished files lie, apart from the tables, so that no reader's glob can meet one. What a killed run
        left there goes after a day."""
        folder = self.root / ".work"
        folder.mkdir(parents=True, exist_ok=True)
        for dead in folder.iterdir():
            with suppress(FileNotFoundError):
                if dead.stat().st_mtime < time.time() - DEAD_SECONDS:
                    shutil.rmtree(dead) if dead.is_dir() else dead.unlink()
        return folder

    def _folder(self, contract: Contract, shop: str) -> Path:
        return self.root / contract.area / contract.table / _safe(shop)

    def _erased(self, shop: str) -> Path:
        return self.root / ".erased" / f"{_safe(shop)}.json"

    def _versions(self, contract: Contract, shop: str) -> Path:
        return self.root / ".versions" / contract.area / contract.table / _safe(shop)

    def _current_version(self, current: Path) -> Path:
        folder = self.root / ".versions" / current.parent.relative_to(self.root)
        for version in folder.glob("*.parquet"):
            if version.samefile(current):
                return version
        # A table put there by hand or by a restore becomes a version of its own.
        folder.mkdir(parents=True, exist_ok=True)
        version = folder / f"{_sha256(current)[:32]}.parquet"
        link_over(current, version)
        return version

    def _empty(self, contract: Contract) -> Path:
        path = self.root / ".versions" / contract.area / contract.table / f"empty-{_fingerprint(contract)}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = beside(path)
            contract.empty().write_parquet(temporary)
            temporary.replace(path)
        return path

    def _retire(self, contract: Contract, shop: str, keep: Path) -> None:
        oldest = time.time() - self.keep_versions.total_seconds()
        for version in self._versions(contract, shop).glob("*.parquet"):
            # The change time of an inode is when it lost its place at the stable path, or was written.
            if version != keep and version.stat().st_ctime < oldest:
                version.unlink(missing_ok=True)


def _safe(shop: str) -> str:
    if not shop or shop.startswith((".", "_")) or any(c in shop for c in "/\\\0*?[]"):
        raise LifecycleError(f"'{shop}' is not a shop id: use letters, digits, - and _")
    return shop


def _is_readable(path: Path) -> bool:
    try:
        for _ in pq.ParquetFile(path).iter_batches(batch_size=VALIDATION_ROWS):
            pass
    except (OSError, pa.ArrowException):
        return False
    return True


def _fingerprint(contract: Contract) -> str:
    return hashlib.sha256(str(contract.polars_schema).encode()).hexdigest()[:12]


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
