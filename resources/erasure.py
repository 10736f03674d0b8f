"""Takes a person out of every file of a home, and finishes what a killed run began.

In this order, so that a run may die at any point:

1. `warehouse/.erased/<erasure_id>.job` holds what the person goes by and what is to be done; only its folder's owner may
   read it.
2. The tombstone: from here on no ingest lets the person in again.
3. File by file, whatever lies in the home: each is made anew beside itself, fsynced and renamed over, under all its hard
   links. A file that holds nothing of the person is not touched, not even its time stamp. Manifests and lists of hashes
   that name a file get its new hash.
4. Every file is read again; only when nothing is found the line is added to dispatch.erasures, and the job goes.

Removals for advertising tools that are younger than REMOVALS_KEPT stay as they are: a tool can forget the person only by
their hash. `warehouse/.erased/<erasure_id>.kept` names the lines, without anything of the person; once they are old enough
the next erasures empty them.

Files of the shops' inputs are not ours and stay as they are, and so is a simulated shop. Runs that write to the shop must
be kept out by its `run` lock; whatever else touches batches or the ledger is, while the work is done.
"""

import dataclasses
import datetime as dt
import gzip
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import stat
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from lifecycle_assets.contracts import AREAS
from lifecycle_assets.dispatch import erased_documents, erasure
from lifecycle_assets.dispatch.audiences import Audiences
from lifecycle_assets.dispatch.erased_documents import REMOVALS, REQUEST_LIST, REQUESTS
from lifecycle_assets.dispatch.erasure import Erasures, Person
from lifecycle_assets.errors import LifecycleError, SettingsError
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs.tombstones import Tombstones
from resources.files import fsync, replace
from resources.home import Home
from resources.warehouse.lake import Lake

SQLITE, PARQUET, GZIP = b"SQLite format 3\0", b"PAR1", b"\x1f\x8b"
ROW_GROUP = 122_880
REMOVALS_KEPT = dt.timedelta(days=30)
NOTE = "rewritten_after_erasure"
_BESIDE = ".erasing-"
_OF_SQLITE = ("-wal", "-shm", "-journal")
_UNTOUCHED = {".erased", ".locks", "simulations"}


@dataclass(frozen=True)
class Job:
    """Who is to be erased, and what was done so far: the old and new hashes of the files rewritten, rows by table."""

    erasure_id: str
    shop: str
    as_of: str
    people: int
    requested_at: str | None
    begun_at: str
    actor: str
    person: dict[str, list[str]]
    hashes: dict[str, str]
    rows: dict[str, int]
    files: int = 0


@dataclass(frozen=True)
class Task:
    """What the rewriting of each file needs to know."""

    shop: str
    someone: Person
    tombstones: Tombstones
    at: dt.datetime


class Erasing:
    """Erases people from a home."""

    def __init__(self, home: Home, lake: Lake) -> None:
        self.home = home
        self.lake = lake
        self.jobs = lake.root / ".erased"

    def begin(
        self,
        shop: str,
        customers: Sequence[str],
        as_of: dt.date,
        at: dt.datetime,
        *,
        actor: str,
        requested_at: dt.datetime | None = None,
    ) -> bool:
        """Note customers of the shop, with all accounts of the same profiles, as people to be erased; `finish` does the work.
        Who is noted already is not noted again. Returns whether there is anybody to erase; nothing is noted where no table
        of the shop knows any of them."""
        noted = {name for job in self._open(shop) for name in job.person["ids"]}
        fresh = sorted(set(customers) - noted)
        identity_map = self.lake.scan(IdentityMap, shop)
        tables = [table for table in self._tables(shop) if "customer_id" in table.collect_schema()]
        profiles = [erasure.profile(identity_map, customer) for customer in erasure.known(tables, fresh)]
        if not profiles:
            return not noted.isdisjoint(customers)
        ids, visitors = (set().union(*sets) for sets in zip(*profiles, strict=True))
        told = erasure.person(tables, ids, visitors, self.home.shop(shop).country)
        someone = {name: sorted(values) for name, values in asdict(told).items()}
        people = len({frozenset(own) for own, _ in profiles})
        asked = requested_at.isoformat() if requested_at else None
        self._note(Job(uuid.uuid4().hex, shop, str(as_of), people, asked, at.isoformat(), actor, someone, {}, {}))
        return True

    def finish(self, shop: str, at: dt.datetime) -> pl.DataFrame:
        """Carry out every erasure of the shop that was begun, and empty the removals whose time is up `at` this moment;
        returns the lines of dispatch.erasures."""
        # In the order in which deliveries take them.
        with self.lake.lock(shop, "delivery"), self.lake.lock(shop, "ledger"):
            done = [self._carry_out(job, at) for job in self._open(shop)]
            for path in sorted(self.jobs.glob("*.kept")):
                self._end_keeping(path, shop, at)
        return pl.concat([Erasures.empty(), *done])

    def lists_holding(self, shop: str, customer: str) -> list[str]:
        """The lists at advertising tools that hold the customer, of whichever account of the profile."""
        ids, _ = erasure.profile(self.lake.scan(IdentityMap, shop), customer)
        return erasure.lists_holding(self.lake.scan(Audiences, shop), ids)

    def forget_request(self, customer: str) -> None:
        """Blot a customer's id out of the configuration of the runs that were to erase them."""
        for path in sorted(self.home.dagster.rglob("*")):
            if path.is_file() and not path.name.endswith(_OF_SQLITE) and _kind(path) == SQLITE:
                _scrub(path, lambda text: erased_documents.without_request(text, [customer]))

    def _carry_out(self, job: Job, at: dt.datetime) -> pl.DataFrame:
        proven = self.lake.scan(Erasures, job.shop).filter(pl.col("erasure_id") == job.erasure_id).collect()
        if proven.is_empty():
            someone = Person(**{name: frozenset(values) for name, values in job.person.items()})
            self.lake.bury(job.shop, someone.known)
            task = Task(job.shop, someone, self.lake.erased(job.shop), at)
            self._clear_away(job.shop)
            # What says whose a request is goes last: a killed run must find it again.
            for paths in sorted(self._files(job.shop), key=lambda paths: paths[0].name == REQUEST_LIST):
                job = self._erase(job, paths, task)
            self._told_anew(job.shop, job.hashes)
            if left := [paths[0] for paths in self._files(job.shop) if _holds(paths[0], task)]:
                raise LifecycleError(
                    f"{job.shop}: the erasure {job.erasure_id} is not finished: {len(left)} files still hold something of the "
                    f"person, {left[0]} for instance. Remove them or say what they are; the next run goes on."
                )
            kept = self._keep(job, task)
            proven = self._proof(job, max((line["until"] for line in kept.values()), default=None))
            self.lake.append(Erasures, job.shop, dt.date.fromisoformat(job.as_of), proven)
        self._path(job).unlink()
        fsync(self.jobs)
        return proven

    # --- files ---

    def _files(self, shop: str) -> Iterator[list[Path]]:
        """Every file that may hold something of the shop's customers, under all its names."""
        inputs = {self._input(name) for name in self.home.shops()}
        others = set(self.home.shops()) - {shop}
        found: dict[tuple[int, int], list[Path]] = {}
        for folder, folders, names in os.walk(self.home.root):
            here = Path(folder)
            of_shops = here.parent == self.home.root and here not in (self.home.warehouse, self.home.dagster)
            folders[:] = [
                name
                for name in sorted(folders)
                if name not in _UNTOUCHED and here / name not in inputs and not (of_shops and name in others)
            ]
            for name in sorted(names):
                path = here / name
                with suppress(FileNotFoundError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and path not in inputs:
                        found.setdefault((status.st_dev, status.st_ino), []).append(path)
        yield from found.values()

    def _input(self, shop: str) -> Path:
        """Where a shop's own files lie. Whatever else is wrong with another shop's file, its input is not to be touched."""
        path = self.home.shop_file(shop)
        try:
            told = str(yaml.safe_load(path.read_text("utf-8"))["input"])
        except (yaml.YAMLError, TypeError, KeyError) as error:
            raise SettingsError(f"{path} does not say where its input lies; mend it before anyone is erased") from error
        return (self.home.root / Path(told).expanduser()).resolve()

    def _tables(self, shop: str) -> Iterator[pl.LazyFrame]:
        """The tables of all nights that name the shop's customers."""
        for paths in self._files(shop):
            if _kind(paths[0]) == PARQUET and _is_of(table := pl.scan_parquet(paths[0], glob=False), shop):
                yield table

    def _clear_away(self, shop: str) -> None:
        """Remove what killed runs of the shop left unfinished; the caller keeps living ones out."""
        for dead in self.home.root.rglob(f"{_BESIDE}*"):
            dead.unlink(missing_ok=True)
        shops = sorted(self.home.shops(), key=len)
        for dead in (self.lake.root / ".work").glob(f"{shop}-*"):
            if [name for name in shops if dead.name.startswith(f"{name}-")][-1:] == [shop]:
                shutil.rmtree(dead) if dead.is_dir() else dead.unlink()

    def _erase(self, job: Job, paths: list[Path], task: Task) -> Job:
        """Rewrite one file under all its names, where it holds something of the person."""
        path = paths[0]
        if path.name.endswith(_OF_SQLITE) or _kept_until(path) > task.at:
            return job
        kind = _kind(path)
        if kind == SQLITE:
            rows = _scrub(path, lambda text: erased_documents.blotted_log(text, task.someone))
            return self._noted(job, path, rows, {}) if rows else job
        with _beside(path) as beside:
            if rows := _rewrite(path, kind, beside, task):
                job = self._noted(job, path, rows, _finished(beside, path))
                _put_over(beside, paths)
        return job

    def _keep(self, job: Job, task: Task) -> dict[str, dict[str, Any]]:
        """Note which lines of which young removals tell of the person, and until when they stay."""
        files = {}
        for path, *_ in self._files(job.shop):
            if (until := _kept_until(path)) > task.at:
                with path.open(encoding="utf-8") as lines:
                    if told := erased_documents.naming_lines(lines, task.someone):
                        files[str(path.relative_to(self.home.root))] = {"until": until.isoformat(), "lines": told}
        if files:
            kept = {"shop": job.shop, "files": files, "hashes": {}}
            replace(self._path(job).with_suffix(".kept"), json.dumps(kept).encode())
        return files

    def _end_keeping(self, note: Path, shop: str, at: dt.datetime) -> None:
        """Empty the lines of removals that were kept until now."""
        kept = json.loads(note.read_text("utf-8"))
        due = {name: told for name, told in kept["files"].items() if dt.datetime.fromisoformat(told["until"]) <= at}
        if kept["shop"] != shop or not due:
            return
        for paths in self._files(shop):
            for name in due.keys() & {str(path.relative_to(self.home.root)) for path in paths}:
                with _beside(paths[0]) as beside:
                    with paths[0].open("rb") as source, beside.open("wb") as target:
                        erased_documents.blank(source, target, due[name]["lines"])
                    kept["hashes"] |= _finished(beside, paths[0])
                    replace(note, json.dumps(kept).encode())
                    _put_over(beside, paths)
        self._told_anew(shop, kept["hashes"])
        left = {name: told for name, told in kept["files"].items() if name not in due}
        if left:
            replace(note, json.dumps({**kept, "files": left, "hashes": {}}).encode())
        else:
            note.unlink()
            fsync(self.jobs)

    def _told_anew(self, shop: str, hashes: dict[str, str]) -> None:
        """Put the new hashes of the rewritten files into the manifests and lists beside them."""
        for paths in self._files(shop):
            path = paths[0]
            if path.suffix != ".json" and path.name != "SHA256SUMS":
                continue
            text = path.read_text("utf-8", errors="replace")
            if stale := [old for old, new in hashes.items() if old != new and old in text]:
                for old in stale:
                    text = text.replace(old, hashes[old])
                if path.suffix == ".json" and isinstance(told := json.loads(text), dict):
                    text = f"{json.dumps({**told, NOTE: True}, indent=2, ensure_ascii=False)}\n"
                for name in paths:
                    replace(name, text.encode())

    # --- what is to be done, and what was ---

    def _path(self, job: Job) -> Path:
        return self.jobs / f"{job.erasure_id}.job"

    def _note(self, job: Job) -> None:
        self.jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(self._path(job), json.dumps(asdict(job)).encode())

    def _noted(self, job: Job, path: Path, rows: int, hashes: dict[str, str]) -> Job:
        counted = dict(Counter(job.rows) + Counter({_table(path): rows}))
        job = dataclasses.replace(job, hashes={**job.hashes, **hashes}, rows=counted, files=job.files + 1)
        self._note(job)
        return job

    def _open(self, shop: str) -> list[Job]:
        """The shop's erasures that are not finished, the oldest first."""
        jobs = [Job(**json.loads(path.read_text("utf-8"))) for path in sorted(self.jobs.glob("*.job"))]
        return sorted((job for job in jobs if job.shop == shop), key=lambda job: job.begun_at)

    @staticmethod
    def _proof(job: Job, kept_until: str | None) -> pl.DataFrame:
        row = {
            "shop_id": job.shop,
            "as_of": dt.date.fromisoformat(job.as_of),
            "erasure_id": job.erasure_id,
            "people": job.people,
            "requested_at": dt.datetime.fromisoformat(job.requested_at) if job.requested_at else None,
            "begun_at": dt.datetime.fromisoformat(job.begun_at),
            "done_at": dt.datetime.now(dt.UTC),
            "removals_kept_until": dt.datetime.fromisoformat(kept_until) if kept_until else None,
            "files_rewritten": job.files,
            "rows_removed": json.dumps(job.rows, sort_keys=True),
            "actor": job.actor,
        }
        return pl.DataFrame([row], schema=Erasures.polars_schema)


def _rewrite(path: Path, kind: bytes, beside: Path, task: Task) -> int:
    """Write a file without the person beside it; 0 where there is nothing of them in it."""
    if kind == PARQUET:
        left, rows = _without(path, task)
        if rows:
            left.sink_parquet(beside, compression="zstd", row_group_size=ROW_GROUP)
        return rows
    name = path.name.removesuffix(".gz") if kind == GZIP else path.name
    opened: Any = gzip.open if kind == GZIP else open
    try:
        with opened(path, "rb") as source, opened(beside, "wb") as target:
            return erased_documents.rewrite(name, source, target, task.someone, _own_requests(path, task.someone))
    except UnicodeDecodeError:
        return 0  # no text; what is found in it all the same stops the erasure in the end


def _own_requests(path: Path, someone: Person) -> set[int]:
    """The lines of a file of requests that are messages to the person alone; many name nobody but by a telephone number."""
    listed = path.with_name(REQUEST_LIST)
    if path.name != REQUESTS or not listed.exists():
        return set()
    with listed.open(encoding="utf-8", newline="") as lines:
        return erased_documents.own_requests(lines, someone)


def _without(path: Path, task: Task) -> tuple[pl.LazyFrame, int]:
    """A Parquet file without the person, and how many of its rows that concerns."""
    table = pl.scan_parquet(path, glob=False)
    return erasure.without(table, task.someone, task.tombstones) if _is_of(table, task.shop) else (table, 0)


def _holds(path: Path, task: Task) -> bool:
    """Whether anything of the person is still in a file."""
    with suppress(FileNotFoundError):
        if _kept_until(path) > task.at:
            return False
        kind = _kind(path)
        if kind == PARQUET:
            return _without(path, task)[1] > 0
        opened: Any = gzip.open if kind == GZIP else open
        with opened(path, "rb") as handle:
            return any(task.someone.pattern.search(line.decode(errors="replace")) for line in handle)
    return False


def _is_of(table: pl.LazyFrame, shop: str) -> bool:
    """Whether a table holds rows of the shop; one that does not say so may."""
    if "shop_id" not in table.collect_schema():
        return True
    return not table.filter(pl.col("shop_id") == shop).limit(1).collect().is_empty()


def _scrub(path: Path, blotted: Callable[[str], str]) -> int:
    """Blot texts of Dagster's storage out; returns the rows changed. Freed pages are overwritten and the log of
    changes is emptied, so that no deleted byte stays in a file."""
    changed = 0
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        told = lambda value: blotted(value) if isinstance(value, str) else value  # noqa: E731
        connection.create_function("blotted", 1, told, deterministic=True)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for column in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
                changed += connection.execute(
                    f'UPDATE "{table}" SET "{column}" = blotted("{column}") '  # noqa: S608 - names of its own tables
                    f'WHERE typeof("{column}") = \'text\' AND "{column}" <> blotted("{column}")'
                ).rowcount
        connection.commit()
        if changed:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return changed


def _kept_until(path: Path) -> dt.datetime:
    """Until when a file keeps what it says of an erased person; always past for anything but removals."""
    if path.name != REMOVALS:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC) + REMOVALS_KEPT


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A path beside a file to make it anew at; whatever is left there disappears."""
    beside = path.with_name(f"{_BESIDE}{uuid.uuid4().hex}")
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _finished(beside: Path, path: Path) -> dict[str, str]:
    """Have a file that was made anew on disk, with the old one's rights; returns the old hash with the new one."""
    shutil.copystat(path, beside)
    if path.name != REMOVALS:  # their age tells how long they are kept
        os.utime(beside)
    fsync(beside)
    return {_sha256(path): _sha256(beside)}


def _put_over(beside: Path, paths: Sequence[Path]) -> None:
    """Let the file that was made anew take every name of the old one."""
    for name in paths:
        link = name.with_name(f"{_BESIDE}{uuid.uuid4().hex}")
        os.link(beside, link)
        link.replace(name)
        fsync(name.parent)


def _kind(path: Path) -> bytes:
    with path.open("rb") as handle:
        start = handle.read(16)
    return next((kind for kind in (SQLITE, PARQUET, GZIP) if start.startswith(kind)), b"")


def _table(path: Path) -> str:
    """The table that a file is of, else `parts` (of raw tables), `dagster` or `files`."""
    parts = path.parts
    for area, name in itertools.pairwise(parts):
        if area in AREAS and path.suffix == ".parquet":
            return f"{area}.{name}"
    return "dagster" if "dagster" in parts else "parts" if ".parts" in parts else "files"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
