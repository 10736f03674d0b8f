"""The data dictionary: every table and column in every language, and a translation of every text of the contracts."""

import datetime as dt
import json
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import pytest
from report_frames import AS_OF, SHOP

from lifecycle_assets import definitions  # noqa: F401 - imports every contract
from lifecycle_assets.contracts import ONE_OF, registry
from lifecycle_assets.night import Night
from lifecycle_assets.reports import dictionary
from lifecycle_assets.reports.assets import data_dictionary
from lifecycle_assets.reports.narrative import LOCALES
from lifecycle_assets.reports.report import Report
from lifecycle_assets.reports.tables import Tables
from resources.report_store import ReportStore
from resources.writers import Writers

TRANSLATIONS = ("es", "pt")
LANGUAGES = ("en", *TRANSLATIONS)
CONTRACTS = registry()
# What is written with an underscore, as `code`, or as a table's name.
CODE = re.compile(r"`[^`]+`|\w+_\w+|\b(?:raw|features|models|dispatch)\.\w+")


@cache
def written(language: str) -> Report:
    facts = dictionary.facts(Tables({}), AS_OF, SHOP)
    return dictionary.report(facts, "corner", AS_OF, SHOP, language)


def texts_of_contracts() -> set[str]:
    found = set()
    for contract in CONTRACTS.values():
        found.add(contract.description)
        for name, column in contract.columns.items():
            found.add((column.description or "").split(ONE_OF)[0])
            found.add(contract.unit(name) or contract.description)
    return found


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_of_the_contracts_is_translated_once(language: str) -> None:
    texts = dictionary.contract_texts(language)
    assert sorted(texts_of_contracts() - set(texts)) == [], "not translated"
    assert sorted(set(texts) - texts_of_contracts()) == [], "translated, but in no contract any more"
    lines = [line for file in (LOCALES / language / "contracts").iterdir() for line in file.read_text().splitlines()]
    assert len(lines) == len(texts), "every text stands on one line, once"


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_keeps_the_code_and_the_numbers(language: str) -> None:
    for english, translation in dictionary.contract_texts(language).items():
        lost = [code for code in CODE.findall(english) if code not in translation]
        assert not lost, f"{english}: {lost} not in: {translation}"
        assert sorted(re.findall(r"\d+", english)) == sorted(re.findall(r"\d+", translation)), (
            f"{english}: {translation}"
        )
        words = re.findall(r"\b[^\W\d_]{2,}\b", CODE.sub("", english))
        assert len(words) < 3 or translation != english, f"still English: {english}"
        assert english.endswith(".") == translation.endswith("."), translation
        assert translation == translation.strip() and "  " not in translation, translation


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_tells_every_table_and_column(language: str) -> None:
    report = written(language)
    tables = {table.id: table for section in report.page.sections for table in section.tables}
    assert list(tables) == list(CONTRACTS)
    for name, contract in CONTRACTS.items():
        rows = tables[name].rows
        assert [row[0] for row in rows] == list(contract.columns)
        assert [row[0] for row in rows if row[4]] == contract.primary_key
        assert [row[0] for row in rows if row[5]] == [n for n, column in contract.columns.items() if column.nullable]
        assert all(row[1] and row[3] for row in rows)
        for needed in contract.needs:
            assert needed == name or any(needed in note for note in tables[name].notes)
        assert contract.history == any(f"{name}_history" in note for note in tables[name].notes)
    html = report.html
    for name in CONTRACTS:
        assert f'href="#{name}"' in html and f'id="{name}"' in html
    assert "{" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_it_is_told_in_the_readers_language() -> None:
    orders = next(entry for entry in written("es").json["dictionary"] if entry["table"] == "features.orders")
    assert orders["description"] == (
        "Cada pedido de un cliente conocido hasta as_of, una fila por pedido, formada con sus líneas completadas."
    )
    amount = next(column for column in orders["columns"] if column["column"] == "amount")
    assert (amount["unit"], amount["type"]) == ("moneda de la tienda", "DECIMAL(18, 4)")


def test_the_values_of_a_column_are_told_as_they_are() -> None:
    stages = next(t for t in written("es").json["dictionary"] if t["table"] == "features.lifecycle_stage")
    stage = next(column for column in stages["columns"] if column["column"] == "stage")
    assert stage["meaning"] == "Etapa al cierre de as_of. Valores posibles: new, active, at_risk, lapsed, won_back."


def test_a_text_without_translation_is_named() -> None:
    with pytest.raises(KeyError, match="locales/es/contracts has no translation of: Never said."):
        dictionary.translated("Never said.", "es")


def test_every_query_runs_on_the_tables_that_it_is_told_beside() -> None:
    with duckdb.connect() as database:
        for area in {contract.area for contract in CONTRACTS.values()}:
            database.execute(f"CREATE SCHEMA {area}")
        for entry in written("en").json["dictionary"]:
            contract = CONTRACTS[entry["table"]]
            database.execute(contract.ddl())
            asked = database.execute(entry["query"])
            columns = [column for column, *_ in asked.description or ()]
            assert set(entry["key"]) - {"shop_id", "as_of"} <= set(columns)
            assert set(columns) <= set(contract.columns)


def test_the_asset_writes_it_without_any_table(tmp_path: Path) -> None:
    settings = SHOP.model_copy(update={"reports": SHOP.reports.model_copy(update={"languages": ("es",)})})
    night = Night("corner", AS_OF, AS_OF, dt.datetime(2024, 7, 1, 2, tzinfo=dt.UTC), settings)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", ["corner"])
        resources = {
            "nights": SimpleNamespace(of=lambda _: night),
            "report_store": ReportStore(tmp_path),
            "writers": Writers(tmp_path / "drafts"),
        }
        made = dg.materialize([data_dictionary], instance=instance, partition_key="corner", resources=resources)
        (event,) = made.asset_materializations_for_node("reports__data_dictionary")
    page = tmp_path / "corner" / AS_OF.isoformat() / "data_dictionary.es.html"
    assert event.metadata["path"].value == str(page)
    assert json.loads(page.with_suffix(".json").read_text("utf-8"))["dictionary"] == written("es").json["dictionary"]
