"""The segmentation report's charts and the table of the groups."""

from collections.abc import Sequence
from typing import Any

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Shown
from lifecycle_assets.reports.sections.personas import persona
from lifecycle_assets.reports.sections.segmentation_summary import feature_name
from lifecycle_assets.reports.telling import Teller

METRICS = ("number", "customers", "share", "revenue_share", "spend", "frequency", "recency", "slipping", "clv")
HEADS = (
    "persona",
    "group_number",
    "customers",
    "share",
    "revenue_share",
    "spend",
    "orders",
    "recent_days",
    "slipping",
    "clv",
)


def metrics(tell: Teller, rows: Sequence[Row]) -> render.Table:
    """The numbers of each group."""
    cells = [
        [str(persona(tell, row)), *(tell.cell(f"persona.{row['cluster_id']}.{name}") for name in METRICS)]
        for row in rows
    ]
    return tell.table("cluster_metrics", HEADS, cells)


def families(tell: Teller) -> render.Figure:
    """The best of each way of grouping."""
    rows = tell.facts.tables["families"]
    used = next((row for row in rows if row["chosen"]), None)
    bars = [
        {
            "text": _family(tell, row),
            "value": max(0.0, row["silhouette"] or 0.0),
            "label": tell.show(row["silhouette"], "ratio"),
        }
        for row in rows
    ]
    cells = [
        [
            row["family"],
            tell.show(row["n_clusters"], "segments"),
            tell.show(row["silhouette"], "ratio"),
            tell.show(row["davies_bouldin"], "ratio"),
            tell.show(row["stability"], "ratio"),
            tell.show(row["noise_share"], "share"),
            tell.word("segmentation.families.eligible" if row["eligible"] else "segmentation.families.ineligible"),
        ]
        for row in rows
    ]
    heads = ("family", "groups_found", "silhouette", "davies_bouldin", "stability", "in_no_group", "accepted")
    title = tell.say(
        "chart.families.title" if used else "chart.families.title_none",
        words={"family": used["family"] if used else ""},
        **({"silhouette": "persona.silhouette"} if used else {}),
    )
    return render.Figure(
        "families",
        title,
        tell.say("chart.families.subtitle"),
        tell.say("chart.families.alt"),
        charts.bars(bars, "families"),
        [tell.table("families", heads, cells, {6})],
    )


def flows(tell: Teller) -> list[render.Figure]:
    """Who moved from which group to which; none where nobody did."""
    rows = tell.facts.tables["flows"]
    if not rows:
        return []
    ends = [(_end(tell, row["then"]), _end(tell, row["now"])) for row in rows]
    bars = [
        {
            "text": str(tell.say("chart.flows.item", words={"then": then, "now": now})),
            "value": row["customers"],
            "label": tell.show(row["customers"], "customers"),
        }
        for row, (then, now) in zip(rows, ends, strict=True)
    ]
    cells = [[then, now, tell.show(row["customers"], "customers")] for row, (then, now) in zip(rows, ends, strict=True)]
    figure = render.Figure(
        "flows",
        tell.say("chart.flows.title", count="drift", share="drift.share"),
        tell.say("chart.flows.subtitle", date="drift.since"),
        tell.say("chart.flows.alt", count="drift"),
        charts.bars(bars, "flows"),
        [tell.table("flows", ("from_group", "to_group", "customers"), cells, {1})],
    )
    return [figure]


def centroids(tell: Teller) -> list[render.Figure]:
    """Where each group lies in each feature, against the mean of all."""
    rows = tell.facts.tables["centroids"]
    if not rows:
        return []
    data = [
        {
            "group": str(tell.writer.number(f"persona.{row['segment']}.number")),
            "feature": _feature(tell, row),
            "value": row["scaled"],
            "label": tell.show(row["value"], row["unit"]),
        }
        for row in rows
    ]
    people = {row["cluster_id"]: str(persona(tell, row)) for row in tell.facts.tables["personas"]}
    cells = [
        [
            people[row["segment"]],
            _feature(tell, row),
            tell.show(row["value"], row["unit"]),
            tell.show(row["of_all"], row["unit"]),
        ]
        for row in rows
    ]
    furthest = next(row for row in rows if row["furthest"])
    words = {"feature": feature_name(tell, furthest["feature"])}
    paths: dict[str, Any] = {
        "number": f"persona.{furthest['segment']}.number",
        "value": "centroid.value",
        "of_all": "centroid.of_all",
    }
    figure = render.Figure(
        "centroids",
        tell.say("chart.centroids.title", words=words, **paths),
        tell.say("chart.centroids.subtitle"),
        tell.say("chart.centroids.alt", words=words, **paths),
        charts.centroids(data, charts.Axes(tell.word("chart.centroids.x"), "", tell.locale), "centroids"),
        [tell.table("centroids", ("persona", "feature", "group_mean", "mean_of_all"), cells, {1})],
    )
    return [figure]


def subsegments(tell: Teller) -> list[render.Figure]:
    """The smaller groups inside the groups."""
    rows = tell.facts.tables["subsegments"]
    if not rows:
        return []
    bars = [
        {
            "text": f"{row['code']}: {_value(tell, row, 'mean')} · {_feature(tell, row)}",
            "value": row["customers"],
            "label": tell.show(row["customers"], "customers"),
        }
        for row in rows
    ]
    cells = [
        [
            row["code"],
            tell.show(row["customers"], "customers"),
            tell.show(row["share"], "share"),
            _feature(tell, row),
            _value(tell, row, "mean"),
            _value(tell, row, "of_group"),
        ]
        for row in rows
    ]
    heads = ("code", "customers", "share_of_group", "feature", "mean_here", "group_mean")
    figure = render.Figure(
        "subsegments",
        tell.say("chart.subsegments.title", count="subsegments"),
        tell.say("chart.subsegments.subtitle"),
        tell.say("chart.subsegments.alt"),
        charts.bars(bars, "subsegments"),
        [tell.table("subsegments", heads, cells, {3})],
    )
    return [figure]


def _family(tell: Teller, row: Row) -> str:
    """A method with its number of groups, marked where it must not be chosen."""
    name = f"{row['family']} · {tell.show(row['n_clusters'], 'segments')}"
    return name if row["eligible"] else str(tell.say("chart.families.out", words={"family": name}))


def _value(tell: Teller, row: Row, name: str) -> Shown:
    return tell.writer.number(f"subsegment.{row['code']}.{name}")


def _feature(tell: Teller, row: Row) -> str:
    return tell.sentence_case(feature_name(tell, row["feature"]))


def _end(tell: Teller, number: int | None) -> str:
    """A group of tonight as one end of a move, or one that is no more."""
    people = {row["cluster_id"]: row for row in tell.facts.tables["personas"]}
    return str(persona(tell, people[number])) if number in people else tell.word("chart.flows.gone")
