"""A few rows as a markdown table, for people who look at an asset."""

from typing import Any

import polars as pl


def markdown(frame: pl.DataFrame, longest: int = 60) -> str:
    """The rows with their column names; no cell is longer than `longest` letters or can break out of its place."""
    if frame.is_empty():
        return "no rows"
    lines = [" | ".join(frame.columns), " | ".join("---" for _ in frame.columns)]
    lines += [" | ".join(_cell(value, longest) for value in row) for row in frame.rows()]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any, longest: int) -> str:
    if isinstance(value, float):
        value = round(value, 4)
    shown = "" if value is None else str(value)
    shown = shown if len(shown) <= longest else shown[: longest - 3] + "..."
    return shown.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
