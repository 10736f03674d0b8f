"""The requests for advertising tools, byte by byte: written down from the vendors' documents, with the hashes that they
publish where they do. Other bytes are another version of the adapter, with a golden file of its own."""

import json
from pathlib import Path

import polars as pl
import pytest
from dispatch_world import LAPSED, World

from lifecycle_assets.dispatch.audiences import ADAPTERS, Audiences
from lifecycle_assets.dispatch.identifiers import identifiers

GOLDEN = Path(__file__).parent / "golden"
PEOPLE = {
    # Meta's own examples.
    "c-1": {"email": "John_Smith@gmail.com ", "phone": "(650)555-1212", "country": "US", "first_name": "Mary"},
    'c "2"\\é\n': {"email": None, "phone": "0034 612 34 56 78", "country": "Spain", "first_name": "Valéry"},
    # Already hashed, and a whole postal address from the further columns of the input.
    "c-3": {
        "email": "62A14E44F765419D10FEA99367361A727C12365E2520F32218D505ED9AA0F62F",
        "phone": "",
        "country": None,
        "first_name": " Mary ",
        "attributes": json.dumps({"last_name": "O'Neill", "postal_code": " 28001 ", "shoe": 42}),
    },
}


def rows(name: str) -> pl.DataFrame:
    """The people as rows of dispatch.audiences for the tool."""
    people = {customer: {**LAPSED, **values} for customer, values in PEOPLE.items()}
    contacts = World(people).contacts()
    customers = pl.DataFrame({"customer_id": list(people)})
    known = (
        identifiers(customers, contacts, ADAPTERS[name].TAKES, "ES")
        .sort("customer_id")
        .with_columns(value=pl.Series([99.5, 0.0, 12.25]), account_id=pl.lit("700"), list_id=pl.lit("2384"))
    )
    return known.select(
        pl.col(column).cast(dtype) for column, dtype in Audiences.polars_schema.items() if column in known
    )


@pytest.mark.parametrize("name", list(ADAPTERS))
def test_requests_are_those_of_the_adapter_s_version(name: str) -> None:
    adapter = ADAPTERS[name]
    made = "".join(adapter.body(rows(name), action) + "\n" for action in ("add", "remove"))
    golden = GOLDEN / f"{name}_v{adapter.VERSION}.jsonl"
    assert made == golden.read_text("utf-8"), "other bytes are another VERSION, and another golden file"
    for line in made.splitlines():
        json.loads(line)


def test_meta_s_numbers_have_no_plus_sign_and_google_s_and_tiktok_s_have() -> None:
    phones = {name: rows(name).get_column("phone_sha256").drop_nulls().to_list() for name in ADAPTERS}
    # Meta, Customer Information Parameters: 16505551212.
    assert "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176" in phones["meta"]
    assert phones["google"] == phones["tiktok"]
    assert not set(phones["google"]) & set(phones["meta"])


def test_no_more_is_kept_than_the_tool_takes() -> None:
    tiktok = rows("tiktok")
    kept = ("first_name_sha256", "last_name_sha256", "country", "postal_code")
    assert all(tiktok.get_column(column).null_count() == tiktok.height for column in kept)
    google = rows("google").select("customer_id", *kept).drop_nulls("country")
    assert google.get_column("customer_id").to_list() == ["c-3"]  # only a whole postal address counts
    assert google.row(0)[3:] == ("ES", "28001")


@pytest.mark.parametrize("name", list(ADAPTERS))
def test_a_request_holds_no_more_than_the_tool_takes_at_once(name: str) -> None:
    adapter = ADAPTERS[name]
    most = pl.concat([rows("google").filter(customer_id="c-3")] * adapter.ROWS).with_columns(
        phone_sha256="email_sha256"
    )
    body = json.loads(adapter.body(most, "add"))
    counted = {
        "meta": lambda: len(body["payload"]["data"]),
        "google": lambda: sum(len(operation["create"]["userIdentifiers"]) for operation in body["operations"]),
        "tiktok": lambda: len(body["batch_data"]),
    }
    assert 9_900 < counted[name]() <= 10_000
