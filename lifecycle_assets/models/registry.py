"""Which models does the shop have, how good is each, and which one is in force?

The model store as a table: one row per version trained on or before as_of, those that were not taken or were withdrawn among
them, with the hash of their files and of the rows that they learnt from.
"""

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import dataframely as dy
import polars as pl

from lifecycle_assets.contracts import as_of_column, date, flag, key, shop_key, table, text


@table("models.registry")
class Registry(dy.Schema):
    """Every stored version of every model that was trained on or before as_of."""

    shop_id = shop_key()
    as_of = as_of_column()
    model = key("The model.")
    version = dy.Int64(primary_key=True, min=1, description="Its version, counted from 1.")
    trained_as_of = date("The night on which it was trained; nothing later was learnt from.")
    is_champion = flag("In force at the end of as_of.")
    candidate = text("Kind of model; null where nothing could be learnt.")
    data_fingerprint = text("SHA-256 of the rows learnt from.")
    metrics = text("Figures of all candidates, as JSON; see the model's evaluation table.")
    parameters = text("Settings of the model, as JSON.")
    file = text("Folder of its files, below the home.", nullable=False)
    sha256 = text("SHA-256 of the list of its files' hashes.", nullable=False)
    note = text("What to know about it.")


class Version(Protocol):
    """What the model store tells of a version."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def trained_as_of(self) -> dt.date: ...
    @property
    def is_champion(self) -> bool: ...
    @property
    def is_withdrawn(self) -> bool: ...
    @property
    def card(self) -> dict[str, Any]: ...
    @property
    def sha256(self) -> str: ...
    @property
    def path(self) -> Path: ...


def registry(versions: Iterable[Version], home: Path, shop_id: str, as_of: dt.date) -> pl.DataFrame:
    """The table, ordered by model and version; `home` is the folder that `file` starts from."""
    rows = [
        {
            "shop_id": shop_id,
            "as_of": as_of,
            "model": version.name,
            "version": version.version,
            "trained_as_of": version.trained_as_of,
            "is_champion": version.is_champion,
            "candidate": version.card.get("candidate"),
            "data_fingerprint": version.card.get("data_fingerprint"),
            "metrics": _json(version.card.get("metrics")),
            "parameters": _json(version.card.get("parameters")),
            "file": version.path.relative_to(home).as_posix(),
            "sha256": version.sha256,
            "note": _note(version),
        }
        for version in versions
    ]
    return pl.DataFrame(rows, schema=Registry.polars_schema).sort("model", "version")


def _note(version: Version) -> str | None:
    said = ["Withdrawn by hand."] if version.is_withdrawn else []
    said += [version.card.get("not_taken") or version.card.get("note") or ""]
    return " ".join(filter(None, said)) or None


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
