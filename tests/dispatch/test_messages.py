"""What messages say: nothing of a customer's is ever a template or markup, and content is per group."""

import datetime as dt
import html
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from dispatch_world import LAPSED, NEW, World
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.dispatch.messages import Messages, escaped, messages
from lifecycle_assets.errors import DispatchError


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
