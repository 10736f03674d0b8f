"""The segmentation report's page and the prose of its JSON: the same sentences, section by section."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections import segmentation_advice as advice
from lifecycle_assets.reports.sections import segmentation_figures as figures
from lifecycle_assets.reports.sections.personas import insight, persona
from lifecycle_assets.reports.sections.segmentation_summary import feature_name, summary, worth
from lifecycle_assets.reports.sections.segments import (
    clearness,
    grouped,
    richest,
    shares_of,
    slipping,
    the_richest,
    tree,
)
from lifecycle_assets.reports.telling import Teller

# A branch of the tree below this share of the customers holds outliers rather than a group.
OUTLIERS = 0.01
LISTS = ("auto_insights",)


def headline(tell: Teller) -> Sentence:
    """The one thing to know: which group brings most."""
    if not advice.is_grouped(tell):
        return tell.say("segmentation.headline.whole" if advice.is_anyone(tell) else "segmentation.headline.nobody")
    row = the_richest(tell)
    path = f"persona.{row['cluster_id']}"
    if row["revenue_share"] is None:
        return tell.say("segmentation.headline.no_revenue", count="personas")
    paths: dict[str, Any] = {"share": f"{path}.share", "revenue_share": f"{path}.revenue_share"}
    return tell.say("segmentation.headline.grouped", words={"name": persona(tell, row)}, **paths)


def answers(tell: Teller) -> list[tuple[str, list[Sentence]]]:
    """Who brings most, who is slipping, who moved, where to begin."""
    first = (tell.word("segmentation.question.first"), advice.first_step(tell))
    if not advice.is_grouped(tell):
        return [first]
    return [
        (tell.word("segmentation.question.brings"), [richest(tell), worth(tell)]),
        (tell.word("segmentation.question.slipping"), slipping(tell)),
        (tell.word("segmentation.question.moved"), advice.moves(tell)),
        first,
    ]


def tiles(tell: Teller) -> list[render.Tile]:
    """The key figures."""
    if not advice.is_anyone(tell):
        return []
    slips = tell.say("segmentation.tile.of_all", count="slipping")
    found = [
        _tile(tell, "customers", "grouped", tell.say("segmentation.tile.dated", date="as_of")),
        _tile(tell, "slipping", "slipping.share", slips),
    ]
    if advice.is_grouped(tell):
        share = tell.say("segmentation.tile.share", share=f"persona.{the_richest(tell)['cluster_id']}.share")
        clear = tell.say("segmentation.tile.clear", silhouette="persona.silhouette")
        found.insert(1, _tile(tell, "groups", "personas", clear))
        found.insert(2, _tile(tell, "richest", f"persona.{the_richest(tell)['cluster_id']}.revenue_share", share))
    return found


def sections(tell: Teller) -> list[render.Section]:
    """All parts of the report, in order; their ids are the keys of the JSON."""
    return [
        render.Section("executive_summary", tell.word("section.executive_summary"), summary(tell)),
        _analysis(tell),
        _customers(tell),
        advice.recommendations(tell),
        advice.channels(tell),
        advice.cross_sell(tell),
        advice.retention(tell),
        advice.next_steps(tell),
        advice.findings(tell),
        _tree(tell),
    ]


def own(tell: Teller, told: Sequence[render.Section]) -> dict[str, Any]:
    """The keys of the JSON: each section's prose, the findings as a list, null without a tree, and the groups' numbers."""
    keys: dict[str, Any] = {}
    for section in told:
        texts = [sentence.text for sentence in (*section.sentences, *section.notes)]
        keys[section.id] = texts if section.id in LISTS else " ".join(texts)
    if not tell.facts.tables.get("tree"):
        keys["dendrogram_insights"] = None
    return keys | {"cluster_metrics": [_metrics(tell, row) for row in tell.facts.tables["personas"]]}


def _analysis(tell: Teller) -> render.Section:
    rows = tell.facts.tables["personas"]
    title = tell.word("section.cluster_analysis")
    tried = tell.value("race.tried")
    race = [tell.say("segmentation.race.tried", count="race.tried", eligible="race.eligible")] if tried else []
    families = [figures.families(tell)] if tried else []
    if not advice.is_grouped(tell):
        none = tell.say("personas.none" if advice.is_anyone(tell) else "personas.nobody")
        return render.Section("cluster_analysis", title, [none, *race], figures=families)
    carried = (
        tell.say("segmentation.race.kept", date="race.kept")
        if "race.kept" in tell.facts
        else tell.say("segmentation.race.fresh")
    )
    return render.Section(
        "cluster_analysis",
        title,
        [*grouped(tell), *clearness(tell), *race, carried],
        tables=[figures.metrics(tell, rows)],
        figures=[shares_of(tell, rows), *families, *figures.flows(tell)],
    )


def _customers(tell: Teller) -> render.Section:
    rows = tell.facts.tables["personas"]
    title = tell.word("section.customer_insights")
    if not rows:
        return render.Section("customer_insights", title, [tell.say("personas.nobody")])
    notes = [_group(tell, row) for row in rows]
    notes += [_within(tell, row) for row in tell.facts.tables["subsegments"]]
    lead = [tell.say("segmentation.group.lead")] if advice.is_grouped(tell) else [tell.say("personas.none")]
    shown = (
        figures.centroids(tell) + figures.subsegments(tell) if advice.is_grouped(tell) else figures.subsegments(tell)
    )
    return render.Section("customer_insights", title, lead, notes, figures=shown)


def _group(tell: Teller, row: Row) -> Sentence:
    """Who the customers of a group are, in numbers."""
    path = f"persona.{row['cluster_id']}"
    names = ("share", "frequency", "spend", "recency")
    paths: dict[str, Any] = {name: f"{path}.{name}" for name in names}
    said = [tell.say("segmentation.group.who", count=f"{path}.customers", words={"name": persona(tell, row)}, **paths)]
    verdict = tell.facts.verdict(f"{path}.slipping", "others")
    if verdict in {"rising", "falling", "flat"}:
        against = f"{path}.slipping/others"
        ends: dict[str, Any] = {name: f"{against}/{name}" for name in ("lo", "hi")}
        said.append(
            tell.say(f"segmentation.group.slipping.{verdict}", value=f"{path}.slipping", others=against, **ends)
        )
    else:
        said.append(tell.say("segmentation.group.slipping.few", value=f"{path}.slipping"))
    if row["categories"]:
        said.append(tell.say("segmentation.known.categories", words={"categories": row["categories"]}))
    return advice.together(said)


def _within(tell: Teller, row: Row) -> Sentence:
    """What sets a smaller group apart from the group it is in."""
    people = {person["cluster_id"]: person for person in tell.facts.tables["personas"]}
    path = f"subsegment.{row['code']}"
    words = {"name": persona(tell, people[row["segment"]]), "feature": feature_name(tell, row["feature"])}
    sense = "more" if row["mean"] > row["of_group"] else "less"
    paths: dict[str, Any] = {name: f"{path}.{name}" for name in ("share", "mean", "of_group")}
    return tell.say(f"segmentation.group.within.{sense}", words=words, **paths)


def _tree(tell: Teller) -> render.Section:
    title = tell.word("section.dendrogram_insights")
    if not tell.facts.tables.get("tree"):
        return render.Section("dendrogram_insights", title, [tell.say("segmentation.dendrogram.none")])
    if tell.value("tree.branches") < 2:
        return render.Section(
            "dendrogram_insights", title, [tell.say("segmentation.dendrogram.whole")], figures=tree(tell)
        )
    paths: dict[str, Any] = {name: f"tree.{name}" for name in ("customers", "largest", "smallest")}
    sentences = [tell.say("segmentation.dendrogram.cut", count="tree.branches", **paths)]
    if "tree.silhouette" in tell.facts:
        sentences.append(tell.say("segmentation.dendrogram.clear", count="tree.tried", silhouette="tree.silhouette"))
    outliers = tell.value("tree.smallest") < OUTLIERS
    sentences.append(tell.say("segmentation.dendrogram.outliers" if outliers else "segmentation.dendrogram.groups"))
    return render.Section("dendrogram_insights", title, sentences, figures=tree(tell))


def _metrics(tell: Teller, row: Row) -> Row:
    """The numbers of a group as they are in the facts, with its name and what to do."""
    coded = ("how_often", "how_much", "lately", "told_apart_by", "number", "insight")
    numbers = {name: float(value) if hasattr(value, "quantize") else value for name, value in row.items()}
    kept = {name: value for name, value in numbers.items() if name not in coded}
    slipping_share = tell.facts.value(f"persona.{row['cluster_id']}.slipping")
    return {**kept, "slipping": slipping_share, "name": str(persona(tell, row)), "insight": insight(tell, row)}


def _tile(tell: Teller, name: str, fact: str, note: Sentence) -> render.Tile:
    return render.Tile(tell.say(f"segmentation.tile.{name}"), tell.number(fact), note, "none")
