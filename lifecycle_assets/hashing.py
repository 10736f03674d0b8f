"""Stable hashes of many rows at once, SHA-256, the same on every machine and in every release; and what is seeded by them."""

import hashlib
from collections.abc import Sequence

import duckdb
import numpy as np
import polars as pl

SEPARATOR = "\x1f"
SLICE = 250_000


def digests(frame: pl.DataFrame, columns: Sequence[str], prefix: str = "") -> pl.Series:
    """SHA-256 in hex of `prefix` and the row's values joined by the unit separator; a null counts as an empty value.

    Rows are taken in slices, so that long texts are never all there twice.
    """
    text = pl.concat_str(
        [pl.lit(prefix), *(pl.col(name).cast(pl.String).fill_null("") for name in columns)], separator=SEPARATOR
    )
    parts = [sha256(part.select(text.alias("text")).to_series()) for part in frame.iter_slices(SLICE)]
    return pl.concat(parts).alias("digest") if parts else pl.Series("digest", [], dtype=pl.String)


def sha256(texts: pl.Series) -> pl.Series:
    """SHA-256 in hex of each text, in the same order and under the same name; null stays null."""
    frame = texts.alias("text").to_frame().with_row_index("position")
    with duckdb.connect(":memory:") as connection:
        connection.register("texts", frame)
        hashed = connection.sql("SELECT position, sha256(text) AS digest FROM texts").pl()
    return hashed.sort("position").get_column("digest").alias(texts.name)


def content_hash(parts: pl.Series) -> str:
    """One SHA-256 over many texts of one length, such as digests, in their order."""
    return hashlib.sha256("".join(parts.to_list()).encode()).hexdigest()


def generator(shop: str, table: str, seed: int) -> np.random.Generator:
    """The random numbers of one table of one shop: the same in every run, other ones for every other table."""
    digest = hashlib.sha256(SEPARATOR.join((shop, table, str(seed))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def random_keys(ids: pl.Series, shop: str, table: str, seed: int) -> np.ndarray:
    """A key (uint64) for each id, which its own random numbers of one table of one shop begin from; see random_kernel."""
    hashed = digests(ids.to_frame(), [ids.name], SEPARATOR.join((shop, table, str(seed))))
    # Fifteen hexadecimal digits are what a signed 64-bit number holds.
    return hashed.str.slice(0, 15).str.to_integer(base=16).cast(pl.UInt64).to_numpy()
