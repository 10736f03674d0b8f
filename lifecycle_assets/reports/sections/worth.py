"""Groups of customers beside the value that is expected of them."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller

SHARES = ("share", "value_share")


def worth(
    tell: Teller, name: str, topic: str, labels: dict[str, str], rows: list[Row], title: Sentence, table: render.Table
) -> render.Figure:
    """The figure `name`: each row's share of the customers and of the expected value, which are also the facts
    `<topic>.<row's name>.share` and `.value_share`; `labels` are the rows' names for people."""
    series = (tell.word("chart.worth.customers"), tell.word("chart.worth.value"))
    data = [
        {
            "group": labels[row["name"]],
            "series": label,
            "value": max(0.0, row[column] or 0.0),
            "label": tell.show(row[column], "share"),
        }
        for row in rows
        for label, column in zip(series, SHARES, strict=True)
    ]
    told = [
        tell.say(
            "chart.worth.item",
            words={"group": labels[row["name"]]},
            **{share: f"{topic}.{row['name']}.{share}" for share in SHARES},
        )
        for row in rows
    ]
    return render.Figure(
        name,
        title,
        tell.say(f"chart.{name}.subtitle", months=f"{topic}.months"),
        tell.say(f"chart.{name}.alt", words={"groups": tell.writer.enumerate(told)}),
        charts.pairs(data, series, charts.Axes(tell.word("chart.worth.x"), "", tell.locale), name),
        [table],
    )
