"""The report as its readers meet it: grounded, natural in every case, safe, self-contained, accessible, repeatable."""

import datetime as dt
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import polars as pl
import pytest
from report_frames import AS_OF, SHOP, drawing, lines, tables

from lifecycle_assets.reports import charts, lifecycle
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.lifecycle import Report, lifecycle_facts, lifecycle_report
from lifecycle_assets.reports.narrative import Catalogue, Sentence, Writer
from lifecycle_assets.reports.telling import Teller


def superseded(made: lifecycle.Tables) -> lifecycle.Tables:
    """The night after has gone out already, and nothing of this one."""
    moved = made.ledger.filter(as_of=AS_OF, event="exported").with_columns(pl.col("as_of").dt.offset_by("1d"))
    return replace(made, ledger=moved)


CASES: dict[str, Callable[[], lifecycle.Tables]] = {
    "rising": lambda: tables(lines(customers=250, trend=0.6)),
    "flat": lambda: tables(lines(customers=150, guests=0)),
    "falling": lambda: tables(lines(customers=150, trend=-0.6)),
    "tiny": lambda: tables(lines(customers=6, days=100, guests=0)),
    "superseded": lambda: superseded(tables(lines(customers=80))),
    "silent": lambda: tables(lines(customers=80, days=80), sends=False),
    "empty": lambda: tables(lines(customers=0, guests=0), sends=False),
}
VOID = {"meta", "link", "br", "img", "input", "hr"}


@cache
def facts_of(case: str) -> Facts:
    return lifecycle_facts(CASES[case](), AS_OF, SHOP)


@cache
def report_of(case: str) -> Report:
    return lifecycle_report(facts_of(case), "corner", AS_OF, SHOP, ("email",), drawing())


@cache
def sentences_of(case: str) -> list[Sentence]:
    page = lifecycle._page(Teller(Writer("en", "GB", "GBP", facts_of(case)), SHOP), ("email",), drawing())
    said = [page.title, page.dated, page.headline, *page.notices, *(s for _, a in page.answers for s in a)]
    said += [sentence for tile in page.tiles for sentence in (tile.label, tile.value, tile.note)]
    for section in page.sections:
        said += [*section.sentences, *section.notes, *(text for _, text in section.terms)]
        said += [s for figure in section.figures for s in (figure.title, figure.subtitle, figure.alternative)]
    return said


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


@pytest.mark.parametrize("case", CASES)
def test_every_number_said_is_a_fact(case: str) -> None:
    facts = facts_of(case)
    write = Writer("en", "GB", "GBP", facts)
    # Texts of the shop's own making may hold digits: its offers and what the quarantine says of a row.
    own = [offer.name for offer in SHOP.routing.offers.values()]
    own += [f"{row['table']}: {row['message']}" for row in facts.tables["set_aside"]]
    for sentence in sentences_of(case):
        rest = sentence.text
        for path, shown in sentence.numbers:
            assert shown in {write.number(path, style) for style in ("", "abs", "signed", "compact")}, (path, shown)
        for shown in sorted({shown for _, shown in sentence.numbers} | set(own), key=len, reverse=True):
            rest = rest.replace(shown, "")
        assert not re.search(r"\d", rest), sentence.text


def test_a_number_said_is_the_fact_in_plain_digits() -> None:
    """The formats themselves are read back without the writer's help."""
    facts = facts_of("rising")
    checked = 0
    for sentence in sentences_of("rising"):
        for path, shown in sentence.numbers:
            value, unit = facts.value(path), facts.unit(path)
            if isinstance(value, str | dt.date | dt.time) or value is None:
                continue
            digits = re.sub(r"[^\d.]", "", shown)
            read = float(digits) / (100 if unit == "share" else 1)
            step = 10.0 ** -len(digits.partition(".")[2]) / (100 if unit == "share" else 1)
            assert abs(abs(float(value)) - read) <= 0.5000001 * step, (path, shown)
            checked += 1
    assert checked > 80


def test_the_page_says_what_the_sentences_say() -> None:
    text = " ".join(" ".join(Page(report_of("rising").html).text).split())
    for sentence in sentences_of("rising"):
        assert " ".join(sentence.text.split()) in text


def said(case: str) -> str:
    return " ".join(row["text"] for row in report_of(case).json["text"])


def test_a_rise_a_fall_and_no_change_are_told_apart() -> None:
    assert re.match(r"Customer revenue is up \d+% on the 30 days before", report_of("rising").headline)
    assert re.match(r"Customer revenue is down \d+% on the 30 days before", report_of("falling").headline)
    assert report_of("flat").headline == "Customer revenue is holding steady"
    assert "Mainly because" in said("rising") and "Mainly because" in said("falling")
    assert "about the same as in the 30 days before" in said("flat")
    assert "no cause worth naming" in said("flat")
    assert "Mainly because" not in said("flat")
    assert "More customers slipped away than came back" in said("falling")


def test_the_main_reason_is_the_largest_part() -> None:
    facts = facts_of("falling")
    parts = {driver: facts.value(f"why.{driver}") for driver in ("buyers", "frequency", "ticket")}
    assert min(parts, key=lambda driver: parts[driver]) == "buyers"  # type: ignore[arg-type,return-value]
    assert "Mainly because fewer customers bought: " in said("falling")


def test_tiny_data_is_called_tiny() -> None:
    text = said("tiny")
    assert report_of("tiny").headline == "Too few buyers in the last 30 days to call a trend"
    assert "that is no trend yet" in text
    assert "a cause would be a guess" in text
    assert "A year-on-year comparison needs older data: the data starts on 2 April 2024." in text
    assert not re.search(r"\b1 (customers|messages|rows|days)\b", text)


def test_nothing_to_send_is_said_and_explained() -> None:
    text = said("silent")
    assert "Nothing goes out." in text and "there is a stated reason" in text
    assert "Nothing, since nothing goes out." in text
    assert "The most common reason for silence: has not agreed to be contacted on the channel" in text


def test_only_what_went_out_is_said_to_go_out() -> None:
    facts, text = facts_of("rising"), said("rising")
    numbers = [facts.value(path) for path in ("tonight.sends", "tonight.withheld", "withheld.suppressed")]
    sends, withheld, suppressed = numbers
    assert withheld == suppressed + facts.value("withheld.expired")
    assert f"{sends} messages go out, one each to {sends} of " in text
    assert (
        f"{withheld} messages were held back at the last check (the message came too late to be sent: "
        f"{facts.value('withheld.expired')}; on the list of people not to contact: {suppressed})." in text
    )
    made = CASES["rising"]()
    one = lifecycle_facts(
        replace(made, ledger=made.ledger.filter(pl.col("idempotency_key").str.ends_with(" 3"))), AS_OF, SHOP
    )
    shown = lifecycle_report(one, "corner", AS_OF, SHOP)
    assert "1 message was held back at the last check (on the list of people not to contact: 1)." in shown.html


def test_a_night_that_came_after_a_later_one_is_said_to_have_released_nothing() -> None:
    text = said("superseded")
    count = facts_of("superseded").value("tonight.planned")
    assert "Nothing goes out." in text and "Nothing, since nothing goes out." in text
    assert f"{count} planned messages were not released, because the night of 1 July 2024 has gone out already." in text


def test_the_holdout_is_compared_as_it_was_assigned() -> None:
    text = said("rising")
    assert "comparing all customers assigned to receive with all kept back, whether or not a message went out" in text
    assert "those who got one" not in text


def test_an_empty_shop_gets_a_report_that_says_so() -> None:
    report = report_of("empty")
    assert report.headline == "No customers yet"
    assert "There is no purchase by a known customer on or before 30 June 2024." in said("empty")
    assert not report.figures
    assert "–" not in said("empty")


def test_expected_earnings_are_called_an_assumption_and_the_holdout_is_told() -> None:
    text = said("rising")
    assert "It is an assumption to start from, not a result" in text
    assert "kept back on purpose (holdout)" in text


def test_assumed_consent_is_in_front_and_only_then() -> None:
    assert "Consent is assumed, not recorded, for e-mail." in report_of("rising").html
    stated = lifecycle_report(facts_of("rising"), "corner", AS_OF, SHOP)
    assert "Consent is assumed" not in stated.html


def test_old_data_is_pointed_out() -> None:
    late = lines(customers=60).filter(pl.col("order_date") < AS_OF - dt.timedelta(days=9))
    report = lifecycle_report(lifecycle_facts(tables(late), AS_OF, SHOP), "corner", AS_OF, SHOP)
    assert re.search(r"The last order in the data is \d+ days older than this report", report.html)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_page_needs_nothing_from_outside(case: str) -> None:
    html = report_of(case).html
    page = Page(html)
    for _, attributes in page.elements:
        for name in ("href", "src", "xlink:href", "data", "action", "srcset"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")), address
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
    assert len(figures) == 12 and len(pictures) == 2 * len(figures)
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
        assert (link["href"] or "").removeprefix("#") in ids
    scrolling = [a for tag, a in page.elements if a.get("class") == "scroll"]
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in scrolling)
    assert page.all("meta")[1]["content"] == "width=device-width, initial-scale=1"


def test_texts_of_the_shop_and_its_data_cannot_become_markup() -> None:
    bad = "<script>alert(1)</script>{{ 7*7 }}\"'&"
    made = tables(lines(customers=80))
    hurt = lifecycle.Tables(
        **{
            **vars(made),
            "decisions": made.decisions.with_columns(
                pl.when(pl.col("reason") == "frequency_cap").then(pl.lit(bad)).otherwise("reason").alias("reason"),
                pl.when(pl.col("programme") == "winback").then(pl.lit(bad)).otherwise("programme").alias("programme"),
            ),
            "quarantine": made.quarantine.with_columns(message=pl.lit(bad)),
        }
    )
    shop = SHOP.model_copy(update={"name": bad})
    html = lifecycle_report(lifecycle_facts(hurt, AS_OF, shop), "corner", AS_OF, shop).html
    assert "<script" not in html and "49" not in re.findall(r"alert\(1\)&lt;/script&gt;(\d+)", html)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}") > 5
    assert "alert" not in " ".join(
        value or "" for _, a in Page(html).elements for name, value in a.items() if name == "href"
    )


def test_a_repeated_run_is_the_same_to_the_byte() -> None:
    shuffled = tables(lines(customers=80).sample(fraction=1.0, shuffle=True, seed=5))
    runs = []
    for made in (tables(lines(customers=80)), shuffled):
        report = lifecycle_report(lifecycle_facts(made, AS_OF, SHOP), "corner", AS_OF, SHOP)
        # The rows' order decides nothing but which rows the made-up input_reads calls first and last.
        runs.append((re.sub(r"<tbody>\n<tr><th scope=\"row\">order_lines.*", "", report.html), report.json["facts"]))
    assert runs[0] == runs[1]
    again = lifecycle_report(facts_of("rising"), "corner", AS_OF, SHOP, ("email",), drawing())
    assert again.html == report_of("rising").html


def test_the_facts_are_plain_json_with_the_text_beside_them() -> None:
    document = report_of("rising").json
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["report"], document["shop"], document["as_of"]) == ("lifecycle", "corner", "2024-06-30")
    known = {fact["id"] for fact in document["facts"]}
    assert all(path.partition("/")[0] in known for row in document["text"] for path in row["facts"])


def test_every_message_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    pick = Catalogue.pick
    monkeypatch.setattr(charts, "_draw", lambda *_: charts.Picture("<svg ></svg>", "<svg ></svg>"))
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, *form: used.add(key) or pick(self, key, *form))
    cases = [facts_of(case) for case in CASES]
    for facts in cases:
        lifecycle_report(facts, "corner", AS_OF, SHOP, ("email",), drawing())
    # These stand for what the data may hold: one message for each value or verdict there is.
    families = (
        r"(stage|channel|programme|reason|why|year|sales|changed|tile|headline|tonight|notice|customer_value|personas"
        r"|chart\.\w+\.title|backtest)"
    )
    unused = {key for key in Writer("en", "GB", "GBP", cases[0]).catalogue.messages if key not in used}
    assert {key for key in unused if not re.match(families, key)} <= {
        "chart.rfm.title_none",
        "table.no_offer",
        "held.none",
        "quality.clean",
    }
