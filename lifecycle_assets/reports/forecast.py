"""The forecast report: what the coming months are expected to bring, how sure that is, what to do about it, what to watch.

Facts come from the forecast tables and the shop's own past (forecasts, forecast_parts), sentences and charts from the facts. A
shop without a completed sale gets a page that says what is missing.
"""

import datetime as dt
from typing import Any

from lifecycle_assets.reports import forecast_parts, forecasts, render
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.forecasts import SHOP
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections import forecast_parts as parts
from lifecycle_assets.reports.sections import forecasts as of_forecasts
from lifecycle_assets.reports.sections import outlook
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

NAME = "forecast"
KINDS = ("categories", "products")
READS = tuple(dict.fromkeys(forecasts.READS + forecast_parts.READS))


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """Every number of the report, as of the end of `as_of`."""
    return (
        Facts([Fact("as_of", as_of, "date")])
        | forecasts.facts(tables, as_of, settings)
        | forecast_parts.days(tables, as_of)
        | forecast_parts.categories(tables, as_of)
        | forecast_parts.products(tables, as_of)
        | forecast_parts.costs(tables, as_of)
        | forecast_parts.race(tables)
    )


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> reports.Report:
    """The report on the facts, in a language."""
    tell = reports.teller(facts, settings, language)
    known = f"{SHOP}.next" in facts
    page = reports.page(
        tell,
        NAME,
        headline=_headline(tell) if known else tell.say("forecast.headline.empty"),
        answers=_answers(tell) if known else [(tell.word("forecast.question.expected"), [tell.say("forecasts.empty")])],
        tiles=_tiles(tell) if known else (),
        sections=[section(tell) for section in parts.SECTIONS] if known else (),
    )
    return reports.Report(NAME, shop, as_of, settings.currency, page, facts)


def _headline(tell: Teller) -> Sentence:
    fact = f"{SHOP}.quarter"
    verdict = outlook.called(tell, fact)
    paths: dict[str, Any] = {"value": fact, "count": f"{fact}.months", "first": f"{fact}.first", "last": f"{fact}.last"}
    if f"{fact}/year" in tell.facts:
        paths["change"] = f"{fact}/year/change"
    return tell.say(f"forecast.headline.{verdict}", **paths)


def _answers(tell: Teller) -> list[tuple[str, list[Sentence]]]:
    return [
        (tell.word("forecast.question.expected"), outlook.expected(tell, SHOP, "revenue", ("quarter", "year"))),
        (tell.word("forecast.question.sure"), outlook.sureness(tell, SHOP)),
        (tell.word("forecast.question.do"), _do(tell)),
        (tell.word("forecast.question.watch"), _watch(tell)),
    ]


def _do(tell: Teller) -> list[Sentence]:
    """Plan for the range, and for the parts that leave last year's level, where two years tell a season from a change."""
    said = [tell.say("forecast.do.plan", month=f"{SHOP}.next.first", **outlook.bounded(f"{SHOP}.next"))]
    said += [
        tell.say(f"forecast.do.{kind}.{verdict}", words={"names": tell.writer.enumerate(names)})
        for kind in KINDS
        for verdict in ("rising", "falling")
        if (names := parts.moved(tell, f"forecast.{kind}", verdict))
    ]
    comparable = [parts.comparable(tell, f"forecast.{kind}") for kind in KINDS]
    if len(said) == 1 and all(comparable):
        said.append(tell.say("forecast.do.nothing"))
    elif not any(comparable) and any(tell.facts.tables[f"forecast.{kind}"] for kind in KINDS):
        said.append(tell.say("forecast.do.young"))
    return said


def _watch(tell: Teller) -> list[Sentence]:
    said = [of_forecasts.alerts(tell), *of_forecasts.alert_notes(tell)[:3], *parts.flips(tell)]
    if outlook.is_narrow(tell, SHOP):
        said.append(tell.say("forecast.watch.narrow"))
    return said


def _tiles(tell: Teller) -> list[render.Tile]:
    """The next month with its range, the longer periods, and what the tests said."""
    tiles = []
    for period in ("next", "quarter", "year"):
        fact = f"{SHOP}.{period}"
        if fact in tell.facts:
            key = "next" if period == "next" else "months"
            label = tell.say(f"forecast.tile.{key}", count=f"{fact}.months", first=f"{fact}.first")
            note = tell.say("forecast.tile.range", count=f"{fact}.months", lo=f"{fact}/lo", hi=f"{fact}/hi")
            tiles.append(render.Tile(label, tell.number(fact), note, "none"))
    for name in ("score", "outer"):
        if f"{SHOP}.proof.{name}" in tell.facts:
            paths: dict[str, Any] = {"count": f"{SHOP}.proof.trials", "outer_level": "forecasts.level.outer"}
            label, note = (tell.say(f"forecast.tile.{name}.{part}", **paths) for part in ("label", "note"))
            tiles.append(render.Tile(label, tell.number(f"{SHOP}.proof.{name}"), note, "none"))
    return tiles
