"""Which prices should move, what that is expected to bring, how sure it is, and why other products have no advice."""

from lifecycle_assets.models.prices import OBJECTIVES
from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller


def prices(tell: Teller) -> render.Section:
    """The advice in words with what stands against trusting it as notes, the largest gains as a chart and a table, and the
    obstacles."""
    if not tell.value("prices.tested"):
        return tell.section("prices", [tell.say("prices.empty")])
    tables = [_hindrances(tell)] if tell.facts.tables["price_hindrances"] else []
    if not tell.value("prices.advised"):
        return tell.section("prices", [tell.say("prices.none", count="prices.tested")], tables)
    said = [
        tell.say(
            "prices.advice",
            count="prices.advised",
            tested="prices.tested",
            lower="prices.lower",
            higher="prices.higher",
            kept="prices.kept",
        )
    ]
    if not tell.value("prices.changes"):
        return tell.section("prices", said, tables)
    said += [_gain(tell, goal) for goal in OBJECTIVES if f"prices.{goal}.gain" in tell.facts]
    said.append(_certainty(tell))
    return render.Section(
        "prices",
        tell.word("section.prices"),
        said,
        notes=_cautions(tell),
        tables=[_changes(tell), *tables],
        figures=[_gains(tell)],
    )


def _gain(tell: Teller, goal: str) -> Sentence:
    gain = f"prices.{goal}.gain"
    return tell.say(
        f"prices.gain.{goal}.{'clear' if tell.value(f'{gain}/lo') > 0 else 'unclear'}",
        gain=gain,
        lo=f"{gain}/lo",
        hi=f"{gain}/hi",
        today=f"prices.{goal}.today",
        count="prices.days",
    )


def _certainty(tell: Teller) -> Sentence:
    clear, changes = tell.value("prices.clear"), tell.value("prices.changes")
    if clear and clear < changes:
        return tell.say("prices.sure.some", count="prices.clear", changes="prices.changes")
    return tell.say(f"prices.sure.{'all' if clear else 'none'}", count="prices.changes")


def _cautions(tell: Teller) -> list[Sentence]:
    cautions = ["ranges", "observed", "unmeasured"]
    if "prices.revenue.gain" in tell.facts:
        wanted = tell.settings.products.prices.optimize_for
        cautions.insert(0, "revenue_wanted" if wanted == "revenue" else "cost_unknown")
    if tell.value("prices.from_orders"):
        cautions.insert(0, "from_orders")
    return [tell.say(f"prices.caution.{caution}") for caution in cautions]


def _changes(tell: Teller) -> render.Table:
    rows = [
        [
            row["name"],
            tell.show(row["current"], "currency"),
            tell.show(row["advised"], "currency"),
            tell.writer.format(row["change"], "share", "signed"),
            tell.word(f"prices.goal.{row['objective']}"),
            tell.show(row["gain"], "currency"),
            tell.ends(row, "currency"),
            tell.word(f"prices.certainty.{'clear' if row['clear'] else 'unclear'}"),
        ]
        for row in tell.facts.tables["price_changes"]
    ]
    heads = ("price_product", "price_now", "price_advised", "change", "price_goal", "price_gain", "range")
    return tell.table("price_changes", (*heads, "price_certainty"), rows, {4, 7})


def _hindrances(tell: Teller) -> render.Table:
    rows = [
        [tell.word(f"prices.hindered.{row['name']}"), tell.show(row["products"], "products")]
        for row in tell.facts.tables["price_hindrances"]
    ]
    return tell.table("price_hindrances", ("price_hindrance", "price_products"), rows)


def _gains(tell: Teller) -> render.Figure:
    data = [
        {
            "text": row["name"],
            "label": tell.writer.format(row["gain"], "currency", "signed"),
            "value": row["gain"],
            "lo": row["lo"],
            "hi": row["hi"],
            "shown": row["clear"],
        }
        for row in tell.facts.tables["price_changes"]
    ]
    clear, listed = tell.value("prices.listed_clear"), tell.value("prices.listed")
    verdict = "all" if clear == listed else "some" if clear else "none"
    x = tell.say("chart.price_gains.x", words={"currency": tell.settings.currency}, count="prices.days")
    return render.Figure(
        "price_gains",
        tell.say(
            f"chart.price_gains.title.{verdict}",
            count="prices.listed_clear" if verdict == "some" else "prices.listed",
            listed="prices.listed",
        ),
        tell.say("chart.price_gains.subtitle"),
        tell.say("chart.price_gains.alt"),
        charts.forest(data, charts.Axes(str(x), "", tell.locale), "price_gains", ",.2~f"),
        [],
    )
