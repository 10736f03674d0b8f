"""Erased people whom an export still tells of: their rows stay out, and what they bought stays, as a guest's."""

import hashlib
from pathlib import Path

import polars as pl
import pytest
from reading import TABLES, night

from lifecycle_assets.addresses import e164
from lifecycle_assets.inputs import ingest
from lifecycle_assets.inputs.ingest import Ingested
from lifecycle_assets.inputs.tombstones import Tombstones
from resources.sources import Sources

KEY = "5f" * 32
EMAIL, PHONE = "Zyxw.Qvist@Example.com ", "+34 600-731-773"
DIGEST = hashlib.sha256(EMAIL.strip().lower().encode()).hexdigest()
ERASED = Tombstones(KEY).joined_by(
    {"customer": ["zyxw-1"], "visitor": ["cookie-zyxw"], "email": [EMAIL], "phone": [PHONE], "email_sha256": [DIGEST]}
)
ORDERS = """order_id,customer_id,ordered_at,product_id,quantity,unit_price,line_id,coupon_code,message_id
o-1,zyxw-1,2026-01-02 10:00,p,1,5,l-1,FOR-ZYXW,m-1
o-1,zyxw-1,2026-01-02 10:00,q,2,3,l-2,,
o-1,zyxw-1,2026-01-02 10:00,q,2,3,l-2,,
o-2,other,2026-01-03 10:00,p,1,5,l-3,WELCOME,m-2
o-3,,2026-01-04 10:00,p,1,5,l-4,,
"""


def read(tmp_path: Path, table: str, text: str, erased: Tombstones = ERASED) -> Ingested:
    (tmp_path / f"{table}.csv").write_text(text)
    at = night(tmp_path)
    folder = tmp_path / f"read-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return ingest.ingest(TABLES[table], Sources(tmp_path).open(at.settings), at, folder, erased)


def test_order_lines_become_a_guests_and_add_up_to_the_same(tmp_path: Path) -> None:
    before = pl.read_parquet(read(tmp_path, "order_lines", ORDERS, Tombstones()).table)
    done = read(tmp_path, "order_lines", ORDERS)
    lines = pl.read_parquet(done.table)
    assert lines["customer_id"].to_list() == [None, None, "other", None]
    kept = ["line_no", "order_date", "product_id", "quantity", "amount"]
    assert lines.select(kept).equals(before.select(kept))
    theirs, others = lines.head(2), lines.tail(2)
    assert theirs["order_id"].n_unique() == 1, "the lines of one order stay one order"
    assert theirs.select("coupon_code", "message_id").null_count().row(0) == (2, 2)
    assert others.equals(before.tail(2))
    told = "".join(map(str, theirs.rows())) + pl.read_parquet(done.quarantine).write_json()
    assert not any(trace in told for trace in ("zyxw", "ZYXW", "o-1", "l-1", "l-2", "m-1"))
    assert done.number("rows_quarantined") == 1, "a line that stands twice is still found out"


@pytest.mark.parametrize(
    ("table", "text", "kept"),
    [
        ("customers", f"customer_id,email,phone\nzyxw-1,,\nn1,{EMAIL},\nn2,,0034600731773\nother,o@example.com,\n", ["other"]),
        ("web_events", "event_id,customer_id,anonymous_id,event_type,occurred_at\n1,zyxw-1,,view,2026-01-02\n"
         "2,,cookie-zyxw,view,2026-01-02\n3,other,c,view,2026-01-02\n", ["other"]),
        ("suppressions", f"customer_id,email\nzyxw-1,\n,{EMAIL}\n,{DIGEST}\nother,\n", ["other"]),
        ("erasure_requests", "customer_id,requested_at\nzyxw-1,2026-01-02\nother,2026-01-02\n", ["other"]),
    ],
)  # fmt: skip
def test_rows_about_them_stay_out_under_whatever_they_go_by(
    tmp_path: Path, table: str, text: str, kept: list[str]
) -> None:
    (tmp_path / "order_lines.csv").write_text(ORDERS)
    done = read(tmp_path, table, text)
    assert pl.read_parquet(done.table)["customer_id"].to_list() == kept
    aside = pl.read_parquet(done.quarantine)
    assert set(aside.select("rule", "row").rows()) == {("erased", "{}")}
    assert done.number("rows_read") == done.number("rows_kept") + done.number("rows_quarantined")
    assert done.number("rows_left_out") == aside.height


@pytest.mark.parametrize(
    ("buried", "told"),
    [("600 731 773", "+34600731773,"), ("+34 600 731 773", "600-731-773,"), ("+55 11 96123-4567", "11 96123-4567,BR")],
)
def test_a_telephone_number_is_the_same_with_and_without_its_country(tmp_path: Path, buried: str, told: str) -> None:
    (number,) = e164(
        pl.DataFrame({"address": [buried], "country": [None]}, schema_overrides={"country": pl.String}), "ES"
    )
    erased = Tombstones(KEY).joined_by({"phone": [buried, number]})
    done = read(tmp_path, "customers", f"customer_id,phone,country\nn,{told}\nother,600731774,\n", erased)
    assert pl.read_parquet(done.table)["customer_id"].to_list() == ["other"]


def test_what_cannot_be_read_of_them_is_not_kept_either(tmp_path: Path) -> None:
    broken = "o-9,zyxw-1,2026-01-02 10:00,p,one,5,,,\n" + "o-8,zyxw-1,2026-01-02 10:00,p,1,5,,,,more,cells\n"
    other = "o-7,other,2026-01-02 10:00,p,one,5,,,\n"
    many = "".join(f"g-{i},,2026-01-02 10:00,p,1,5,g-{i},,\n" for i in range(100))
    done = read(tmp_path, "order_lines", ORDERS + broken + other + many)
    rows = pl.read_parquet(done.quarantine)["row"].to_list()
    assert rows.count("{}") == 3
    assert not any("zyxw" in row for row in rows)
    assert any("o-7" in row for row in rows)


def test_a_tombstone_tells_nothing_without_its_key() -> None:
    known = {"email": [EMAIL]}
    assert Tombstones("a").joined_by(known).hashes.isdisjoint(Tombstones("b").joined_by(known).hashes)
    guesses = {EMAIL, EMAIL.strip(), EMAIL.strip().lower(), "zyxw-1"}
    plain = {function(guess.encode()).hexdigest() for guess in guesses for function in (hashlib.sha256, hashlib.md5)}
    assert plain.isdisjoint(ERASED.hashes)
