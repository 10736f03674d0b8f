"""The executive summary: what the groups are, and how to read them, in 250 to 350 words whatever the data holds.

First comes what the data says; where that is short, as for a small shop, sentences follow on how the groups are made and
what would make them say more, as many as are needed.
"""

from collections.abc import Iterator
from typing import Any

from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections.personas import persona
from lifecycle_assets.reports.sections.segmentation_advice import first_step, is_anyone, is_grouped, moves, outlook
from lifecycle_assets.reports.sections.segments import clearness, grouped, richest, slipping, the_richest
from lifecycle_assets.reports.telling import Teller

LEAST_WORDS, MOST_WORDS = 250, 350


def summary(tell: Teller) -> list[Sentence]:
    """The sentences, in reading order."""
    said: list[Sentence] = []
    for sentence in _found(tell):
        if _words([*said, sentence]) <= MOST_WORDS:
            said.append(sentence)
    for sentence in _explained(tell):
        if _words(said) >= LEAST_WORDS:
            break
        said.append(sentence)
    return said


def worth(tell: Teller) -> Sentence:
    """What a customer of the group that brought most has bought and spent."""
    row = the_richest(tell)
    paths: dict[str, Any] = {name: f"persona.{row['cluster_id']}.{name}" for name in ("spend", "frequency")}
    return tell.say("segmentation.summary.worth", words={"name": persona(tell, row)}, **paths)


def _found(tell: Teller) -> Iterator[Sentence]:
    """What the data says, the most important first."""
    if is_grouped(tell):
        yield from (*grouped(tell), richest(tell), worth(tell), *slipping(tell), *clearness(tell))
        yield from (*first_step(tell), *moves(tell), *outlook(tell))
    else:
        yield tell.say("personas.none" if is_anyone(tell) else "personas.nobody")
        yield tell.say(
            "segmentation.summary.needs", least="setting.least", smallest="setting.smallest", noise="setting.noise"
        )
        yield from first_step(tell)


def _explained(tell: Teller) -> Iterator[Sentence]:
    """How the groups are made and read."""
    names = [feature_name(tell, row["feature"]) for row in tell.facts.tables["features"]]
    yield tell.say("segmentation.summary.basis", words={"features": tell.writer.join(names)})
    yield tell.say("segmentation.summary.stages", at_risk="setting.at_risk_factor", lapsed="setting.lapsed_factor")
    yield tell.say("segmentation.summary.interval", confidence="setting.confidence")
    yield tell.say("segmentation.summary.effect")
    yield tell.say("segmentation.summary.borders")
    yield tell.say("segmentation.summary.inputs")
    yield tell.say("segmentation.summary.numbering")
    yield tell.say("segmentation.summary.nightly")
    yield tell.say("segmentation.summary.revenue")
    yield tell.say("segmentation.summary.order")
    yield tell.say("segmentation.summary.future", date="as_of")
    yield tell.say("segmentation.summary.tables")


def feature_name(tell: Teller, feature: str) -> str:
    """What a feature is called; that of a category is the category's own name."""
    return tell.word(f"feature.{feature}", feature.removeprefix("category: ").replace("_", " "))


def _words(sentences: list[Sentence]) -> int:
    return sum(len(sentence.text.split()) for sentence in sentences)
