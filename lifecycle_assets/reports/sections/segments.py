"""The groups of customers: who they are, what they bring, who of them is slipping, and how clearly they stand apart."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections.groups import SHARES, Group, shares
from lifecycle_assets.reports.sections.personas import NO_GROUP, insight, persona
from lifecycle_assets.reports.segments import CLEAR, STABLE
from lifecycle_assets.reports.telling import Teller


def segments(tell: Teller) -> render.Section:
    """The groups, their shares, and the tree of the customers."""
    rows = tell.facts.tables["personas"]
    if tell.value("personas") < 2:
        return tell.section("segments", [tell.say("personas.none" if rows else "personas.nobody")])
    sentences = [*grouped(tell), richest(tell), *slipping(tell), *clearness(tell)]
    return tell.section(
        "segments", sentences, tables=[_table(tell, rows)], figures=[shares_of(tell, rows), *tree(tell)]
    )


def grouped(tell: Teller) -> list[Sentence]:
    """How many groups there are, and how many customers are in none."""
    said = [tell.say("personas.count", count="personas")]
    if f"persona.{NO_GROUP}.share" in tell.facts:
        said.append(tell.say("personas.apart", share=f"persona.{NO_GROUP}.share"))
    return said


def richest(tell: Teller) -> Sentence:
    """The group that brought most."""
    row = the_richest(tell)
    key = "richest" if row["revenue_share"] is not None else "no_revenue"
    paths: dict[str, Any] = {name: f"persona.{row['cluster_id']}.{name}" for name in SHARES}
    return tell.say(f"personas.{key}", words={"name": persona(tell, row)}, **paths)


def the_richest(tell: Teller) -> Row:
    """Of the groups, the row with the highest share of the revenue."""
    rows = [row for row in tell.facts.tables["personas"] if row["cluster_id"] != NO_GROUP]
    return max(rows, key=lambda row: (row["revenue_share"] or 0, row["cluster_id"]))


def the_slipping(tell: Teller) -> Row | None:
    """Of the groups with clearly more customers at risk or lapsed than the others, the row with the largest share."""
    rows = [
        row
        for row in tell.facts.tables["personas"]
        if row["cluster_id"] != NO_GROUP
        and tell.facts.verdict(f"persona.{row['cluster_id']}.slipping", "others") == "rising"
    ]
    if not rows:
        return None
    return max(rows, key=lambda row: (tell.value(f"persona.{row['cluster_id']}.slipping"), row["cluster_id"]))


def slipping(tell: Teller) -> list[Sentence]:
    """Where more customers are at risk or lapsed than elsewhere; nothing where too few are to tell."""
    row = the_slipping(tell)
    if row:
        fact = f"persona.{row['cluster_id']}.slipping"
        ends: dict[str, Any] = {name: f"{fact}/others/{name}" for name in ("change", "lo", "hi")}
        words = {"name": persona(tell, row)}
        return [tell.say("personas.slipping", words=words, value=fact, others=f"{fact}/others", **ends)]
    rows = tell.facts.tables["personas"]
    verdicts = {tell.facts.verdict(f"persona.{row['cluster_id']}.slipping", "others") for row in rows}
    return [tell.say("personas.even" if verdicts - {"few", "none"} else "personas.few")]


def clearness(tell: Teller) -> list[Sentence]:
    """How clearly the groups stand apart, and whether they come out the same on other customers."""
    said = []
    if tell.facts.value("persona.silhouette") is not None:
        clear = "clear" if tell.value("persona.silhouette") >= CLEAR else "blurred"
        said.append(tell.say(f"personas.{clear}", silhouette="persona.silhouette"))
    if tell.facts.value("persona.stability") is not None:
        stable = "stable" if tell.value("persona.stability") >= STABLE else "unstable"
        said.append(tell.say(f"personas.{stable}", stability="persona.stability"))
    return said


def shares_of(tell: Teller, rows: Sequence[Row]) -> render.Figure:
    """The groups' shares of the customers and of the revenue, under the finding."""
    names = [persona(tell, row) for row in rows]
    cells = [
        [str(name), *(tell.show(row[share], "share") for share in SHARES)]
        for name, row in zip(names, rows, strict=True)
    ]
    table = tell.table("persona_shares", ("persona", *SHARES), cells)
    groups = [Group(name, f"persona.{row['cluster_id']}", row) for name, row in zip(names, rows, strict=True)]
    row = the_richest(tell)
    paths: dict[str, Any] = {name: f"persona.{row['cluster_id']}.{name}" for name in SHARES}
    title = "title" if row["revenue_share"] is not None else "title_none"
    return shares(tell, "personas", groups, tell.say(f"chart.personas.{title}", **paths), table)


def tree(tell: Teller) -> list[render.Figure]:
    """The top of the customers' tree, if there is one."""
    rows = tell.facts.tables.get("tree", [])
    if not rows:
        return []
    drawn = [{**row, "label": tell.show(row["customers"], "customers")} for row in rows]
    paths: dict[str, Any] = {name: f"tree.{name}" for name in ("largest", "customers", "smallest")}
    title = "title" if tell.value("tree.branches") > 1 else "whole"
    cut = tell.facts.value("tree.cut")
    axes = charts.Axes("", tell.word("chart.tree.y"), tell.locale)
    ends = [row for row in rows if row["one"] is None]
    cells = [
        [tell.show(row["branch"], "branches"), tell.show(row["customers"], "customers")]
        for row in sorted(ends, key=lambda row: row["x"])
    ]
    figure = render.Figure(
        "tree",
        tell.say(f"chart.tree.{title}", count="tree.branches", **paths),
        tell.say("chart.tree.subtitle"),
        tell.say("chart.tree.alt", count="tree.branches", **paths),
        charts.tree(drawn, float(str(cut)) if cut is not None else None, axes, "tree"),
        [tell.table("tree", ("branch", "customers"), cells)],
    )
    return [figure]


def _table(tell: Teller, rows: Sequence[Row]) -> render.Table:
    cells = [
        [
            str(persona(tell, row)),
            tell.show(row["customers"], "customers"),
            tell.show(row["spend"], "currency"),
            tell.show(row["frequency"], "expected"),
            row["categories"] or "–",
            insight(tell, row),
        ]
        for row in rows
    ]
    return tell.table("personas", ("persona", "customers", "spend", "orders", "categories", "insight"), cells, {4, 5})
