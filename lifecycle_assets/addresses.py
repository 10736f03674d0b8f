"""When are two addresses the same?

E-mail addresses: trimmed and in lower case. Nothing else is taken for granted: dots and what follows a plus sign tell
people apart at some providers and not at others. Telephone numbers: their E.164 form (ITU-T), read as if dialled in the
customer's country unless they begin with a country code. What is no valid address equals nothing.
"""

from collections.abc import Collection

import polars as pl

EMAIL = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"
TAIL_DIGITS = 7  # what equal numbers share, however they are written
KINDS_OF_NUMBERS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail"
)  # fmt: skip


def emails(written: pl.DataFrame) -> pl.DataFrame:
    """The rows of `written` (customer_id, address ...) whose address occurs again in it, trimmed and in lower case."""
    plain = pl.col("address").str.strip_chars().str.to_lowercase()
    valid = pl.col("address").str.contains(EMAIL)
    return written.with_columns(plain).filter(pl.col("address").is_duplicated()).filter(valid)


def is_placeholder(placeholders: Collection[str]) -> pl.Expr:
    """Whether `address`, as `emails` gives it, is one of `placeholders`, whole or by what stands before the @."""
    listed = [entry.strip().lower() for entry in placeholders]
    return pl.col("address").is_in(listed) | pl.col("address").str.extract("^([^@]+)@").is_in(listed)


def phones(written: pl.DataFrame, home: str) -> pl.DataFrame:
    """The rows of `written` (customer_id, address, country ...) whose number may be another customer's too, in E.164 and
    without country.

    `country` is ISO 3166-1 alpha-2; where it is none, `home` counts. Numbers whose last seven digits no other customer
    has are not looked at, so one below seven digits equals only what is written with the same digits. A number with an
    extension is a switchboard's, not a person's, and is left out like one that cannot exist.
    """
    tails = written.with_columns(
        country=_dialled_in(home), tail=pl.col("address").str.replace_all(r"\D", "").str.tail(TAIL_DIGITS)
    ).filter(pl.col("tail").is_duplicated())
    shared = tails.group_by("tail").agg(pl.col("customer_id").n_unique()).filter(pl.col("customer_id") > 1)
    near = tails.join(shared, on="tail", how="semi").drop("tail")
    return near.join(_numbers(near), on=["address", "country"]).drop("country", "address").rename({"e164": "address"})


def e164(written: pl.DataFrame, home: str) -> pl.Series:
    """The E.164 form of each row's number in `written` (address, country), in its order; null where `phones` would leave
    the number out. Countries are read as in `phones`."""
    dialled = written.select("address", country=_dialled_in(home))
    read = dialled.join(_numbers(dialled), on=["address", "country"], how="left", maintain_order="left")
    return read.get_column("e164")


def _dialled_in(home: str) -> pl.Expr:
    import phonenumbers

    country = pl.col("country").str.strip_chars().str.to_uppercase()
    return pl.when(country.is_in(sorted(phonenumbers.SUPPORTED_REGIONS))).then(country).otherwise(pl.lit(home))


def _numbers(written: pl.DataFrame) -> pl.DataFrame:
    """The distinct numbers of `written` (address, country) with e164; without what is no number."""
    distinct = written.select("address", "country").unique().drop_nulls()
    return pl.concat(
        [
            distinct.clear().with_columns(e164=pl.lit(None, dtype=pl.String)),
            *(_e164(frame, str(country)) for (country,), frame in distinct.group_by("country")),
        ]
    )


def _e164(written: pl.DataFrame, country: str) -> pl.DataFrame:
    """`written` (address, country), all of one country, with e164; without what is no number.

    Google's library knows every way to write a number and reads some 70 000 a second. Most numbers are written the plain
    way: those are held against the library's patterns at once.
    """
    read = written.with_columns(e164=_plain(country))
    rest = read.filter(pl.col("e164").is_null())
    slowly = pl.Series("e164", [_read(number, country) for number in rest["address"]], dtype=pl.String)
    return pl.concat([read, rest.with_columns(slowly)]).drop_nulls("e164")


def _plain(country: str) -> pl.Expr:
    """The number of an address that is a whole national number with or without +country code; null for any other."""
    import phonenumbers

    about = phonenumbers.PhoneMetadata.metadata_for_region(country)
    if about is None:
        return pl.lit(None, dtype=pl.String)
    kinds = [getattr(about, kind) for kind in KINDS_OF_NUMBERS]
    national = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    # What begins like a prefix may be one: the library decides.
    prefixes = (about.national_prefix_for_parsing, about.international_prefix, str(about.country_code))
    prefix = "|".join(prefix for prefix in prefixes if prefix)
    digits = pl.col("address").str.replace_all(r"[ ()./-]", "").str.strip_prefix(f"+{about.country_code}")
    plain = digits.str.contains(f"^(?:{national})$") & ~digits.str.contains(f"^(?:{prefix})")
    return pl.when(plain).then(pl.format(f"+{about.country_code}{{}}", digits))


def _read(written: str, country: str) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
