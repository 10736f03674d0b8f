"""Settings are typed; a wrong one is told with its place, its value and its nearest neighbour."""

import datetime as dt
from pathlib import Path

import pytest

from lifecycle_assets.errors import SettingsError
from lifecycle_assets.settings import Deployment, Shop, as_of_default, parse
from lifecycle_assets.settings.base import nearest
from resources.home import Home

FIVE_LINES = "name: A shop\ntimezone: Pacific/Auckland\ncurrency: NZD\ncountry: NZ\ninput: data\n"


def test_five_lines_are_enough() -> None:
    shop = parse(Shop, FIVE_LINES, "a.yaml")
    assert shop.customer.rfm.bins == 5
    assert shop.customer.loyalty.weights.visit_frequency == 0.30


def test_every_problem_at_once_with_its_nearest_neighbour() -> None:
    text = FIVE_LINES.replace("currency: NZD", "curency: NZD") + "customer: {rfm: {bin: 4}, stage: {new_days: -1}}\n"
    with pytest.raises(SettingsError) as caught:
        parse(Shop, text, "a.yaml")
    message = str(caught.value)
    assert "a.yaml: 4 problem(s)" in message
    assert "curency: no such setting; did you mean currency?" in message
    assert "currency: required, and not there" in message
    assert "customer.rfm.bin: no such setting; did you mean bins?" in message
    assert "customer.stage.new_days" in message
    assert "-1" in message


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just words"])
def test_what_is_no_settings_file_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"a\.yaml"):
        parse(Shop, text, "a.yaml")


def test_overrides_beat_the_file() -> None:
    shop = parse(Shop, FIVE_LINES, "a.yaml", ["customer.rfm.bins=4", "name=Other"])
    assert (shop.customer.rfm.bins, shop.name) == (4, "Other")
    with pytest.raises(SettingsError, match=r"customer\.rfm\.bins=4"):
        parse(Shop, FIVE_LINES, "a.yaml", ["bins"])
    with pytest.raises(SettingsError, match="single value"):
        parse(Shop, FIVE_LINES, "a.yaml", ["name.first=x"])


def test_yesterday_is_the_shops_own() -> None:
    shop = parse(Shop, FIVE_LINES, "a.yaml")
    now = dt.datetime(2024, 6, 1, 13, 0, tzinfo=dt.UTC)  # already 2 June in Auckland
    assert as_of_default(shop, now) == dt.date(2024, 6, 1)
    fixed = parse(Shop, FIVE_LINES + "as_of: 2011-12-09\n", "a.yaml")
    assert as_of_default(fixed, now) == dt.date(2011, 12, 9)


def test_what_is_wrong_with_a_part_is_told_once_and_where_it_was_written() -> None:
    text = FIVE_LINES + (
        "routing: {programmes: {winback: {when: {all: [{field: stage, op: is, value: lapsed}, "
        "{not: {field: stage, op: ==, value: {a: b}, valeu: 1}}]}, "
        "steps: [{channels: [emial], offers: [winback_10], response_rate: 0.1}]}}}"
    )
    with pytest.raises(SettingsError) as caught:
        parse(Shop, text, "a.yaml")
    head, *lines = str(caught.value).splitlines()
    assert head == "a.yaml: 4 problem(s)"
    assert [line.split(": ")[0].strip() for line in lines] == [
        "routing.programmes.winback.when.all.0.op",
        "routing.programmes.winback.when.all.1.not.value",
        "routing.programmes.winback.when.all.1.not.valeu",
        "routing.programmes.winback.steps.0.channels.0",
    ]
    assert "did you mean value?" in lines[2]


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [
        ("winbak", ["welcome", "winback"], "; did you mean winback?"),
        ("zzz", ["welcome", "winback"], "; there are: welcome, winback"),
        ("zzz", [f"offer_{i}" for i in range(11)], ""),
        ("zzz", [], ""),
    ],
)
def test_a_name_is_near_when_it_is_alike(name: str, known: list[str], told: str) -> None:
    assert nearest(name, known) == told


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("winbakc.email.en", "no offer has the content_type 'winbakc'; did you mean winback?"),
        ("winback.emial.en", "no channel 'emial'; did you mean email?"),
        ("winback.email.english", "'english' is no language of two letters, e.g. en"),
        ("winback.email", "expected content_type.channel.language"),
    ],
)
def test_a_template_for_no_message_is_an_error(key: str, told: str) -> None:
    own = "dispatch: {templates: {winback.email.pt: {text: x}, %s: {text: x}}}"
    with pytest.raises(SettingsError) as caught:
        parse(Shop, FIVE_LINES + own % key, "a.yaml")
    assert "1 problem(s)" in str(caught.value)
    assert f"dispatch.templates.{key}: {told}" in str(caught.value)
    assert parse(Shop, FIVE_LINES + own % "welcome.sms.fr", "a.yaml").dispatch.templates.keys() >= {"welcome.sms.fr"}


def test_a_home_names_the_shops_it_has(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.deployment() == Deployment()
    with pytest.raises(SettingsError, match="lifecycle init --shop books"):
        home.shop("books")
    with pytest.raises(SettingsError, match="not a shop id"):
        home.shop("../etc/passwd")
    (tmp_path / "shops").mkdir()
    (tmp_path / "shops" / "books.yaml").write_text(FIVE_LINES)
    assert home.shops() == ["books"]
    assert home.shop("books").currency == "NZD"
