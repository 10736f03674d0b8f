"""Addresses and names as tools compare them, held against the examples that the vendors publish."""

import hashlib

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.destinations.normalising import (
    country,
    digest,
    digits,
    email,
    hashed,
    letters,
    name,
    phones,
    postal,
)

# Meta, Customer Information Parameters: input, normalised, expected SHA-256.
META = {
    "email": ("John_Smith@gmail.com", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
    "phone": ("(650)555-1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
    "Mary": ("Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
    "Korean": ("정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
    "accent": ("Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
}


def of(expression: pl.Expr, *written: str | None) -> list[str | None]:
    return pl.DataFrame({"written": pl.Series(written, dtype=pl.String)}).select(expression).to_series().to_list()


def read(number: str | None, country: str | None, home: str = "ES") -> str | None:
    people = pl.DataFrame({"phone": [number], "country": [country]}, schema={"phone": pl.String, "country": pl.String})
    return phones(people, home).item()


def sha256(plain: str | None) -> str | None:
    return hashed(pl.Series("value", [plain], dtype=pl.String)).item()


def test_meta_s_examples() -> None:
    written, expected = META["email"]
    assert sha256(of(email(pl.col("written")), f"  {written}\n")[0]) == expected
    written, expected = META["phone"]
    number = read(written, "US")
    assert number == "+16505551212"
    assert sha256(of(digits(pl.col("written")), number)[0]) == expected
    for case in ("Mary", "Korean", "accent"):
        written, expected = META[case]
        # With the accent as a character of its own it is the same name.
        for form in (written, "Vale\u0301ry" if case == "accent" else written):
            for normal in (name, letters):
                assert sha256(of(normal(pl.col("written")), form)[0]) == expected


def test_google_s_and_tiktok_s_examples() -> None:
    assert read("(800)555-0100", "US") == "+18005550100"
    assert of(email(pl.col("written")), " Jane Doe@Gmail.com ") == ["janedoe@gmail.com"]
    expected = "d6117306485ed0e50afab3ac871e98f81699151f30281527d63ff5f233656c69"
    assert sha256("janedoe@gmail.com") == expected


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("612 34 56 78", "ES", "+34612345678"),
        ("612 34 56 78", None, "+34612345678"),
        ("612 34 56 78", "Spain", "+34612345678"),
        ("0034 612 345 678", "DE", "+34612345678"),
        ("0171 1234567", "de ", "+491711234567"),
        ("+44 (0)20 7031 3000", "ES", "+442070313000"),
        ("06 1234 5678", "IT", "+390612345678"),  # Italy keeps its leading zero.
        ("12", "ES", None),
        ("call me", "ES", None),
        ("", "ES", None),
        (None, "ES", None),
        ("612345678 ext. 4", "ES", None),
    ],
)
def test_numbers_are_read_as_dialled_in_the_customer_s_country(
    number: str | None, country: str | None, expected: str | None
) -> None:
    assert read(number, country) == expected


def test_numbers_stay_in_the_order_of_the_rows_and_repeat() -> None:
    people = pl.DataFrame({"phone": ["612345678", None, "x", "612345678", "+1 650 555 1212"], "country": ["ES"] * 5})
    assert phones(people, "ES").to_list() == ["+34612345678", None, None, "+34612345678", "+16505551212"]
    assert phones(people.clear(), "ES").to_list() == []


def test_what_is_no_address_or_name_is_null_and_never_hashed() -> None:
    assert of(email(pl.col("written")), "", "  ", None, "n/a", "a@b", "@x.com", "a b@", "a@b@c.d") == [None] * 8
    assert of(name(pl.col("written")), "", " \t", None) == [None] * 3
    assert of(letters(pl.col("written")), "", "-.'", None) == [None] * 3
    assert sha256(None) is None


def test_names_in_both_forms() -> None:
    assert of(name(pl.col("written")), " Mary-Ann ", "O'Neill", "De la Cruz") == ["mary-ann", "o'neill", "de la cruz"]
    assert of(letters(pl.col("written")), " Mary-Ann ", "O'Neill", "De la Cruz") == ["maryann", "oneill", "delacruz"]


def test_a_hash_is_passed_on_and_never_hashed_again() -> None:
    hash_of_ana = hashlib.sha256(b"ana@example.com").hexdigest()
    assert (
        of(digest(pl.col("written")), f" {hash_of_ana.upper()} ", hash_of_ana[:-1], "", None)
        == [hash_of_ana] + [None] * 3
    )
    assert sha256(hash_of_ana) == hash_of_ana
    assert sha256(hash_of_ana[:-1]) == hashlib.sha256(hash_of_ana[:-1].encode()).hexdigest()


def test_countries_and_postal_codes_stay_readable() -> None:
    written = pl.col("written")
    assert of(country(written, "ES"), " de", "", None, "Spain") == ["DE", "ES", "ES", None]
    assert of(postal(written), " SW1A 1AA ", "28001", "", None, '"28001"') == ["SW1A 1AA", "28001", None, None, None]


@settings(deadline=None)
@given(st.text())
@example("\u03390\u0335")  # two marks that change places once nothing stands between them
def test_normal_forms_are_stable_and_their_hash_is_that_of_the_standard_library(text: str) -> None:
    for normal in (email, name, letters):
        (once,) = of(normal(pl.col("written")), text)
        assert of(normal(pl.col("written")), once) == [once]
        if once is not None:
            assert once
            assert sha256(once) == hashlib.sha256(once.encode()).hexdigest()
