"""What writing to disk for good takes."""

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".unfinished-"
DEAD_SECONDS = 24 * 3600


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the file `lock`: of all processes that ask for it one goes on at a time. A process that dies lets go of it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fsync(path: Path) -> None:
    """Have the file's bytes, or the folder's names, on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def beside(path: Path) -> Path:
    """A new name in the folder of `path` for a file that is to replace it. What killed runs left there goes after a day."""
    for dead in path.parent.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):
            # The time of the change of the inode: a new name of an old file has the old file's other time.
            if dead.stat().st_ctime < time.time() - DEAD_SECONDS:
                dead.unlink()
    return path.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")


def replace(path: Path, content: bytes) -> None:
    """Make `content` the file's content in one step; a file that holds it already is left alone."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = beside(path)
    try:
        temporary.write_bytes(content)
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def link_over(source: Path, target: Path) -> None:
    """Make `target` another name of `source`, replacing what was there in one step."""
    temporary = beside(target)
    try:
        try:
            os.link(source, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, temporary)
            fsync(temporary)
        temporary.replace(target)
        fsync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
