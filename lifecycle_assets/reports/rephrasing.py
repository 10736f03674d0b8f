"""What would a language model say instead? Its wording of a sentence, used only where it says the same.

The model is given the sentences of one place on the page, never a table. Of each it may change the words: every number of the
sentence has to stand in its wording as it stood, as often, and nothing else may come in - no number, name, date or promise (see
fact_check), no turn from more to less, from something to nothing. Where any of this fails, or no wording comes, the sentence
stays as it is. Titles, notices and tables are left alone, and so are reports whose prose is read by programs too.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lifecycle_assets.dispatch.fact_check import invented
from lifecycle_assets.dispatch.writer import Writer
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.report import Report

LANGUAGES = {"en": "English", "es": "Spanish", "pt": "Brazilian Portuguese"}
MARKUP = "{}[]<>\\|_*#`"
# Words that turn a finding round. A sentence that says both more and less is left as it is.
MORE, LESS, NONE = "more", "less", "none"
TURNS = {
    "en": {
        MORE: r"more|rose|ris\w+|up|grew|grow\w*|increas\w+|higher|above|gain\w*|exceed\w*|better|earn\w*|ahead|came back",
        LESS: r"less|fewer|fell|fall\w*|down|drop\w*|decreas\w+|lower|below|los[est]\w*|declin\w+|worse|slip\w*|behind|miss\w*",
        NONE: r"no|not|none|never|nobody|nothing|neither|nor|without|cannot|\w+n['’]t|too|hardly|steady|same",
    },
    "es": {
        MORE: r"más|sub\w+|aument\w+|crec\w+|mayor\w*|encima|gan\w+|super\w+|mejor\w*|volvieron",
        LESS: r"menos|baj\w+|cay\w+|ca[eí]\w*|disminu\w+|reduc\w+|reduj\w+|menor\w*|debajo|perd\w+|pérd\w+|peor\w*|retroce\w+",
        NONE: r"no|ni|ningun\w*|ningún|nunca|nadie|nada|sin|apenas|insuficient\w+|demasiad\w+|estable\w*|mism\w+",
    },
    "pt": {
        MORE: r"mais|sub\w+|aument\w+|cresc\w+|maior\w*|acima|ganh\w+|super\w+|melhor\w*|voltaram",
        LESS: r"menos|ca[ií]\w*|queda\w*|diminu\w+|reduz\w*|menor\w*|abaixo|perd\w+|pior\w*|recu\w+",
        NONE: r"não|nem|nenhum\w*|nunca|ninguém|nada|sem|mal|insuficient\w+|demais|estáve\w+|mesm\w+",
    },
}


class Rephrased(NamedTuple):
    """A report, how many of its sentences the writer has worded, and why it was asked no more, where it was not."""

    report: Report
    used: int
    problem: str


def rephrased(report: Report, writer: Writer) -> Rephrased:
    """The report with the writer's wordings where they hold. After a writer that does not answer no more is asked."""
    page, used, problem = report.page, 0, ""
    answers, sections = list(page.answers), list(page.sections)
    try:
        for place, (question, said) in enumerate(answers):
            worded = _worded(said, page.language, writer)
            used += _changed(said, worded)
            answers[place] = (question, worded)
        for place, section in enumerate(sections if not report.own else []):
            worded = _worded(section.sentences, page.language, writer)
            used += _changed(section.sentences, worded)
            sections[place] = replace(section, sentences=worded)
    except LifecycleError as error:
        problem = str(error)
    return Rephrased(replace(report, page=replace(page, answers=answers, sections=sections)), used, problem)


def brief(sentences: Sequence[Sentence], language: str) -> str:
    """What the model is asked: the same words for the same sentences."""
    return (
        f"Word these sentences of a report anew, in {LANGUAGES[language]}, each by itself, plainly and to the point. Keep "
        "every number, amount, date and name exactly as it is written, and what is more, less or unknown. Add nothing. "
        f"Answer with a JSON list of {len(sentences)} strings alone, in the same order.\n\n"
        + json.dumps([sentence.text for sentence in sentences], ensure_ascii=False)
    )


def same(sentence: Sentence, wording: str, language: str) -> bool:
    """Whether the wording says what the sentence says, as far as can be told; it errs on the side of no."""
    text = sentence.text
    if not wording.strip() or len(wording) > 1.6 * len(text) + 40:
        return False
    if any(sign in wording and sign not in text for sign in MARKUP):
        return False
    shown = Counter(number for _, number in sentence.numbers)
    if any(wording.count(number) != text.count(number) for number in shown):
        return False
    turns = _turns(text, language)
    if turns >= {MORE, LESS} or turns != _turns(wording, language):
        return False
    return invented(wording, [text], language) is None


def _worded(sentences: Sequence[Sentence], language: str, writer: Writer) -> list[Sentence]:
    if not sentences:
        return []
    try:
        wordings = json.loads(writer.draft(brief(sentences, language)))
    except (ValueError, RecursionError):
        return list(sentences)
    if not isinstance(wordings, list) or len(wordings) != len(sentences):
        return list(sentences)
    return [
        Sentence(wording.strip(), sentence.numbers)
        if isinstance(wording, str) and same(sentence, wording, language)
        else sentence
        for sentence, wording in zip(sentences, wordings, strict=True)
    ]


def _turns(text: str, language: str) -> set[str]:
    return {turn for turn, words in TURNS[language].items() if re.search(rf"\b(?:{words})\b", text, re.IGNORECASE)}


def _changed(before: Sequence[Sentence], after: Sequence[Sentence]) -> int:
    return sum(one.text != other.text for one, other in zip(before, after, strict=True))
