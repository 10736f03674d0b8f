"""The nightly lifecycle report: what changed, why, what goes out tonight, what it is expected to earn.

Facts come from the tables (sales, customers, tonight, quality), sentences and charts from the facts. A shop without a
purchase, or without enough of them, gets a report that says so.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lifecycle_assets.reports import customers, first_screen, quality, render, sales, segments, tonight, value
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.narrative import Sentence, Writer
from lifecycle_assets.reports.sections import customers as customers_section
from lifecycle_assets.reports.sections import notes as notes_section
from lifecycle_assets.reports.sections import quality as quality_section
from lifecycle_assets.reports.sections import sales as sales_section
from lifecycle_assets.reports.sections import segments as segments_section
from lifecycle_assets.reports.sections import tonight as tonight_section
from lifecycle_assets.reports.sections import value as value_section
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

LOWEST_SCORE = 1


@dataclass(frozen=True)
class Tables:
    """The tables that the report reads, one shop's rows each. `timeline` is features.stage.stage_timeline's result; `ledger`
    holds the lines of all nights."""

    order_lines: pl.LazyFrame
    input_reads: pl.LazyFrame
    quarantine: pl.LazyFrame
    orders: pl.LazyFrame
    customer_features: pl.LazyFrame
    customer_loyalty: pl.LazyFrame
    customer_rfm: pl.LazyFrame
    lifecycle_stage: pl.LazyFrame
    timeline: pl.LazyFrame
    clv_forecast: pl.LazyFrame
    clv_evaluation: pl.LazyFrame
    segment_profiles: pl.LazyFrame
    segmentation_benchmark: pl.LazyFrame
    decisions: pl.LazyFrame
    ledger: pl.LazyFrame


@dataclass(frozen=True)
class Report:
    """A finished report: the page, its facts and text as plain values for JSON, and what the asset shows of it."""

    html: str
    json: dict[str, Any]
    headline: str
    summary: Sequence[str]
    figures: Sequence[render.Figure]


def lifecycle_facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Every number of the report, computed from the tables as of the end of `as_of`; see the modules for the facts."""
    return (
        sales.sales(tables.order_lines, tables.orders, as_of)
        | customers.stages(tables.lifecycle_stage, tables.timeline, as_of)
        | customers.rfm(tables.customer_rfm, settings.customer.rfm.bins)
        | customers.loyalty(tables.customer_loyalty, tables.customer_features)
        | value.value(tables.clv_forecast, tables.clv_evaluation)
        | segments.segments(tables.segment_profiles, tables.segmentation_benchmark)
        | tonight.tonight(tables.decisions, tables.ledger, as_of)
        | quality.quality(tables.input_reads, tables.quarantine, settings.timezone)
        | _thresholds(settings)
    )


def lifecycle_report(
    facts: Facts,
    shop: str,
    as_of: dt.date,
    settings: Shop,
    assumed_consent: Sequence[str] = (),
    dendrogram: str = "",
) -> Report:
    """The report on the facts in the shop's language. `assumed_consent`: channels whose consent the configuration assumes;
    the report says so in front. `dendrogram`: the drawing of the customers' tree, as SVG. Raises SettingsError when there is no
    catalogue for the language."""
    writer = Writer(settings.language, settings.country, settings.currency, facts)
    page = _page(Teller(writer, settings), assumed_consent, dendrogram)
    document = {
        "report": "lifecycle",
        "shop": shop,
        "shop_name": settings.name,
        "as_of": as_of.isoformat(),
        "language": settings.language,
        "currency": settings.currency,
        "title": page.kind,
        "headline": page.headline.text,
        "text": _texts(page),
        **facts.to_json(),
    }
    return Report(
        html=render.html(page),
        json=document,
        headline=page.headline.text,
        summary=[sentence.text for _, sentences in page.answers for sentence in sentences],
        figures=[figure for section in page.sections for figure in section.figures],
    )


def _thresholds(settings: Shop) -> Facts:
    """The settings that the glossary quotes."""
    stage, segments, bins = settings.customer.stage, settings.customer.loyalty.segments, settings.customer.rfm.bins
    values = {
        "new_days": (stage.new_days, "days"),
        "won_back_days": (stage.won_back_days, "days"),
        "at_risk_factor": (stage.at_risk_factor, "times"),
        "lapsed_factor": (stage.lapsed_factor, "times"),
        "platinum": (segments.platinum, "ratio"),
        "gold": (segments.gold, "ratio"),
        "silver": (segments.silver, "ratio"),
        "bronze": (segments.bronze, "ratio"),
        "lowest": (LOWEST_SCORE, "score"),
        "best_total": (3 * bins, "score"),
        "champion_total": (3 * bins - 2, "score"),
    }
    return Facts(Fact(f"setting.{name}", value, unit) for name, (value, unit) in values.items())


def _texts(page: render.Page) -> list[dict[str, Any]]:
    """Every sentence with the facts behind its numbers, in reading order."""
    sections: list[tuple[str, Sequence[Sentence]]] = [
        ("headline", [page.headline]),
        *(("answer", sentences) for _, sentences in page.answers),
        ("notice", page.notices),
    ]
    for section in page.sections:
        titles = [sentence for figure in section.figures for sentence in (figure.title, figure.alternative)]
        sections.append(
            (section.id, [*section.sentences, *section.notes, *(text for _, text in section.terms), *titles])
        )
    return [
        {"place": place, "text": sentence.text, "facts": sorted({path for path, _ in sentence.numbers})}
        for place, sentences in sections
        for sentence in sentences
    ]


def _page(tell: Teller, assumed_consent: Sequence[str], dendrogram: str) -> render.Page:
    name = {"shop": tell.settings.name}
    words = ("skip", "contents", "data_table", "made_from")
    return render.Page(
        language=tell.settings.language,
        shop=tell.settings.name,
        kind=tell.word("report.title"),
        title=tell.say("report.document", words=name, date="as_of"),
        dated=tell.say("report.as_of", date="as_of"),
        headline=first_screen.headline(tell),
        answers=first_screen.answers(tell),
        notices=first_screen.notices(tell, assumed_consent),
        tiles=first_screen.tiles(tell),
        sections=[
            sales_section.sales(tell),
            customers_section.stages(tell),
            customers_section.rfm(tell),
            customers_section.loyalty(tell),
            value_section.value(tell),
            segments_section.segments(tell, dendrogram),
            tonight_section.tonight(tell),
            tonight_section.held(tell),
            quality_section.quality(tell),
            notes_section.reading(tell),
            notes_section.glossary(tell),
        ],
        words={
            **{word: tell.word(f"report.{word}") for word in words},
            "tiles": tell.word("tile.heading"),
            "notice": tell.word("notice.label"),
        },
    )
