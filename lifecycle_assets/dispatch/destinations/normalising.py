"""In which form do sending and advertising tools compare addresses and names, and under which hash?

email   trimmed, in lower case, without white space; null for what is no e-mail address
phones  E.164 with the plus sign (ITU-T), read as if dialled in the customer's country; null for what is no number
digits  the same without the plus sign, as Meta wants it
name    in lower case and composed Unicode (NFC), without white space around it, as Google wants it
letters the same without punctuation and white space inside, as Meta wants it
country ISO 3166-1 alpha-2, in capitals
postal  a postal code
hashed  SHA-256 in hex of any of these

Sources: Meta, Customer Information Parameters (Conversions API) and Customer File Custom Audiences (Marketing API); Google,
Format user data (Data Manager API) and Customer Match (Google Ads API); TikTok, About Customer File audiences.

An empty value is never hashed: it is null, and so is its hash. A shop that keeps hashes in place of addresses has them passed
on as they are: a hash is never hashed again.
"""

import polars as pl

from lifecycle_assets.addresses import EMAIL, e164
from lifecycle_assets.hashing import sha256

HASH = "^[0-9a-f]{64}$"


def email(written: pl.Expr) -> pl.Expr:
    """The e-mail address as tools compare it; null where nothing like one is written."""
    plain = written.str.replace_all(r"\s", "").str.to_lowercase()
    return pl.when(plain.str.contains(EMAIL)).then(plain)


def phones(people: pl.DataFrame, home: str) -> pl.Series:
    """E.164 of the column `phone` of `people`, row by row, null where none can be read. `country` (ISO 3166-1 alpha-2) is
    each customer's, `home` counts where it is none."""
    return e164(people.select("country", address="phone"), home).alias("phone")


def digits(number: pl.Expr) -> pl.Expr:
    """The digits of a number in E.164."""
    return number.str.strip_prefix("+")


def name(written: pl.Expr) -> pl.Expr:
    """A first or last name in lower case; null where it is empty."""
    plain = written.str.to_lowercase().str.normalize("NFC").str.strip_chars()
    return pl.when(plain != "").then(plain)


def letters(written: pl.Expr) -> pl.Expr:
    """A first or last name in lower case, without punctuation, digits and white space; null where nothing is left."""
    # What stood apart may now compose.
    plain = name(written).str.replace_all(r"[^\p{L}\p{M}]", "").str.normalize("NFC")
    return pl.when(plain != "").then(plain)


def country(written: pl.Expr, home: str) -> pl.Expr:
    """The code of the country; `home` where none is written, null where something else is written than a code."""
    plain = written.str.strip_chars().str.to_uppercase()
    return pl.when(plain.fill_null("") == "").then(pl.lit(home)).when(plain.str.contains("^[A-Z]{2}$")).then(plain)


def postal(written: pl.Expr) -> pl.Expr:
    """The postal code, trimmed; null where something else is written."""
    plain = written.str.strip_chars()
    return pl.when(plain.str.contains("^[A-Za-z0-9][A-Za-z0-9 -]*$")).then(plain)


def digest(written: pl.Expr) -> pl.Expr:
    """The hash that is written in place of an address, in lower case; null where none is."""
    plain = written.str.strip_chars().str.to_lowercase()
    return pl.when(plain.str.contains(HASH)).then(plain)


def hashed(plain: pl.Series) -> pl.Series:
    """SHA-256 in hex of each value that is not a hash already; null stays null."""
    given = plain.to_frame("plain").with_columns(hash=sha256(plain))
    return given.select(pl.coalesce(digest(pl.col("plain")), "hash").alias(plain.name)).to_series()
