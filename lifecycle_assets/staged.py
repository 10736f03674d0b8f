"""What an asset returns when it has written its rows itself."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Staged:
    """A table streamed to a file, for the warehouse to publish and remove."""

    path: Path


@dataclass(frozen=True)
class Appended:
    """An append-only table that its asset has added its new rows to, if there were any."""

    rows: int
