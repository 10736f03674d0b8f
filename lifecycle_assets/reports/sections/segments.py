"""The personas: who they are, what they bring, and how clearly they stand apart."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.segments import CLEAR, STABLE
from lifecycle_assets.reports.telling import Teller


def segments(tell: Teller, dendrogram: str) -> render.Section:
    """The segments, their shares, and the tree of the customers (SVG; none where it is empty)."""
    rows = tell.facts.tables["personas"]
    if len(rows) < 2:
        return tell.section("segments", [tell.say("personas.none")])
    richest = max(rows, key=lambda row: (row["revenue_share"] or 0, row["cluster_id"]))
    sentences = [
        tell.say("personas.count", count="personas"),
        tell.say("personas.richest", words={"name": richest["name"]}, **_paths(richest)),
    ]
    if tell.facts.value("persona.silhouette") is not None:
        clear = "clear" if tell.value("persona.silhouette") >= CLEAR else "blurred"
        sentences.append(tell.say(f"personas.{clear}", silhouette="persona.silhouette"))
    if tell.facts.value("persona.stability") is not None:
        stable = "stable" if tell.value("persona.stability") >= STABLE else "unstable"
        sentences.append(tell.say(f"personas.{stable}", stability="persona.stability"))
    figures = [_shares(tell, rows)]
    if dendrogram:
        picture = charts.drawn(dendrogram, "tree")
        title, subtitle = tell.say("chart.tree.title"), tell.say("chart.tree.subtitle")
        figures.append(render.Figure("tree", title, subtitle, tell.say("chart.tree.alt"), picture, []))
    return tell.section("segments", sentences, tables=[_table(tell, rows)], figures=figures)


def _paths(row: Row) -> dict[str, str]:
    return {name: f"persona.{row['cluster_id']}.{name}" for name in ("share", "revenue_share")}


def _table(tell: Teller, rows: list[Row]) -> render.Table:
    cells = [
        [
            row["name"],
            tell.show(row["customers"], "customers"),
            tell.show(row["spend"], "currency"),
            tell.show(row["frequency"], "expected"),
            row["categories"] or "–",
            row["insight"],
        ]
        for row in rows
    ]
    return tell.table("personas", ("persona", "customers", "spend", "orders", "categories", "insight"), cells, {4, 5})


def _shares(tell: Teller, rows: list[Row]) -> render.Figure:
    series = (tell.word("chart.groups.customers"), tell.word("chart.groups.revenue"))
    data = [
        {
            "group": row["name"],
            "series": label,
            "value": max(0.0, row[name] or 0.0),
            "label": tell.show(row[name], "share"),
        }
        for row in rows
        for label, name in zip(series, ("share", "revenue_share"), strict=True)
    ]
    cells = [[row["name"], *(tell.show(row[name], "share") for name in ("share", "revenue_share"))] for row in rows]
    told = [tell.say("chart.groups.item", words={"group": row["name"]}, **_paths(row)) for row in rows]
    return render.Figure(
        "personas",
        tell.say("chart.personas.title"),
        tell.say("chart.personas.subtitle"),
        tell.say("chart.personas.alt", words={"groups": tell.writer.enumerate(told)}),
        charts.pairs(data, series, charts.Axes(tell.word("chart.groups.x"), "", tell.locale), "personas"),
        [tell.table("persona_shares", ("persona", "share", "revenue_share"), cells)],
    )
