"""Puts batches into a folder of their own, whole or not at all: `<home>/dispatch/<shop>/<as_of>/<batch_id>/`.

A batch is written under a hidden name, every file and the folder are fsynced, and one rename lets it appear. A sending
tool that watches for `<batch_id>/manifest.json` never sees half a batch.
"""

import datetime as dt
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from resources.files import fsync

MANIFEST = "manifest.json"
_UNFINISHED = ".writing-"


class Delivery:
    """Batches as folders below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def night(self, shop: str, as_of: dt.date) -> Path:
        """The folder of all batches of a night."""
        return self.root / shop / as_of.isoformat()

    def nights(self, shop: str) -> list[dt.date]:
        """The nights that have folders, oldest first."""
        return sorted(dt.date.fromisoformat(path.name) for path in (self.root / shop).glob("????-??-??"))

    def folder(self, shop: str, as_of: dt.date, batch_id: str) -> Path:
        return self.night(shop, as_of) / batch_id

    def found(self, shop: str, as_of: dt.date, batch_id: str) -> bool:
        """Whether the batch is there, whole."""
        return (self.folder(shop, as_of, batch_id) / MANIFEST).exists()

    def put(
        self,
        shop: str,
        as_of: dt.date,
        batch_id: str,
        files: Mapping[str, Callable[[BinaryIO], None]],
        manifest: Callable[[Mapping[str, str]], bytes],
    ) -> None:
        """Let the batch appear with all its files and its manifest; a batch that is there already stays as it is.

        The caller holds the shop's ledger lock, so whatever another run left half-written here is dead and is removed.
        """
        target = self.folder(shop, as_of, batch_id)
        if self.found(shop, as_of, batch_id):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        for dead in target.parent.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(dead)
        temporary = target.parent / f"{_UNFINISHED}{uuid.uuid4().hex}"
        temporary.mkdir()
        hashes = {name: _write(temporary / name, write) for name, write in files.items()}
        content = manifest(hashes)
        _write(temporary / MANIFEST, lambda handle: handle.write(content))
        fsync(temporary)
        temporary.rename(target)
        fsync(target.parent)


def _write(path: Path, write: Callable[[BinaryIO], Any]) -> str:
    """Write and fsync a file; returns its SHA-256 in hex."""
    with path.open("w+b") as handle:
        write(handle)
        handle.flush()
        os.fsync(handle.fileno())
        handle.seek(0)
        return hashlib.file_digest(handle, "sha256").hexdigest()
