"""Which models may be relied on: verdicts by rule, figures beside the rule's, natural in three languages."""

import datetime as dt
import json
from functools import cache

import polars as pl
import pytest
from health_frames import AS_OF, CASES, PLANTED, frames

from lifecycle_assets.reports import health, render
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.report import teller
from lifecycle_assets.reports.sections.health import health as section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

SHOP = Shop.model_validate(
    {"name": "Corner", "timezone": "Europe/London", "currency": "GBP", "country": "GB", "input": "none"}
)
VERDICTS = {
    "churn_risk": "fit",
    "propensity_buy": "ageing",
    "propensity_respond_respond": "poor",
    "propensity_respond_open": "drifted",
    "propensity_respond_click": "drifted",
    "visitor_intent_7_days": "poor",
}


@cache
def facts_of(case: str) -> Facts:
    return health.facts(Tables(frames(case)), AS_OF, SHOP)


def section_of(case: str, language: str = "en") -> render.Section:
    return section(teller(facts_of(case), SHOP, language))


def said(case: str, language: str = "en") -> str:
    made = section_of(case, language)
    return "\n".join(text.text for text in (*made.sentences, *made.notes, *(text for _, text in made.terms)))


def test_each_model_gets_its_verdict() -> None:
    assert {row["model"]: row["verdict"] for row in facts_of("superseded").tables["health"]} == VERDICTS


TOLD = [
    ("rising", "en", "Models in use: 1. All of them are fit to be used."),
    ("rising", "es", "Modelos en uso: 1. Todos son aptos para usarse."),
    ("rising", "pt", "Modelos em uso: 1. Todos estão aptos para uso."),
    ("rising", "en", "tested on 1,500 later ones, of which 12% came true."),
    ("rising", "en", "it named the right one in 81% (between 78% and 84%)."),
    (
        "rising",
        "en",
        "By the backtest of 30 June 2024, month by month, these scores were clearly better than a simple rule: Churn risk.",
    ),
    ("rising", "en", "these scores were not shown to be better than a simple rule: Likely purchases."),
    ("flat", "en", "Models in use: 2. Fit to be used: 1."),
    ("flat", "en", "its scores are not used. On the last snapshot it named the right one of two in 58% of cases"),
    ("flat", "es", "no se ha demostrado que sea mejor que su regla sencilla, así que sus puntuaciones no se usan."),
    ("flat", "pt", "não ficou demonstrado que seja melhor do que a sua regra simples"),
    (
        "falling",
        "en",
        "Opens: those whom it scores have changed since its training. The measure of change is 0.31, and 0.20 is",
    ),
    ("falling", "es", "Aperturas: las personas que puntúa han cambiado desde el entrenamiento."),
    ("falling", "pt", "Aberturas: as pessoas pontuadas mudaram desde o treinamento."),
    ("falling", "en", "Clicks: what happened is 45% off what it foretold, and 25% is allowed."),
    ("falling", "es", "Clics: lo ocurrido se aparta un 45\xa0% de lo previsto y se admite un 25\xa0%."),
    ("falling", "pt", "Cliques: o que aconteceu se afasta 45% do previsto, e o limite é 25%."),
    ("silent", "en", "Likely purchases: in use since 1 May 2024, because every later training did worse."),
    (
        "silent",
        "es",
        "Compras probables: en uso desde el 1 de mayo de 2024, porque todos los entrenamientos posteriores",
    ),
    ("silent", "pt", "Compras prováveis: em uso desde 1 de maio de 2024, porque todos os treinamentos posteriores"),
    (
        "silent",
        "en",
        "Visitors who come back to buy: it could not be tested against a simple rule, so its scores are not used.",
    ),
    ("silent", "en", "Foretells which visitors without a name will buy in the days after. There is no test of it yet."),
    ("empty", "en", "No model has been trained yet. A training needs at least 20 past cases of each kind"),
    ("empty", "es", "Todavía no se ha entrenado ningún modelo. Un entrenamiento requiere al menos 20 casos pasados"),
    ("empty", "pt", "Nenhum modelo foi treinado até agora. Um treinamento exige pelo menos 20 casos passados"),
]


@pytest.mark.parametrize(("case", "language", "sentence"), TOLD)
def test_each_case_is_told_in_each_language(case: str, language: str, sentence: str) -> None:
    assert sentence in said(case, language)


def test_figures_are_those_of_the_last_snapshot_beside_the_rules_own() -> None:
    table = section_of("rising").tables[0]
    assert table.rows == [["Churn risk", "Fit to use", "25 Jun 2024", "5", "81%", "78%", "84%", "74%"]]


def test_drift_is_told_of_what_has_moved_most_for_what_is_allowed() -> None:
    drift = section_of("falling").tables[1]
    assert drift.rows[1] == ["Opens", "0.31", "0.20", "10%", "25%"]


def test_models_that_were_never_trained_are_named() -> None:
    told = {row["model"] for row in facts_of("superseded").tables["health_untaught"]}
    assert told == health.MODELS.keys() - PLANTED.keys()
    assert "Not trained: Purchases after messages, Change to a better plan and Visitors who buy in this visit." in said(
        "superseded"
    )


def test_only_the_version_in_force_counts() -> None:
    facts = facts_of("silent")
    assert facts.value("health.propensity_buy.trained") == AS_OF - dt.timedelta(days=60)
    made = {**frames("silent"), "registry": frames("silent")["registry"].with_columns(is_champion=pl.lit(value=False))}
    assert not health.facts(Tables(made), AS_OF, SHOP).tables["health"]


def test_a_backtest_of_a_later_night_is_not_looked_at() -> None:
    later = frames("rising")["backtest"].with_columns(pl.col("as_of").dt.offset_by("1d"))
    facts = health.facts(Tables({**frames("rising"), "backtest": later}), AS_OF, SHOP)
    assert facts.tables["health_backtest"] == []


def test_a_model_is_not_old_before_its_next_training_is_due() -> None:
    rarely = SHOP.model_copy(update={"scores": SHOP.scores.model_copy(update={"retrain_days": 90})})
    rows = health.facts(Tables(frames("silent")), AS_OF, rarely).tables["health"]
    assert {row["model"]: row["verdict"] for row in rows}["propensity_buy"] == "fit"


@pytest.mark.parametrize("case", [*CASES, "empty"])
def test_the_order_of_rows_decides_nothing(case: str) -> None:
    shuffled = {name: frame.collect().reverse().lazy() for name, frame in frames(case).items()}
    again = health.facts(Tables(shuffled), AS_OF, SHOP)
    assert json.dumps(facts_of(case).to_json(), allow_nan=False) == json.dumps(again.to_json(), allow_nan=False)
