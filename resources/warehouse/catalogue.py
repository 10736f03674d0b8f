"""`lifecycle.duckdb`: a view for every table, with the contract's comments, over the lake's Parquet files.

It holds no data. A change is made in a copy, which then replaces the file in one step: a reader that is connected keeps
the views it began with, the next one to connect sees the new ones, and nobody waits.
"""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl

from lifecycle_assets.contracts import AREAS, Contract, comments
from lifecycle_assets.errors import LifecycleError
from resources.files import beside, fsync

EVERY_NIGHT = (
    " Every night's rows, told apart by as_of; what is called the same without _history has the night that ran last."
)


class Catalogue:
    def __init__(self, path: Path, contracts: Sequence[Contract]) -> None:
        self.path = path
        self.contracts = contracts

    def point(self, contract: Contract, files: Sequence[Path], slices: str | None, history: str | None) -> None:
        """Let the view of `contract` read `files` (and the files matching `slices`); with `history`, a glob, let
        `<table>_history` read the dated slices. Nothing is written where the views say so already. The caller holds
        the catalogue's lock."""
        current = [str(file) for file in files] + ([slices] if slices else [])
        past = [str(files[0]), history or str(files[0])]
        signature = hashlib.sha256(repr((contract.ddl(), current, past)).encode()).hexdigest()
        before = self._signature(contract.name)
        if before == signature:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(self.path)
        try:
            if before is not None:
                shutil.copyfile(self.path, temporary)
            connection = duckdb.connect(str(temporary))
            try:
                connection.execute("BEGIN")
                if before is None:
                    for area in (*AREAS, "lake"):
                        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{area}"')
                    connection.execute("CREATE TABLE lake.views (name VARCHAR PRIMARY KEY, signature VARCHAR)")
                _view(connection, contract, contract.table, current, "")
                if contract.history:
                    _view(connection, contract, f"{contract.table}_history", past, EVERY_NIGHT)
                connection.execute("INSERT OR REPLACE INTO lake.views VALUES (?, ?)", [contract.name, signature])
                connection.execute("COMMIT")
            finally:
                connection.close()
            fsync(temporary)
            temporary.replace(self.path)
            fsync(self.path.parent)
        finally:
            temporary.unlink(missing_ok=True)
            temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)

    def _signature(self, name: str) -> str | None:
        """What the table's views were made of; empty where it has none. None without a catalogue, and for a damaged one, which
        is then made anew, table by table, as they are published. (To open it is most of the work: once is enough.)"""
        if not self.path.exists():
            return None
        try:
            with self.connect() as connection:
                row = connection.execute("SELECT signature FROM lake.views WHERE name = ?", [name]).fetchone()
        except duckdb.Error:
            return None
        return row[0] if row else ""

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A read-only connection to the views as they are now."""
        return duckdb.connect(str(self.path), read_only=True)

    def query(self, sql: str) -> pl.DataFrame:
        """The rows of one SELECT over the views. Files outside the warehouse cannot be read, nothing can be written.

        Raises LifecycleError for anything but one SELECT, and with the engine's message where the SELECT is wrong.
        """
        if not self.path.exists():
            raise LifecycleError(f"{self.path} does not exist yet: nothing was run in this home")
        with self.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET allowed_directories = ['{_escaped(self.path.parent)}']")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            try:
                statements = connection.extract_statements(sql)
                # EXPLAIN is left out: EXPLAIN ANALYZE runs what it explains, a COPY over the tables' files for instance.
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise LifecycleError("only one SELECT (or DESCRIBE, SHOW) at a time: the tables are read-only")
                return connection.sql(statements[0].query).pl()
            except duckdb.Error as error:
                raise LifecycleError(f"the query failed: {error}") from error


def _view(connection: duckdb.DuckDBPyConnection, contract: Contract, name: str, files: list[str], note: str) -> None:
    columns = ", ".join(f'"{column}"' for column in contract.columns)
    paths = ", ".join(f"'{_escaped(file)}'" for file in files)
    view = f'"{contract.area}"."{name}"'
    connection.execute(
        f"CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM read_parquet([{paths}], union_by_name = true)"  # noqa: S608
    )
    shown = replace(contract, table=name, description=contract.description + note)
    for statement in comments(shown, kind="VIEW"):
        connection.execute(statement)


def _escaped(path: object) -> str:
    return str(path).replace("'", "''")
