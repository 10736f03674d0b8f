"""The tables that a report reads."""

from collections.abc import Mapping

import polars as pl

from lifecycle_assets.contracts import Contract


class Tables:
    """One shop's rows of each table, by contract: `tables[Orders]`."""

    def __init__(self, frames: Mapping[str, pl.LazyFrame]) -> None:
        """`frames` by the tables' short names, as assets get them."""
        self._frames = dict(frames)

    def __getitem__(self, contract: Contract) -> pl.LazyFrame:
        return self._frames[contract.table]
