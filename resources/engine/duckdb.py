"""Runs roll-up SQL from Parquet to Parquet in DuckDB: streaming, spilling to disk beyond a memory limit."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lifecycle_assets.contracts import Contract
from lifecycle_assets.sql import Sql


class DuckDBEngine:
    """`run` writes the result of one statement; every call has its own in-memory database, so nothing is shared."""

    dialect = "duckdb"

    def __init__(self, memory_limit: str = "6GB", threads: int | None = None) -> None:
        self.memory_limit = memory_limit
        self.threads = threads

    def run(self, sql: Sql, sources: Mapping[str, Sequence[Path]], contract: Contract, target: Path) -> None:
        """Write the statement's rows to `target` in the contract's columns, types and key order.

        `sources` holds the Parquet files of every `area.table` that the statement names.
        """
        with self._connect(target.parent) as connection:
            for name, files in sources.items():
                area, _, table = name.partition(".")
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{area}"')
                relation = connection.read_parquet([str(file) for file in files], union_by_name=len(files) > 1)
                relation.create_view(f"_{area}_{table}")
                connection.execute(f'CREATE VIEW "{area}"."{table}" AS FROM "_{area}_{table}"')
            columns = ", ".join(f'CAST("{c}" AS {kind}) AS "{c}"' for c, kind in contract.sql_types().items())
            # One slice holds one shop and one date: sorting by them as well would only cost.
            keys = [column for column in contract.primary_key if column not in {"shop_id", "as_of"}]
            order = ", ".join(f'"{column}"' for column in keys) or "ALL"
            connection.execute(
                f"COPY (SELECT {columns} FROM ({sql.to(self.dialect)}) ORDER BY {order}) "  # noqa: S608
                f"TO {_quoted(target)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
            )

    @contextmanager
    def _connect(self, beside: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with tempfile.TemporaryDirectory(dir=beside, prefix=".spill-") as spill:
            config: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": self.memory_limit,
                "temp_directory": spill,
            }
            if self.threads:
                config["threads"] = self.threads
            connection = duckdb.connect(":memory:", config=config)
            try:
                connection.execute("SET TimeZone = 'UTC'")
                yield connection
            finally:
                connection.close()


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
