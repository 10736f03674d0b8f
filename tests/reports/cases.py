"""The shops that all reports are told about in the tests, the reports there are, and the readers they are written for.

A topic adds its own tables by a function `frames(case)` in `<topic>_frames.py` beside this file."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import polars as pl
import pytest
import report_frames
from naive import Rows, naive
from report_frames import AS_OF, SHOP, lines

import lifecycle_assets.definitions  # noqa: F401 - the data dictionary tells of every contract there is
from lifecycle_assets import reports as package
from lifecycle_assets.reports import charts
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.report import Report
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Routing, Shop

Frames = dict[str, pl.LazyFrame]
ASSUMING = SHOP.model_copy(update={"routing": Routing.model_validate({"assume_consent": ["email"]})})


def superseded(order_lines: pl.DataFrame) -> Frames:
    """The night after has gone out already, and nothing of this one."""
    made = report_frames.frames(order_lines)
    of_night = made["ledger"].filter(as_of=AS_OF, event="exported")
    return made | {"ledger": of_night.with_columns(pl.col("as_of").dt.offset_by("1d"))}


CASES: dict[str, Callable[[], Frames]] = {
    "rising": lambda: report_frames.frames(lines(customers=250, trend=0.6)),
    "flat": lambda: report_frames.frames(lines(customers=150, guests=0)),
    "falling": lambda: report_frames.frames(lines(customers=150, trend=-0.6)),
    "tiny": lambda: report_frames.frames(lines(customers=6, days=100, guests=0)),
    "superseded": lambda: superseded(lines(customers=80)),
    "silent": lambda: report_frames.frames(lines(customers=80, days=80), sends=False),
    "empty": lambda: report_frames.frames(lines(customers=0, guests=0), sends=False),
}


class Reader(NamedTuple):
    """Who reads: a language, a country with its habits, and the marks of decimals and thousands there."""

    language: str
    country: str
    currency: str
    decimal: str
    thousands: str


READERS = {
    "en-US": Reader("en", "US", "USD", ".", ","),
    "es-ES": Reader("es", "ES", "EUR", ",", "."),
    "es-MX": Reader("es", "MX", "MXN", ".", ","),
    "pt-BR": Reader("pt", "BR", "BRL", ",", "."),
}


class Kind(NamedTuple):
    """A report: what it reads, its facts, and the report on them."""

    reads: tuple[type, ...]
    facts: Callable[[Tables, object, Shop], Facts]
    report: Callable[[Facts, str, object, Shop, str], Report]


def _reports() -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        made = importlib.import_module(module.name)
        if {"NAME", "READS", "facts", "report"} <= set(vars(made)) and not isinstance(made.report, ModuleType):
            found[made.NAME] = Kind(made.READS, made.facts, made.report)
    return found


REPORTS = _reports()


@cache
def frames_of(case: str) -> Frames:
    """All tables of all reports: the case's own, those that the topics add, the others empty."""
    found = {contract.table: contract.empty().lazy() for kind in REPORTS.values() for contract in kind.reads}
    found |= CASES[case]()
    for file in sorted(Path(__file__).parent.glob("*_frames.py")):
        if file.stem != "report_frames":
            found |= importlib.import_module(file.stem).frames(case)
    return found


@cache
def rows_of(case: str) -> Rows:
    return {name: frame.collect().to_dicts() for name, frame in frames_of(case).items()}


@cache
def naive_of(case: str) -> dict[str, object]:
    """Every number by its path, recomputed row by row."""
    return naive(rows_of(case), AS_OF, ASSUMING)


@cache
def facts_of(name: str, case: str) -> Facts:
    return REPORTS[name].facts(Tables(frames_of(case)), AS_OF, ASSUMING)


@cache
def told(name: str, case: str, reader: str) -> Report:
    """The report as the reader gets it."""
    who = READERS[reader]
    settings = ASSUMING.model_copy(update={"country": who.country, "currency": who.currency})
    return REPORTS[name].report(facts_of(name, case), "corner", AS_OF, settings, who.language)


@contextmanager
def undrawn() -> Iterator[None]:
    """Reports without pictures: drawing is the slow part, and the texts do not depend on it."""
    blank = charts.Picture("<svg ></svg>", "<svg ></svg>")
    with pytest.MonkeyPatch.context() as patch:
        for kind, _ in inspect.getmembers(charts, inspect.isfunction):
            patch.setattr(charts, kind, lambda *_args, **_words: blank)
        yield
