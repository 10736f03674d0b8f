"""Tables too large to be there at once."""

from collections.abc import Callable, Iterator

import polars as pl
from polars.io.plugins import register_io_source


def one_after_another(blocks: Callable[[], Iterator[pl.DataFrame]], schema: pl.Schema) -> pl.LazyFrame:
    """The frames of `blocks`, of this schema, as one lazy frame; each is made when the ones before it have been used."""

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for block in blocks():
            kept = block if predicate is None else block.filter(predicate)
            if n_rows is not None:
                kept = kept.head(n_rows)
                n_rows -= kept.height
            yield kept if columns is None else kept.select(columns)
            if n_rows == 0:
                return

    return register_io_source(source, schema=schema)
