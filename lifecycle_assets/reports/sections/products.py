"""What is bought together, what is shown to each customer next and how well that was foretold, and steps up."""

from lifecycle_assets.models.cross_sell import LEVELS
from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.products import SAID, lift_unit
from lifecycle_assets.reports.telling import Teller

PAIR = ("cross_first", "cross_second", "cross_lift", "range", "cross_baskets")


def cross_sell(tell: Teller) -> render.Section:
    """Pairs in words and as a map; recommendations with their test, and upselling, as notes."""
    levels = [level for level in LEVELS if f"cross.{level}.tested" in tell.facts]
    tables = [
        tell.table(f"cross_{level}", PAIR, _pair_cells(tell, rows), {1})
        for level in levels
        if (rows := tell.facts.tables[f"cross_{level}"])
    ]
    if tell.facts.tables["recommended_test"]:
        tables.append(_test(tell))
    if tell.facts.tables["upsell_steps"]:
        tables.append(_steps(tell))
    return render.Section(
        "cross_sell",
        tell.word("section.cross_sell"),
        _together(tell, levels),
        notes=[*_recommended(tell), *_upsell(tell)],
        tables=tables,
        figures=[_map(tell, levels[0])] if tell.facts.tables["cross_map"] else [],
    )


def _together(tell: Teller, levels: list[str]) -> list[Sentence]:
    if not levels:
        return [tell.say("cross_sell.empty", count="cross.min_support")]
    said = [
        tell.say(
            f"cross_sell.{level}.{'pairs' if tell.value(f'cross.{level}.significant') else 'chance'}",
            count=f"cross.{level}.tested",
            significant=f"cross.{level}.significant",
        )
        for level in levels
    ]
    basket = tell.settings.products.cross_sell.basket
    span = "all" if tell.facts.value("cross.days") is None else "recent"
    said.append(tell.say(f"cross_sell.basket.{basket}.{span}", count="cross.days" if span == "recent" else None))
    closest = [
        tell.say(
            "cross_sell.pair",
            words={"first": row["first"], "second": row["second"]},
            count=f"cross.{levels[0]}.{place}.baskets",
            lift=f"cross.{levels[0]}.{place}.lift",
            lo=f"cross.{levels[0]}.{place}.lift/lo",
            hi=f"cross.{levels[0]}.{place}.lift/hi",
        )
        for place, row in enumerate(tell.facts.tables[f"cross_{levels[0]}"][:SAID], 1)
    ]
    if closest:
        said.append(tell.say("cross_sell.closest", words={"pairs": tell.writer.enumerate(closest)}))
    return said


def _recommended(tell: Teller) -> list[Sentence]:
    if not tell.value("recommended.customers"):
        return [tell.say("recommended.empty")]
    most = tell.facts.tables["recommended_sources"][0]["name"]
    said = [
        tell.say("recommended.lists", count="recommended.customers", per_customer="recommended.per_customer"),
        tell.say(f"recommended.source.{most}", share=f"recommended.{most}.share"),
    ]
    if "recommended.used.ndcg" not in tell.facts:
        return [*said, tell.say("recommended.test.unproven")]
    used, popular = "recommended.used", "recommended.popular"
    verdict = "alike"
    if tell.facts.tables["recommended_test"][0]["name"] == "popular":
        verdict = "popular"
    elif tell.value(f"{used}.ndcg/lo") > tell.value(f"{popular}.ndcg/hi"):
        verdict = "better"
    said.append(
        tell.say(
            f"recommended.test.{verdict}",
            count="recommended.test.users",
            first="recommended.test.from",
            last="recommended.test.until",
            ndcg=f"{used}.ndcg",
            lo=f"{used}.ndcg/lo",
            hi=f"{used}.ndcg/hi",
            popular=f"{popular}.ndcg",
            popular_lo=f"{popular}.ndcg/lo",
            popular_hi=f"{popular}.ndcg/hi",
        )
    )
    said.append(
        tell.say(
            f"recommended.hits.{'popular' if verdict == 'popular' else 'compared'}",
            recall=f"{used}.recall",
            coverage=f"{used}.coverage",
            popular=f"{popular}.recall",
            popular_coverage=f"{popular}.coverage",
        )
    )
    return said


def _upsell(tell: Teller) -> list[Sentence]:
    if not tell.value("upsell.suggestions"):
        return [tell.say("upsell.empty", count="upsell.days")]
    basis = "margin" if "upsell.margin.extra" in tell.facts else "price"
    return [
        tell.say("upsell.some", count="upsell.suggestions", customers="upsell.customers"),
        tell.say(f"upsell.extra.{basis}", extra=f"upsell.{basis}.extra", count="upsell.days"),
    ]


def _pair_cells(tell: Teller, rows: list[Row]) -> list[list[str]]:
    return [
        [
            row["first"],
            row["second"],
            tell.show(row["lift"], lift_unit(row["lift"])),
            tell.ends(row, lift_unit(row["lift"])),
            tell.show(row["baskets"], "baskets"),
        ]
        for row in rows
    ]


def _test(tell: Teller) -> render.Table:
    rows = [
        [
            tell.word(f"recommended.method.{row['name']}"),
            tell.show(row["ndcg"], "ratio"),
            tell.ends(row, "ratio"),
            tell.show(row["recall"], "share"),
            tell.show(row["coverage"], "share"),
            tell.word("recommended.in_use") if row["used"] else "–",
        ]
        for row in tell.facts.tables["recommended_test"]
    ]
    heads = ("recommended_method", "recommended_ndcg", "range", "recommended_recall", "recommended_coverage")
    return tell.table("recommended_test", (*heads, "recommended_used"), rows, {5})


def _steps(tell: Teller) -> render.Table:
    rows = [
        [
            row["first"],
            row["second"],
            tell.show(row["customers"], "customers"),
            tell.show(row["price"], "currency"),
            tell.show(row["item_price"], "currency"),
            tell.show(row["extra"], "currency"),
        ]
        for row in tell.facts.tables["upsell_steps"]
    ]
    heads = ("upsell_first", "upsell_second", "customers", "upsell_price", "upsell_item_price", "upsell_extra")
    return tell.table("upsell_steps", heads, rows, {1})


def _map(tell: Teller, level: str) -> render.Figure:
    pairs = tell.facts.tables["cross_map"]
    best = {"first": pairs[0]["first"], "second": pairs[0]["second"]}
    cells = [
        {
            "first": row["first"],
            "second": row["second"],
            "value": row["lift"],
            "wide": tell.show(row["lift"], lift_unit(row["lift"])),
            "narrow": tell.show(row["lift"], "times"),
        }
        for row in pairs
    ]
    return render.Figure(
        "cross_sell",
        tell.say("chart.cross_sell.title", words=best, lift="cross.map.lift"),
        tell.say(f"chart.cross_sell.subtitle.{level}"),
        tell.say("chart.cross_sell.alt", words=best),
        charts.staircase([row["name"] for row in tell.facts.tables["cross_mapped"]], cells, "cross_sell"),
        [tell.table("cross_map", PAIR, _pair_cells(tell, pairs), {1})],
    )
