"""What today's customers are expected to bring, who of them, and how well such forecasts did before."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.telling import Teller

# An error of the total below this is called near.
NEAR = 0.10


def value(tell: Teller) -> render.Section:
    """The twelve-month forecast, its proof, and the calibration plot."""
    tiers = tell.facts.tables["value_tiers"]
    if not tiers:
        return tell.section("value", [tell.say("customer_value.empty")])
    sentences = [tell.say("customer_value.total", customers="customers", total="value.total", months="value.months")]
    if "value.High.share" in tell.facts:
        sentences.append(
            tell.say("customer_value.high", share="value.High.share", value_share="value.High.value_share")
        )
    if "value.race.error" not in tell.facts:
        sentences.append(tell.say("customer_value.unproven"))
        return tell.section("value", sentences, tables=[_tiers(tell)])
    better = "won" if tell.value("value.race.mae") < tell.value("value.race.baseline") else "lost"
    sentences += [
        tell.say("customer_value.error", months="value.race.months", error="value.race.error"),
        tell.say(f"customer_value.{better}", mae="value.race.mae", baseline="value.race.baseline"),
    ]
    if "value.race.coverage" in tell.facts:
        sentences.append(tell.say("customer_value.coverage", coverage="value.race.coverage"))
    return tell.section("value", sentences, tables=[_tiers(tell)], figures=[_calibration(tell)])


def _tiers(tell: Teller) -> render.Table:
    rows = [
        [
            tell.word(f"value_tier.{row['name']}"),
            tell.show(row["customers"], "customers"),
            tell.show(row["share"], "share"),
            tell.show(row["value"], "currency"),
            tell.show(row["value_share"], "share"),
        ]
        for row in tell.facts.tables["value_tiers"]
    ]
    return tell.table("value_tiers", ("tier", "customers", "share", "expected", "value_share"), rows)


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
        tell.say("chart.calibration.subtitle", months="value.race.months"),
        tell.say("chart.calibration.alt"),
        charts.columns(data, series, axes, "calibration"),
        [tell.table("calibration", ("repeats", "customers", "predicted", "actual"), cells)],
    )
