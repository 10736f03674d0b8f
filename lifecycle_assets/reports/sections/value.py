"""What today's customers are expected to bring, who of them, and how well such forecasts did before."""

from lifecycle_assets.models.clv_evaluation import TIE
from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections.worth import worth
from lifecycle_assets.reports.telling import Teller

# An error of the total below this is called near.
NEAR = 0.10


def value(tell: Teller) -> render.Section:
    """The twelve-month forecast by tier, its proof, and the calibration plot."""
    if not tell.facts.tables["value_tiers"]:
        return tell.section("value", [tell.say("customer_value.empty")])
    sentences = [
        tell.say(
            f"customer_value.total.{tell.facts.value('value.basis')}",
            count="value.customers",
            total="value.total",
            months="value.months",
        )
    ]
    if tell.facts.value("value.extrapolated"):
        sentences.append(tell.say("customer_value.extrapolated", months="value.months"))
    if "value.race.error" not in tell.facts:
        sentences.append(tell.say("customer_value.unproven"))
        return tell.section("value", sentences, figures=[_tiers(tell)])
    return tell.section("value", sentences, figures=[_tiers(tell), _calibration(tell)], notes=_proof(tell))


def _proof(tell: Teller) -> list[Sentence]:
    """How far off the total and the customers would have been, and whether the stated ranges held."""
    said = [tell.say("customer_value.error", count="value.race.months", error="value.race.error")]
    if "value.race.corrected" in tell.facts:
        said.append(tell.say("customer_value.corrected", corrected="value.race.corrected"))
    ours, theirs = tell.value("value.race.mae"), tell.value("value.race.baseline")
    verdict = "won" if ours < theirs * (1 - TIE) else "lost" if ours > theirs * (1 + TIE) else "tied"
    said.append(tell.say(f"customer_value.{verdict}", mae="value.race.mae", baseline="value.race.baseline"))
    if "value.race.coverage" in tell.facts:
        coverage, level = "value.race.coverage", tell.value("value.race.level")
        lo, hi = tell.value(f"{coverage}/lo"), tell.value(f"{coverage}/hi")
        held = "narrow" if hi < level else "wide" if lo > level else "held"
        said.append(
            tell.say(
                f"customer_value.coverage.{held}",
                coverage=coverage,
                lo=f"{coverage}/lo",
                hi=f"{coverage}/hi",
                level="value.race.level",
            )
        )
    return said


def _tiers(tell: Teller) -> render.Figure:
    rows = tell.facts.tables["value_tiers"]
    labels = {row["name"]: tell.word(f"value_tier.{row['name']}") for row in rows}
    cells = [
        [
            labels[row["name"]],
            tell.show(row["customers"], "customers"),
            tell.show(row["share"], "share"),
            tell.show(row["value"], "currency"),
            tell.show(row["value_share"], "share"),
        ]
        for row in rows
    ]
    table = tell.table("value_tiers", ("tier", "customers", "share", "expected", "value_share"), cells)
    title = "title" if "value.High.share" in tell.facts else "title_none"
    told = tell.say(f"chart.value_tiers.{title}", share="value.High.share", value_share="value.High.value_share")
    return worth(tell, "value_tiers", "value", labels, rows, told, table)


def _calibration(tell: Teller) -> render.Figure:
    rows = tell.facts.tables["value_calibration"]
    series = (tell.word("chart.calibration.predicted"), tell.word("chart.calibration.actual"))
    data = [
        {"group": row["bin"], "series": label, "value": row[column], "label": tell.show(row[column], "ratio")}
        for row in rows
        for label, column in zip(series, ("predicted", "actual"), strict=True)
    ]
    cells = [
        [
            row["bin"],
            tell.show(row["customers"], "customers"),
            tell.show(row["predicted"], "ratio"),
            tell.show(row["actual"], "ratio"),
        ]
        for row in rows
    ]
    axes = charts.Axes(tell.word("chart.calibration.x"), tell.word("chart.calibration.y"), tell.locale)
    verdict = "near" if abs(tell.value("value.race.error")) < NEAR else "far"
    return render.Figure(
        "calibration",
        tell.say(f"chart.calibration.title.{verdict}", error="value.race.error"),
        tell.say("chart.calibration.subtitle", count="value.race.months"),
        tell.say("chart.calibration.alt"),
        charts.columns(data, series, axes, "calibration"),
        [tell.table("calibration", ("repeats", "customers", "predicted", "actual"), cells)],
    )
