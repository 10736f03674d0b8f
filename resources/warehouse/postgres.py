"""The output tables in a PostgreSQL database, for those who read them there.

The lake is where tables are made; this holds the same rows under the same names, `<table>` for the night that ran last and
`<table>_history` for every night, so that the same SQL reads both stores. A shop's rows of a table are replaced in one
transaction, through COPY: a reader sees the night before or the night after. What the database holds already is not sent
again: `lifecycle.shown` keeps the mark of each file that was sent.

Three roles without login are made for the database's own users: `lifecycle_reader` sees features and models,
`lifecycle_analyst` all tables but no personal column, `lifecycle_operator` everything. GRANT lifecycle_analyst TO anna.
"""

import datetime as dt
import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle_assets.contracts import AREAS, Contract
from lifecycle_assets.errors import LifecycleError
from resources.database_url import quoted, with_environment, without_secrets
from resources.warehouse.catalogue import EVERY_NIGHT

BATCH_ROWS = 100_000
MOST_DECIMALS = 18
READER, ANALYST, OPERATOR = "lifecycle_reader", "lifecycle_analyst", "lifecycle_operator"
WITHOUT_PEOPLE = ("features", "models")
BOOKS = """
CREATE SCHEMA IF NOT EXISTS lifecycle;
CREATE TABLE IF NOT EXISTS lifecycle.shapes (table_name TEXT PRIMARY KEY, shape TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lifecycle.shown (
    table_name TEXT NOT NULL, shop_id TEXT NOT NULL, slice TEXT NOT NULL, mark TEXT NOT NULL,
    shown_at TIMESTAMPTZ NOT NULL DEFAULT now(), PRIMARY KEY (table_name, shop_id, slice))
"""


class Postgres:
    """The database behind an address such as `postgresql://lifecycle:${PASSWORD}@host/shop`."""

    def __init__(self, url: str) -> None:
        self.url = with_environment(url, "the setting warehouse")
        self.origin = without_secrets(ValueError(self.url)).partition("?")[0]
        self._connection: Any = None
        self._ready: set[str] = set()
        self._alone = threading.Lock()

    def show(self, contract: Contract, shop: str, files: Sequence[Path], slices: Mapping[dt.date, Path]) -> bool:
        """Make the shop's rows of the table those of `files`, and those of `<table>_history` the rows of `slices`; whether
        the table was made anew for it, as its contract has changed, so that other shops have to be shown again too.

        Raises LifecycleError where the database cannot be reached or refuses; it holds what it held before then.
        """
        with self._alone, self._transaction() as cursor:
            is_new = contract.name not in self._ready and self._prepare(cursor, contract)
            # Two processes that show one table of one shop come one after the other.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [f"{contract.name}/{shop}"])
            cursor.fetchall()
            self._replace(cursor, contract, shop, {"": list(files)})
            if contract.history:
                past = replace(contract, table=f"{contract.table}_history")
                self._replace(cursor, past, shop, {str(day): [file] for day, file in slices.items()})
        self._ready.add(contract.name)
        return is_new

    def query(self, sql: str) -> pl.DataFrame:
        """The rows of one SELECT, in a transaction that can only read. Raises LifecycleError with the database's message."""
        from adbc_driver_manager import ProgrammingError

        with self._alone, self._transaction() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            try:
                cursor.execute(f"SELECT * FROM ({sql.strip().rstrip(';')}) AS asked")  # noqa: S608 - the reader's own SQL
                found = cursor.fetch_arrow_table()
            except ProgrammingError as error:
                raise LifecycleError(f"the query failed: {without_secrets(error)}") from error
        return pl.DataFrame(
            [_series(name, column) for name, column in zip(found.column_names, found.columns, strict=True)]
        )

    # --- what a table's rows are ---

    def _replace(self, cursor: Any, contract: Contract, shop: str, wanted: Mapping[str, list[Path]]) -> None:
        """Bring the slices of a table to `wanted`, by name: "" is the whole table, else a date."""
        cursor.execute(
            "SELECT slice, mark FROM lifecycle.shown WHERE table_name = $1 AND shop_id = $2", [contract.name, shop]
        )
        shown = dict(cursor.fetchall())
        marks = {name: _mark(files) for name, files in wanted.items()}
        for name in sorted(shown.keys() | marks.keys()):
            if shown.get(name) == marks.get(name):
                continue
            table = f"{quoted(contract.area)}.{quoted(contract.table)}"
            day = [dt.date.fromisoformat(name)] if name else []
            cursor.execute(f"DELETE FROM {table} WHERE shop_id = $1" + (" AND as_of = $2" if day else ""), [shop, *day])  # noqa: S608
            cursor.execute(
                "DELETE FROM lifecycle.shown WHERE table_name = $1 AND shop_id = $2 AND slice = $3",
                [contract.name, shop, name],
            )
            if name in wanted:
                for file in wanted[name]:
                    _copy(cursor, contract, file)
                cursor.execute(
                    "INSERT INTO lifecycle.shown (table_name, shop_id, slice, mark) VALUES ($1, $2, $3, $4)",
                    [contract.name, shop, name, marks[name]],
                )

    # --- what a table is ---

    def _prepare(self, cursor: Any, contract: Contract) -> bool:
        """Make the table as its contract says, anew where an earlier release made it otherwise; whether it did."""
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('lifecycle', 0))")
        cursor.fetchall()
        _run(cursor, BOOKS)
        _roles(cursor)
        versions = [contract]
        if contract.history:
            versions.append(
                replace(contract, table=f"{contract.table}_history", description=contract.description + EVERY_NIGHT)
            )
        is_new = False
        for each in versions:
            shape = hashlib.sha256(f"{each.ddl('postgres')}{_grants(each)}".encode()).hexdigest()
            cursor.execute("SELECT shape FROM lifecycle.shapes WHERE table_name = $1", [each.name])
            if cursor.fetchall() == [(shape,)]:
                continue
            name = f"{quoted(each.area)}.{quoted(each.table)}"
            _run(cursor, f"DROP TABLE IF EXISTS {name}")
            _run(cursor, each.ddl("postgres"))
            for columns in _indexes(each):
                _run(cursor, f"CREATE INDEX ON {name} ({', '.join(map(quoted, columns))})")
            for grant in _grants(each):
                _run(cursor, grant)
            cursor.execute("DELETE FROM lifecycle.shown WHERE table_name = $1", [each.name])
            cursor.execute("DELETE FROM lifecycle.shapes WHERE table_name = $1", [each.name])
            cursor.execute("INSERT INTO lifecycle.shapes VALUES ($1, $2)", [each.name, shape])
            is_new = True
        return is_new

    # --- the connection ---

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A cursor whose work is kept whole or not at all. A connection that was lost since the last time is made anew."""
        from adbc_driver_manager import Error

        try:
            connection = self._connected()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except Error as error:
            self._forget()
            raise LifecycleError(
                f"{self.origin}: the database cannot be used ({without_secrets(error)}). It holds what it held before. "
                "Check that it runs, and the name, user and password in the setting warehouse; then run the night again."
            ) from error
        except BaseException:
            self._forget()
            raise

    def _connected(self) -> Any:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi

        if self._connection is not None:
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    cursor.fetchall()
            except Error:
                self._forget()
        if self._connection is None:
            self._connection = dbapi.connect(self.url)
            with self._connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            self._connection.commit()
        return self._connection

    def _forget(self) -> None:
        from adbc_driver_manager import Error

        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Error:
                logging.getLogger("lifecycle").debug("%s: the connection was closed already", self.origin)


def _copy(cursor: Any, contract: Contract, file: Path) -> None:
    """Append a Parquet file's rows, a part at a time."""
    batches = (_conformed(contract, batch) for batch in pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS))
    empty = _conformed(contract, None)
    reader = pa.RecordBatchReader.from_batches(empty.schema, (b for table in batches for b in table.to_batches()))
    cursor.adbc_ingest(contract.table, reader, mode="append", db_schema_name=contract.area)


def _conformed(contract: Contract, batch: pa.RecordBatch | None) -> pa.Table:
    frame = contract.empty() if batch is None else pl.DataFrame(pl.from_arrow(batch))
    missing = [pl.lit(None).alias(name) for name in contract.missing(frame.lazy())]
    rows = contract.conform(frame.lazy().with_columns(missing)).collect()
    # PostgreSQL has no zero character in texts.
    return rows.with_columns(pl.col(pl.String).str.replace_all("\0", "", literal=True)).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )


def _series(name: str, column: pa.ChunkedArray) -> pl.Series:
    if not isinstance(column.type, pa.BaseExtensionType):
        return pl.Series(name, column)
    # A type that Arrow has no name for comes with the text that stands for it; that of numeric is a number.
    texts = pl.Series(name, column.cast(column.type.storage_type))
    if column.type.type_name != "numeric":
        return texts
    decimals = max(texts.str.extract(r"\.(\d+)$").str.len_chars().drop_nulls().to_list(), default=0)
    return texts.str.to_decimal(scale=min(decimals, MOST_DECIMALS))


def _mark(files: Sequence[Path]) -> str:
    """Changes when a file does; a table written again byte for byte keeps its file."""
    stats = [(file.name, file.stat()) for file in files]
    return hashlib.sha256(repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats]).encode()).hexdigest()


def _indexes(contract: Contract) -> list[tuple[str, ...]]:
    """What people look up beyond the key: a customer's or a product's rows, and a shop's where there is no key."""
    key = contract.primary_key
    looked_up = [c for c in ("customer_id", "product_id") if c in contract.columns and key[:2] != ["shop_id", c]]
    return [*([] if key else [("shop_id",)]), *(("shop_id", column) for column in looked_up)]


def _grants(contract: Contract) -> list[str]:
    name = f"{quoted(contract.area)}.{quoted(contract.table)}"
    harmless = ", ".join(quoted(column) for column in contract.columns if not contract.is_personal(column))
    return [
        *([f"GRANT SELECT ON {name} TO {READER}"] if contract.area in WITHOUT_PEOPLE else []),
        f"GRANT SELECT ({harmless}) ON {name} TO {ANALYST}",
        f"GRANT SELECT ON {name} TO {OPERATOR}",
    ]


def _roles(cursor: Any) -> None:
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'lifecycle\\_%'")
    there = {name for (name,) in cursor.fetchall()}
    for role in (READER, ANALYST, OPERATOR):
        if role not in there:
            _run(cursor, f"CREATE ROLE {role} NOLOGIN")
    for area in AREAS:
        allowed = [ANALYST, OPERATOR, *([READER] if area in WITHOUT_PEOPLE else [])]
        _run(
            cursor,
            f"CREATE SCHEMA IF NOT EXISTS {quoted(area)}; GRANT USAGE ON SCHEMA {quoted(area)} TO {', '.join(allowed)}",
        )


def _run(cursor: Any, statements: str) -> None:
    for statement in statements.split(";\n" if ";\n" in statements else "; "):
        if statement.strip(" ;\n"):
            cursor.execute(statement.strip().rstrip(";"))
