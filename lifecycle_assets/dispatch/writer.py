"""What would a language model say instead? A draft for a group of customers, used only where it says nothing that is not so.

The model is told the shop, the offer and what the template says; never anything of a customer. Its draft is held to the
channel's limits and to the facts (see fact_check), must tell the discount, the code and the link, and knows two marks:
{first_name} and, in a text message, {url}. Where any of this fails, or no draft comes, the template serves, and why is told.
Approved templates, tasks for callers, HTML of the shop's own and languages that cannot be checked are left as they are.
"""

import json
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from lifecycle_assets.dispatch.fact_check import LANGUAGES, invented
from lifecycle_assets.dispatch.messages import texts_of
from lifecycle_assets.dispatch.rendering import SMS, Group, Rendered, render, values
from lifecycle_assets.dispatch.template_check import LONG_NAME, SOMEONE
from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.settings import MessageTemplate, Shop

TITLED = ("email", "push", "in_app", "postal")
CHARACTERS = 600  # of a draft's text where the channel has no limit of its own
USED = "used"
_MARKS = {"{first_name}": "{{ first_name }}", "{url}": "{{ url }}"}
_LANGUAGE_NAMES = {"en": "English", "es": "Spanish", "pt": "Brazilian Portuguese"}


class Writer(Protocol):
    """A language model."""

    def draft(self, brief: str) -> str:
        """Its answer to the brief. Raises LifecycleError when none comes."""
        ...


@dataclass(frozen=True)
class Brief:
    """What a draft is asked for: the request as it is sent, and the facts that the draft is held against."""

    text: str
    facts: tuple[str, ...]
    needed: tuple[str, ...]


class Drafts:
    """A wording of templates by a writer (see rendering.Wording). Each group is asked for once; after a writer that does not
    answer, no more is asked. `told` says what became of each draft, by programme, step, offer and template."""

    def __init__(self, writer: Writer, shop: Shop) -> None:
        self._writer, self._shop = writer, shop
        self._drafts: dict[Group, MessageTemplate | None] = {}
        self._silent = ""
        self.told: dict[str, str] = {}

    def __call__(self, group: Group, written: MessageTemplate) -> MessageTemplate:
        """The draft for the group, else the template as it is written."""
        approved = self._shop.routing.channels[group.channel].needs_template
        if written.html or approved or group.channel == "call" or group.language not in LANGUAGES:
            return written
        asked = replace(group, named=False, products=0)
        if asked not in self._drafts:
            draft, said = self._drafted(asked, written)
            self._drafts[asked] = draft
            self.told[f"{group.programme}/{group.step}/{group.offer_id} {group.template}"] = said
        draft = self._drafts[asked]
        return written if draft is None or (_spells_name(draft) and not group.named) else draft

    def _drafted(self, group: Group, written: MessageTemplate) -> tuple[MessageTemplate | None, str]:
        if self._silent:
            return None, self._silent
        brief = brief_for(group, written, self._shop)
        try:
            answer = self._writer.draft(brief.text)
        except LifecycleError as error:
            self._silent = f"template: {error}"
            return None, self._silent
        parts, problem = parsed(answer, group.channel)
        problem = problem or unfit(parts, brief, group, self._shop)
        if problem:
            return None, f"template: the draft {problem}"
        draft = written.model_copy(update={part: _as_template(text) for part, text in parts.items()})
        problem = self._too_long(replace(group, named=_spells_name(draft)), draft)
        return (None, f"template: the draft has {problem}") if problem else (draft, USED)

    def _too_long(self, group: Group, draft: MessageTemplate) -> str | None:
        someone = SOMEONE.with_columns(first_name=pl.lit(LONG_NAME[:30]))
        return texts_of(group, someone, self._shop, lambda _group, _written: draft).get_column("over_limit").item()


def brief_for(group: Group, written: MessageTemplate, shop: Shop) -> Brief:
    """What to ask for a group's draft: the same words for the same group, whoever is in it."""
    given = values(group, shop)
    # With HTML of its own it is not set into the layout, whose words stay as they are.
    present = render(group, shop, lambda _group, _written: written.model_copy(update={"html": "-"}))
    channel = shop.routing.channels[group.channel]
    facts = {
        "shop": given["shop"],
        "discount": f"{given['discount_pct']} %" if given["discount_pct"] else "",
        "code": given["code"],
        "subject": present.parts["subject"],
        "text": _without_link(present, str(given["url"])),
        "button": present.parts["cta"],
    }
    marks = ["{first_name} may stand for the customer's first name"]
    needed = [str(given["code"])] if given["code"] else []
    if group.discount_pct:
        needed.append(str(given["discount_pct"]))
    if group.channel == SMS and given["url"]:
        marks.append("{url} must stand for the link")
        needed.append("{url}")
    longest = channel.max_body or (120 if group.channel == SMS else CHARACTERS)
    limits = f"at most {longest} characters" + (
        f", subject at most {channel.max_subject}" if channel.max_subject else ""
    )
    wanted = '{"subject": "...", "text": "..."}' if group.channel in TITLED else '{"text": "..."}'
    text = (
        f"Write one {group.channel} message of a shop to its customers, in {_LANGUAGE_NAMES[group.language]}. Say what the "
        "present message says, in fresh and friendly words, and nothing else: no other number, price, date, product, name, "
        "address or promise than the facts have, and no number more often than the present message. "
        f"Write subjects like sentences, plain text, {limits}. {'; '.join(marks)}; "
        f"no other placeholder. Answer with JSON alone: {wanted}\n\nFacts: {json.dumps(facts, ensure_ascii=False)}"
    )
    # The draft is subject and text in one; the button stays as it is.
    written_in_one = "\n".join(str(facts.pop(part)) for part in ("subject", "text"))
    return Brief(text, (*map(str, facts.values()), written_in_one), tuple(needed))


def parsed(answer: str, channel: str) -> tuple[dict[str, str], str | None]:
    """The parts of a draft, and what is wrong with its form, if anything."""
    wanted = {"subject", "text"} if channel in TITLED else {"text"}
    try:
        parts = json.loads(answer)
    except (ValueError, RecursionError):
        return {}, "is not JSON"
    if not isinstance(parts, dict) or set(parts) != wanted:
        return {}, f"does not have the fields {', '.join(sorted(wanted))}"
    if not all(isinstance(text, str) and text.strip() for text in parts.values()):
        return {}, "has an empty part"
    if any("\ud800" <= sign <= "\udfff" for text in parts.values() for sign in text):
        return {}, "holds half a character"
    return {name: text.strip() for name, text in parts.items()}, None


def unfit(parts: dict[str, str], brief: Brief, group: Group, shop: Shop) -> str | None:
    """The first thing for which a draft's words cannot be used, or None."""
    whole = "\n".join(parts.values())
    allowed = [mark for mark in _MARKS if mark != "{url}" or mark in brief.needed]
    bare = whole
    for mark in allowed:
        bare = bare.replace(mark, "")
    if strange := [sign for sign in "{}[]<>\\|_*#" if sign in bare]:
        return f"holds the sign {strange[0]}"
    if missing := [one for one in brief.needed if one not in whole]:
        return f"does not tell {missing[0]}"
    longest = shop.routing.channels[group.channel].max_body or CHARACTERS
    if len(bare) > longest:
        return f"has {len(bare)} characters, at most {longest}"
    found = invented(bare, brief.facts, group.language)
    return f"says {found}, which is not among the facts" if found else None


def _without_link(rendered: Rendered, link: str) -> str:
    text = rendered.parts["body_text"]
    return text.replace(link, "{url}") if link else text


def _spells_name(draft: MessageTemplate) -> bool:
    return _MARKS["{first_name}"] in draft.subject + draft.text


def _as_template(text: str) -> str:
    for mark, source in _MARKS.items():
        text = text.replace(mark, source)
    return text
