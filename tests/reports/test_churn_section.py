"""What the report says of the risk of leaving, case by case in each language, and when it keeps silent."""

import math
import re

import numpy as np
import polars as pl
import pytest
from cases import AS_OF, SHOP, undrawn
from churn_frames import churn_frames, drivers, labels, risk, subscriptions, value_frames
from naive.churn import naive

from lifecycle_assets.models.churn_features import WORDS
from lifecycle_assets.reports import churn, report
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Catalogue, catalogue
from lifecycle_assets.reports.render import Section
from lifecycle_assets.reports.sections.churn import churn as section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

EMPTY = {contract.table: contract.empty().lazy() for contract in churn.READS}
CASES = ["rising", "flat", "falling", "worthless", "tiny", "superseded", "silent", "gone", "empty"]


def shop(kind: str = "ecommerce") -> Shop:
    rule = SHOP.customer.churn.model_copy(update={"business_type": kind})
    return SHOP.model_copy(update={"customer": SHOP.customer.model_copy(update={"churn": rule})})


def frames(case: str) -> dict[str, pl.LazyFrame]:
    return EMPTY if case == "empty" else EMPTY | value_frames(case) | churn_frames(case)


def facts_of(case: str, kind: str = "ecommerce") -> Facts:
    return churn.facts(Tables(frames(case)), AS_OF, shop(kind))


def told(case: str, language: str = "en", kind: str = "ecommerce") -> Section:
    with undrawn():
        return section(report.teller(facts_of(case, kind), shop(kind), language))


def said(made: Section) -> list[str]:
    # Babel sets no-break spaces between a number and its unit.
    return [text.text.replace("\N{NO-BREAK SPACE}", " ") for text in (*made.sentences, *made.notes)]


@pytest.mark.parametrize(
    ("case", "language", "sentence"),
    [
        ("rising", "en", "A customer counts as gone after 90 days without a purchase."),
        ("rising", "en", "Gone by this rule: 17. Still with the shop: 200."),
        ("rising", "en", "Expected to buy nothing in the next 90 days: 91 (likely between 76 and 106)."),
        (
            "rising",
            "es",
            "Previsión de clientes que no comprarán nada en los próximos 90 días: 91 (probablemente entre 76 y 106).",
        ),
        (
            "rising",
            "pt",
            "Previsão de clientes que não comprarão nada nos próximos 90 dias: 91 (provavelmente entre 76 e 106).",
        ),
        (
            "rising",
            "en",
            "68 customers are at high risk, with a chance of leaving of 60% or more (34% of those still with the shop).",
        ),
        (
            "rising",
            "en",
            "This group is expected to bring £16,898 over the next 12 months, 57% of all that is expected of today's "
            "customers; the forecast already allows for some of them leaving.",
        ),
        (
            "rising",
            "en",
            "“Days since the last purchase” carries 29% of the score's weight; the risk tends to be higher where this figure "
            "is high.",
        ),
        (
            "rising",
            "es",
            "«Pedidos del último mes» aporta el 24 % del peso de la puntuación; el riesgo suele ser mayor cuando este dato "
            "es bajo.",
        ),
        (
            "rising",
            "pt",
            "“Dias desde a primeira compra” responde por 19% do peso da pontuação, sem uma direção clara.",
        ),
        (
            "rising",
            "en",
            "Tested on 400 outcomes that it had not seen, the score ranked the customer who left above the one who stayed in "
            "85% of all pairs (likely between 81% and 88%). The simple rule (the days since the last purchase) did so in 80% "
            "(likely between 75% and 84%); the score's lead is larger than chance would give.",
        ),
        (
            "rising",
            "es",
            "En la décima parte de los clientes, la de mayor riesgo, la proporción de los que se fueron fue 4,5 veces la del "
            "conjunto (probablemente entre 3,2 y 5,7 veces).",
        ),
        (
            "rising",
            "pt",
            "Dos clientes do teste, 12% saíram; as probabilidades indicadas se desviaram 1,4 p.p. em média.",
        ),
        (
            "flat",
            "en",
            "No customer is at high risk (a chance of leaving of 60% or more); 61 are at medium risk, from 25% up (51% of "
            "those still with the shop).",
        ),
        (
            "flat",
            "es",
            "Ningún cliente tiene un riesgo alto (una probabilidad de abandono del 60 % o más); 61 tienen un riesgo medio, a "
            "partir del 25 % (51 % de los que se conservan).",
        ),
        (
            "flat",
            "pt",
            "Nenhum cliente corre risco alto de abandono (probabilidade de 60% ou mais); 61 correm risco médio, a partir de "
            "25% (51% dos que permanecem).",
        ),
        ("falling", "en", "No customer is at medium or high risk: every chance of leaving is below 25%."),
        (
            "falling",
            "es",
            "Ningún cliente tiene un riesgo medio o alto: todas las probabilidades de abandono están por debajo del 25 %.",
        ),
        (
            "tiny",
            "en",
            "There is no score yet: it takes at least 20 customers who left and as many who stayed, both to learn from and to "
            "test on. More history brings them; the setting scores.min_class asks for fewer.",
        ),
        (
            "superseded",
            "es",
            "Puesta a prueba con 400 casos cuyo resultado no conocía, la puntuación situó al cliente que se fue por encima "
            "del que se quedó en el 85 % de los pares (probablemente entre el 81 % y el 88 %), y la regla sencilla (los días "
            "desde la última compra) en el 80 % (probablemente entre el 75 % y el 84 %). La prueba más reciente no demostró "
            "que la puntuación sea mejor que el azar y que esta regla. Por eso no se muestra ningún riesgo, y la puntuación "
            "no debería servir para decidir nada.",
        ),
        (
            "silent",
            "en",
            "Tested on 400 outcomes that it had not seen, the score was not shown to be better than chance: it ranked the "
            "customer who left above the one who stayed in 53% of all pairs (likely between 47% and 59%). Therefore no risk "
            "is shown, and nothing should be decided by the score.",
        ),
        (
            "silent",
            "pt",
            "Testada em 400 casos cujo resultado não conhecia, a pontuação não se mostrou melhor que o acaso: colocou o "
            "cliente que saiu acima do que ficou em 53% dos pares (provavelmente entre 47% e 59%). Por isso nenhum risco é "
            "mostrado, e nenhuma decisão deve se basear na pontuação.",
        ),
        ("gone", "en", "All 3 customers count as gone: there is nobody left to score."),
        ("gone", "es", "Los 3 clientes se dan por perdidos: no queda ninguno por puntuar."),
        ("empty", "en", "Nobody can leave yet: the data holds no purchase by a known customer."),
        (
            "empty",
            "pt",
            "Ainda não há quem possa deixar a loja: os dados não trazem nenhuma compra de um cliente identificado.",
        ),
    ],
)
def test_what_is_said(case: str, language: str, sentence: str) -> None:
    assert sentence in said(told(case, language))


@pytest.mark.parametrize(
    ("kind", "language", "sentence"),
    [
        ("saas", "en", "A customer counts as gone once every subscription has been cancelled."),
        ("saas", "en", "Expected to cancel within 30 days: 91 (likely between 76 and 106)."),
        (
            "saas",
            "es",
            "Previsión de clientes que cancelarán en los próximos 30 días: 91 (probablemente entre 76 y 106).",
        ),
        ("saas", "pt", "Um cliente é considerado perdido quando cancelou todas as assinaturas."),
        (
            "prepaid",
            "en",
            "Expected to have used up the balance 30 days from now, without topping up: 91 (likely between 76 and 106).",
        ),
        (
            "prepaid",
            "es",
            "Un cliente se da por perdido cuando ha agotado el saldo y su última recarga fue hace 30 días o más.",
        ),
    ],
)
def test_what_leaving_means_depends_on_the_business(kind: str, language: str, sentence: str) -> None:
    made = said(told("rising", language, kind))
    assert sentence in made
    words = catalogue(language).pick(f"churn.simple.{kind}")
    assert any(f"({words})" in text for text in made)
    assert catalogue(language).pick(f"churn.empty.{kind}") in said(told("empty", language, kind))


@pytest.mark.parametrize("case", ["tiny", "superseded", "silent", "gone", "empty"])
def test_without_a_proven_score_no_risk_is_shown(case: str) -> None:
    made = told(case)
    assert not made.figures and not made.tables and not made.notes
    assert not any("at high risk" in text or "Expected to" in text for text in said(made))


def test_a_lift_that_may_be_none_is_not_claimed() -> None:
    assert facts_of("flat").value("churn.test.lift/lo") < 1 < facts_of("flat").value("churn.test.lift")
    assert not any("the tenth with the highest risk" in text for text in said(told("flat")))
    assert any("the tenth with the highest risk" in text for text in said(told("rising")))


def test_where_nobody_forecasts_value_none_is_told() -> None:
    made = told("worthless")
    assert [figure.id for figure in made.figures] == ["churn_drivers"]
    assert [row[4:] for row in made.tables[0].rows] == [["–", "–"]]


def test_a_driver_without_words_of_its_own_and_a_category_are_told_plainly() -> None:
    [_, chart] = told("rising").figures
    rows = {row[0]: row[1:] for row in chart.tables[0].rows}
    assert rows["Moon phase"] == ["9.5%", "–", "–"] and rows["Country"][1] == "–"
    assert next(iter(rows)) == "Days since the last purchase" and len(rows) == 6
    assert chart.title.text == "“Days since the last purchase” weighs most in the risk score: 29% of its weight"


def test_a_subscription_s_own_figures_have_a_direction_too() -> None:
    driven = subscriptions(200) | drivers(("subscription_age_days", "plan"), 200)
    made = frames("rising") | driven
    facts = churn.facts(Tables(made), AS_OF, shop("saas"))
    expected = naive({name: frame.collect().to_dicts() for name, frame in made.items()}, AS_OF, shop("saas"))
    path = "churn.driver.subscription_age_days.correlation"
    assert facts.value(path) == expected[path] == -1
    with undrawn():
        texts = said(section(report.teller(facts, shop("saas"), "en")))
    assert (
        "“Days subscribed” carries 67% of the score's weight; the risk tends to be higher where this figure is low."
        in texts
    )
    assert "“Plan” carries 33% of the score's weight." in texts


@pytest.mark.parametrize("language", ["en", "es", "pt"])
def test_every_feature_of_the_model_has_a_name(language: str) -> None:
    words = {
        key.removeprefix("churn_driver.") for key in catalogue(language).messages if key.startswith("churn_driver.")
    }
    assert words == set(WORDS)


def test_no_message_lies_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    pick = Catalogue.pick
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, *form: used.add(key) or pick(self, key, *form))
    for case in CASES:
        for kind in ("ecommerce", "saas", "prepaid"):
            told(case, "en", kind)
    own = {
        key for key in catalogue("en").messages if re.match(r"(chart\.)?churn(_bands|_drivers)?\.|churn_band\.", key)
    }
    assert own and sorted(own - used) == []


@pytest.mark.parametrize("case", CASES)
def test_every_fact_is_what_the_rows_say(case: str) -> None:
    rows = {name: frame.collect().to_dicts() for name, frame in frames(case).items()}
    expected, facts = naive(rows, AS_OF, shop()), facts_of(case)
    assert set(facts.facts) == {path for path in expected if "/" not in path}
    for path, number in expected.items():
        assert facts.value(path) == (None if number is None else pytest.approx(number, abs=6e-5)), path


def test_the_range_holds_what_happens_as_often_as_it_says() -> None:
    """Customers leave by their probabilities, which are all too low by the calibration error."""
    rng, off, n = np.random.default_rng(11), 0.0137, 300
    chance = np.round(rng.beta(1, 6, n) * 0.9, 6)
    made = frames("rising") | risk(chance.tolist(), used=True) | labels(0, n)
    facts = churn.facts(Tables(made), AS_OF, shop())
    lo, hi = facts.value("churn.expected/lo"), facts.value("churn.expected/hi")
    left = (rng.random((4000, n)) < chance + off).sum(axis=1)
    held = ((lo <= left) & (left <= hi)).mean()
    assert held >= 0.95
    # Without the calibration error it would not: the width is needed.
    chance_alone = 1.96 * math.sqrt(float((chance * (1 - chance)).sum()))
    assert (np.abs(left - chance.sum()) <= chance_alone).mean() < 0.93


def test_a_correlation_of_chance_is_called_a_direction_about_one_time_in_forty_or_less() -> None:
    rng, called = np.random.default_rng(5), 0
    for _ in range(200):
        pairs = pl.DataFrame({"churn_probability": rng.random(300), "figure": rng.random(300)})
        called += churn._direction(pairs, "figure")["direction"] != "none"
    # 5 % leave zero out; of these only those beyond .1 count: Binomial(200, .05), 19 or more once in a thousand.
    assert 0 < called <= 18


def test_the_order_of_the_rows_decides_nothing() -> None:
    shuffled = {
        name: frame.collect().sample(fraction=1.0, shuffle=True, seed=3).lazy()
        for name, frame in frames("rising").items()
    }
    assert churn.facts(Tables(shuffled), AS_OF, shop()).to_json() == facts_of("rising").to_json()


@pytest.mark.parametrize("language", ["es", "pt"])
def test_the_charts_speak_the_readers_language(language: str) -> None:
    [bands, drivers] = section(report.teller(facts_of("rising"), shop(), language)).figures
    high = {"es": "Riesgo alto", "pt": "Risco alto"}[language]
    driver = {"es": "Días desde la última compra ▲", "pt": "Dias desde a última compra ▲"}[language]
    for size in ("wide", "narrow"):
        assert high in getattr(bands.picture, size)
        assert driver in getattr(drivers.picture, size)
