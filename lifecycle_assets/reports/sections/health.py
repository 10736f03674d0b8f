"""Which models may be relied on tonight, which not, and what to do about it; and a card of each in a few words."""

from typing import Any

from lifecycle_assets.reports import render
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.health import DRIFTED, FIT
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller


def health(tell: Teller) -> render.Section:
    """How many are fit, each finding, the table, and the cards."""
    rows = tell.facts.tables["health"]
    untaught = [_name(tell, row) for row in tell.facts.tables["health_untaught"]]
    if not rows:
        return tell.section("health", [tell.say("health.empty", least="health.least"), *_backtest(tell)])
    fit = "all" if tell.value("health.fit") == len(rows) else "some"
    sentences = [tell.say(f"health.summary.{fit}", count="health.models", fit="health.fit"), *_backtest(tell)]
    if untaught:
        sentences.append(tell.say("health.untaught", words={"names": tell.writer.join(untaught)}, least="health.least"))
    return render.Section(
        "health",
        tell.word("section.health"),
        sentences,
        notes=[_finding(tell, row) for row in rows if row["verdict"] != FIT],
        tables=[_table(tell, rows), *_drift(tell, rows)],
        terms=[(_name(tell, row), _card(tell, row)) for row in rows],
    )


def _backtest(tell: Teller) -> list[Sentence]:
    """What replayed nights say of the scores."""
    said = []
    for is_better, key in ((True, "better"), (False, "alike")):
        models = dict.fromkeys(
            row["model"] for row in tell.facts.tables["health_backtest"] if row["is_better"] is is_better
        )
        if models:
            names = tell.writer.join([tell.word(f"backtest.score.{model}") for model in models])
            said.append(tell.say(f"health.backtest.{key}", words={"names": names}, date="health.backtest"))
    return said


def _finding(tell: Teller, row: Row) -> Sentence:
    """Why a model is not simply fit, and what to do."""
    name, verdict = f"health.{row['model']}", row["verdict"]
    paths: dict[str, Any] = {}
    if verdict == DRIFTED:
        verdict = "drifted_outcome" if row["off_is_drifted"] else "drifted_people"
        what = "off" if row["off_is_drifted"] else "moved"
        paths = {"statistic": f"{name}.{what}", "threshold": f"{name}.{what}_threshold"}
    elif verdict == "ageing":
        paths = {"trained": f"{name}.trained"}
    elif f"{name}.auc" in tell.facts and f"{name}.rule" in tell.facts:
        paths = {"auc": f"{name}.auc", "lo": f"{name}.auc/lo", "hi": f"{name}.auc/hi", "rule": f"{name}.rule"}
    else:
        verdict = "unproven"
    return tell.say(f"health.told.{verdict}", words={"name": _name(tell, row)}, **paths)


def _table(tell: Teller, rows: list[Row]) -> render.Table:
    cells = [
        [
            _name(tell, row),
            tell.word(f"health.verdict.{row['verdict']}"),
            tell.show(row["trained"], "date"),
            tell.show(row["age"], "days"),
            *(tell.show(row[column], "share") for column in ("auc", "lo", "hi", "rule")),
        ]
        for row in rows
    ]
    return tell.table(
        "health", ("model", "health_verdict", "trained", "age", "auc", "auc_lo", "auc_hi", "rule"), cells, {1}
    )


def _drift(tell: Teller, rows: list[Row]) -> list[render.Table]:
    """Of the models whose drift is looked at."""
    cells = [
        [
            _name(tell, row),
            *(tell.show(row[f"moved_{column}"], "ratio") for column in ("statistic", "threshold")),
            *(tell.show(row[f"off_{column}"], "share") for column in ("statistic", "threshold")),
        ]
        for row in rows
        if row["moved_statistic"] is not None or row["off_statistic"] is not None
    ]
    return [tell.table("drift", ("model", "psi", "psi_limit", "missed", "missed_limit"), cells)] if cells else []


def _card(tell: Teller, row: Row) -> Sentence:
    """What it foretells, what it learnt from and was tested on."""
    name, words = f"health.{row['model']}", {"foretells": tell.word(f"health.foretells.{row['model']}")}
    if f"{name}.auc" not in tell.facts:
        return tell.say("health.card.untested", words=words)
    numbers = {number: f"{name}.{number}" for number in ("train_rows", "test_rows", "positive_rate")}
    ends = {"auc": f"{name}.auc", "lo": f"{name}.auc/lo", "hi": f"{name}.auc/hi"}
    return tell.say("health.card.tested", words=words, **numbers, **ends)


def _name(tell: Teller, row: Row) -> str:
    return tell.word(f"health.model.{row['model']}")
