"""Reads settings from YAML, and says what is wrong with them: every problem, with its place, value and nearest neighbour."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings.base import nearest

Settings = TypeVar("Settings", bound=BaseModel)


def parse(model: type[Settings], text: str, where: str, overrides: Sequence[str] = ()) -> Settings:
    """Read a YAML document into a settings model; `overrides` are `dotted.key=value` pairs that win over the file.

    Raises SettingsError listing every problem with its place, value and, for an unknown key, its nearest neighbour.
    """
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{where}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: expected `key: value` lines, got {type(data).__name__}")
    for override in overrides:
        _override(data, override)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(_explain(model, error, data, where)) from error


def _override(data: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals or not path:
        raise SettingsError(f"--set {override}: expected dotted.key=value, e.g. customer.rfm.bins=4")
    *parents, last = path.strip().split(".")
    for part in parents:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"--set {override}: {part} is a single value, it has no settings inside")
        data = inner
    data[last] = yaml.safe_load(value)


def _explain(model: type[BaseModel], error: ValidationError, data: dict[str, Any], where: str) -> str:
    found: list[tuple[tuple[str, ...], str]] = []
    for problem in error.errors():
        path = problem["loc"]
        place = _written(path, data)
        if problem["type"] == "extra_forbidden":
            said = "no such setting" + nearest(str(path[-1]), _keys(model, path[:-1]))
        elif problem["type"] == "missing":
            place, said = (*place, str(path[-1])), "required, and not there"
        else:
            given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
            said = problem["msg"].removeprefix("Value error, ") + given
        found += [(place, line) for line in said.splitlines()]
    lines = [
        ".".join(place) + (": " if place else "") + said
        for place, said in found
        # Where a part is wrong, the whole is only wrong because of it.
        if not any(other[: len(place)] == place and other != place for other, _ in found)
    ]
    return f"{where}: {len(lines)} problem(s)\n" + "\n".join(f"  {line}" for line in lines)


def _written(path: Sequence[str | int], data: Any) -> tuple[str, ...]:
    """The parts of a problem's place that stand in the file; the others are names of forms that were tried."""
    parts = []
    for part in path:
        if (isinstance(data, dict) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]
            parts.append(str(part))
    return tuple(parts)


def _keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The settings that the group at the path may have."""
    groups = [model]
    for part in path:
        fields = [
            field for group in groups for name, field in group.model_fields.items() if part in (name, field.alias)
        ]
        tried = [group for group in groups if group.__name__ == part]
        groups = tried or [inner for field in fields for inner in _groups(field.annotation)] or groups
    return [field.alias or name for group in groups for name, field in group.model_fields.items()]


def _groups(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [group for inner in get_args(annotation) for group in _groups(inner)]
