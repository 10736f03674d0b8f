"""Who is likely to leave, what is at stake, what goes with the risk, and how good the score was."""

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections.worth import worth
from lifecycle_assets.reports.telling import Teller

TOLD_DRIVERS = 3
CHANCE = 0.5
MARKS = {"rising": " ▲", "falling": " ▼", "none": "", "unknown": ""}


def churn(tell: Teller) -> render.Section:
    """The risk of leaving, if the score has proved itself; else why nothing is said."""
    kind = tell.settings.customer.churn.business_type
    if not tell.facts.value("churn.scored"):
        left = tell.facts.value("churn.left")
        said = tell.say("churn.gone", count="churn.left") if left else tell.say(f"churn.empty.{kind}")
        return tell.section("churn", [said])
    sentences = [
        tell.say(f"churn.rule.{kind}", window="churn.window"),
        tell.say("churn.scored", left="churn.left", scored="churn.scored"),
    ]
    if "churn.test.auc" not in tell.facts:
        sentences.append(tell.say("churn.untaught", least="churn.least"))
        return tell.section("churn", sentences)
    if not tell.facts.value("churn.usable"):
        return tell.section("churn", [*sentences, _doubt(tell, kind)])
    sentences += _at_risk(tell, kind)
    notes = [*_drivers(tell), *_proof(tell, kind)]
    bands = tell.facts.tables["churn_bands"]
    table = _band_table(tell, bands)
    drivers = [_driver_chart(tell)] if tell.facts.tables["churn_drivers"] else []
    if any(row["value_share"] is None for row in bands):
        return tell.section("churn", sentences, tables=[table], figures=drivers, notes=notes)
    return tell.section("churn", sentences, figures=[_bands(tell, bands, table), *drivers], notes=notes)


def _at_risk(tell: Teller, kind: str) -> list[Sentence]:
    """How many are expected to leave, and the worst band that holds anybody, with what it is expected to bring."""
    expected = "churn.expected"
    said = [
        tell.say(
            f"churn.expected.{kind}",
            expected=expected,
            lo=f"{expected}/lo",
            hi=f"{expected}/hi",
            window="churn.window",
        ),
        tell.say("churn.range"),
    ]
    band = _worst(tell)
    if band is None:
        return [*said, tell.say("churn.calm", bound="churn.bound.Medium")]
    said.append(
        tell.say(
            f"churn.{band}",
            count=f"churn.{band}",
            share=f"churn.{band}.share",
            bound=f"churn.bound.{band}",
            high="churn.bound.High",
        )
    )
    if f"churn.{band}.value" in tell.facts:
        said.append(
            tell.say(
                "churn.stake",
                value=f"churn.{band}.value",
                value_share=f"churn.{band}.value_share",
                months="churn.months",
            )
        )
    return said


def _worst(tell: Teller) -> str | None:
    return next((band for band in ("High", "Medium") if f"churn.{band}" in tell.facts), None)


def _drivers(tell: Teller) -> list[Sentence]:
    """What weighs most in the score and which way; that it is no cause."""
    rows = tell.facts.tables["churn_drivers"][:TOLD_DRIVERS]
    said = [
        tell.say(
            f"churn.driver_{row['direction']}",
            words={"driver": _driver(tell, row["feature"])},
            weight=f"churn.driver.{row['feature']}",
        )
        for row in rows
    ]
    return [*said, tell.say("churn.association")] if said else []


def _driver(tell: Teller, feature: str) -> str:
    return tell.word(f"churn_driver.{feature}", tell.sentence_case(feature.replace("_", " ")))


def _proof(tell: Teller, kind: str) -> list[Sentence]:
    """How well the score told leavers from stayers on outcomes that it had not seen."""
    said, lift = [_tested(tell, "churn.proof", kind)], "churn.test.lift"
    if tell.value(f"{lift}/lo") > 1:
        said.append(tell.say("churn.lift", lift=lift, lo=f"{lift}/lo", hi=f"{lift}/hi"))
    return [*said, tell.say("churn.calibration", calibration="churn.test.calibration", rate="churn.test.rate")]


def _doubt(tell: Teller, kind: str) -> Sentence:
    """Why the score may not be acted on."""
    shown = "rule" if tell.value("churn.test.auc/lo") > CHANCE else "chance"
    return _tested(tell, f"churn.doubt.{shown}", kind)


def _tested(tell: Teller, message: str, kind: str) -> Sentence:
    auc, rule = "churn.test.auc", "churn.test.rule"
    return tell.say(
        message,
        words={"rule": tell.word(f"churn.simple.{kind}")},
        n="churn.test.customers",
        auc=auc,
        lo=f"{auc}/lo",
        hi=f"{auc}/hi",
        rule_auc=rule,
        rule_lo=f"{rule}/lo",
        rule_hi=f"{rule}/hi",
    )


def _band_table(tell: Teller, rows: list[Row]) -> render.Table:
    cells = [
        [
            tell.word(f"churn_band.{row['name']}"),
            tell.show(row["customers"], "customers"),
            tell.show(row["share"], "share"),
            tell.show(row["leavers"], "customers"),
            tell.show(row["value"], "currency"),
            tell.show(row["value_share"], "share"),
        ]
        for row in rows
    ]
    heads = ("churn_band", "customers", "share", "churn_leavers", "expected", "value_share")
    return tell.table("churn_bands", heads, cells)


def _bands(tell: Teller, rows: list[Row], table: render.Table) -> render.Figure:
    band = _worst(tell) or "Low"
    title = tell.say(
        f"chart.churn_bands.title.{band}", share=f"churn.{band}.share", value_share=f"churn.{band}.value_share"
    )
    labels = {row["name"]: tell.word(f"churn_band.{row['name']}") for row in rows}
    return worth(tell, "churn_bands", "churn", labels, rows, title, table)


def _driver_chart(tell: Teller) -> render.Figure:
    rows = tell.facts.tables["churn_drivers"]
    names = {row["feature"]: _driver(tell, row["feature"]) for row in rows}
    first = rows[0]["feature"]
    data = [
        {
            "text": f"{names[row['feature']]}{MARKS[row['direction']]}",
            "value": row["weight"],
            "label": tell.show(row["weight"], "share"),
        }
        for row in rows
    ]
    told = [
        tell.say(
            "chart.churn_drivers.item",
            words={"driver": names[row["feature"]]},
            weight=f"churn.driver.{row['feature']}",
        )
        for row in rows
    ]
    cells = [
        [
            names[row["feature"]],
            tell.show(row["weight"], "share"),
            tell.show(row["correlation"], "ratio"),
            " … ".join(tell.show(row[end], "ratio") for end in ("lo", "hi")) if row["lo"] is not None else "–",
        ]
        for row in rows
    ]
    return render.Figure(
        "churn_drivers",
        tell.say("chart.churn_drivers.title", words={"driver": names[first]}, weight=f"churn.driver.{first}"),
        tell.say("chart.churn_drivers.subtitle"),
        tell.say("chart.churn_drivers.alt", words={"groups": tell.writer.enumerate(told)}),
        charts.bars(data, "churn_drivers"),
        [tell.table("churn_drivers", ("churn_driver", "churn_weight", "churn_correlation", "range"), cells)],
    )
