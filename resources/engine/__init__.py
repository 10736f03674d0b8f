"""Where roll-up SQL runs: in DuckDB, or on a Spark cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lifecycle_assets.contracts import Contract
from lifecycle_assets.sql import Sql


class Engine(Protocol):
    def run(self, sql: Sql, sources: Mapping[str, Sequence[Path]], contract: Contract, target: Path) -> None:
        """Write the statement's rows to `target` in the contract's columns, types and key order; `sources` holds the Parquet
        files of every `area.table` that the statement names."""
