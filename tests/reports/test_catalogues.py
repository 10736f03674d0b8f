"""The catalogues hold together: the same messages in every language, whole, translated, each in the code and each used."""

import ast
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import yaml
from babel import Locale
from cases import CASES, REPORTS, told, undrawn

import lifecycle_assets
from lifecycle_assets.dispatch.eligibility import REASONS
from lifecycle_assets.features.stage import STAGES
from lifecycle_assets.reports.facts import Verdict
from lifecycle_assets.reports.narrative import LOCALES, Catalogue, Message, catalogue
from lifecycle_assets.settings.reports import ReportLanguage
from lifecycle_assets.settings.shipped import PROGRAMMES

LANGUAGES = get_args(ReportLanguage)
OTHERS = [language for language in LANGUAGES if language != "en"]
# Words of English that are no words of Spanish or Portuguese.
ENGLISH = {
    "the",
    "of",
    "and",
    "with",
    "from",
    "are",
    "is",
    "was",
    "were",
    "this",
    "that",
    "which",
    "than",
    "by",
    "their",
}
ENGLISH |= {
    "they",
    "been",
    "would",
    "who",
    "there",
    "customers",
    "orders",
    "each",
    "only",
    "what",
    "where",
    "when",
    "not",
}
# The report speaks of the shop, not to the reader.
ADDRESS = {
    "es": {"usted", "ustedes", "tú", "tu", "tus", "vosotros", "vuestro"},
    "pt": {"você", "vocês", "tu", "teu", "teus"},
}
CODE = Path(lifecycle_assets.__file__).parent


def forms(message: Message) -> list[str]:
    return [message] if isinstance(message, str) else list(message.values())


def holes(form: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(form) if name}


def words(form: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"\{.*?\}", " ", form).lower()))


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_the_same_things(language: str) -> None:
    assert set(catalogue(language).messages) == set(catalogue("en").messages)
    files = [{file.name for file in (LOCALES / name).iterdir() if file.is_file()} for name in (language, "en")]
    assert files[0] == files[1]


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_says_the_same_numbers(language: str) -> None:
    """Form by form; a form may leave out the count that it stands for."""
    other = catalogue(language)
    wrong = {}
    for key, message in catalogue("en").messages.items():
        for form in ("one", "other") if isinstance(message, Mapping) else ("other",):
            english, translated = catalogue("en").pick(key, form), other.pick(key, form)
            if holes(english) - {"count"} != holes(translated) - {"count"}:
                wrong[key] = (english, translated)
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_count_has_the_forms_that_the_language_asks_for(language: str) -> None:
    """Of those that whole numbers below a million take: `many` stands for a million written as a word."""
    rule = Locale.parse(language).plural_form
    needed = {rule(number) for number in range(1000)}
    for key, message in catalogue(language).messages.items():
        if isinstance(message, Mapping):
            assert needed <= set(message) <= needed | {"many"}, key
            assert isinstance(catalogue("en").messages[key], Mapping), key
        else:
            assert isinstance(catalogue("en").messages[key], str), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_holds_a_number_of_its_own(language: str) -> None:
    found = [key for key, message in catalogue(language).messages.items() if re.search(r"\d", " ".join(forms(message)))]
    assert not found


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_are_whole(language: str) -> None:
    """No space at an end, no two in a row, quotes and brackets in pairs: nothing is made to be glued to another text."""
    for key, message in catalogue(language).messages.items():
        for form in forms(message):
            assert form == form.strip() and "  " not in form and form, key
            assert form.count("(") == form.count(")") and form.count("“") == form.count("”"), key
            assert not form.startswith((",", ";", ":", ".")) and not re.search(r"\s[,;:.]", form), key


@pytest.mark.parametrize("language", OTHERS)
def test_no_english_is_left(language: str) -> None:
    english = catalogue("en").messages
    left = {}
    for key, message in catalogue(language).messages.items():
        for form in forms(message):
            same = form in forms(english[key]) and len(words(form)) > 2
            if same or words(form) & ENGLISH:
                left[key] = form
    assert not left


@pytest.mark.parametrize("language", OTHERS)
def test_nobody_is_addressed(language: str) -> None:
    for key, message in catalogue(language).messages.items():
        assert not any(words(form) & ADDRESS[language] for form in forms(message)), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_stands_twice_in_a_file(language: str) -> None:
    """YAML would keep the last one and say nothing."""

    def twice(node: yaml.Node, path: str) -> Iterator[str]:
        if isinstance(node, yaml.MappingNode):
            counts = Counter(key.value for key, _ in node.value)
            yield from (f"{path}{key}" for key, count in counts.items() if count > 1)
            for key, value in node.value:
                yield from twice(value, f"{path}{key.value}.")

    for file in (LOCALES / language).iterdir():
        if file.is_file():
            assert not list(twice(yaml.compose(file.read_text("utf-8")), f"{file.name}: "))


def test_every_reason_stage_and_programme_has_its_words() -> None:
    known = catalogue("en")
    assert {reason for reason in REASONS if f"reason.{reason}" not in known} == {"best_action"}
    assert all(f"stage.{stage}" in known for stage in STAGES)
    assert {name for name in PROGRAMMES if f"programme.{name}" not in known} == set()


# --- messages and code ------------------------------------------------------------------------------------------------


@cache
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text("utf-8")) for file in sorted(CODE.rglob("*.py"))}


def asked() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Where the reports' code asks for a message, and the keys that may be meant."""
    for file, tree in trees().items():
        if "reports" not in file.parts:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Attribute | ast.Name):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            fallback = len(node.args) > 1 and name == "word"
            if name in {"say", "word", "compared"} and not fallback and (found := _key(node.args[0])):
                verdict = rf"\.({'|'.join(get_args(Verdict))})" if name == "compared" else ""
                yield f"{file.name}:{node.lineno}", re.compile(found + verdict)


def _key(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[\w.-]*" for part in node.values
        )
    return None


def families() -> set[str]:
    """Patterns of keys that the reports' code puts together: `<topic>.` and something."""
    found = {
        _key(node)
        for file, tree in trees().items()
        if "reports" in file.parts
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    }
    return {pattern for pattern in found if pattern and re.match(r"[a-z_]+\\\.", pattern)}


def test_every_message_asked_for_exists() -> None:
    keys = catalogue("en").messages
    missing = [f"{place} {key.pattern}" for place, key in asked() if not any(key.fullmatch(name) for name in keys)]
    assert not missing


def test_every_message_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said of one of the shops; or one of a family that the code asks for, by a code that the package knows."""
    used: set[str] = set()
    pick = Catalogue.pick
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, *form: used.add(key) or pick(self, key, *form))
    with undrawn():
        for name, case in product(REPORTS, CASES):
            told.__wrapped__(name, case, "en-US")
    codes = {
        node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    patterns = families() | {key.pattern for _, key in asked()}

    def known(part: str) -> bool:
        """A code, or two put together by an underscore."""
        splits = [(part[:i], part[i + 1 :]) for i, sign in enumerate(part) if sign == "_"]
        return part in codes or any({one, f"{one}_"} & codes and two in codes for one, two in splits)

    def may_be(key: str) -> bool:
        found = [re.fullmatch(pattern.replace(r"[\w.-]*", r"([\w.-]*)"), key) for pattern in patterns]
        return any(
            match and all(known(part) for group in match.groups() for part in group.split(".")) for match in found
        )

    literal = codes & set(catalogue("en").messages)
    unused = {key for key in catalogue("en").messages if key not in used | literal and not may_be(key)}
    assert not unused
