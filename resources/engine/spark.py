"""Runs roll-up SQL on a Spark cluster: the statements, the files and the finished table are those of the DuckDB engine.

Spark reads the lake's Parquet files where they lie and leaves its rows beside the target, so the driver and every executor
must see the lake under the same path. DuckDB then puts these rows into the contract's columns, types and order.
"""

import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from lifecycle_assets.contracts import Contract
from lifecycle_assets.errors import LifecycleError, SettingsError
from lifecycle_assets.sql import Sql
from resources.engine.duckdb import DuckDBEngine

# What makes a statement mean in Spark what it means in DuckDB, whatever the cluster's own defaults are.
MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # an overflow is an error, not a null
    "spark.sql.variable.substitute": "false",  # ${...} in a literal is text
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
}
MADE = "spark.made"


class SparkEngine:
    """`run` writes the result of one statement. The session starts with the first one and ends with the process, or at
    `close`; statements share nothing in it, and SparkMap uses it as well."""

    def __init__(self, master: str, finisher: DuckDBEngine) -> None:
        """`master` is Spark's, e.g. `local[*]` or `spark://host:7077`; `finisher` puts Spark's rows into the table's file."""
        self.master = master
        self.finisher = finisher

    def run(self, sql: Sql, sources: Mapping[str, Sequence[Path]], contract: Contract, target: Path) -> None:
        """Write the statement's rows to `target` in the contract's columns, types and key order.

        `sources` holds the Parquet files of every `area.table` that the statement names. Raises SettingsError where Spark
        or Java is not installed, LifecycleError where the master gives no session.
        """
        session = self.session.newSession()
        for key, value in MEANING.items():
            session.conf.set(key, value)
        for name, files in sources.items():
            reader = session.read.option("mergeSchema", len(files) > 1)
            reader.parquet(*map(_pattern, files)).createOrReplaceTempView(_view(*name.split(".")))
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".spark-") as folder:
            rows = Path(folder) / "rows"
            session.sql(in_spark(sql)).write.parquet(_location(rows), compression="zstd")
            parts = sorted(rows.glob("part-*.parquet"))
            self.finisher.run(Sql(f"SELECT * FROM {MADE}"), {MADE: parts}, contract, target)  # noqa: S608 - a constant

    def close(self) -> None:
        """End the session, if one was started; the next statement starts another."""
        if session := self.__dict__.pop("session", None):
            atexit.unregister(self.close)
            session.stop()

    @cached_property
    def session(self) -> Any:
        """Spark's session; raises as `run` does."""
        try:
            from py4j.protocol import Py4JError
            from pyspark.errors import PySparkException
            from pyspark.sql import SparkSession
        except ImportError:
            raise SettingsError(
                "lifecycle.yaml: engine is spark, but pyspark is not installed: pip install 'lifecycle_assets[spark]', "
                "or set engine: duckdb"
            ) from None
        if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
            raise SettingsError(
                "lifecycle.yaml: engine is spark, but there is no Java: install Java 17 or newer "
                "(Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME to one, or set engine: duckdb"
            )
        # Spark's own default is any python3 that an executor finds; what SparkMap sends there needs this one's libraries.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master(self.master).appName("lifecycle")
        try:
            session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
        except (PySparkException, Py4JError) as error:
            raise LifecycleError(
                f"lifecycle.yaml: spark_master {self.master} gave no session: {_first_line(error)} "
                "Look whether the cluster is up, runs the Spark version of pyspark here, and has a core free"
            ) from error
        atexit.register(self.close)
        return session


def in_spark(sql: Sql) -> str:
    """The statement in Spark's SQL, over one view for each table; raises sqlglot's UnsupportedError where it cannot be
    said there."""
    tree = sql.parsed()
    for table in list(tree.find_all(exp.Table)):
        if table.db:
            table.replace(exp.table_(_view(table.db, table.name)).as_(table.alias or table.name))
    # The innermost first, so that a cast within a cast is in its place when the outer one is copied.
    for cast in reversed(list(tree.find_all(exp.Cast))):
        if cast.to.is_type(exp.DataType.Type.DECIMAL):
            cast.replace(_rounded(cast))
    return tree.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False)


def _rounded(cast: exp.Cast) -> exp.Expr:
    """A cast of a double to a decimal, rounded as DuckDB rounds: the double times a power of ten, half away from zero. Spark
    itself rounds the shortest decimal that reads as the double; the two part where that product falls on a tie or off it."""
    precision, scale = (int(size.name) for size in cast.to.expressions)
    exact = sqlglot.parse_one(
        f"CAST(CAST(ROUND(:value * 1e{scale}) AS DECIMAL({38 - scale}, 0)) * {10**-scale:.{scale}f} "
        f"AS DECIMAL({precision}, {scale}))"
    )
    return exp.replace_placeholders(exact, value=exp.paren(cast.this))


def _view(area: str, table: str) -> str:
    return f"{area}__{table}"


def _location(file: Path) -> str:
    """The path with its scheme, because a cluster's default need not be files."""
    return f"file://{file.absolute()}"


def _pattern(file: Path) -> str:
    """The pattern that only this file answers to: Spark reads by patterns, and writes by paths."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", _location(file))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
