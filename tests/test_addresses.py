"""Numbers written plainly are read as the library reads them, one by one, in every region that it knows."""

import random

import phonenumbers
import polars as pl

from lifecycle_assets.addresses import KINDS_OF_NUMBERS, phones

LIBRARY = phonenumbers.PhoneNumberFormat


def test_every_way_to_write_a_number_is_read_as_the_library_reads_it() -> None:
    rng = random.Random(5)  # noqa: S311
    rows = []
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        about = phonenumbers.PhoneMetadata.metadata_for_region(country)
        examples = {
            kind.example_number for name in KINDS_OF_NUMBERS if (kind := getattr(about, name)) and kind.example_number
        }
        for example in sorted(examples):
            number = phonenumbers.parse(example, country)
            near = "".join(rng.choice("0123456789") if rng.random() < 0.2 else digit for digit in example)
            code, prefix = about.country_code, about.national_prefix or ""
            ways = [
                example, near, f"+{code}{example}", f"+{code} {near}", f"0{example}", f"00{example}", f"{code}{example}",
                f"{prefix}{example}", example[:-1], f"{example}7",
            ]  # fmt: skip
            ways += [phonenumbers.format_number(number, form) for form in (LIBRARY.NATIONAL, LIBRARY.INTERNATIONAL)]
            rows += [(written, country) for written in ways]
    written = (
        pl.DataFrame(rows, schema=["address", "country"], orient="row").unique(maintain_order=True).with_row_index("n")
    )
    # Two customers have each of them, so that each is read.
    twice = pl.concat([written.with_columns(customer_id=pl.lit(name)) for name in ("A", "B")])
    read = dict(phones(twice, "ES").filter(pl.col("customer_id") == "A").select("n", "address").iter_rows())
    assert len(rows) > 10_000 and 0.5 < len(read) / written.height < 0.95
    wrong = [
        (address, country, read.get(n), expected)
        for n, address, country in written.iter_rows()
        if read.get(n) != (expected := _as_the_library_does(address, country))
    ]
    assert wrong == []


def test_a_shop_where_the_library_knows_no_numbers_reads_those_with_a_country_code() -> None:
    rows = [("A", "+34 612 345 678", None), ("B", "+34612345678", None), ("C", "612345678", None)]
    written = pl.DataFrame(
        rows, schema={"customer_id": pl.String, "address": pl.String, "country": pl.String}, orient="row"
    )
    assert set(phones(written, "AQ").rows()) == {("A", "+34612345678"), ("B", "+34612345678")}


def _as_the_library_does(written: str, country: str) -> str | None:
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number) and not number.extension
    return phonenumbers.format_number(number, LIBRARY.E164) if valid else None
