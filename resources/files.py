"""What writing to disk for good takes."""

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Have the file's bytes, or the folder's names, on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
