"""What the inputs are to the code that maps and cleans them: named tables, read in batches of bounded size.

`resources.sources` stands behind these for files and databases; `DerivedFeed` is a table made from several others.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

BROKEN = pl.Schema({"number": pl.Int64, "line": pl.String, "message": pl.String})
BATCH_ROWS = 250_000


@dataclass(frozen=True)
class Batch:
    """Some rows of an input, as they were read: text from CSV, typed from Parquet and databases.

    `numbers` are the rows' positions in the whole input, from 1; `broken` are lines that could not be read as rows, with
    positions of their own in the same count (columns number, line, message).
    """

    rows: pl.DataFrame
    numbers: pl.Series
    broken: pl.DataFrame


class Feed(Protocol):
    """One table of an input."""

    @property
    def origin(self) -> str:
        """What people call it: a file, a folder of parts or a database table."""

    @property
    def columns(self) -> Sequence[str]:
        """The input's own column names; a name that occurs twice is numbered from its second occurrence on."""

    @property
    def repeated(self) -> frozenset[str]:
        """Column names that the input uses more than once."""

    def batches(self) -> Iterator[Batch]:
        """All rows in order. Raises InputNotReadyError when the input changed meanwhile, InputError when it is unreadable."""

    def scan(self) -> pl.LazyFrame:
        """All rows as one lazy frame, broken lines left aside."""

    def fingerprint(self) -> str:
        """Changes when the input changes."""


class Source(Protocol):
    """All tables of one shop's input."""

    @property
    def origin(self) -> str:
        """The folder, file or database, without any password."""

    def names(self) -> list[str]:
        """The tables that there are."""

    def find(self, *names: str) -> Feed | None:
        """The table that goes by one of these names (`*` matches anything), or None."""


@dataclass(frozen=True)
class DerivedFeed:
    """A table that a format computes from other tables of the same input."""

    origin: str
    frame: pl.DataFrame
    made_from: tuple[Feed, ...]
    repeated: frozenset[str] = frozenset()

    @property
    def columns(self) -> Sequence[str]:
        return self.frame.columns

    def batches(self) -> Iterator[Batch]:
        for start in range(0, self.frame.height, BATCH_ROWS):
            rows = self.frame.slice(start, BATCH_ROWS)
            yield Batch(rows, numbers(start + 1, rows.height), no_broken())

    def scan(self) -> pl.LazyFrame:
        return self.frame.lazy()

    def fingerprint(self) -> str:
        return hashlib.sha256("".join(feed.fingerprint() for feed in self.made_from).encode()).hexdigest()


def whole(feed: Feed) -> pl.DataFrame:
    """All rows of a feed in one frame, broken lines left aside; a column that a part lacks is null there."""
    frames = [batch.rows for batch in feed.batches()]
    return (
        pl.concat(frames, how="diagonal_relaxed")
        if frames
        else pl.DataFrame(schema=dict.fromkeys(feed.columns, pl.String))
    )


def numbers(first: int, count: int) -> pl.Series:
    """The positions first, first + 1, ... of `count` rows."""
    return pl.int_range(first, first + count, dtype=pl.Int64, eager=True).alias("number")


def no_broken() -> pl.DataFrame:
    return pl.DataFrame(schema=BROKEN)
