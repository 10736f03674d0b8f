"""One matrix for every way of classifying.

A missing number becomes the median of those learnt from, and a column of its own says that it was missing. A category becomes
one column per level; levels with fewer than LEAST_ROWS rows or LEAST_SHARE of them are all zeros together (`Other`), as are
levels never seen. A missing category is a level like any other. Trees did no worse on it than on gaps left open, so that all
candidates share it. A number beyond MOST, either way, counts as MOST.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

LEAST_ROWS = 100
LEAST_SHARE = 0.01
MISSING = "(missing)"
# Its square still fits into 32 bits.
MOST = 1e15


@dataclass(frozen=True)
class Encoding:
    """`numbers`: feature -> median. `indicated`: those of them that have a column for being missing. `levels`: category ->
    the levels that have a column. Columns stand in the order of `features`."""

    numbers: dict[str, float]
    indicated: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, rows: pl.DataFrame, numbers: Sequence[str], categories: Sequence[str]) -> "Encoding":
        values = rows.select(_number(name) for name in numbers)
        medians = {name: values[name].median() for name in numbers}
        missing = {name: values[name].null_count() for name in numbers}
        return cls(
            {name: float(median) if isinstance(median, float) else 0.0 for name, median in medians.items()},
            tuple(name for name in numbers if 0 < missing[name] < rows.height),
            {name: _frequent(rows[name]) for name in categories},
        )

    @property
    def features(self) -> list[str]:
        return [*self.numbers, *self.levels]

    @property
    def starts(self) -> np.ndarray:
        """The first column of each feature that has columns."""
        return np.cumsum([0, *self._widths])[:-1]

    @property
    def _widths(self) -> list[int]:
        return [1 + (name in self.indicated) for name in self.numbers] + [
            max(len(known), 1) for known in self.levels.values()
        ]

    def matrix(self, rows: pl.DataFrame) -> np.ndarray:
        """rows x columns, float32, nothing missing."""
        columns: list[pl.Expr] = []
        for name, median in self.numbers.items():
            columns.append(_number(name).fill_null(median))
            if name in self.indicated:
                columns.append(_number(name).is_null().alias(f"{name} missing"))
        for name, known in self.levels.items():
            level = pl.col(name).cast(pl.String).fill_null(MISSING)
            # A category without any frequent level keeps one column of zeros, so that every feature has its place.
            columns += [(level == value).alias(f"{name}={value}") for value in known] or [level.is_null()]
        encoded = rows.select(column.cast(pl.Float32) for column in columns)
        return encoded.to_numpy(order="c")

    def to_json(self) -> dict[str, object]:
        return {"numbers": self.numbers, "indicated": list(self.indicated), "levels": self.levels}

    @classmethod
    def from_json(cls, made: Mapping[str, dict]) -> "Encoding":
        levels = {name: tuple(str(value) for value in known) for name, known in made["levels"].items()}
        return cls({name: float(m) for name, m in made["numbers"].items()}, tuple(made["indicated"]), levels)


def _number(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value.clip(-MOST, MOST)).alias(name)


def _frequent(values: pl.Series) -> tuple[str, ...]:
    least = max(LEAST_ROWS, LEAST_SHARE * values.len())
    counts = values.cast(pl.String).fill_null(MISSING).alias("level").value_counts(name="rows")
    return tuple(counts.filter(pl.col("rows") >= least)["level"].sort().to_list())
