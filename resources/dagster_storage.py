"""Dagster's own storage in SQLite, with files that stay open while a run writes to them.

Dagster opens a file anew for every event, some forty times an asset, and waits for the disk each time: a quarter of a small
night. Here the two files that a run writes to stay open until it ends, and a commit waits for the operating system alone: a
machine that loses power may lose the last events of a run, never a file. Folders, files and tables are Dagster's; processes
that run nothing, the web server and the daemon, go Dagster's way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.event import listen
from sqlalchemy.pool import QueuePool

# Told by the process that runs something; a step of its own process has no start of the run.
BEGINS = {DagsterEventType.RUN_START, DagsterEventType.STEP_START}
ENDS = {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in SQLite files under `base_dir`, with an event log whose files stay open during a run."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(str(Path(base_dir) / "history" / "runs"))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "SqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)


class EventLog(SqliteEventLogStorage):
    """Dagster's events in SQLite; the files of the run that this process runs stay open."""

    def __init__(self, base_dir: str) -> None:
        self._kept: dict[str, Engine] = {}
        super().__init__(base_dir)

    def store_event(self, event: EventLogEntry) -> None:
        if event.dagster_event_type in BEGINS:
            self._keep(event.run_id)
            self._keep(INDEX_SHARD_NAME)
        super().store_event(event)
        if event.dagster_event_type in ENDS:
            self._close()

    def dispose(self) -> None:
        super().dispose()
        self._close()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        if engine := self._kept.get(shard):
            with self._db_lock, engine.connect() as connection, connection.begin():
                yield connection
        else:
            with super()._connect(shard) as connection:
                yield connection

    def _keep(self, shard: str) -> None:
        if shard in self._kept:
            return
        with super()._connect(shard):
            pass  # Its tables are made.
        engine = create_engine(
            self.conn_string_for_shard(shard),
            poolclass=QueuePool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        listen(engine, "connect", _wait_for_no_disk)
        self._kept[shard] = engine

    def _close(self) -> None:
        while self._kept:
            self._kept.popitem()[1].dispose()


def _wait_for_no_disk(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
