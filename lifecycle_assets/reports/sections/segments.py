"""The personas: who they are, what they bring, and how clearly they stand apart."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.sections.groups import SHARES, Group, shares
from lifecycle_assets.reports.segments import CLEAR, STABLE
from lifecycle_assets.reports.telling import Teller


def segments(tell: Teller, dendrogram: str) -> render.Section:
    """The segments, their shares, and the tree of the customers (SVG; none where it is empty)."""
    rows = tell.facts.tables["personas"]
    if len(rows) < 2:
        return tell.section("segments", [tell.say("personas.none")])
    richest = max(rows, key=lambda row: (row["revenue_share"] or 0, row["cluster_id"]))
    paths = {name: f"persona.{richest['cluster_id']}.{name}" for name in SHARES}
    sentences = [
        tell.say("personas.count", count="personas"),
        tell.say("personas.richest", words={"name": richest["name"]}, **paths),
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
    cells = [[row["name"], *(tell.show(row[name], "share") for name in SHARES)] for row in rows]
    table = tell.table("persona_shares", ("persona", *SHARES), cells)
    groups = [Group(row["name"], f"persona.{row['cluster_id']}", row) for row in rows]
    return shares(tell, "personas", groups, tell.say("chart.personas.title"), table)
