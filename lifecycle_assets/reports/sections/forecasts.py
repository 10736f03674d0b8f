"""The forecast within the lifecycle report: the coming months, how sure they are, and what has left its forecast."""

from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.forecasts import SHOP
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections import outlook
from lifecycle_assets.reports.telling import Teller


def forecasts(tell: Teller) -> render.Section:
    """The shop's revenue of the next quarter and year, the proof, the alerts, and the fan."""
    if f"{SHOP}.next" not in tell.facts:
        return tell.section("forecasts", [tell.say("forecasts.empty")])
    sentences = outlook.expected(tell, SHOP, "revenue", ("quarter", "year"))
    notes = [*outlook.sureness(tell, SHOP), alerts(tell), *alert_notes(tell)]
    title = tell.word("section.forecasts")
    figures = [outlook.fan(tell, SHOP, "revenue", "forecast")]
    return render.Section("forecasts", title, sentences, notes=notes, figures=figures)


def alerts(tell: Teller) -> Sentence:
    """Whether any series has left the range of its forecast."""
    if not tell.facts.value("forecasts.watched"):
        return tell.say("forecasts.alerts.early", days="forecasts.alerts.days")
    paths: dict[str, Any] = {
        "watched": "forecasts.watched",
        "days": "forecasts.alerts.days",
        "outer_level": "forecasts.level.outer",
    }
    found = "some" if tell.facts.value("forecasts.alerts") else "none"
    return tell.say(f"forecasts.alerts.{found}", count="forecasts.alerts", **paths)


def alert_notes(tell: Teller) -> list[Sentence]:
    """Each series that has left its range, the furthest off first."""
    return [_alert(tell, row) for row in tell.facts.tables["forecasts.alerts"]]


def label(tell: Teller, series: str, name: str) -> str:
    """A series in words; `name`: that of its part."""
    dimension = series.partition(":")[0]
    shown = tell.word(f"outlook.part.{name}", name)
    return tell.say(f"outlook.series.{dimension}", words={"name": shown}).text


def _alert(tell: Teller, row: Row) -> Sentence:
    words = {"series": label(tell, row["series"], row["name"])}
    paths = {"actual": f"{row['id']}.actual", "expected": f"{row['id']}.expected"}
    return tell.say(f"forecasts.alert.{row['direction']}", words=words, **paths)
