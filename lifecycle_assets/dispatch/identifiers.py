"""By which addresses and names may an advertising tool recognise each person?

Every e-mail address and telephone number of all of the person's accounts (features.identity_map), with those that
raw.identities adds: the first of each make a row, the second of each another one. Names, country and postal code are the
person's and stand in every row. The input has no columns for last name and postal code: they are taken from the further
columns `last_name` and `postal_code` of raw.customers, where a shop gives them.
"""

from collections.abc import Mapping

import polars as pl

from lifecycle_assets.dispatch.contact import Contacts
from lifecycle_assets.dispatch.destinations.normalising import country, digest, email, hashed, phones, postal
from lifecycle_assets.dispatch.people import people
from lifecycle_assets.features.identity import resolved

HASHED = ("email", "phone", "first_name", "last_name")
READABLE = ("country", "postal_code")
COLUMNS = (*(f"{column}_sha256" for column in HASHED), *READABLE)


def identifiers(customers: pl.DataFrame, contacts: Contacts, takes: Mapping[str, pl.Expr], home: str) -> pl.DataFrame:
    """customer_id and COLUMNS of `customers` (customer_id): a row or more of everyone with an address.

    `takes`: what the tool takes of a person, each of HASHED and READABLE in its form; the others are null. `home` is the
    shop's country, for people who state none.
    """
    wanted = customers.lazy().select("customer_id")
    of_people = people(contacts.customers, contacts.identity_map).join(wanted, on="customer_id", how="semi")
    more = pl.col("attributes").str.json_path_match
    known = of_people.select(
        "customer_id",
        "first_name",
        dialled="country",
        last_name=more("$.last_name"),
        country=country(pl.col("country"), home),
        postal_code=postal(more("$.postal_code")),
    ).collect()
    tables = (contacts.customers, contacts.identities)
    accounts = pl.concat([frame.select("customer_id", "email", "phone") for frame in tables])
    written = resolved(accounts, contacts.identity_map).join(wanted, on="customer_id", how="semi").collect()
    address = pl.col("email")
    emails = written.select("customer_id", email=pl.coalesce(email(address), digest(address)))
    numbers = written.select("customer_id", "phone").join(
        known.select("customer_id", country="dialled"), on="customer_id", how="left", maintain_order="left"
    )
    dialled = numbers.select("customer_id", phone=pl.coalesce(phones(numbers, home), digest(pl.col("phone"))))
    rows = _numbered(emails, "email").join(
        _numbered(dialled, "phone"), on=["customer_id", "row"], how="full", coalesce=True
    )
    taken = rows.join(known, on="customer_id", how="left").select(
        "customer_id",
        *(takes.get(column, pl.lit(None, dtype=pl.String)).alias(column) for column in (*HASHED, *READABLE)),
    )
    return taken.select(
        "customer_id", *(hashed(taken.get_column(column)).alias(f"{column}_sha256") for column in HASHED), *READABLE
    )


def _numbered(addresses: pl.DataFrame, column: str) -> pl.DataFrame:
    """customer_id, the distinct values of `column`, and `row`, which counts a customer's from 0."""
    distinct = addresses.drop_nulls(column).unique().sort("customer_id", column)
    return distinct.with_columns(row=pl.int_range(pl.len()).over("customer_id"))
