"""Where the customers stand, who is worth the most, how loyal they are."""

from collections.abc import Sequence

from lifecycle_assets.reports import charts, customers, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections.groups import Group, shares
from lifecycle_assets.reports.telling import Teller


def stages(tell: Teller) -> render.Section:
    """Customers by stage, and who moved since a month ago."""
    if not tell.anyone:
        return tell.section("stages", [tell.say("stages.empty")])
    sentences = [
        tell.say(
            "stages.now",
            healthy="stage.healthy",
            customers="customers",
            share="stage.healthy.share",
            at_risk="stage.at_risk",
            lapsed="stage.lapsed",
        ),
        tell.say(
            "stages.moves",
            days="period.short",
            slipped="moves.slipped",
            returned="moves.returned",
            joined="moves.joined",
        ),
    ]
    return tell.section("stages", sentences, figures=[_flow(tell)])


def rfm(tell: Teller) -> render.Section:
    """Customers and revenue over recency and frequency, and by tier."""
    grid, tiers = tell.facts.tables["rfm_grid"], tell.facts.tables["tiers"]
    if not grid:
        return tell.section("rfm", [tell.say("rfm.empty")])
    sentences = [tell.say("rfm.lead", lowest="setting.lowest", bins="rfm.bins")]
    if tell.facts.value("tier.At-Risk"):
        sentences.append(tell.say("rfm.at_risk", count="tier.At-Risk", revenue_share="tier.At-Risk.revenue_share"))
    cells = [
        {
            "x": str(row["recency_score"]),
            "y": str(row["frequency_score"]),
            "value": row["customers"],
            "line_1": tell.show(row["customers"], "customers"),
            "line_2": tell.show(row["revenue_share"], "share"),
        }
        for row in grid
    ]
    table_rows = [
        [
            str(row["recency_score"]),
            str(row["frequency_score"]),
            tell.show(row["customers"], "customers"),
            tell.show(row["share"], "share"),
            tell.show(row["revenue_share"], "share"),
        ]
        for row in grid
    ]
    axes = charts.Axes(tell.word("chart.rfm.x"), tell.word("chart.rfm.y"), tell.locale)
    heat = render.Figure(
        "rfm",
        tell.say(
            "chart.rfm.title" if tell.facts.value("best_cell") else "chart.rfm.title_none",
            share="best_cell.share",
            revenue_share="best_cell.revenue_share",
        ),
        tell.say("chart.rfm.subtitle"),
        tell.say(
            "chart.rfm.alt",
            recency="fullest_cell.recency",
            frequency="fullest_cell.frequency",
            customers="fullest_cell",
        ),
        charts.heat_map(cells, tell.settings.customer.rfm.bins, axes, "rfm"),
        [tell.table("rfm_grid", ("recency", "frequency", "customers", "share", "revenue_share"), table_rows)],
    )
    title = "title" if tell.facts.value("tier.Champion") else "title_none"
    tier = _groups(
        tell,
        "tiers",
        tiers,
        "tier",
        tell.say(f"chart.tiers.{title}", share="tier.Champion.share", revenue_share="tier.Champion.revenue_share"),
    )
    return tell.section("rfm", sentences, figures=[heat, tier])


def loyalty(tell: Teller) -> render.Section:
    """Customers and revenue by loyalty segment."""
    segments = tell.facts.tables["segments"]
    if not segments:
        return tell.section("loyalty", [tell.say("loyalty.empty")])
    title = "title" if tell.facts.value("segment.top_two") else "title_none"
    figure = _groups(
        tell,
        "segments",
        segments,
        "segment",
        tell.say(
            f"chart.segments.{title}",
            share="segment.top_two.share",
            revenue_share="segment.top_two.revenue_share",
        ),
    )
    return tell.section("loyalty", [tell.say("loyalty.lead")], figures=[figure])


def _flow(tell: Teller) -> render.Figure:
    rows = tell.facts.tables["stage_flow"]
    order = (customers.NOT_YET, *customers.STAGES)
    words = {f"then.{customers.NOT_YET}": _stage_label(tell, customers.NOT_YET, "moves.joined")}
    for stage in customers.STAGES:
        words[f"then.{stage}"] = _stage_label(tell, stage, f"stage.{stage}/before/value")
        words[f"now.{stage}"] = _stage_label(tell, stage, f"stage.{stage}")
    verdict = tell.facts.verdict("moves.net")
    sides = (tell.say("chart.stages.left", days="period.short").text, tell.word("chart.stages.right"))
    before = tell.say("chart.stages.left", days="period.short").text
    stage_rows = [
        [
            tell.word(f"stage.{stage}"),
            tell.cell(f"stage.{stage}/before/value"),
            tell.writer.number(f"stage.{stage}"),
            tell.cell(f"stage.{stage}/before/difference", "signed"),
            tell.cell(f"stage.{stage}.share"),
        ]
        for stage in customers.STAGES
    ]
    flow_rows = [
        [tell.word(f"stage.{r['then']}"), tell.word(f"stage.{r['now']}"), tell.show(r["customers"], "customers")]
        for r in rows
    ]
    return render.Figure(
        "stages",
        tell.say(f"chart.stages.title.{verdict}", slipped="moves.slipped", returned="moves.returned"),
        tell.say("chart.stages.subtitle", days="period.short"),
        tell.say(
            "chart.stages.alt",
            words={"now": _stage_list(tell, ""), "before": _stage_list(tell, "/before/value")},
        ),
        charts.flow(rows, order, words, sides, "stages"),
        [
            tell.table("stages", ("stage", before, "now", "into", "share"), stage_rows),
            tell.table("flow", ("from", "to", "customers"), flow_rows, texts={1}),
        ],
    )


def _stage_label(tell: Teller, stage: str, path: str) -> str:
    return f"{tell.word(f'stage.{stage}')}\n{tell.writer.number(path)}"


def _stage_list(tell: Teller, part: str) -> Sentence:
    return tell.writer.enumerate(
        [
            tell.say("chart.stage.item", words={"stage": tell.word(f"stage.{stage}")}, customers=f"stage.{stage}{part}")
            for stage in customers.STAGES
        ]
    )


def _groups(tell: Teller, name: str, rows: Sequence[Row], head: str, title: Sentence) -> render.Figure:
    groups = [Group(tell.word(f"{head}.{row['name']}", row["name"]), f"{head}.{row['name']}", row) for row in rows]
    cells = [
        [
            str(group.label),
            tell.show(group.row["customers"], "customers"),
            tell.show(group.row["share"], "share"),
            tell.show(group.row["revenue"], "currency"),
            tell.show(group.row["revenue_share"], "share"),
        ]
        for group in groups
    ]
    table = tell.table(name, (head, "customers", "share", "revenue", "revenue_share"), cells)
    return shares(tell, name, groups, title, table)
