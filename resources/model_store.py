"""Where trained models lie: every version whole, hashed and never changed, and which of them is in force.

    models/<shop>/<name>/<version>/card.json           what it is: candidate, parameters, features, figures, drivers
    models/<shop>/<name>/<version>/evaluation.parquet  the rows of its evaluation table
    models/<shop>/<name>/<version>/...                 the model itself, in its library's own format; never a pickle
    models/<shop>/<name>/<version>/SHA256SUMS          the hash of each of these (`sha256sum --check` reads it)
    models/<shop>/<name>/withdrawn.json                versions taken back by hand

A version is written beside and appears by one rename: before it the old champion is in force, after it the new one, and a
process that dies in between changes nothing. Of the versions that were to take over and have not been withdrawn, the one
trained last on or before a day is that day's champion, so that a night run again never meets a model from its future.
Files whose hash is another one than recorded are refused; loading reads data and executes nothing.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle_assets.errors import LifecycleError, ModelStoreError
from resources.files import alone, fsync, replace

CARD, EVALUATION, SUMS, WITHDRAWN = "card.json", "evaluation.parquet", "SHA256SUMS", "withdrawn.json"
DEAD_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Version:
    """One training of one model: its card, without the model. `sha256` is the hash of all its files' hashes."""

    name: str
    version: int
    trained_as_of: dt.date
    takes_over: bool
    is_withdrawn: bool
    is_champion: bool
    card: dict[str, Any]
    sha256: str
    path: Path


@dataclass(frozen=True)
class Stored:
    """A version as it was put, hashes checked."""

    version: int
    trained_as_of: dt.date
    card: dict[str, Any]
    files: dict[str, bytes]
    evaluation: pl.DataFrame


class ModelStore:
    """The models of a home."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        shop: str,
        name: str,
        trained_as_of: dt.date,
        files: Mapping[str, bytes],
        card: dict[str, Any],
        evaluation: pl.DataFrame,
        *,
        takes_over: bool = True,
    ) -> int:
        """Store a version and return its number; with `takes_over` it is the champion from then on. One that does not take
        over is kept for the record alone. `card` is JSON, `files` are plain names with their bytes."""
        reserved = {CARD, EVALUATION, SUMS}
        if wrong := [file for file in files if file in reserved or Path(file).name != file or file.startswith(".")]:
            raise ModelStoreError(f"{shop}/{name}: {', '.join(wrong)} cannot be the name of a model's file")
        parquet = BytesIO()
        evaluation.write_parquet(parquet)
        described = {"trained_as_of": trained_as_of.isoformat(), "takes_over": takes_over, "card": card}
        content = {
            **files,
            CARD: f"{json.dumps(described, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)}\n".encode(),
            EVALUATION: parquet.getvalue(),
        }
        content[SUMS] = _sums(content)
        with self._lock(shop):
            version = max(self._numbers(shop, name), default=0) + 1
            folder = self._folder(shop, name) / str(version)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._work(), prefix=f"{shop}-{name}-") as work:
                beside = Path(work) / "version"
                beside.mkdir()
                for file, data in content.items():
                    (beside / file).write_bytes(data)
                    fsync(beside / file)
                fsync(beside)
                beside.rename(folder)
            fsync(folder.parent)
        return version

    def champion(self, shop: str, name: str, as_of: dt.date) -> Stored | None:
        """The version in force at the end of `as_of`: never one trained later."""
        return next((self.load(version) for version in self.versions(shop, name, as_of) if version.is_champion), None)

    def latest(self, shop: str, name: str, as_of: dt.date) -> Version | None:
        """The version trained last on or before `as_of`, whether it took over or not."""
        return max(self.versions(shop, name, as_of), key=_training, default=None)

    def load(self, version: Version) -> Stored:
        """The version with its files. Raises ModelStoreError where one is missing or is not as it was put."""
        content = {file: self._read(version.path, file) for file in _recorded(version.path)}
        evaluation = pl.read_parquet(BytesIO(content.pop(EVALUATION)))
        del content[CARD]
        return Stored(version.version, version.trained_as_of, version.card, content, evaluation)

    def versions(self, shop: str, name: str, as_of: dt.date = dt.date.max) -> list[Version]:
        """Every version trained on or before `as_of`, the first one first; the champion is that of the end of `as_of`."""
        withdrawn = self._withdrawn(shop, name)
        every = [self._version(shop, name, number, number in withdrawn) for number in self._numbers(shop, name)]
        known = [version for version in every if version.trained_as_of <= as_of]
        champion = max(filter(_stands, known), key=_training, default=None)
        return [dataclasses.replace(version, is_champion=version is champion) for version in known]

    def is_whole(self, version: Version) -> bool:
        """Whether every file of the version is there and as it was put."""
        try:
            self.load(version)
        except ModelStoreError:
            return False
        return True

    def names(self, shop: str) -> list[str]:
        """The models that the shop has versions of."""
        return sorted(path.name for path in (self.root / _safe(shop)).glob("*") if path.is_dir())

    def rollback(self, shop: str, name: str) -> Version:
        """Withdraw the champion and return the version in force instead.

        The withdrawn version still counts as the latest training, so that its successor is trained when it would have been.
        Raises ModelStoreError where there is no earlier version to go back to.
        """
        with self._lock(shop):
            standing = sorted(filter(_stands, self.versions(shop, name)), key=_training)
            if len(standing) < 2:
                known = ", ".join(self.names(shop)) or "none"
                raise ModelStoreError(
                    f"{shop}/{name}: {len(standing) or 'no'} version that may be in force, so there is none to go back to "
                    f"(models of {shop}: {known})"
                )
            withdrawn = sorted({*self._withdrawn(shop, name), standing[-1].version})
            replace(self._folder(shop, name) / WITHDRAWN, f"{json.dumps(withdrawn)}\n".encode())
            return standing[-2]

    # --- helpers ---

    def _version(self, shop: str, name: str, number: int, is_withdrawn: bool) -> Version:
        folder = self._folder(shop, name) / str(number)
        described = json.loads(self._read(folder, CARD))
        return Version(
            name=name,
            version=number,
            trained_as_of=dt.date.fromisoformat(described["trained_as_of"]),
            takes_over=described["takes_over"],
            is_withdrawn=is_withdrawn,
            is_champion=False,
            card=described["card"],
            sha256=hashlib.sha256((folder / SUMS).read_bytes()).hexdigest(),
            path=folder,
        )

    def _read(self, folder: Path, file: str) -> bytes:
        """The file's bytes, if they are those that were put there."""
        recorded = _recorded(folder)
        path = folder / file
        if file not in recorded or not path.exists():
            raise ModelStoreError(f"{path} is missing: restore the folder {folder} or delete it; nothing was loaded")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != recorded[file]:
            raise ModelStoreError(
                f"{path} is not the file that was stored: its SHA-256 differs from {SUMS}. It was not loaded. "
                f"Restore the folder {folder}, or delete it: the version before is then in force."
            )
        return content

    def _numbers(self, shop: str, name: str) -> list[int]:
        folders = self._folder(shop, name).glob("*")
        return sorted(int(folder.name) for folder in folders if folder.is_dir() and folder.name.isdecimal())

    def _withdrawn(self, shop: str, name: str) -> list[int]:
        path = self._folder(shop, name) / WITHDRAWN
        return json.loads(path.read_text("utf-8")) if path.exists() else []

    def _folder(self, shop: str, name: str) -> Path:
        return self.root / _safe(shop) / _safe(name)

    def _work(self) -> Path:
        """Where unfinished versions lie; what a killed run left there goes after a day."""
        folder = self.root / ".work"
        folder.mkdir(parents=True, exist_ok=True)
        for dead in folder.iterdir():
            if dead.stat().st_mtime < time.time() - DEAD_SECONDS:
                shutil.rmtree(dead, ignore_errors=True)
        return folder

    def _lock(self, shop: str) -> AbstractContextManager[None]:
        return alone(self.root / ".locks" / _safe(shop))


def _stands(version: Version) -> bool:
    return version.takes_over and not version.is_withdrawn


def _training(version: Version) -> tuple[dt.date, int]:
    return version.trained_as_of, version.version


def _sums(content: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, data in sorted(content.items())).encode()


def _recorded(folder: Path) -> dict[str, str]:
    """File -> its SHA-256, as the folder's list has it."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ModelStoreError(f"{folder / SUMS} is missing or damaged: restore the folder or delete it") from error
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _safe(name: str) -> str:
    if not name or name.startswith(".") or Path(name).name != name:
        raise LifecycleError(f"'{name}' is not the name of a shop or a model: use letters, digits, - and _")
    return name
