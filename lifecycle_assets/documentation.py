"""The pages made from the code: the data dictionary from the contracts, the settings page from the settings models.

python -m lifecycle_assets.documentation docs      writes docs/data_dictionary.md and docs/settings.md (make docs)
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from lifecycle_assets.contracts import Contract
from lifecycle_assets.settings import Deployment, Shop


def data_dictionary(contracts: Iterable[Contract]) -> str:
    """Markdown: every table with its columns, types, nullability, keys, ranges, units and meanings."""
    lines = [
        "# Data dictionary",
        "",
        "Made from the contracts in the code by `make docs`; the same words stand as comments on the views in",
        "`lifecycle.duckdb` and in the Dagster UI. Tables marked *history* have a second view, `<table>_history`, with one",
        "slice per night. `currency` means the shop's own; times are UTC unless the column says local.",
    ]
    for contract in contracts:
        marks = [mark for mark, on in (("history", contract.history), ("append-only", contract.append_only)) if on]
        lines += ["", f"## {contract.name}" + (f" ({', '.join(marks)})" if marks else ""), "", contract.description, ""]
        needs = [name for name in contract.needs if name != contract.name]
        if needs:
            lines += [f"Empty, or partly null, without: {', '.join(needs)}.", ""]
        lines += ["| column | type | key | null | unit | meaning |", "| --- | --- | --- | --- | --- | --- |"]
        types = contract.sql_types()
        for name, column in contract.columns.items():
            key = "key" if name in contract.primary_key else ""
            null = "yes" if column.nullable else "no"
            meaning = (column.description or "").replace("|", "\\|")
            lines.append(
                f"| {name} | {types[name]} | {key} | {null} | {contract.unit(name) or ''} | {meaning}{_range(column)} |"
            )
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Markdown: every setting of `lifecycle.yaml` and `shops/<shop>.yaml` with its type, default and meaning."""
    lines = [
        "# Settings",
        "",
        "Made from the settings models by `make docs`. A shop needs name, timezone, currency, country and input; every other",
        "setting has the default shown. `--set key=value` on `lifecycle run` beats the file for one run.",
    ]
    for title, model in (("shops/<shop>.yaml", Shop), ("lifecycle.yaml", Deployment)):
        lines += ["", f"## {title}", "", "| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
        lines += _rows(model)
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], prefix: str = "", values: BaseModel | None = None) -> Iterator[str]:
    """A row per setting; the settings inside a group, or of each entry of a mapping of groups, follow it."""
    for name, field in model.model_fields.items():
        path = prefix + name
        if values is not None:
            default = getattr(values, name)
        else:
            default = field.get_default(call_default_factory=True, validated_data={})
        inner = _group(field.annotation)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{path}.", default if isinstance(default, BaseModel) else None)
            continue
        shown = "required" if values is None and field.is_required() else f"`{_plain(default)}`"
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| {path} | {_type(field.annotation)} | {shown} | {meaning} |"
        if inner is not None and inner is not model:
            inside = {"mapping": ".<name>.", "group": "."}.get(_type(field.annotation), "[].")
            yield from _rows(inner, path + inside)


def _group(annotation: Any) -> type[BaseModel] | None:
    """The settings model that a mapping or list of settings holds."""
    groups = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
    return groups[0] if groups else None


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return str(value.model_dump(mode="json", exclude_none=True))
    if isinstance(value, dict | list | tuple):
        names = [str(getattr(item, "id", item)) if isinstance(item, BaseModel) else str(item) for item in value]
        return ", ".join(names) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return str(value)


def _type(annotation: Any) -> str:
    arguments = [a for a in get_args(annotation) if a is not type(None)]
    name = getattr(annotation, "__name__", str(annotation))
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return " or ".join(dict.fromkeys(_type(a) for a in arguments))
    if name == "Literal":
        return "one of " + ", ".join(str(a) for a in arguments)
    if name == "Annotated":
        return _type(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "group"
    if arguments and name in {"dict", "list", "tuple"}:
        return {"dict": "mapping", "list": "list", "tuple": "list"}[name]
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true/false", "date": "date"}.get(
        name, name
    )


def _range(column: Any) -> str:
    low, high = getattr(column, "min", None), getattr(column, "max", None)
    if hasattr(low, "isoformat"):
        low = None
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f" (at {'most' if low is None else 'least'} {_number(high if low is None else low)})"
    return f" ({_number(low)} to {_number(high)})"


def _number(value: Any) -> str:
    return f"{float(value):g}"


def main(folder: Path) -> None:
    from lifecycle_assets import definitions  # noqa: F401  (imports every contract)
    from lifecycle_assets.contracts import registry

    (folder / "data_dictionary.md").write_text(data_dictionary(registry().values()), "utf-8")
    (folder / "settings.md").write_text(settings_page(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
