"""What writing to disk for good takes."""

import os
import shutil
import uuid
from pathlib import Path


def fsync(path: Path) -> None:
    """Have the file's bytes, or the folder's names, on disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Make `content` the file's content in one step; a file that holds it already is left alone."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def link_over(source: Path, target: Path) -> None:
    """Make `target` another name of `source`, replacing what was there in one step."""
    temporary = target.with_name(f".link-{uuid.uuid4().hex}")
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, temporary)
        fsync(temporary)
    temporary.replace(target)
    fsync(target.parent)
