"""The report as its readers meet it: natural in every case, safe, self-contained, accessible, repeatable."""

import datetime as dt
import itertools
import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import polars as pl
import pytest
from cases import ASSUMING, facts_of, undrawn
from report_frames import AS_OF, SHOP, frames, lines, tables

from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.lifecycle import facts as lifecycle_facts
from lifecycle_assets.reports.lifecycle import report as lifecycle_report
from lifecycle_assets.reports.report import Report, sentences

# The report's other languages and formats, and the gallery.
BESIDE = re.compile(r"lifecycle\.(en|es|pt)\.(html|pdf|xlsx|json)|\.\./\.\./index(\.es|\.pt)?\.html")
VOID = {"meta", "link", "br", "img", "input", "hr"}


@cache
def report_of(case: str, language: str = "en") -> Report:
    return lifecycle_report(facts_of("lifecycle", case), "corner", AS_OF, ASSUMING, language)


class Page(HTMLParser):
    """What a browser or a screen reader gets: elements with their attributes, balanced tags, texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_says_what_the_sentences_say() -> None:
    text = " ".join(" ".join(Page(report_of("rising").html).text).split())
    for _, sentence in sentences(report_of("rising").page):
        assert " ".join(sentence.text.split()) in text


@cache
def undrawn_report(case: str) -> Report:
    with undrawn():
        return lifecycle_report(facts_of("lifecycle", case), "corner", AS_OF, ASSUMING, "en")


def said(case: str) -> str:
    return " ".join(row["text"] for row in undrawn_report(case).json["text"])


def test_the_main_reason_is_the_largest_part() -> None:
    facts = facts_of("lifecycle", "falling")
    parts = {driver: facts.value(f"why.{driver}") for driver in ("buyers", "frequency", "ticket")}
    assert min(parts, key=lambda driver: parts[driver]) == "buyers"  # type: ignore[arg-type,return-value]
    assert "Mainly because fewer customers bought: " in said("falling")


def test_a_part_whose_own_change_may_be_chance_is_not_called_the_main_cause() -> None:
    found = facts_of("lifecycle", "falling")
    buyers = found.facts["sales.30d.buyers"]
    unsure = replace(buyers.comparisons["before"], verdict="flat", hi=0.01)
    changed = replace(buyers, comparisons={**buyers.comparisons, "before": unsure})
    facts = Facts((found.facts | {buyers.id: changed}).values(), found.tables)
    for language, words in (
        ("en", "none of its parts can be named as the main cause"),
        ("es", "ninguna de sus partes puede señalarse como causa principal"),
        ("pt", "nenhuma das suas partes pode ser apontada como a causa principal"),
    ):
        with undrawn():
            shown = lifecycle_report(facts, "corner", AS_OF, ASSUMING, language)
        text = " ".join(sentence.text for _, sentence in sentences(shown.page))
        assert words in text
        assert not re.search("Mainly because|Sobre todo porque|Principalmente porque", text)


def test_only_what_went_out_is_said_to_go_out() -> None:
    facts, text = facts_of("lifecycle", "rising"), said("rising")
    numbers = [facts.value(path) for path in ("tonight.sends", "tonight.withheld", "withheld.suppressed")]
    sends, withheld, suppressed = numbers
    assert withheld == suppressed + facts.value("withheld.expired")
    assert f"{sends} messages go out, one each to {sends} of " in text
    assert (
        f"{withheld} messages were held back at the last check (the message came too late to be sent: "
        f"{facts.value('withheld.expired')}; on the list of people not to contact: {suppressed})." in text
    )
    sold = lines(customers=250, trend=0.6)
    third = frames(sold)["ledger"].filter(pl.col("idempotency_key").str.ends_with(" 3"))
    one = lifecycle_facts(tables(sold, ledger=third), AS_OF, SHOP)
    with undrawn():
        shown = lifecycle_report(one, "corner", AS_OF, SHOP, "en")
    held = "1 message was held back at the last check (on the list of people not to contact: 1)."
    assert held in [sentence.text for _, sentence in sentences(shown.page)]


def test_a_night_that_came_after_a_later_one_is_said_to_have_released_nothing() -> None:
    text = said("superseded")
    count = facts_of("lifecycle", "superseded").value("tonight.planned")
    assert "Nothing goes out." in text and "Nothing, since nothing goes out." in text
    assert f"{count} planned messages were not released, because the night of 1 July 2024 has gone out already." in text


def test_the_holdout_is_compared_as_it_was_assigned() -> None:
    text = said("rising")
    assert "comparing all customers assigned to receive with all kept back, whether or not a message went out" in text
    assert "those who got one" not in text


def test_an_empty_shop_gets_a_report_that_says_so() -> None:
    report = undrawn_report("empty")
    assert not report.figures
    assert "–" not in said("empty")


def test_expected_earnings_are_called_an_assumption_and_the_holdout_is_told() -> None:
    text = said("rising")
    assert "It is an assumption to start from, not a result" in text
    assert "kept back on purpose (holdout)" in text


def test_assumed_consent_is_in_front_and_only_then() -> None:
    assert "Consent is assumed, not recorded, for e-mail." in report_of("rising").html
    stated = lifecycle_report(facts_of("lifecycle", "rising"), "corner", AS_OF, SHOP, "en")
    assert "Consent is assumed" not in stated.html


def test_old_data_is_pointed_out() -> None:
    late = lines(customers=60).filter(pl.col("order_date") < AS_OF - dt.timedelta(days=9))
    report = lifecycle_report(lifecycle_facts(tables(late), AS_OF, SHOP), "corner", AS_OF, SHOP, "en")
    assert re.search(r"The last order in the data is \d+ days older than this report", report.html)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["rising", "empty"])
def test_the_page_needs_nothing_from_outside(case: str) -> None:
    html = report_of(case).html
    page = Page(html)
    for _, attributes in page.elements:
        for name in ("href", "src", "xlink:href", "data", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")) or BESIDE.fullmatch(address), address
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    # Namespaces are names: nothing is fetched from them.
    assert set(re.findall(r"\w+://[^\s\"'<)]+", html)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    assert len(html) < 1_000_000


def test_every_chart_has_a_title_a_text_and_its_numbers() -> None:
    page = Page(report_of("rising").html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    figures = page.all("figure")
    assert len(pictures) == 2 * len(figures)
    own = ("weekly", "stages", "rfm", "tiers", "segments", "sends", "hours", "held", "set_aside")
    assert {f"figure-{name}" for name in own} <= {figure["id"] for figure in figures}
    for picture in pictures:
        assert picture["aria-labelledby"] in ids and picture["aria-describedby"] in ids
    for figure in report_of("rising").figures:
        assert figure.title.text and figure.alternative.text and figure.subtitle.text
        assert all(table.rows and {len(row) for row in table.rows} == {len(table.columns)} for table in figure.tables)
        for drawn in (figure.picture.wide, figure.picture.narrow):
            used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", drawn))
            assert used <= set(re.findall(r'id="([^"]+)"', drawn))


def test_axes_have_units() -> None:
    drawn = {figure.id: figure.picture.wide for figure in report_of("rising").figures}
    assert "Revenue, GBP" in drawn["weekly"] and "Week ending" in drawn["weekly"]
    assert "Recency score" in drawn["rfm"] and "Frequency score" in drawn["rfm"]
    assert "Messages" in drawn["hours"] and "Hour of the day" in drawn["hours"]


def test_the_page_can_be_read_by_ear_and_keyboard() -> None:
    page = Page(report_of("rising").html)
    tags = [tag for tag, _ in page.elements]
    assert page.all("html")[0]["lang"] == "en"
    assert tags.count("h1") == tags.count("main") == tags.count("header") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes["scope"] in {"row", "col"} for attributes in page.all("th"))
    ids = {attributes.get("id") for _, attributes in page.elements}
    for link in page.all("a"):
        assert BESIDE.fullmatch(link["href"] or "") or (link["href"] or "").removeprefix("#") in ids
    scrolling = [a for tag, a in page.elements if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["role"] == "group" and a["aria-label"] for a in scrolling)
    assert page.all("meta")[1]["content"] == "width=device-width, initial-scale=1"


def test_texts_of_the_shop_and_its_data_cannot_become_markup() -> None:
    bad = "<script>alert(1)</script>{{ 7*7 }}\"'&"
    sold = lines(customers=80)
    made = frames(sold)
    hurt = tables(
        sold,
        decisions=made["decisions"].with_columns(
            pl.when(pl.col("reason") == "frequency_cap").then(pl.lit(bad)).otherwise("reason").alias("reason"),
            pl.when(pl.col("programme") == "winback").then(pl.lit(bad)).otherwise("programme").alias("programme"),
        ),
        quarantine=made["quarantine"].with_columns(message=pl.lit(bad)),
    )
    shop = SHOP.model_copy(update={"name": bad})
    html = lifecycle_report(lifecycle_facts(hurt, AS_OF, shop), "corner", AS_OF, shop, "en").html
    assert "<script" not in html and "49" not in re.findall(r"alert\(1\)&lt;/script&gt;(\d+)", html)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}") > 5
    assert "alert" not in " ".join(
        value or "" for _, a in Page(html).elements for name, value in a.items() if name == "href"
    )


def test_a_repeated_run_is_the_same_to_the_byte() -> None:
    shuffled = tables(lines(customers=80).sample(fraction=1.0, shuffle=True, seed=5))
    runs = []
    for made in (tables(lines(customers=80)), shuffled):
        report = lifecycle_report(lifecycle_facts(made, AS_OF, SHOP), "corner", AS_OF, SHOP, "en")
        # The rows' order decides nothing but which rows the made-up input_reads calls first and last.
        runs.append((re.sub(r"<tbody>\n<tr><th scope=\"row\">order_lines.*", "", report.html), report.json["facts"]))
    assert runs[0] == runs[1]
    again = lifecycle_report(facts_of("lifecycle", "rising"), "corner", AS_OF, ASSUMING, "en")
    assert again.html == report_of("rising").html


def test_the_facts_are_plain_json_with_the_text_beside_them() -> None:
    document = report_of("rising").json
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["report"], document["shop"], document["as_of"]) == ("lifecycle", "corner", "2024-06-30")
    known = {fact["id"] for fact in document["facts"]}
    assert all(path.partition("/")[0] in known for row in document["text"] for path in row["facts"])
