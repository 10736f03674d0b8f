"""Reads settings from YAML, and says what is wrong with them: every problem, with its place, value and nearest neighbour."""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lifecycle_assets.errors import SettingsError

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
        raise SettingsError(_explain(model, error, where)) from error


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


def _explain(model: type[BaseModel], error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        path = [str(part) for part in problem["loc"]]
        place = ".".join(path) or "(top)"
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path[-1], _keys(model, path[:-1]), n=1, cutoff=0)
            lines.append(f"{place}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
        elif problem["type"] == "missing":
            lines.append(f"{place}: required, and not there")
        else:
            given = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
            lines.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}{given}")
    return f"{where}: {len(lines)} problem(s)\n" + "\n".join(f"  {line}" for line in lines)


def _keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    for part in path:
        annotation: Any = model.model_fields[part].annotation if part in model.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if inner:
            model = inner[0]
    return list(model.model_fields)
