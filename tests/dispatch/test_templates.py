"""The messages that ship, in every language, within their channels' limits; and what a template may do."""

import re

import polars as pl
import pytest
from dispatch_world import AS_OF, LAPSED, World

from lifecycle_assets.dispatch.messages import written_out
from lifecycle_assets.dispatch.rendering import Group, render, shipped
from lifecycle_assets.dispatch.template_check import SOMEONE, groups, template_problems
from lifecycle_assets.dispatch.template_sandbox import TEMPLATE_ERRORS, template
from lifecycle_assets.errors import DispatchError
from lifecycle_assets.settings import Routing
from lifecycle_assets.settings.shipped import PROGRAMMES

EVERY = tuple(PROGRAMMES)
CHANNELS = """
routing:
  channels:
    sms: {enabled: true}
    push: {enabled: true}
    call: {enabled: true}
    postal: {enabled: true}
    whatsapp: {enabled: true, approved_templates: {winback: winback_v1, abandoned_cart: cart_v2}}
"""
DECIMAL = "  offers: {winback_10: {discount_pct: 7.5, code: BACK75}, birthday_10: {discount_pct: 12.5, code: BDAY}}\n"
ENGLISH = re.compile(r"\b(the|you|your|order|and)\b", re.IGNORECASE)


@pytest.mark.parametrize("offers", ["", DECIMAL])
@pytest.mark.parametrize("page", ["null", "https://www.cafelupe.example/shop"])
def test_every_message_that_ships_is_there_in_three_languages_and_fits_its_channel(offers: str, page: str) -> None:
    shop = World({}, programmes=EVERY, yaml=CHANNELS + offers, settings=[f"dispatch.landing_url={page}"]).shop
    someone = SOMEONE.with_columns(first_name=pl.lit("Maximiliana"))
    seen = set()
    for group in groups(shop, as_of=AS_OF):
        row = written_out(group, someone, shop).row(0, named=True)
        seen.add((group.content_type, group.channel, group.language))
        text, both = str(row["body_text"]), f"{row['subject']} {row['body_text']}"
        assert row["over_limit"] is None, group
        assert group.channel != "sms" or (row["encoding"], row["parts"]) == ("GSM-7", 1)
        assert group.channel != "push" or 0 < len(str(row["subject"])) <= 65
        told = f"{group.discount_pct:g}".replace(".", "." if group.language == "en" else ",")
        assert not group.discount_pct or told in text, group
        code = shop.routing.offers[group.offer_id].code
        assert not code or code in text, group
        assert ("Maximiliana" in both) <= group.named
        assert not re.search(r"[{}\ue000-\uf8ff]|  |None|\s[,.!?;:]", both.replace("! ", " ")), (group, both)
        own_words = both.replace(SOMEONE["product_1"].item(), "").split("http")[0]
        assert group.language == "en" or not ENGLISH.search(own_words), both
        if group.channel == "email":
            assert str(row["body_html"]).startswith(f'<!doctype html>\n<html lang="{group.language}">')
            assert ("line of the message" in text) <= (group.products > 0)
        else:
            assert row["body_html"] == ""
        if group.channel == "whatsapp":
            values = pl.Series([row["parameters"]]).str.json_decode(pl.List(pl.String)).item()
            assert all(value and value in text for value in values)
    routing = Routing.model_validate({})
    wanted = {
        (routing.offers[offer].content_type, channel)
        for programme in routing.programmes.values()
        for step in programme.steps
        for offer in step.offers
        for channel in step.channels
        if channel != "whatsapp" or routing.offers[offer].content_type in ("winback", "abandoned_cart")
    }
    assert seen == {(*pair, language) for pair in wanted for language in ("en", "es", "pt")}


def test_the_languages_ship_the_same_templates_with_the_same_fields() -> None:
    fields = {
        language: {
            name: {part for part, value in one.model_dump().items() if value and part != "template_language"}
            for name, one in texts.templates.items()
        }
        for language, texts in shipped().items()
    }
    assert fields["en"] == fields["es"] == fields["pt"]


@pytest.mark.parametrize(
    "source",
    [
        "{% for x in range(10**9) %}x{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ 'x'.center(999999999) }}",
        "{{ ('x' ~ 'y') }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in shop %}{% for b in shop %}{{ a }}{% endfor %}{% endfor %}",
        "{% set x = shop %}{{ x }}",
        "{% include 'x' %}",
        "{{ ''.__class__ }}",
        "{{ shop.__class__.__mro__ }}",
        "{{ shop.format.__globals__ }}",
        "{{ lipsum }}",
        "{{ shop|safe }}",
        "{{ shop|attr('upper') }}",
        "{{ 2 ** 999999999 }}",
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    ],
)
def test_what_could_run_for_ever_or_reach_out_is_refused_at_once(source: str) -> None:
    with pytest.raises(TEMPLATE_ERRORS):
        template(source, html=False).render({"shop": "Lupe"})


def test_a_template_with_names_conditions_and_a_loop_is_fine() -> None:
    source = "{{ shop|upper }}{% for p in products if p != 'b' %} {{ loop.index }}{{ p }}{% endfor %}{{ 'x' if url else 'y' }}"
    assert (
        template(source, html=False).render({"shop": "Lupe", "products": ["a", "b", "c"], "url": ""}) == "LUPE 1a 2cy"
    )


def test_a_filter_that_would_change_a_mark_is_named() -> None:
    own = "dispatch.templates={winback.email.en: {text: '{{ first_name|upper }}'}}"
    group = Group("winback", 1, "winback_10", "winback", "email", 10, "en", named=True)
    with pytest.raises(DispatchError, match=r"winback\.email\.en changes first_name"):
        render(group, World({}, settings=[own]).shop)


def test_the_check_names_every_template_that_cannot_go_out() -> None:
    yaml = CHANNELS + (
        "dispatch:\n  templates:\n"
        f"    winback.sms.en: {{text: '{'a' * 161}'}}\n"
        f"    abandoned_cart.push.es: {{subject: '{'b' * 66}', text: t}}\n"
        "    abandoned_cart.whatsapp.pt: {text: t, parameters: [a, '{{ code }}']}\n"
        "    welcome.email.en: {text: '{{ oops }}'}\n"
    )
    assert not list(template_problems(World({}, programmes=EVERY, yaml=CHANNELS).shop, as_of=AS_OF))
    told = list(template_problems(World({}, programmes=EVERY, yaml=yaml).shop, as_of=AS_OF))
    assert told == [
        "message template winback.sms.en, programme winback: 2 parts, at most 1",
        "message template abandoned_cart.push.es, programme abandoned_cart: 66 characters of title, at most 65",
        "message template abandoned_cart.whatsapp.pt, programme abandoned_cart: parameter 2 is empty",
        "message template welcome.email.en cannot be rendered: 'oops' is undefined",
    ]


def test_an_email_without_html_of_its_own_is_set_into_the_layout() -> None:
    text = r'"Tee & kahvi <3\n\nToinen"'
    own = f"dispatch.templates={{winback.email.fi: {{subject: Terve, text: {text}, cta: Katso}}}}"
    people = {"ana": {**LAPSED, "locale": "fi-FI"}}
    world = World(people, settings=[own])
    row = world.messages(world.decide()).row(0, named=True)
    assert row["language"] == "fi"
    assert row["body_text"].startswith("Tee & kahvi <3\n\nToinen\n\nKatso: https://shop.example/hello?lang=x&")
    assert "<p>Tee &amp; kahvi &lt;3</p>\n<p>Toinen</p>" in row["body_html"]
    assert not ENGLISH.search(row["body_text"].split("http")[0])
