"""What does each table and each column mean? The contracts, set out for readers in their own language.

The same declarations make the tables' validation, the comments in the warehouse and docs/data_dictionary.md. The report reads
no rows, so that it is whole for a shop without data. The texts of the contracts are translated one by one in
`locales/<language>/contracts/*.yaml`, by the English text.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import yaml

from lifecycle_assets.contracts import ONE_OF, Contract, registry
from lifecycle_assets.reports import render
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.facts import Fact, Facts
from lifecycle_assets.reports.narrative import LOCALES, Sentence
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

NAME = "data_dictionary"
READS: tuple[Contract, ...] = ()
HEADS = ("column", "meaning", "unit", "type", "key", "null")
SAMPLE = 3  # columns of a query beside the key
SCOPE = ("shop_id", "as_of")


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001 - all reports are asked alike
    """How many tables and columns there are, in all and by area."""
    known = registry().values()
    inputs = [contract for contract in known if _is_input(contract)]
    dependent = [contract for contract in known if contract.needs and not _is_input(contract)]
    found = [
        Fact("as_of", as_of, "date"),
        *_counts("dictionary", known),
        Fact("dictionary.history.tables", sum(contract.history for contract in known), "tables"),
        Fact("dictionary.optional.tables", len(inputs), "tables"),
        Fact("dictionary.dependent.tables", len(dependent), "tables"),
    ]
    for area, contracts in _areas().items():
        found += _counts(f"dictionary.{area}", contracts)
    return Facts(found)


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> reports.Report:
    """Every table and column in a language; raises KeyError naming a text that has no translation."""
    tell = reports.teller(facts, settings, language)
    entries = {area: [_entry(tell, contract, shop) for contract in found] for area, found in _areas().items()}
    page = reports.page(
        tell,
        "dictionary",
        headline=tell.say("dictionary.headline", tables="dictionary.tables", columns="dictionary.columns"),
        answers=[
            (tell.word("dictionary.question.find"), [tell.say("dictionary.find")]),
            (tell.word("dictionary.question.query"), [tell.say("dictionary.query")]),
            (
                tell.word("dictionary.question.units"),
                [tell.say("dictionary.units", words={"currency": settings.currency})],
            ),
            (
                tell.word("dictionary.question.empty"),
                [
                    tell.say("dictionary.optional.text", count="dictionary.optional.tables"),
                    tell.say("dictionary.dependent", count="dictionary.dependent.tables"),
                ],
            ),
        ],
        tiles=[
            *(_area_tile(tell, area) for area in entries),
            *(_tile(tell, mark, tell.say(f"dictionary.{mark}.note")) for mark in ("history", "optional")),
        ],
        sections=[_section(tell, area, found) for area, found in entries.items()],
    )
    own = {"dictionary": [entry for found in entries.values() for entry in found]}
    return reports.Report(NAME, shop, as_of, settings.currency, page, facts, own)


def translated(text: str, language: str) -> str:
    """A contract's text in a language; raises KeyError naming the text when it is not translated."""
    if language == "en":
        return text
    texts = contract_texts(language)
    if text not in texts:
        raise KeyError(f"locales/{language}/contracts has no translation of: {text}")
    return texts[text]


@cache
def contract_texts(language: str) -> Mapping[str, str]:
    """English text -> its translation, out of all files of a language."""
    texts: dict[str, str] = {}
    for file in (LOCALES / language / "contracts").iterdir():
        texts |= yaml.safe_load(file.read_text("utf-8"))
    return texts


def meaning(contract: Contract, column: str) -> tuple[str, str]:
    """What a column means, and the values it may have, with commas between; empty where they are not listed."""
    text, _, values = (contract.columns[column].description or "").partition(ONE_OF)
    return text, values.removesuffix(".")


def _areas() -> dict[str, list[Contract]]:
    """The tables by area, in the order of the flow."""
    areas: dict[str, list[Contract]] = {}
    for contract in registry().values():
        areas.setdefault(contract.area, []).append(contract)
    return areas


def _counts(prefix: str, contracts: Collection[Contract]) -> list[Fact]:
    return [
        Fact(f"{prefix}.tables", len(contracts), "tables"),
        Fact(f"{prefix}.columns", sum(len(contract.columns) for contract in contracts), "columns"),
    ]


def _is_input(contract: Contract) -> bool:
    """Whether the table is itself an input that a shop may lack."""
    return contract.name in contract.needs


def _entry(tell: Teller, contract: Contract, shop: str) -> dict[str, Any]:
    """One table as the JSON has it; the page is set from the same."""
    types = contract.sql_types()
    return {
        "table": contract.name,
        "description": translated(contract.description, tell.language),
        "history": f"{contract.name}_history" if contract.history else None,
        "append_only": contract.append_only,
        "optional": _is_input(contract),
        "needs": [name for name in contract.needs if name != contract.name],
        "key": contract.primary_key,
        "query": _query(contract, shop),
        "columns": [
            {
                "column": name,
                "type": types[name],
                "key": name in contract.primary_key,
                "null": column.nullable,
                "unit": translated(unit, tell.language) if (unit := contract.unit(name)) else None,
                "meaning": _told(tell, *meaning(contract, name)),
            }
            for name, column in contract.columns.items()
        ],
    }


def _told(tell: Teller, text: str, values: str) -> str:
    text = translated(text, tell.language)
    return str(tell.say("dictionary.values", words={"text": text, "values": values})) if values else text


def _query(contract: Contract, shop: str) -> str:
    """A first look at the shop's rows: the key and the columns after it, in the order of the key. Names are quoted, some are
    words of SQL."""
    names = {name: f'"{name}"' for name in contract.columns if name not in SCOPE}
    key = [names.pop(name) for name in contract.primary_key if name not in SCOPE]
    rest = list(names.values())
    order = f"\nORDER BY {', '.join(key)}" if key else ""
    return (
        f"SELECT {', '.join([*key, *rest[:SAMPLE]])}\nFROM {contract.name}\nWHERE shop_id = '{shop}'{order}\nLIMIT 10;"
    )


def _area_tile(tell: Teller, area: str) -> render.Tile:
    return _tile(tell, area, tell.say("dictionary.tile", count=f"dictionary.{area}.columns"))


def _tile(tell: Teller, name: str, note: Sentence) -> render.Tile:
    return render.Tile(tell.say(f"dictionary.{name}.title"), tell.number(f"dictionary.{name}.tables"), note, "flat")


def _section(tell: Teller, area: str, entries: list[dict[str, Any]]) -> render.Section:
    tables = [_table(tell, entry) for entry in entries]
    text = tell.say(f"dictionary.{area}.text")
    return render.Section(area, tell.word(f"dictionary.{area}.title"), [text], tables=tables)


def _table(tell: Teller, entry: dict[str, Any]) -> render.Table:
    marks = {"key": tell.word("dictionary.key"), "null": tell.word("dictionary.null")}
    rows = [
        [(marks[head] if column[head] else "") if head in marks else column[head] or "" for head in HEADS]
        for column in entry["columns"]
    ]
    return render.Table(
        entry["table"],
        [tell.word(f"dictionary.head.{head}") for head in HEADS],
        rows,
        texts=frozenset(range(1, len(HEADS))),
        id=entry["table"],
        notes=[entry["description"], *_remarks(tell, entry)],
        code=entry["query"],
    )


def _remarks(tell: Teller, entry: dict[str, Any]) -> list[str]:
    """What to know of the table as a whole."""
    remarks = []
    if entry["history"]:
        remarks.append(tell.say("dictionary.history.text", words={"view": entry["history"]}))
    if entry["append_only"]:
        remarks.append(tell.say("dictionary.append_only"))
    if entry["optional"]:
        remarks.append(tell.say("dictionary.input"))
    if entry["needs"]:
        remarks.append(tell.say("dictionary.needs", words={"names": tell.writer.join(entry["needs"])}))
    return [str(remark) for remark in remarks]
