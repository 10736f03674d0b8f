"""What goes out tonight, who hears nothing, and why."""

import datetime as dt
from typing import Any

from lifecycle_assets.reports import charts, first_screen, render
from lifecycle_assets.reports.telling import Teller


def tonight(tell: Teller) -> render.Section:
    """What goes out: offers, numbers, hours and expected value."""
    sends = tell.facts.tables["sends"]
    if not sends:
        return tell.section("tonight", first_screen.going_out(tell))
    rows = [
        [
            tell.programme_name(row["programme"]),
            tell.channel_name(row["channel"]),
            tell.offer_name(row["offer_id"]),
            tell.hours(row["first"], row["last"]),
            tell.show((row["discount_pct"] or 0) / 100, "share"),
            tell.show(row["messages"], "messages"),
            tell.show(row["value"], "currency"),
        ]
        for row in tell.facts.tables["offers"]
    ]
    heads = ("programme", "channel", "offer", "hours", "discount", "messages", "value")
    lead = tell.say("tonight.sends", count="tonight.sends", decided="tonight.decided")
    sentences = [lead, *first_screen.unsent(tell), *first_screen.expected(tell)]
    return tell.section(
        "tonight", sentences, [tell.table("sends", heads, rows, texts={1, 2, 3})], [_sends(tell), *_hours(tell)]
    )


def held(tell: Teller) -> render.Section:
    """Who hears nothing, by reason."""
    rows = tell.facts.tables["holds"]
    if not rows:
        return tell.section("held", [tell.say("held.none")])
    cells = [
        [tell.reason_text(row["reason"]), tell.show(row["customers"], "customers"), tell.show(row["share"], "share")]
        for row in rows
    ]
    figure = render.Figure(
        "held",
        tell.say(
            "chart.held.title",
            words={"reason": tell.reason_text(rows[0]["reason"])},
            customers=f"hold.{rows[0]['reason']}",
        ),
        tell.say("chart.held.subtitle"),
        tell.say(
            "chart.held.alt",
            words={
                "groups": tell.reasons([(cell[0], f"hold.{r['reason']}") for r, cell in zip(rows, cells, strict=True)])
            },
        ),
        charts.bars(
            [
                {"text": tell.sentence_case(cell[0]), "value": row["customers"], "label": f"{cell[1]} ({cell[2]})"}
                for row, cell in zip(rows, cells, strict=True)
            ],
            "held",
        ),
        [tell.table("holds", ("reason", "customers", "share"), cells)],
    )
    return tell.section("held", [tell.say("held.lead", count="tonight.holds")], figures=[figure])


def _sends(tell: Teller) -> render.Figure:
    rows = tell.facts.tables["sends"]
    largest = rows[0]
    words = [(tell.programme_name(row["programme"]), tell.channel_name(row["channel"])) for row in rows]
    told = [
        (", ".join(names), f"send.{row['programme']}.{row['channel']}.messages")
        for row, names in zip(rows, words, strict=True)
    ]
    cells = [
        [*names, tell.hours(row["first"], row["last"]), tell.writer.number(path), tell.show(row["value"], "currency")]
        for row, names, (_, path) in zip(rows, words, told, strict=True)
    ]
    bars = [
        {"text": f"{text}, {cell[2]}", "value": row["messages"], "label": cell[3]}
        for row, (text, _), cell in zip(rows, told, cells, strict=True)
    ]
    heads = ("programme", "channel", "hours", "messages", "value")
    return render.Figure(
        "sends",
        tell.say(
            "chart.sends.title",
            words={
                "programme": tell.programme_name(largest["programme"]),
                "channel": tell.channel_name(largest["channel"]),
            },
            messages=f"send.{largest['programme']}.{largest['channel']}.messages",
            sends="tonight.sends",
        ),
        tell.say("chart.sends.subtitle"),
        tell.say("chart.sends.alt", words={"groups": tell.reasons(told)}),
        charts.bars(bars, "sends"),
        [tell.table("send_programmes", heads, cells, texts={1, 2})],
    )


def _hours(tell: Teller) -> list[render.Figure]:
    rows = tell.facts.tables["send_hours"]
    if len({row["hour"] for row in rows}) < 2:
        return []
    data = [
        {
            "hour": row["hour"],
            "series": f"{tell.programme_name(row['programme'])}, {tell.channel_name(row['channel'])}",
            "value": row["messages"],
        }
        for row in rows
    ]
    series = list(dict.fromkeys(row["series"] for row in sorted(data, key=lambda row: row["series"])))
    cells = [
        [tell.show(dt.time(int(row["hour"])), "time"), row["series"], tell.show(row["value"], "messages")]
        for row in data
    ]
    paths: dict[str, Any] = {"hour": "tonight.busiest_hour", "messages": "tonight.busiest"}
    axes = charts.Axes(tell.word("chart.hours.x"), tell.word("chart.hours.y"), tell.locale)
    return [
        render.Figure(
            "hours",
            tell.say("chart.hours.title", sends="tonight.sends", **paths),
            tell.say("chart.hours.subtitle"),
            tell.say("chart.hours.alt", **paths),
            charts.hours(data, axes, series, "hours"),
            [tell.table("send_hours", ("hour", "programme", "messages"), cells, texts={1})],
        )
    ]
