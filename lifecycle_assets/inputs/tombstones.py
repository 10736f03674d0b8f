"""Who was erased, in a form that tells nobody who it was: rows about them that an input still holds stay out.

The shop's own files are not ours to change, so an erased person comes again with every export. Kept of them are SHA-256
hashes of ids and addresses under a random key of 256 bits that lies in the home alone: without it no address, however well
guessed, can be held against them. A row is theirs by a customer id, visitor id, visit, e-mail address, telephone number or
hashed e-mail address; a telephone number is theirs as it is written and in its E.164 form. Their order lines are what the
shop sold, so these stay, as a guest's: without customer, message and coupon, under another order id and line id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from lifecycle_assets.addresses import e164
from lifecycle_assets.hashing import SEPARATOR, digests

KINDS = {
    "customer_id": "customer",
    "anonymous_id": "visitor",
    "session_id": "visitor",
    "email": "email",
    "phone": "phone",
    "email_sha256": "email_sha256",
}
"""Columns by which a row is someone's, and the kind of what they hold."""

FORGOTTEN = ("customer_id", "message_id", "coupon_code")
RENAMED = ("order_id", "line_id")
_SHORT = 32  # hex digits
_LIKE_A_NUMBER = r"(\d\D*){7}"


@dataclass(frozen=True)
class Tombstones:
    """The erased people of a shop: `hashes` under `key`; nobody by default."""

    key: str = ""
    hashes: frozenset[str] = field(default_factory=frozenset)

    def joined_by(self, known: Mapping[str, Iterable[str]]) -> "Tombstones":
        """These and one more person, of whom `known` tells by kind (the values of KINDS) what they go by."""
        fresh = [self._hashed(kind, pl.Series(sorted(values), dtype=pl.String)) for kind, values in known.items()]
        return Tombstones(self.key, self.hashes.union(*(series.drop_nulls().to_list() for series in fresh)))

    def among(self, rows: pl.DataFrame, home: str) -> pl.Series:
        """Which rows of a raw table are about one of them; telephone numbers are read as dialled in the row's country, or
        in `home` (ISO 3166-1 alpha-2) where it has none."""
        met = pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
        if not self.hashes:
            return met
        for column in KINDS.keys() & set(rows.columns):
            met |= self._is_of(KINDS[column], rows[column].cast(pl.String))
        if "phone" in rows.columns:
            country = pl.col("country") if "country" in rows.columns else pl.lit(None)
            dialled = rows.select(address=pl.col("phone").cast(pl.String), country=country.cast(pl.String))
            met |= self._is_of("phone", e164(dialled, home))
        return met

    def among_lines(self, lines: pl.Series, home: str) -> pl.Series:
        """Which lines that could not be read as rows name one of them; telephone numbers are read as dialled in `home`."""
        if not self.hashes or lines.is_empty():
            return pl.repeat(value=False, n=len(lines), dtype=pl.Boolean, eager=True)
        parts = pl.DataFrame(
            {"line": pl.int_range(len(lines), eager=True), "part": lines.str.extract_all(r'[^,;\t|"]+')}
        )
        parts = parts.explode("part").with_columns(pl.col("part").str.strip_chars())
        met = pl.repeat(value=False, n=parts.height, dtype=pl.Boolean, eager=True)
        for kind in sorted(set(KINDS.values())):
            met |= self._is_of(kind, parts["part"])
        numbers = pl.when(pl.col("part").str.contains(_LIKE_A_NUMBER)).then("part")
        dialled = parts.select(address=numbers, country=pl.lit(None, dtype=pl.String))
        met |= self._is_of("phone", e164(dialled, home))
        return pl.int_range(len(lines), eager=True).is_in(parts.filter(met)["line"].implode())

    def as_guests(self, lines: pl.DataFrame, whose: pl.Series) -> pl.DataFrame:
        """Order lines with those that `whose` marks turned into a guest's."""
        if not whose.any():
            return lines
        renamed = {name: self._hashed("renamed", lines[name].cast(pl.String)).str.head(_SHORT) for name in RENAMED}
        return lines.with_columns(
            *(pl.when(~whose).then(name).alias(name) for name in FORGOTTEN),
            *(pl.when(whose).then(values).otherwise(name).alias(name) for name, values in renamed.items()),
        )

    def _is_of(self, kind: str, values: pl.Series) -> pl.Series:
        distinct = values.unique().drop_nulls()
        known = distinct.filter(self._hashed(kind, distinct).is_in(list(self.hashes)))
        return values.is_in(known.implode()).fill_null(value=False)

    def _hashed(self, kind: str, values: pl.Series) -> pl.Series:
        """The hash of each value under the key; null for what is empty."""
        told = values.alias("value").to_frame().with_columns(plain(kind).alias("plain"))
        hashed = digests(told, ["plain"], SEPARATOR.join((self.key, kind)))
        return told.select(pl.when(pl.col("plain") != "").then(hashed)).to_series()


def plain(kind: str) -> pl.Expr:
    """The column `value` as values of that kind are compared: e-mail addresses and hashes in lower case, the digits of
    telephone numbers."""
    trimmed = pl.col("value").str.strip_chars()
    if kind == "phone":
        return trimmed.str.replace_all(r"\D", "").str.strip_prefix("00")
    return trimmed.str.to_lowercase() if kind in ("email", "email_sha256") else trimmed
