"""What was read, what was set aside, and why."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.telling import Teller


def quality(tell: Teller) -> render.Section:
    """Rows read and used, by table, and the most frequent reasons for setting one aside."""
    inputs = tell.facts.tables["inputs"]
    if not inputs:
        return tell.section("quality", [tell.say("quality.empty")])
    sentences = [tell.say("quality.read", count="rows.read", kept="rows.kept")]
    if tell.facts.value("rows.left_out"):
        sentences.append(tell.say("quality.left_out", count="rows.left_out", share="rows.left_out.share"))
    sentences.append(
        tell.say("quality.broken", count="rows.broken", share="rows.broken.share")
        if tell.facts.value("rows.broken")
        else tell.say("quality.clean")
    )
    if tell.facts.value("data.first"):
        sentences.append(tell.say("quality.range", first="data.first", last="data.last"))
    cells = [
        [
            row["table"],
            *(tell.show(row[f"rows_{column}"], "rows") for column in ("read", "kept", "left_out", "broken")),
            *(tell.show(row[column], "date") for column in ("first", "last")),
        ]
        for row in inputs
    ]
    heads = ("input", "read", "kept", "left_out", "broken", "first", "last")
    return tell.section("quality", sentences, [tell.table("inputs", heads, cells)], _set_aside(tell))


def _set_aside(tell: Teller) -> list[render.Figure]:
    rows = tell.facts.tables["set_aside"]
    if not rows:
        return []
    texts = [_reason(tell, row) for row in rows]
    told = [(text, f"reason.{place}") for place, text in enumerate(texts, start=1)]
    cells = [[text, tell.show(row["rows"], "rows")] for text, row in zip(texts, rows, strict=True)]
    return [
        render.Figure(
            "set_aside",
            tell.say("chart.set_aside.title", kept="rows.kept", read="rows.read"),
            tell.say("chart.set_aside.subtitle"),
            tell.say("chart.set_aside.alt", words={"groups": tell.reasons(told)}),
            charts.bars(
                [
                    {"text": text, "value": row["rows"], "label": cell[1]}
                    for text, row, cell in zip(texts, rows, cells, strict=True)
                ],
                "set_aside",
            ),
            [tell.table("set_aside", ("reason", "rows"), cells)],
        )
    ]


def _reason(tell: Teller, row: Row) -> str:
    """The rule in the reader's language, with the shop's own names of table and column and its own words for what to leave
    out."""
    kind = "column" if row["column"] else "row"
    key = f"rule.{kind}.{row['rule']}"
    known = key if key in tell.writer.catalogue else f"rule.{kind}.unknown"
    return tell.say(known, words={name: row[name] or "" for name in ("table", "column", "rule", "reason")}).text
