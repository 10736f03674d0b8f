"""What messages say: nothing of a customer's is ever a template or markup, and content is per group."""

import datetime as dt
import html
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from dispatch_world import LAPSED, NEW, World, table
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.contact import standing
from lifecycle_assets.dispatch.messages import Messages, escaped, messages
from lifecycle_assets.dispatch.release import withheld
from lifecycle_assets.errors import DispatchError, SettingsError
from lifecycle_assets.inputs.contracts import Products


def written(shop: World) -> pl.DataFrame:
    return shop.messages(shop.decide())


HOSTILE = [
    "{{ 7 * 7 }}",
    "{% for x in range(9) %}x{% endfor %}",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert('1')>",
    "&amp; O'Hara",
    "${HOME} %s {0} \\1",
    "\ue000message_key\ue001",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_never_a_template_nor_markup(name: str) -> None:
    row = written(World({"ana": {**LAPSED, "first_name": name}})).row(0, named=True)
    shown = name if "\ue000" not in name else "message_key"
    assert shown in row["subject"]
    assert shown in row["body_text"]
    assert html.escape(shown).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in row["body_html"]
    assert "<script" not in row["body_html"]
    assert "<img" not in row["body_html"]
    assert row["idempotency_key"] not in row["subject"]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=10, max_size=30))
def test_any_name_at_all_gives_one_subject_line_and_escaped_html(names: list[str]) -> None:
    people = {f"c{number:02d}": {**LAPSED, "first_name": name} for number, name in enumerate(names)}
    rows = written(World(people))
    assert rows.height == len(names)
    for row in rows.iter_rows(named=True):
        assert len(row["subject"].splitlines()) == 1
        assert row["body_html"].split("<p>")[1].count("<") == 1
    text = pl.DataFrame({"name": names}).select(escaped(pl.col("name"))).to_series()
    assert [html.unescape(value) for value in text] == [html.unescape(html.escape(name)) for name in names]


def test_a_line_break_in_a_name_does_not_make_a_second_header() -> None:
    row = written(World({"ana": {**LAPSED, "first_name": "Ana\r\nBcc: all@example.com"}})).row(0, named=True)
    assert "\n" not in row["subject"]
    assert "\r" not in row["subject"]


def test_language_of_the_customer_else_of_the_shop() -> None:
    people = {
        "ana": {**LAPSED, "locale": "es-MX"},
        "bea": {**LAPSED, "locale": "pt"},
        "eva": {**NEW, "locale": "fi-FI"},
        "ida": {**NEW, "first_name": None},
    }
    rows = written(World(people))
    assert rows["language"].to_list() == ["es", "pt", "en", "en"]
    assert rows["subject"].to_list() == [
        "Ana, te echamos de menos en Café Lupe",
        "Ana, sentimos a sua falta na Café Lupe",
        "Welcome to Café Lupe, Ana",
        "Welcome to Café Lupe",
    ]
    assert "10 %" in rows["body_text"][0]
    assert "%" not in rows["body_text"][2].split("http")[0]


def test_the_link_keeps_its_own_query_and_carries_tracking_and_the_message() -> None:
    row = written(World({"ana": LAPSED})).row(0, named=True)
    address = urlsplit(row["url"])
    assert (address.netloc, address.path) == ("shop.example", "/hello")
    assert parse_qs(address.query) == {
        "lang": ["x"],
        "utm_source": ["lifecycle"],
        "utm_medium": ["email"],
        "utm_campaign": ["winback"],
        "utm_content": ["winback_10_1"],
        "message_id": [row["idempotency_key"]],
    }
    assert row["url"] in row["body_text"]
    assert html.escape(row["url"]) in row["body_html"]


def test_without_a_landing_page_there_is_no_button() -> None:
    shop = World({"ana": LAPSED}, settings=["dispatch.landing_url=null"])
    row = written(shop).row(0, named=True)
    assert (row["url"], row["cta"]) == ("", "")
    assert "<a " not in row["body_html"]


def test_a_shops_own_template_is_used_and_a_broken_or_missing_one_is_named() -> None:
    own = "dispatch.templates={winback.email.en: {subject: 'Hi {{ first_name }} & co', text: 'T', html: '<b>{{ shop }}</b>'}}"
    row = written(World({"ana": LAPSED}, settings=[own])).row(0, named=True)
    assert (row["subject"], row["body_html"]) == ("Hi Ana & co", "<b>Café Lupe</b>")
    for template, reason in [
        ("{{ nobody }}", "'nobody' is undefined"),
        ("{{ first_name.__class__.__mro__ }}", "unsafe"),
        ("{% if %}", "Expected an expression"),
    ]:
        broken = f"dispatch.templates={{winback.email.en: {{text: '{template}'}}}}"
        with pytest.raises(DispatchError, match=reason) as error:
            written(World({"ana": LAPSED}, settings=[broken]))
        assert "winback.email.en" in str(error.value)
    with pytest.raises(DispatchError, match=r"no message template gift\.email\.en"):
        written(World({"ana": LAPSED}, settings=["routing.offers.winback_10.content_type=gift"]))


def test_the_batch_id_is_a_hash_of_content_and_only_of_content() -> None:
    people = {f"c{number}": LAPSED for number in range(5)} | {"neu": NEW}
    first = written(World(people))
    assert first.select("programme", "batch_id").n_unique() == 2
    again = World(dict(reversed(people.items())), shuffled=True)
    assert written(again).equals(first)
    changed = written(World(people | {"c3": {**LAPSED, "first_name": "Eva"}}))
    moved = first.join(changed, on="customer_id", suffix="_new").filter(pl.col("batch_id") != pl.col("batch_id_new"))
    assert set(moved["programme"]) == {"winback"}


@pytest.mark.parametrize(
    "change",
    [
        {"settings": ["dispatch.landing_url=https://shop.example/other"]},
        {"settings": ["dispatch.templates={winback.email.en: {subject: Other, text: Other}}"]},
        {"settings": ["routing.offers.winback_10.code=BACK10"]},
    ],
)
def test_the_batch_id_changes_with_every_part_of_the_content(change: dict[str, Any]) -> None:
    people = {f"c{number}": LAPSED for number in range(3)}
    first, other = written(World(people)), written(World(people, **change))
    assert first["batch_id"].n_unique() == other["batch_id"].n_unique() == 1
    assert first["batch_id"][0] != other["batch_id"][0]


RECOMMENDED = ["p1", "gone", "p2", "p3"]


def test_an_email_names_what_is_recommended_escaped_and_never_more_than_three() -> None:
    world = World({"ana": LAPSED, "bea": {**LAPSED, "locale": "es"}, "ida": LAPSED})
    decided = world.decide().with_columns(
        products=pl.when(pl.col("customer_id") != "ida").then(pl.lit(json.dumps(RECOMMENDED)))
    )
    names = [("p1", "Tea <b>&\n{{ shop }}"), ("p2", " "), ("p3", "Cup")]
    catalogue = table(Products, [{"product_id": key, "name": name} for key, name in names]).lazy()
    ana, bea, ida = world.messages(decided, catalogue=catalogue).to_dicts()
    assert "We think you would like these:\n- Tea <b>& {{ shop }}\n- Cup\n" in ana["body_text"]
    assert "<ul><li>Tea &lt;b&gt;&amp; {{ shop }}</li><li>Cup</li></ul>" in ana["body_html"]
    assert "Creemos que te gustará:\n- Tea" in bea["body_text"]
    others = table(Products, [{"product_id": "p3", "name": "Mug"}]).lazy()
    assert world.messages(decided, catalogue=others)["batch_id"][0] != ana["batch_id"]
    assert "<ul>" not in ida["body_html"] and "would like" not in ida["body_text"]


SMS_ONLY = """
routing:
  channels: {email: {enabled: false}, sms: {enabled: true}}
  programmes:
    winback: {steps: [{channels: [sms], offers: [winback_10], response_rate: 0.3}]}
"""
PHONE: dict[str, Any] = {**LAPSED, "phone": "+34600000000", "consent_sms": True}


def test_a_text_message_stays_in_one_part_whatever_the_name() -> None:
    names = ["María José", "Анна", "Ana\u0301", "Ana 😀", "N" * 80, "D’Arcy", "[Bot]", None]
    people = {f"c{number}": {**PHONE, "first_name": name, "locale": "es"} for number, name in enumerate(names)}
    url = "dispatch.landing_url=https://lupe.example"
    rows = written(World(people, yaml=SMS_ONLY, settings=[url]))
    assert set(rows.select("encoding", "parts", "over_limit").rows()) == {("GSM-7", 1, None)}
    shown = [text.split(": ", 1)[1].split(" echamos")[0] for text in rows["body_text"]]
    assert shown == ["Maria José, te", "te", "Ana, te", "te", "te", "D'Arcy, te", "[Bot], te", "te"]
    assert rows["url"][0] == "https://lupe.example?utm_source=lifecycle&utm_medium=sms&utm_campaign=winback"
    assert rows["url"][0] in rows["body_text"][0]
    without_link = written(World(people, yaml=SMS_ONLY, settings=["dispatch.landing_url=null"]))
    assert f": {'N' * 30}, te echamos" in without_link["body_text"][4]
    assert without_link.filter(encoding="UCS-2")["body_text"].str.extract(": (.*), te ").to_list() == ["Анна", "Ana 😀"]


def test_a_text_message_of_more_parts_goes_out_where_the_shop_allows_them() -> None:
    text = "{{ shop }} está cerca — ven: aquí te espera tu café, el de siempre, recién hecho"
    own = f"dispatch.templates={{winback.sms.en: {{text: '{text}'}}}}"
    long = World({"ana": PHONE}, yaml=SMS_ONLY, settings=[own])
    with pytest.raises(DispatchError, match=r"winback\.sms\.en: none of its 1 messages .* 2 parts, at most 1"):
        written(long)
    long.settings.append("routing.channels.sms.max_parts=2")
    row = written(long).row(0, named=True)
    assert (row["encoding"], row["parts"], row["over_limit"]) == ("UCS-2", 2, None)
    assert " - ven" in row["body_text"]


def test_a_message_over_the_limit_is_put_aside_and_the_others_go_out() -> None:
    yaml = """
routing:
  channels: {email: {max_subject: 30}}
  offers:
    winback_10: {when: {field: visit_frequency, op: "<", value: 9}}
    winback_long:
      name: An offer whose name is far too long
      content_type: winback
      when: {field: visit_frequency, op: ">=", value: 9}
  programmes: {winback: {steps: [{channels: [email], offers: [winback_10, winback_long], response_rate: 0.3}]}}
"""
    own = "dispatch.templates={winback.email.en: {subject: '{{ offer }}', text: T}}"
    people = {"ana": LAPSED, "bea": {**LAPSED, "visit_frequency": 9}}
    rows = written(World(people, yaml=yaml, settings=[own]))
    assert rows["over_limit"].to_list() == [None, "35 characters of title, at most 30"]
    world = World(people)
    out = withheld(rows, standing(rows.lazy(), world.contacts(), world.shop.routing, ["email"], until=None), None)
    assert out.rows() == [("bea", "over_limit")]


def test_a_decimal_discount_is_written_as_the_language_writes_it() -> None:
    people = {"ana": LAPSED, "eva": {**LAPSED, "locale": "es"}, "pia": {**LAPSED, "locale": "pt"}}
    texts = written(World(people, settings=["routing.offers.winback_10.discount_pct=7.5"]))["body_text"]
    assert ["7.5% off" in texts[0], "7,5 % de descuento" in texts[1], "7,5% de desconto" in texts[2]] == [True] * 3


def test_an_approved_template_gets_its_values_in_order_on_one_line() -> None:
    yaml = """
routing:
  channels: {email: {enabled: false}, whatsapp: {enabled: true, approved_templates: {winback: back_v3}}}
  programmes: {winback: {steps: [{channels: [whatsapp], offers: [winback_10], response_rate: 0.3}]}}
dispatch:
  templates:
    winback.whatsapp.en: {text: T, parameters: ["{{ first_name or 'you' }}", "a\n\tb      c {{ discount_pct }}"]}
"""
    person = {**LAPSED, "phone": "+34600000000", "consent_whatsapp": True}
    people = {
        "ana": {**person, "first_name": 'A"n\\a\n'},
        "ida": {**person, "first_name": None},
        "pia": {**person, "locale": "pt-BR"},
    }
    ana, ida, pia = written(World(people, yaml=yaml)).to_dicts()
    assert json.loads(ana["parameters"]) == ['A"n\\a', "a b c 10"]
    assert json.loads(ida["parameters"]) == ["you", "a b c 10"]
    assert (ana["template"], ana["template_language"], pia["template_language"]) == ("back_v3", "en", "pt_BR")
    assert ana["encoding"] is ana["parts"] is None


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("https://shop.example", "https://shop.example?utm_source="),
        ("https://shop.example/a b", None),
        (
            "https://shop.example/café/ñ?q=té&flag=#top",
            "https://shop.example/caf%C3%A9/%C3%B1?q=t%C3%A9&flag=&utm_source=",
        ),
        (
            "https://shop.example/?utm_source=x&utm_medium=y&message_id=1&a=b%26c",
            "https://shop.example/?a=b%26c&utm_source=",
        ),
        ("https://café.example:8080/x%20y", "https://xn--caf-dma.example:8080/x%20y?utm_source="),
    ],
)
def test_a_link_is_encoded_and_keeps_what_it_had(page: str, expected: str | None) -> None:
    world = World({"ana": LAPSED}, settings=[f"dispatch.landing_url='{page}'"])
    if expected is None:
        with pytest.raises(SettingsError, match="landing_url"):
            written(world)
        return
    row = written(world).row(0, named=True)
    address = urlsplit(row["url"])
    assert row["url"].startswith(expected) and row["url"].isascii()
    assert address.fragment == urlsplit(page).fragment
    query = parse_qs(address.query)
    assert all(len(values) == 1 for values in query.values())
    assert (query["utm_source"], query["message_id"]) == (["lifecycle"], [row["idempotency_key"]])


def test_nothing_to_say_is_an_empty_table() -> None:
    assert written(World({"ana": {**LAPSED, "consent_email": None}})).equals(Messages.empty())


def test_keys_differ_by_night_and_who_was_served_gets_no_second_message() -> None:
    shop = World({"ana": LAPSED, "bea": LAPSED})
    decided = shop.decide()
    tonight = shop.messages(decided)
    assert tonight["idempotency_key"].n_unique() == 2
    later = messages(
        decided.lazy(),
        shop.contacts().customers,
        shop_id="lupe",
        as_of=shop.as_of + dt.timedelta(days=1),
        shop=shop.shop,
    )
    assert not set(later["idempotency_key"]) & set(tonight["idempotency_key"])
    served = shop.messages(decided, reached=pl.DataFrame({"customer_id": ["ana"]}))
    assert served["customer_id"].to_list() == ["bea"]
