"""Groups of customers side by side: their shares of the customers and of the revenue."""

from collections.abc import Sequence
from typing import NamedTuple

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller

SHARES = ("share", "revenue_share")


class Group(NamedTuple):
    """A group's name for people, the facts `<fact>.share` and `<fact>.revenue_share`, and the row that holds both."""

    label: str | Sentence
    fact: str
    row: Row


def shares(tell: Teller, name: str, groups: Sequence[Group], title: Sentence, table: render.Table) -> render.Figure:
    """The figure `name` under `title`, with `table` behind it."""
    series = (tell.word("chart.groups.customers"), tell.word("chart.groups.revenue"))
    data = [
        {
            "group": str(group.label),
            "series": label,
            # A share below zero (more returned than bought) has no bar, its label tells it.
            "value": max(0.0, group.row[column] or 0.0),
            "label": tell.show(group.row[column], "share"),
        }
        for group in groups
        for label, column in zip(series, SHARES, strict=True)
    ]
    told = [
        tell.say("chart.groups.item", words={"group": group.label}, **{part: f"{group.fact}.{part}" for part in SHARES})
        for group in groups
    ]
    return render.Figure(
        name,
        title,
        tell.say(f"chart.{name}.subtitle"),
        tell.say(f"chart.{name}.alt", words={"groups": tell.writer.enumerate(told)}),
        charts.pairs(data, series, charts.Axes(tell.word("chart.groups.x"), "", tell.locale), name),
        [table],
    )
