"""What is left of a file without a person: JSON, lines of JSON, CSV, and any other text.

Records about the person go, all others keep their bytes. A record is a line, a row, or within a JSON body an element of the
innermost list of records around a value that is the person's: one message of a call that carries many, for instance. A list
of records holds objects that share a field, or rows; a list of one person's several addresses is no such list and goes with
the record that it is part of. Where nothing but a mention is left, in a sentence for instance, it is blotted out.
"""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, BinaryIO

from lifecycle_assets.dispatch.erasure import BLOT, Person

REQUESTS, REQUEST_LIST, REMOVALS = "requests.jsonl", "requests.csv", "remove.jsonl"
COUNTED = (REQUESTS, REMOVALS)
_GONE = object()
_NAMES = frozenset(
    {"customer", "customerid", "externalid", "externaluserid", "externid", "userid", "anonymousid", "sessionid"}
)
"""Fields, without case and signs, that say whom a record is about."""


def own_requests(listed: Iterable[str], someone: Person) -> set[int]:
    """The numbers of the requests that carry messages of the person alone, from the lines of a requests.csv."""
    theirs, of_others = set(), set()
    for row in csv.DictReader(listed):
        (theirs if row["idempotency_key"] in someone.keys else of_others).add(int(row["request"]))
    return theirs - of_others


def naming_lines(lines: Iterable[str], someone: Person) -> list[int]:
    """The numbers of the lines of JSON that tell of the person."""
    return [number for number, line in enumerate(lines, 1) if _json_line(line, "", someone) != line]


def blank(source: BinaryIO, target: BinaryIO, numbers: Collection[int]) -> None:
    """Copy a file with the lines of these numbers emptied."""
    target.writelines(b"\n" if number in numbers else line for number, line in enumerate(source, 1))


def rewrite(name: str, source: BinaryIO, target: BinaryIO, someone: Person, own: Collection[int] = ()) -> int:
    """Copy a text file without the person; returns how many of its records (lines, rows, a whole JSON file) changed.

    `name` tells the kind by its ending; `own` are the numbers of lines of JSON, from 1, that are the person's whatever they
    say. Raises UnicodeDecodeError for a file that is no text.
    """
    lines = (line.decode() for line in source)
    if name.endswith(".jsonl"):
        # Where lines are counted, an empty one keeps the others' numbers.
        gone = "\n" if name in COUNTED else ""
        numbered = enumerate(lines, 1)
        return _written(target, ((line, gone if n in own else _json_line(line, gone, someone)) for n, line in numbered))
    if name.endswith(".csv"):
        return _written(target, _csv(lines, someone))
    if name.endswith(".json"):
        text = "".join(lines)
        return _written(target, [(text, _json_file(text, someone))])
    return _written(target, ((line, someone.blotted(line)) for line in lines))


def blotted_log(text: str, someone: Person) -> str:
    """A text of Dagster's storage without the person: marks, and ids in the cells of previews or in a run's configuration."""
    ids = "|".join(map(re.escape, sorted(someone.ids | someone.visitors, key=len, reverse=True)))
    text = re.sub(rf"(?<=\| )(?:{ids})(?= \|)", BLOT, someone.blotted(text))
    return without_request(text, someone.ids | someone.visitors)


def without_request(text: str, ids: Iterable[str]) -> str:
    """A text of Dagster's storage without these ids where a run's configuration asks for their erasure."""
    spelt = {
        spelling for one in ids for spelling in (one, json.dumps(one)[1:-1], json.dumps(json.dumps(one)[1:-1])[1:-1])
    }
    either = "|".join(map(re.escape, sorted(spelt, key=len, reverse=True)))
    return re.sub(rf'(\\*"customer\\*": \\*")(?:{either})(?=\\*")', rf"\g<1>{BLOT}", text)


def _written(target: BinaryIO, records: Iterable[tuple[str, str]]) -> int:
    changed = 0
    for before, after in records:
        target.write(after.encode())
        changed += before != after
    return changed


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv(lines: Iterator[str], someone: Person) -> Iterator[tuple[str, str]]:
    records = _csv_records(lines)
    header = next(records, "")
    yield header, header
    columns = next(csv.reader([header]), [])
    for record in records:
        cells = next(csv.reader(record.splitlines(keepends=True)), [])
        fields = zip(columns, cells, strict=False)
        yield record, "" if any(_is_theirs(cell, name, someone) for name, cell in fields) else someone.blotted(record)


def _csv_records(lines: Iterator[str]) -> Iterator[str]:
    """The records as they are written; a quoted value may hold line breaks."""
    record = ""
    for line in lines:
        record += line
        if record.count('"') % 2 == 0:
            yield record
            record = ""
    if record:
        yield record


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_line(line: str, gone: str, someone: Person) -> str:
    if not line.strip():
        return line
    value = json.loads(line)
    left = _pruned(value, "", someone, in_list=False)
    if left is _GONE:
        return gone
    return line if left == value else f"{json.dumps(left, ensure_ascii=False, separators=(',', ':'))}\n"


def _json_file(text: str, someone: Person) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return someone.blotted(text)
    left = _pruned(value, "", someone, in_list=False)
    if left is _GONE:
        left = _blotted(value, "", someone)
    return text if left == value else f"{json.dumps(left, ensure_ascii=False, indent=2)}\n"


def _pruned(value: Any, name: str, someone: Person, *, in_list: bool) -> Any:
    """The value without the records about the person; _GONE where it is itself (part of) one."""
    if isinstance(value, str):
        return _GONE if _is_theirs(value, "customer" if in_list else name, someone) else someone.blotted(value)
    if isinstance(value, dict):
        fields = {key: _pruned(child, key, someone, in_list=False) for key, child in value.items()}
        return _GONE if any(child is _GONE for child in fields.values()) else fields
    if isinstance(value, list):
        # What stands in a row of a table has no name to tell an id by.
        rows = [_pruned(child, name, someone, in_list=in_list or isinstance(child, list)) for child in value]
        left = [row for row in rows if row is not _GONE]
        whole = not _are_records(value) and (in_list or any(isinstance(child, dict) for child in value))
        return _GONE if len(left) < len(rows) and (whole or not left) else left
    return value


def _are_records(values: list[Any]) -> bool:
    if all(isinstance(value, dict) for value in values):
        return bool(set.intersection(*(set(value) for value in values))) if values else True
    return all(isinstance(value, list) for value in values)


def _blotted(value: Any, name: str, someone: Person) -> Any:
    """The value with every text blotted out that stands in one object with a value of the person."""
    if isinstance(value, dict):
        own = any(isinstance(child, str) and _is_theirs(child, key, someone) for key, child in value.items())
        hide: Callable[[Any], bool] = lambda child: own and isinstance(child, str)  # noqa: E731
        return {key: BLOT if hide(child) else _blotted(child, key, someone) for key, child in value.items()}
    if isinstance(value, list):
        return [_blotted(child, name, someone) for child in value]
    if isinstance(value, str):
        return BLOT if _is_theirs(value, name, someone) else someone.blotted(value)
    return value


def _is_theirs(value: str, name: str, someone: Person) -> bool:
    """Whether a value alone, in a field of that name, tells that its record is about the person."""
    if value.strip().lower() in someone.exact:
        return True
    return re.sub(r"[^a-z]", "", name.lower()) in _NAMES and value in someone.ids | someone.visitors
