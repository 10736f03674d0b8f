"""The simple rule that a classifier has to beat: one or two features, as ranks.

A number becomes its rank among the rows learnt from (0 the least, 1 the most), which fits any shape that rises or falls; a
missing one becomes the middle, with a column that says so. Categories have a column per frequent level.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from lifecycle_assets.models.classifier_encoding import Encoding


def rule_inputs(
    learnt: pl.DataFrame, rows: pl.DataFrame, baseline: Sequence[str], categories: Sequence[str]
) -> np.ndarray:
    """The matrix of the rule for `rows`, ranks being taken among the rows `learnt`."""
    levels = Encoding.fit(learnt, [], [name for name in baseline if name in categories])
    columns = [_ranks(learnt, rows, name) for name in baseline if name not in categories]
    return np.column_stack([*columns, levels.matrix(rows)]) if levels.features else np.column_stack(columns)


def _ranks(learnt: pl.DataFrame, rows: pl.DataFrame, name: str) -> np.ndarray:
    number = pl.col(name).cast(pl.Float64).fill_nan(None)
    known = np.sort(learnt.select(number).to_series().drop_nulls().to_numpy())
    values = rows.select(number).to_series().to_numpy()
    missing = np.isnan(values)
    middle = np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")
    return np.column_stack([np.where(missing, 0.5, middle / (2 * max(known.size, 1))), missing])
