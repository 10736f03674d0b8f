"""An opt-out with a bad field still stops the message: the whole way from the file to whom the shop may reach."""

import datetime as dt
import hashlib
from pathlib import Path

import polars as pl
import pytest
from reading import HEADER, LINE, TABLES, TODAY, Result, night, read_csv

from lifecycle_assets.days import end_of
from lifecycle_assets.dispatch.contact import Contacts, standing
from lifecycle_assets.features.identity import IdentityMap
from lifecycle_assets.inputs import ingest
from resources.sources import Sources

LAST_MOMENT = end_of(TODAY, "Europe/Madrid") - dt.timedelta(microseconds=1)
BAD_MOMENTS = ["n/a", "2027-01-01", "1899-12-30", "0000-00-00 00:00:00"]


def reach(tmp_path: Path, table: str, content: str, until: dt.datetime | None) -> dict[str, object]:
    """Whom of C1 and C2, who both gave their consent by a flag, the shop may send e-mail, with `content` as `table`."""
    result = read_csv(tmp_path, content, name=f"{table}.csv", table=table)
    names = ("customers", "consents", "suppressions", "erasure_requests", "engagement", "identities")
    tables = {name: TABLES[name].empty().lazy() for name in names} | {table: result.table.lazy()}
    people = pl.LazyFrame({"customer_id": ["C1", "C2"], "email": ["a@x.org", "b@x.org"], "consent_email": [True, True]})
    tables["customers"] = pl.concat([tables["customers"], people], how="diagonal")
    tables["identity_map"] = IdentityMap.empty().lazy()
    found = standing(people.select("customer_id"), Contacts(**tables), night("x").settings.routing, ["email"], until)
    rows = found.collect().rows(named=True)
    return {
        row["customer_id"]: not (row["erased"] or row["suppressed_email"]) and row["consent_email"] in ("event", "flag")
        for row in rows
    }


@pytest.mark.parametrize("until", [end_of(TODAY, "Europe/Madrid"), None], ids=["planning", "export"])
@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("suppressions", "customer_id,channel\nC1,newsletter\n"),
        ("suppressions", "email\n A@x.org \n"),
        ("suppressions", "email_sha256\na@x.org\n"),
        ("suppressions", f"email_sha256\n{hashlib.sha256(b'a@x.org').hexdigest().upper()}\n"),
        *[("suppressions", f"customer_id,channel,since\nC1,email,{bad}\n") for bad in BAD_MOMENTS],
        ("erasure_requests", "customer_id\nC1\n"),
        *[("erasure_requests", f"customer_id,requested_at\nC1,{bad}\n") for bad in ["", *BAD_MOMENTS]],
        *[
            (
                "consents",
                "customer_id,channel,granted,occurred_at\n"
                f"C1,email,yes,2026-06-01\nC1,email,no,{bad}\nC2,email,no,2026-01-01\nC2,email,yes,2026-06-01\n",
            )
            for bad in ["", *BAD_MOMENTS]
        ],
    ],
)
def test_a_bad_field_does_not_let_a_person_be_contacted(
    tmp_path: Path, table: str, content: str, until: dt.datetime | None
) -> None:
    assert reach(tmp_path, table, content, until) == {"C1": False, "C2": True}


def opted_out(tmp_path: Path, table: str, content: str) -> Result:
    return read_csv(tmp_path, content, name=f"{table}.csv", table=table)


def test_doubtful_particulars_become_the_cautious_ones(tmp_path: Path) -> None:
    content = "customer_id,channel,since\nC1,newsletter,n/a\nC2,,2026-01-02\nC3,SMS,2027-01-01\nC4,email,\n,email,\n"
    result = opted_out(tmp_path, "suppressions", content)
    second = dt.datetime(2026, 1, 1, 23, tzinfo=dt.UTC)
    assert result.table.select("customer_id", "channel", "since").rows() == [
        ("C1", "all", None), ("C2", "all", second), ("C3", "sms", None), ("C4", "email", None),
    ]  # fmt: skip
    assert result.rules() == [(5, None, "someone")]


def test_only_withdrawals_are_taken_without_a_moment(tmp_path: Path) -> None:
    rows = [f"C{n},email,{word},{bad}\n" for word in ("yes", "no") for n, bad in enumerate(["", *BAD_MOMENTS])]
    header = "customer_id,channel,granted,occurred_at\n"
    result = opted_out(tmp_path, "consents", header + "".join(rows) + "D,email,yes,2026-06-01\n")
    kept = result.table.filter(~pl.col("granted"))
    assert kept["customer_id"].to_list() == ["C0", "C1", "C2", "C3", "C4"]
    assert kept["occurred_at"].unique().to_list() == [LAST_MOMENT]
    assert result.rules() == [
        (1, "occurred_at", "nullability"), (2, "occurred_at", "unreadable"), (3, "occurred_at", "future"),
        (4, "occurred_at", "min"), (5, "occurred_at", "unreadable"),
    ]  # fmt: skip


def test_how_many_were_read_with_caution_is_counted(tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "orders.csv").write_text(f"{HEADER}\n{LINE}\n")
    # The last is about nobody: it is set aside, and not counted twice.
    content = "customer_id,channel,since\nC1,newsletter,soon\nC2,email,soon\nC3,email,2026-01-01\n,newsletter,\n"
    (place / "suppressions.csv").write_text(content)
    at = night(place)
    done = ingest.ingest(TABLES["suppressions"], Sources(tmp_path).open(at.settings), at, tmp_path)
    assert (done.number("rows_kept"), done.number("rows_quarantined"), done.rows_cautious) == (3, 1, 2)
    lines = ingest.ingest(TABLES["order_lines"], Sources(tmp_path).open(at.settings), at, tmp_path)
    assert lines.rows_cautious == 0


def test_what_is_neither_an_address_nor_a_hash_is_set_aside_and_no_address_is_stored(tmp_path: Path) -> None:
    result = opted_out(tmp_path, "suppressions", "email_sha256\nb@x.org\n123abc\n" + "b@x.org\n" * 30)
    assert result.table.height == 31
    assert result.aside["column"].to_list() == ["email_sha256"]
    assert not result.table["email_sha256"].str.contains("@").any()
