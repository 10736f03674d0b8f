"""How the coming months of a series are told: what is expected, beside a year before, how sure that is, and its fan."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller

RANGE: dict[str, Any] = {"inner_level": "forecasts.level.inner", "outer_level": "forecasts.level.outer"}
AMOUNTS = ("value", "lo80", "hi80", "lo95", "hi95")


def expected(tell: Teller, name: str, kind: str, periods: Sequence[str]) -> list[Sentence]:
    """What the periods are expected to bring and how that compares with a year before; why no change is called and sums have no
    range. Nothing of a period that was not forecast. `kind`: revenue or cost."""
    facts = [fact for fact in (f"{name}.{period}" for period in periods) if fact in tell.facts]
    said = []
    for fact in facts:
        paths: dict[str, Any] = {"count": f"{fact}.months", "first": f"{fact}.first", "last": f"{fact}.last"}
        said += [tell.say(f"outlook.expected.{kind}", **paths, **bounded(fact)), compared(tell, fact)]
    if any(tell.facts.verdict(fact, "year") == "few" for fact in facts):
        said.append(tell.say("outlook.young", history=f"{name}.history"))
    if any(tell.value(f"{fact}.months") > 1 for fact in facts):
        said.append(tell.say("outlook.sum"))
    return said


def compared(tell: Teller, fact: str) -> Sentence:
    """A period beside the same of a year before."""
    verdict = tell.facts.verdict(fact, "year")
    if verdict == "none":
        return tell.say("outlook.year.none")
    return tell.say(f"outlook.year.{verdict}", before=f"{fact}/year/value", change=f"{fact}/year/change")


def called(tell: Teller, fact: str) -> str:
    """The change on a year before that may be called, or `none`."""
    verdict = tell.facts.verdict(fact, "year")
    return "none" if verdict == "few" else verdict


def running(tell: Teller, name: str) -> list[Sentence]:
    """What the running month has brought and where it is expected to end."""
    fact = f"{name}.running"
    if fact not in tell.facts:
        return []
    return [tell.say("outlook.running", month=f"{fact}.month", so_far=f"{fact}.so_far", **bounded(fact))]


def sureness(tell: Teller, name: str) -> list[Sentence]:
    """How far off the method was on what it had not seen, and whether its ranges held."""
    proof = f"{name}.proof"
    said = []
    if tell.value(f"{name}.history") < tell.value("forecasts.cold"):
        said.append(tell.say("outlook.cold", count=f"{name}.history", cold="forecasts.cold"))
    if f"{proof}.mae" not in tell.facts:
        return [*said, tell.say("outlook.unproven")]
    trials: dict[str, Any] = {"count": f"{proof}.trials", "days": f"{proof}.days"}
    if f"{proof}.score" in tell.facts:
        said.append(tell.say("outlook.missed.month", score=f"{proof}.score", **trials))
    else:
        said.append(tell.say("outlook.missed.day", mae=f"{proof}.mae", **trials))
    if f"{proof}.lead" in tell.facts:
        lo, hi = tell.value(f"{proof}.lead/lo"), tell.value(f"{proof}.lead/hi")
        verdict = "better" if lo > 0 else "worse" if hi < 0 else "alike"
        told: dict[str, Any] = {"mae": f"{proof}.mae", "naive": f"{proof}.naive", "lead": f"{proof}.lead"}
        said.append(tell.say(f"outlook.lead.{verdict}", lo=f"{proof}.lead/lo", hi=f"{proof}.lead/hi", **told))
    if f"{proof}.outer" in tell.facts:
        held = "narrow" if is_narrow(tell, name) else "held"
        said.append(tell.say(f"outlook.inside.{held}", inner=f"{proof}.inner", outer=f"{proof}.outer", **RANGE))
    return said


def is_narrow(tell: Teller, name: str) -> bool:
    """Whether the ranges held less than they were made for, by more than chance would give."""
    return any(
        f"{name}.proof.{level}" in tell.facts
        and tell.value(f"{name}.proof.{level}/hi") < tell.value(f"forecasts.level.{level}")
        for level in ("inner", "outer")
    )


def fan(tell: Teller, name: str, kind: str, picture: str) -> render.Figure:
    """The months behind and ahead with their ranges. `picture`: the figure's own id."""
    past, ahead = tell.facts.tables[f"{name}.past"], tell.facts.tables[f"{name}.ahead"]
    unit = {"currency": tell.settings.currency}
    fact = f"{name}.year" if f"{name}.year" in tell.facts else f"{name}.quarter"
    paths: dict[str, Any] = {"count": f"{fact}.months", "first": f"{fact}.first", "last": f"{fact}.last", "value": fact}
    if f"{fact}/year" in tell.facts:
        paths["change"] = f"{fact}/year/change"
    axes = charts.Axes("", tell.say(f"chart.fan.y.{kind}", words=unit).text, tell.locale)
    return render.Figure(
        picture,
        tell.say(f"chart.fan.title.{called(tell, fact)}", **paths),
        tell.say(f"chart.fan.subtitle.{kind}", words=unit, **RANGE),
        tell.say("chart.fan.alt", value=fact, first=f"{fact}.first", last=f"{fact}.last"),
        charts.fan(timed(past), timed(ahead), axes, legend(tell), picture),
        [months_table(tell, ahead, "currency")],
    )


def months_table(tell: Teller, ahead: Sequence[Row], unit: str) -> render.Table:
    """What is expected of each month, beside a year before; with the change, where one may be called of any."""
    rows = [
        [tell.show(row["month"], "month"), *(tell.show(row[name], unit) for name in (*AMOUNTS, "before"))]
        for row in ahead
    ]
    heads = ["outlook_month", "outlook_value", *bounds(tell, "inner"), *bounds(tell, "outer"), "year"]
    if any(row["change"] is not None for row in ahead):
        changes = [tell.writer.format(row["change"], "share", "signed") for row in ahead]
        rows = [[*row, change] for row, change in zip(rows, changes, strict=True)]
        heads.append("year_change")
    return tell.table("outlook", heads, rows)


def bounds(tell: Teller, level: str) -> list[str]:
    """Column heads of the lower and the upper end of a range."""
    return [tell.say(f"outlook.bound.{end}", level=f"forecasts.level.{level}").text for end in ("lo", "hi")]


def bounded(fact: str) -> dict[str, Any]:
    """A number and its bounds."""
    return {"value": fact, "lo": f"{fact}/lo", "hi": f"{fact}/hi"}


def legend(tell: Teller) -> charts.Legend:
    inner, outer = (tell.say("outlook.range", level=f"forecasts.level.{level}").text for level in ("inner", "outer"))
    return charts.Legend(tell.word("outlook.past"), tell.word("outlook.ahead"), inner, outer)


def timed(rows: Sequence[Row]) -> list[Row]:
    """Months as a chart wants them."""
    return [row | {"time": row["month"]} for row in rows]
