"""The sections of the forecast report: revenue by month and by day, categories, products, costs, the methods, the alerts."""

from collections.abc import Callable, Sequence
from typing import Any

from lifecycle_assets.models.forecast_months import FLIPS
from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.forecast_parts import COST
from lifecycle_assets.reports.forecasts import SHOP
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections import forecasts as of_forecasts
from lifecycle_assets.reports.sections import outlook
from lifecycle_assets.reports.telling import Teller

PERIOD = "quarter"
# A change from which the amounts say more than a percentage.
MANIFOLD = 5.0
METRICS = {"score": "currency", "mae": "currency", "mape": "share", "coverage80": "share", "coverage95": "share"}


def revenue(tell: Teller) -> render.Section:
    """The shop's months."""
    sentences = [*outlook.running(tell, SHOP), *outlook.expected(tell, SHOP, "revenue", ["next"])]
    figures = [outlook.fan(tell, SHOP, "revenue", "forecast-months")]
    return tell.section("forecast_months", sentences, figures=figures)


def days(tell: Teller) -> render.Section:
    """The shop's coming days."""
    past, ahead = (tell.facts.tables[f"forecast.days.{part}"] for part in ("past", "ahead"))
    unit = {"currency": tell.settings.currency}
    found = [
        tell.say(f"forecast.days.{name}", date=f"forecast.days.{name}.date", **outlook.bounded(f"forecast.days.{name}"))
        for name in ("highest", "lowest")
    ]
    cells = [
        [tell.show(row["date"], "date"), *(tell.show(row[column], "currency") for column in outlook.AMOUNTS)]
        for row in ahead
    ]
    heads = ("outlook_day", "outlook_value", *outlook.bounds(tell, "inner"), *outlook.bounds(tell, "outer"))
    axes = charts.Axes("", tell.say("chart.fan.y.revenue", words=unit).text, tell.locale)
    timed = [[row | {"time": row["date"]} for row in rows] for rows in (past, ahead)]
    figure = render.Figure(
        "forecast-days",
        tell.say("chart.forecast_days.title", date="forecast.days.highest.date", value="forecast.days.highest"),
        tell.say("chart.forecast_days.subtitle", words=unit, days="forecast.days", **outlook.RANGE),
        tell.say("chart.forecast_days.alt", days="forecast.days"),
        charts.fan(*timed, axes, outlook.legend(tell), "forecast-days", tell.word("chart.forecast_days.dates")),
        [tell.table("forecast_days", heads, cells)],
    )
    return tell.section("forecast_days", found, figures=[figure])


def categories(tell: Teller) -> render.Section:
    """The largest categories."""
    return _parts(tell, "categories", "currency")


def products(tell: Teller) -> render.Section:
    """The main products, in units."""
    return _parts(tell, "products", "units")


def costs(tell: Teller) -> render.Section:
    """All costs together."""
    if f"{COST}.next" not in tell.facts:
        return tell.section("forecast_cost", [tell.say("forecast.cost.empty")])
    sentences = [*outlook.expected(tell, COST, "cost", ("quarter", "year")), *outlook.sureness(tell, COST)]
    return tell.section("forecast_cost", sentences, figures=[outlook.fan(tell, COST, "cost", "forecast-cost")])


def methods(tell: Teller) -> render.Section:
    """How each method did on what it had not seen."""
    rows = tell.facts.tables["forecast.race"]
    if not rows:
        return tell.section("forecast_race", [tell.say("outlook.unproven")])
    sentences = [tell.say("forecast.race.ran", count="forecast.race.ran")]
    sentences += [
        tell.say(f"forecast.race.{why}", count=f"forecast.race.{why}")
        for why in ("late", "beaten", "unsuited")
        if tell.facts.value(f"forecast.race.{why}")
    ]
    return tell.section("forecast_race", sentences, tables=[_race(tell, rows)])


def watched(tell: Teller) -> render.Section:
    """What has left its forecast, and whether the series has changed its nature."""
    title = tell.word("section.forecast_alerts")
    sentences = [*flips(tell), of_forecasts.alerts(tell)]
    return render.Section("forecast_alerts", title, sentences, notes=of_forecasts.alert_notes(tell))


def reading(tell: Teller) -> render.Section:
    """How the numbers were made."""
    keys = ("revenue", "range", "sum", "year", "proof", "alerts")
    notes = [tell.say(f"forecast.reading.{key}", days="forecasts.alerts.days", **outlook.RANGE) for key in keys]
    notes.append(tell.say("reading.future", date="as_of"))
    return render.Section("reading", tell.word("section.reading"), notes=notes)


def glossary(tell: Teller) -> render.Section:
    """The words used."""
    keys = ("range", "held_back", "month_miss", "day_miss", "repeat", "median")
    terms = [
        (tell.word(f"forecast.glossary.{key}.term"), tell.say(f"forecast.glossary.{key}.text", **outlook.RANGE))
        for key in keys
    ]
    return render.Section("glossary", tell.word("section.glossary"), terms=terms)


def flips(tell: Teller) -> list[Sentence]:
    """That the best method keeps changing; nothing where it does not."""
    fact = f"{SHOP}.flips"
    if fact not in tell.facts or tell.value(fact) < FLIPS:
        return []
    return [tell.say("forecast.flips", count=fact)]


def moved(tell: Teller, table: str, verdict: str) -> list[Sentence]:
    """The parts that are clearly expected on one side of a year earlier: name and change of each."""
    found = []
    for row in tell.facts.tables[table]:
        fact = f"forecast.{row['series']}.{PERIOD}"
        if tell.facts.verdict(fact, "year") == verdict:
            size = "manifold" if tell.value(f"{fact}/year/change") >= MANIFOLD else "change"
            paths: dict[str, Any] = {"value": fact, "before": f"{fact}/year/value", "change": f"{fact}/year/change"}
            found.append(tell.say(f"forecast.item.{size}", words={"name": row["name"]}, **paths))
    return found


def comparable(tell: Teller, table: str) -> bool:
    """Whether of any of the parts a change on a year earlier may be called."""
    facts = [f"forecast.{row['series']}.{PERIOD}" for row in tell.facts.tables[table]]
    return any(outlook.called(tell, fact) != "none" for fact in facts)


def _parts(tell: Teller, kind: str, unit: str) -> render.Section:
    table = f"forecast.{kind}"
    rows = tell.facts.tables[table]
    if not rows:
        return tell.section(f"forecast_{kind}", [tell.say(f"forecast.{kind}.empty")])
    found = {verdict: moved(tell, table, verdict) for verdict in ("rising", "falling")}
    sentences = [
        tell.say(f"forecast.{kind}.{verdict}", words={"names": tell.writer.enumerate(names)})
        for verdict, names in found.items()
        if names
    ]
    if not sentences:
        sentences.append(tell.say(f"forecast.{kind}.{'flat' if comparable(tell, table) else 'none'}"))
    panels = [(row["name"], *_months(tell, row["series"])) for row in rows]
    first = f"forecast.{rows[0]['series']}.{PERIOD}"
    period: dict[str, Any] = {"count": f"{first}.months", "first": f"{first}.first", "last": f"{first}.last"}
    title = "moved" if any(found.values()) else "flat" if comparable(tell, table) else "none"
    figure = render.Figure(
        f"forecast-{kind}",
        tell.say(f"chart.forecast_{kind}.title.{title}"),
        tell.say(f"chart.forecast_{kind}.subtitle", words={"currency": tell.settings.currency}, **outlook.RANGE),
        tell.say(f"chart.forecast_{kind}.alt"),
        charts.fans(panels, charts.Axes("", "", tell.locale), outlook.legend(tell), f"forecast-{kind}"),
        [],
    )
    caption = tell.say(f"forecast.{kind}.caption", **period).text
    return tell.section(f"forecast_{kind}", sentences, [_table(tell, kind, caption, rows, unit)], [figure])


def _months(tell: Teller, series: str) -> tuple[list[Row], list[Row]]:
    """What a part brought and what is expected of it."""
    past, ahead = (tell.facts.tables[f"forecast.{series}.{part}"] for part in ("past", "ahead"))
    return outlook.timed(past), outlook.timed(ahead)


def _table(tell: Teller, kind: str, caption: str, rows: Sequence[Row], unit: str) -> render.Table:
    facts = [f"forecast.{row['series']}.{PERIOD}" for row in rows]
    columns = {"year": [tell.cell(f"{fact}/year/value") for fact in facts]}
    if comparable(tell, f"forecast.{kind}"):
        columns["year_change"] = [tell.cell(f"{fact}/year/change", "signed") for fact in facts]
    values = [tell.show(tell.facts.value(fact), unit) for fact in facts]
    cells = [list(row) for row in zip((row["name"] for row in rows), values, *columns.values(), strict=True)]
    heads = (f"forecast_{kind}", "outlook_value", *columns)
    return render.Table(caption, [tell.word(f"table.{head}", head) for head in heads], cells)


def _race(tell: Teller, rows: Sequence[Row]) -> render.Table:
    cells = [
        [
            tell.word(f"forecast.method.{row['candidate']}"),
            *(tell.show(row[column], unit) for column, unit in METRICS.items()),
            tell.word("forecast.used") if row["chosen"] else "",
        ]
        for row in rows
    ]
    ranges = [tell.say("outlook.inside_of", level=f"forecasts.level.{level}").text for level in ("inner", "outer")]
    heads = ("forecast_method", "forecast_score", "forecast_mae", "forecast_mape", *ranges, "forecast_used")
    return tell.table("forecast_race", heads, cells, {len(heads) - 1})


SECTIONS: tuple[Callable[[Teller], render.Section], ...] = (
    revenue,
    days,
    categories,
    products,
    costs,
    methods,
    watched,
    reading,
    glossary,
)
