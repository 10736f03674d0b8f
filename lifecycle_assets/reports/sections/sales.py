"""Sales, compared with the period before and the year before."""

from collections.abc import Callable
from typing import Any

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.sales import FIGURES, LONG, SHORT
from lifecycle_assets.reports.telling import Teller


def sales(tell: Teller) -> render.Section:
    """What moved, the figures of 30 and 90 days side by side, and revenue week by week."""
    if not tell.anyone:
        return tell.section("sales", [tell.say("sales.empty")])
    sentences, steady = [], []
    for name in ("buyers", "orders", "ticket", "frequency"):
        verdict = tell.facts.verdict(f"sales.30d.{name}")
        if verdict in {"rising", "falling"}:
            found = f"sales.30d.{name}/before"
            parts = {"before": "value", "change": "change", "lo": "lo", "hi": "hi"}
            paths: dict[str, Any] = {word: f"{found}/{part}" for word, part in parts.items()}
            sentences.append(
                tell.say(f"sales.{verdict}.{name}", value=f"sales.30d.{name}", days="period.short", **paths)
            )
        elif verdict == "flat":
            steady.append(tell.word(f"figure.{name}"))
    if steady:
        sentences.append(tell.say("sales.steady", words={"figures": tell.writer.join(steady)}, days="period.short"))
    if tell.facts.value("sales.30d.guest_orders"):
        sentences.append(
            tell.say(
                "sales.guests",
                count="sales.30d.guest_orders",
                revenue="sales.30d.guest_revenue",
                days="period.short",
            )
        )
    return tell.section("sales", sentences, [_figures_table(tell)], _weekly(tell))


def _figures_table(tell: Teller) -> render.Table:
    """The columns of a comparison that the data does not reach back for are left out."""
    facts = [(name, f"sales.{days}d.{name}", days) for days in (SHORT, LONG) for name in FIGURES]
    columns: dict[str, Callable[[str], str]] = {"now": tell.writer.number}
    if any(f"{fact}/before" in tell.facts for _, fact, _ in facts):
        columns["before"] = lambda fact: tell.cell(f"{fact}/before/value")
        columns["change"] = lambda fact: tell.cell(f"{fact}/before/change", "signed")
        columns["range"] = lambda fact: tell.span(f"{fact}/before")
    if any(f"{fact}/year" in tell.facts for _, fact, _ in facts):
        columns["year"] = lambda fact: tell.cell(f"{fact}/year/value")
        columns["year_change"] = lambda fact: tell.cell(f"{fact}/year/change", "signed")
    rows = []
    for name, fact, days in facts:
        period = "period.short" if days == SHORT else "period.long"
        label = tell.say("table.window", words={"figure": tell.capital(f"figure.{name}")}, days=period)
        rows.append([label.text, *(cell(fact) for cell in columns.values())])
    return tell.table("figures", ("figure", *columns), rows)


def _weekly(tell: Teller) -> list[render.Figure]:
    rows = tell.facts.tables["weekly_revenue"]
    if len(rows) < 2:
        return []
    guests = any(row["guest_revenue"] for row in rows)
    names = {"revenue": tell.word("chart.weekly.known"), "guest_revenue": tell.word("chart.weekly.guests")}
    series = list(names.values()) if guests else [names["revenue"]]
    data = [{"week_ending": r["week_ending"], **{names[c]: r[c] for c in names}} for r in rows]
    currency = {"currency": tell.settings.currency}
    axes = charts.Axes(tell.word("chart.weekly.x"), tell.say("chart.weekly.y", words=currency).text, tell.locale)
    heads = ("week", "revenue", "guest_revenue") if guests else ("week", "revenue")
    cells = [
        [tell.show(r["week_ending"], "date"), *(tell.show(r[c], "currency") for c in list(names)[: len(series)])]
        for r in rows
    ]
    return [
        render.Figure(
            "weekly",
            tell.compared("chart.weekly.title", "sales.30d.revenue", days="period.short"),
            tell.say("chart.weekly.subtitle", words=currency),
            tell.say(
                "chart.weekly.alt",
                highest="weekly.highest",
                highest_week="weekly.highest.week",
                lowest="weekly.lowest",
                lowest_week="weekly.lowest.week",
                latest="weekly.latest",
            ),
            charts.weekly(data, axes, series, "weekly"),
            [tell.table("weekly", heads, cells)],
        )
    ]
