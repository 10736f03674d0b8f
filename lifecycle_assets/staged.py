"""A table that its asset has streamed to a file already, for the warehouse to publish and remove."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Staged:
    path: Path
