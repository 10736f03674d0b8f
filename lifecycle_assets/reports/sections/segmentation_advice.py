"""What to do about the groups: every proposal beside the numbers it rests on, none about what goes on in people's minds."""

from collections.abc import Iterator, Sequence
from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence, together
from lifecycle_assets.reports.sections.personas import NO_GROUP, insight, persona
from lifecycle_assets.reports.sections.segments import richest, the_richest
from lifecycle_assets.reports.telling import Teller

# A group that brings this many times its share of the customers brings more than its size.
MORE_THAN_ITS_SIZE = 1.2
MOST_AT_STAKE = 3


def recommendations(tell: Teller) -> render.Section:
    """One proposal for each group."""
    rows = tell.facts.tables["personas"]
    notes = [together([_proposal(tell, row), *_known(tell, row)]) for row in rows] if is_grouped(tell) else []
    return _section(tell, "marketing_recommendations", [_lead(tell, "segmentation.recommend.lead")], notes)


def channels(tell: Teller) -> render.Section:
    """Where each group buys."""
    rows = tell.facts.tables["personas"] if is_grouped(tell) else []
    known = {row["channel"] for row in rows} - {None}
    if not known:
        sentences = [_lead(tell, "segmentation.channels.unknown")]
        return _section(tell, "channel_strategy", sentences)
    key = "same" if len(known) == 1 else "different"
    lead = tell.say(f"segmentation.channels.{key}", words={"channel": tell.writer.join(sorted(known))})
    return _section(
        tell,
        "channel_strategy",
        [lead, tell.say("segmentation.channels.caveat")],
        [
            tell.say(
                "segmentation.channels.group" if row["channel"] else "segmentation.channels.group_unknown",
                words={"name": persona(tell, row), "channel": row["channel"] or ""},
                **({"share": f"persona.{row['cluster_id']}.channel_share"} if row["channel"] else {}),
            )
            for row in rows
        ],
    )


def cross_sell(tell: Teller) -> render.Section:
    """What goes with what each group buys."""
    rows = tell.facts.tables["personas"] if is_grouped(tell) else []
    categories = list(dict.fromkeys(row["category"] for row in rows if row["category"] is not None))
    if not categories:
        return _section(tell, "product_cross_sell_ideas", [_lead(tell, "segmentation.cross.unknown")])
    companions = {row["category"]: row for row in tell.facts.tables["companions"]}
    notes = []
    for category in categories:
        names = [
            tell.say("segmentation.quoted", words={"name": persona(tell, row)})
            for row in rows
            if row["category"] == category
        ]
        words: dict[str, str | Sentence] = {"names": tell.writer.join(names), "category": category}
        if category not in companions:
            notes.append(tell.say("segmentation.cross.alone", words=words))
            continue
        words["companion"] = companions[category]["companion"]
        fact = f"companion.{companions[category]['cluster_id']}"
        paths: dict[str, Any] = {"together": f"{fact}.together", "lift": f"{fact}.lift"}
        ends: dict[str, Any] = {"lo": f"{fact}.lift/lo", "hi": f"{fact}.lift/hi"}
        notes.append(tell.say("segmentation.cross.pair", words=words, **paths, **ends))
    return _section(tell, "product_cross_sell_ideas", [tell.say("segmentation.cross.caveat")], notes)


def retention(tell: Teller) -> render.Section:
    """Who is about to be lost, and where most is at stake."""
    if not is_anyone(tell):
        return _section(tell, "retention_actions", [tell.say("segmentation.retention.nobody")])
    if not tell.facts.value("slipping"):
        return _section(
            tell, "retention_actions", [tell.say("segmentation.retention.none", factor="setting.at_risk_factor")]
        )
    sentences = [
        tell.say("segmentation.retention.total", count="slipping", share="slipping.share"),
        tell.say("segmentation.retention.first", at_risk="setting.at_risk_factor", lapsed="setting.lapsed_factor"),
        tell.say("segmentation.retention.test"),
    ]
    names = ("at_risk", "lapsed", "stake")
    notes = [
        tell.say(
            "segmentation.retention.group",
            words={"name": persona(tell, row)},
            **{name: f"persona.{row['cluster_id']}.{name}" for name in names},
        )
        for row in at_stake(tell)[:MOST_AT_STAKE]
    ]
    return _section(tell, "retention_actions", sentences, notes)


def next_steps(tell: Teller) -> render.Section:
    """What to do first, what the data lacks, when to look again."""
    return _section(tell, "next_steps", [], [*first_step(tell), *_later_steps(tell)])


def findings(tell: Teller) -> render.Section:
    """What stands out, one finding each."""
    if not is_grouped(tell):
        return _section(tell, "auto_insights", [_lead(tell, "segmentation.findings.none")])
    notes = [richest(tell), *(_rule(tell, row) for row in tell.facts.tables["personas"]), *moves(tell), *outlook(tell)]
    return _section(tell, "auto_insights", [], notes)


def moves(tell: Teller) -> list[Sentence]:
    """Who moved from one group to another since the night before."""
    if not tell.facts.value("drift"):
        if "race.kept" in tell.facts:
            return [tell.say("segmentation.moved.none", date="race.kept")]
        return [tell.say("segmentation.moved.first")]
    verdict = tell.facts.verdict("drift.up", "down")
    return [
        tell.say("segmentation.moved.some", count="drift", share="drift.share", date="drift.since"),
        tell.say(f"segmentation.moved.{verdict}", up="drift.up", down="drift.down"),
    ]


def outlook(tell: Teller) -> list[Sentence]:
    """What a customer of the group that brought most is expected to bring, and how far to trust it."""
    row = the_richest(tell)
    fact = f"persona.{row['cluster_id']}.clv"
    if fact not in tell.facts:
        return []
    said = [
        tell.say("segmentation.outlook.expected", words={"name": persona(tell, row)}, clv=fact, months="value.months")
    ]
    if "value.race.error" in tell.facts:
        return [*said, tell.say("customer_value.error", count="value.race.months", error="value.race.error")]
    return [*said, tell.say("segmentation.outlook.unproven")]


def first_step(tell: Teller) -> list[Sentence]:
    """The one thing to begin with."""
    if not is_grouped(tell):
        return [_lead(tell, "segmentation.step.grow")]
    rows = at_stake(tell)
    if not rows:
        return [tell.say("segmentation.step.care", words={"name": persona(tell, the_richest(tell))})]
    path = f"persona.{rows[0]['cluster_id']}"
    words = {"name": persona(tell, rows[0])}
    return [tell.say("segmentation.step.save", words=words, at_risk=f"{path}.at_risk", stake=f"{path}.stake")]


def at_stake(tell: Teller) -> list[Row]:
    """The groups with customers at risk, the most spent by these first."""
    rows = [row for row in tell.facts.tables["personas"] if row["at_risk"]]
    return sorted(rows, key=lambda row: (-tell.value(f"persona.{row['cluster_id']}.stake"), row["cluster_id"]))


def is_grouped(tell: Teller) -> bool:
    return tell.value("personas") > 1


def is_anyone(tell: Teller) -> bool:
    return tell.value("grouped") > 0


def _proposal(tell: Teller, row: Row) -> Sentence:
    path = f"persona.{row['cluster_id']}"
    others = f"{path}.slipping/others"
    names = ("customers", "revenue_share", "slipping", "frequency")
    rule = _rule_of(tell, row)
    paths: dict[str, Any] = {name: f"{path}.{name}" for name in names}
    if rule == "win_back":
        paths["others"] = others
    return tell.say(f"segmentation.recommend.{rule}", words={"name": persona(tell, row)}, **paths)


def _rule_of(tell: Teller, row: Row) -> str:
    if row["cluster_id"] == NO_GROUP:
        return "apart"
    if tell.facts.verdict(f"persona.{row['cluster_id']}.slipping", "others") == "rising":
        return "win_back"
    if row["how_often"] == "one_time":
        return "second"
    if row["lately"] == "inactive":
        return "test"
    return "keep" if (row["revenue_share"] or 0) > MORE_THAN_ITS_SIZE * row["share"] else "grow"


def _known(tell: Teller, row: Row) -> Iterator[Sentence]:
    """What else is known of the group: who has churned, where they buy, what they buy."""
    path = f"persona.{row['cluster_id']}"
    if f"{path}.churn" in tell.facts:
        yield tell.say("segmentation.known.churn", churn=f"{path}.churn")
    if row["channel"]:
        yield tell.say("segmentation.known.channel", words={"channel": row["channel"]}, share=f"{path}.channel_share")
    if row["categories"]:
        yield tell.say("segmentation.known.categories", words={"categories": row["categories"]})


def _rule(tell: Teller, row: Row) -> Sentence:
    words = {"name": persona(tell, row), "insight": insight(tell, row)}
    return tell.say(
        "segmentation.findings.rule", words=words, revenue_share=f"persona.{row['cluster_id']}.revenue_share"
    )


def _later_steps(tell: Teller) -> Iterator[Sentence]:
    rows = tell.facts.tables["personas"]
    if is_grouped(tell):
        yield tell.say("segmentation.step.measure")
    if is_anyone(tell) and not any(row["category"] for row in rows):
        yield tell.say("segmentation.step.categories")
    if is_anyone(tell) and not any(row["channel"] for row in rows):
        yield tell.say("segmentation.step.channels")
    if is_anyone(tell) and "value.race.error" not in tell.facts:
        yield tell.say("segmentation.step.history")
    if is_grouped(tell):
        yield tell.say("segmentation.step.again")


def _lead(tell: Teller, key: str) -> Sentence:
    """The sentence for shops with groups, with customers only, or with nobody."""
    return tell.say(f"{key}.{'grouped' if is_grouped(tell) else 'whole' if is_anyone(tell) else 'nobody'}")


def _section(tell: Teller, name: str, sentences: Sequence[Sentence], notes: Sequence[Sentence] = ()) -> render.Section:
    return render.Section(name, tell.word(f"section.{name}"), sentences, notes)
