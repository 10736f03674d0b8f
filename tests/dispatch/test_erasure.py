"""What is a person's in tables and files, and what is left of them: everything of the person goes, nothing of anyone else."""

import hashlib
import io
import json

import polars as pl
import pytest
from test_destinations import VENDORS, letters, written

from lifecycle_assets.dispatch.destinations.normalising import phones
from lifecycle_assets.dispatch.erased_documents import blotted_log, own_requests, rewrite, without_request
from lifecycle_assets.dispatch.erasure import BLOT, Person, known, lists_holding, person, profile, without
from lifecycle_assets.inputs.tombstones import Tombstones

EMAIL, PHONE, MESSAGE = "ann@zyxw.example", "+34600731773", "f0" * 32
ANN = Person(
    frozenset({"17", "cust-zyxw"}),
    frozenset({"cookie-1"}),
    frozenset({EMAIL}),
    frozenset({PHONE}),
    frozenset({MESSAGE}),
)
TOMBSTONES = Tombstones("k" * 64)


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


# --- who it is --------------------------------------------------------------------------------------------------------


def test_a_person_is_all_their_accounts_with_all_that_stands_beside_them() -> None:
    identity_map = pl.LazyFrame(
        {
            "id_type": ["customer_id", "customer_id", "anonymous_id", "customer_id"],
            "id": ["a1", "a2", "cookie", "b"],
            "customer_id": ["a1", "a1", "a1", "b"],
        }
    )
    assert profile(identity_map, "a2") == ({"a1", "a2"}, {"cookie"})
    customers = pl.LazyFrame(
        {
            "customer_id": ["a1", "a2", "b"],
            "email": ["Ann@x.example", "till@x.example", "TILL@x.example"],
            "phone": ["600 111 222", None, "600 111 333"],
        }
    )
    events = pl.LazyFrame(
        {"customer_id": ["a2", "b", None], "session_id": ["s1", "s2", "s3"], "event_id": ["e1", "e2", "e3"]}
    )
    assert known([customers, events], ["a2", "nobody"]) == ["a2"]
    ann = person([customers, events], {"a1", "a2"}, {"cookie"}, "ES")
    assert ann.emails == {"Ann@x.example"}, "an address that another customer has as well is not the person's"
    assert ann.phones == {"600 111 222", "+34600111222"}
    assert ann.visitors == {"cookie", "s1"}
    assert ann.keys == {"e1"}


def test_a_telephone_number_is_known_in_the_form_that_goes_out_unless_it_is_shared() -> None:
    customers = pl.LazyFrame(
        {
            "customer_id": ["a", "a", "a", "b"],
            "phone": ["600 111 222", "(11) 96123-4567", "600111333", "+34 600 111 333"],
            "country": [None, "BR", None, "ES"],
        }
    )
    ann = person([customers], {"a"}, set(), "ES")
    assert ann.phones == {"600 111 222", "+34600111222", "(11) 96123-4567", "+5511961234567"}


def test_the_lists_that_hold_a_person_are_those_they_are_in() -> None:
    rows = {"customer_id": ["a", "a", "a", "b"], "state": ["member", "left_out", "removed", "added"]}
    place = {"destination": ["meta"] * 4, "list_id": list("1234"), "audience": list("wxyz")}
    assert lists_holding(pl.LazyFrame(rows | place), {"a"}) == ["meta/1 (w)"]


# --- tables -----------------------------------------------------------------------------------------------------------


def left(table: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    rows, concerned = without(table.lazy(), ANN, TOMBSTONES)
    return rows.collect(), concerned


def test_rows_of_the_person_go_and_those_of_others_stay_as_they_are() -> None:
    table = pl.DataFrame(
        {
            "customer_id": ["17", "170", None, None, "cust-zyxw2"],
            "anonymous_id": [None, None, "cookie-1", "cookie-12", None],
            "product_id": ["p", "17", "p", "p", "17"],
            "email": [EMAIL, f"jo{EMAIL}", None, None, f"{EMAIL}.mx"],
        }
    )
    rows, concerned = left(table)
    assert concerned == 2
    assert rows.equals(table[[1, 3, 4]])
    assert left(rows)[1] == 0


def test_a_mention_in_the_row_of_another_is_blotted_out() -> None:
    table = pl.DataFrame(
        {"customer_id": ["b", "c"], "note": [f"friend of <{EMAIL.upper()}>", None], "label": ["17", "170"]}
    )
    rows, concerned = left(table)
    assert concerned == 1
    assert rows.rows() == [("b", f"friend of <{BLOT}>", BLOT), ("c", None, "170")]


def test_quarantined_rows_keep_their_place_without_their_content() -> None:
    table = pl.DataFrame(
        {
            "table": ["customers"] * 3,
            "row_number": [1, 2, 3],
            "column": ["phone"] * 3,
            "rule": ["x"] * 3,
            "message": ["y"] * 3,
            "row": ['{"CustomerID":"17"}', '{"CustomerID":"170"}', json.dumps({"Mail": EMAIL})],
        }
    )
    rows, concerned = left(table)
    assert concerned == 2
    assert rows["row"].to_list() == ["{}", '{"CustomerID":"170"}', "{}"]
    assert rows["rule"].to_list() == ["erased", "x", "erased"]
    assert left(rows)[1] == 0


def test_order_lines_in_the_lake_become_what_the_next_ingest_makes_of_them() -> None:
    lines = pl.DataFrame(
        {
            "line_no": [1, 2, 3],
            "line_id": ["l1", None, "l3"],
            "order_id": ["o1", "o1", "o1"],
            "customer_id": ["17", "17", "b"],
            "message_id": [MESSAGE, None, "m"],
            "coupon_code": ["c", None, "c"],
            "amount": [1, 2, 3],
        }
    )
    rows, concerned = left(lines)
    assert concerned == 2
    assert rows.equals(TOMBSTONES.as_guests(lines, pl.Series([True, True, False])))
    assert rows["amount"].to_list() == [1, 2, 3]


# --- files ------------------------------------------------------------------------------------------------------------


def rewritten(name: str, content: str) -> tuple[str, int]:
    target = io.BytesIO()
    changed = rewrite(name, io.BytesIO(content.encode()), target, ANN)
    return target.getvalue().decode(), changed


def test_rows_of_csv_go_whole_and_all_others_keep_their_bytes() -> None:
    others = 'id,customer_id,body\n1,170,"a ""quoted""\nline"\n2,b,17\n'
    own = f'3,17,"Dear Zyxw,\nyours"\n4,,{EMAIL}\n5,,{digest(EMAIL)}\n'
    assert rewritten("messages.csv", others + own) == (others, 3)
    assert rewritten("messages.csv", others) == (others, 0)


PROFILES = {"data": {"type": "job", "attributes": {"profiles": {"data": [
    {"type": "profile", "attributes": {"email": EMAIL, "properties": {"name": "Zyxw"}}},
    {"type": "profile", "attributes": {"email": "b@x.example", "properties": {"name": "B"}}},
]}}}}  # fmt: skip
PERSONALIZATIONS = {"personalizations": [
    {"to": [{"email": EMAIL}], "custom_args": {"idempotency_key": MESSAGE}, "dynamic_template_data": {"name": "Zyxw"}},
    {"to": [{"email": "b@x.example"}], "custom_args": {"idempotency_key": "ab" * 32}, "dynamic_template_data": {"name": "B"}},
]}  # fmt: skip
META = {
    "payload": {"schema": ["EXTERN_ID", "EMAIL", "FN"], "data": [["17", "", digest("zyxw")], ["170", digest("b"), "x"]]}
}
GOOGLE = {"operations": [
    {"create": {"userIdentifiers": [
        {"hashedEmail": digest(EMAIL)},
        {"hashedPhoneNumber": digest(PHONE)},
        {"addressInfo": {"hashedFirstName": digest("zyxw")}},
    ]}},
    {"create": {"userIdentifiers": [{"hashedEmail": digest("b")}]}},
]}  # fmt: skip
TRIGGER = {
    "recipients": [{"external_user_id": "17", "trigger_properties": {"name": "Zyxw"}}, {"external_user_id": "170"}]
}


@pytest.mark.parametrize("call", [PROFILES, PERSONALIZATIONS, META, GOOGLE, TRIGGER])
def test_of_a_call_that_carries_many_only_the_person_goes(call: dict[str, object]) -> None:
    text, changed = rewritten("requests.jsonl", f"{json.dumps(call)}\n")
    assert changed == 1
    was, now = json.dumps(call), json.dumps(json.loads(text))
    for trace in ("Zyxw", digest("zyxw"), EMAIL, MESSAGE, digest(EMAIL), digest(PHONE), '"17"'):
        assert trace not in now
    assert all(kept in now for kept in ("b@x.example", digest("b"), '"170"') if kept in was)
    assert rewritten("requests.jsonl", text) == (text, 0)


def test_a_call_about_nobody_else_goes_whole() -> None:
    own = f"{json.dumps({'to': PHONE, 'template': {'parameters': [{'text': 'Zyxw'}]}})}\n"
    other = f"{json.dumps({'to': '+34600000000'})}\n"
    assert rewritten("calls.jsonl", other + own + other) == (other + other, 1)
    # requests.csv names the lines of requests.jsonl by their numbers.
    assert rewritten("requests.jsonl", other + own + other) == (f"{other}\n{other}", 1)


@pytest.mark.parametrize("phone", ["600 111 222", "600 111 333"], ids=["national", "shared"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_of_every_senders_requests_the_persons_own_go(vendor: str, phone: str) -> None:
    written_so = {"a": phone, "b": "600 111 333"}
    numbers = phones(pl.DataFrame({"phone": list(written_so.values()), "country": ["ES", "ES"]}), "ES")
    by_phone = vendor in ("twilio", "whatsapp")
    own = {name: {"address": number} if by_phone else {} for name, number in zip("ab", numbers, strict=True)}
    keys = {"a": "a1" * 32, "b": "b2" * 32}
    letter = {name: {"customer_id": f"cust-{name}", "idempotency_key": keys[name], **own[name]} for name in "ab"}
    if not by_phone and vendor != "fcm":
        letter = {name: {**told, "address": f"{name}@x.example"} for name, told in letter.items()}
    messages = letters(vendor, list(letter.values()))
    customers = pl.LazyFrame({"customer_id": ["cust-a", "cust-b"], "phone": list(written_so.values())})
    ann = person([customers, messages.lazy()], {"cust-a"}, set(), "ES")
    files = written(vendor, messages)
    theirs = own_requests(files["requests.csv"].decode().splitlines(keepends=True), ann)
    target = io.BytesIO()
    assert rewrite("requests.jsonl", io.BytesIO(files["requests.jsonl"]), target, ann, theirs) == 1
    left = target.getvalue().decode()
    assert len(left.splitlines()) == len(files["requests.jsonl"].splitlines())
    of_b = written(vendor, messages.filter(pl.col("customer_id") == "cust-b"))["requests.jsonl"].decode()
    assert [json.loads(line) for line in left.splitlines() if line] == [json.loads(line) for line in of_b.splitlines()]


def test_of_one_json_document_the_values_beside_the_person_are_blotted_out() -> None:
    facts = {"revenue": 17, "best": {"customer_id": "17", "name": "Zyxw", "amount": 5}, "title": "17 orders"}
    text, changed = rewritten("report.json", json.dumps(facts))
    assert changed == 1
    assert json.loads(text) == {**facts, "best": {"customer_id": BLOT, "name": BLOT, "amount": 5}}


@pytest.mark.parametrize(
    "spelt",
    [EMAIL, EMAIL.upper(), "mailto:ann%40zyxw.example", f"\\n{EMAIL}", digest(EMAIL), "<b>cust-zyxw</b>", PHONE],
)
def test_marks_in_a_text_are_blotted_out_however_they_are_spelt(spelt: str) -> None:
    text, changed = rewritten("page.html", f"before {spelt} after\n17 others\n")
    assert changed == 1
    assert text.startswith("before ")
    assert text.endswith(" after\n17 others\n")
    assert not ANN.pattern.search(text)


def test_in_dagsters_storage_cells_of_previews_and_the_runs_own_configuration_are_blotted_out() -> None:
    preview = r"| customer_id | n |\n| --- | --- |\n| 17 | 3 |\n| 170 | 17 |"
    assert blotted_log(preview, ANN) == r"| customer_id | n |\n| --- | --- |\n| [erased] | 3 |\n| 170 | [erased] |"
    told = json.dumps({"ops": {"erase": {"config": {"customer": "17", "n": 17}}}})
    assert blotted_log(json.dumps(told), ANN) == json.dumps(told).replace('\\"17\\"', f'\\"{BLOT}\\"')


def test_a_request_that_was_refused_is_blotted_out_and_nothing_else() -> None:
    told = json.dumps({"ops": {"erase": {"config": {"customer": "añ-17", "shop": "s"}}}, "note": "añ-17"})
    for text in (told, json.dumps(told)):
        assert without_request(text, ["añ-17"]) == text.replace("a\\u00f1-17", BLOT, 1).replace(
            "a\\\\u00f1-17", BLOT, 1
        )
