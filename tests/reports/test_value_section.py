"""What the report says of expected value, case by case in each language, and where it says nothing."""

import pytest
from cases import AS_OF, SHOP, undrawn
from churn_frames import forecast, value_frames
from naive.value import naive

from lifecycle_assets.models.clv_evaluation import ClvEvaluation
from lifecycle_assets.models.clv_forecast import ClvForecast
from lifecycle_assets.reports import charts, report, value
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.render import Section
from lifecycle_assets.reports.sections.value import value as section
from lifecycle_assets.reports.tables import Tables

EMPTY = {contract.table: contract.empty().lazy() for contract in (ClvForecast, ClvEvaluation)}


def facts_of(case: str) -> Facts:
    return value.facts(Tables(EMPTY | (value_frames(case) if case != "empty" else {})), AS_OF, SHOP)


def told(case: str, language: str = "en") -> Section:
    return section(report.teller(facts_of(case), SHOP, language))


@pytest.mark.parametrize(
    ("case", "language", "sentence"),
    [
        (
            "rising",
            "en",
            "Today's 200 customers are expected to bring £29,900 in the next 12 months, after returns. "
            "Customers still to come are not in it.",
        ),
        (
            "rising",
            "es",
            "Se espera que los 200 clientes actuales aporten 29.900 GBP en los próximos 12 meses, una vez descontadas las "
            "devoluciones. No se incluye a los clientes que aún están por llegar.",
        ),
        (
            "rising",
            "pt",
            "Espera-se que os 200 clientes atuais tragam £ 29.900 nos próximos 12 meses, já descontadas as devoluções. "
            "Futuros clientes não entram na conta.",
        ),
        (
            "rising",
            "en",
            "The proof: knowing nothing of the last 3 months of the history, the same method would have missed the total "
            "of those months by −3.4%.",
        ),
        (
            "rising",
            "en",
            "Off by as much again, the total to expect would be £30,952. One test cannot tell how likely that is, so no "
            "range is stated for the total.",
        ),
        (
            "rising",
            "en",
            "Per customer it would have been off by £21.50 on average; carrying on each customer's past spending would "
            "have been off by £35.00.",
        ),
        (
            "rising",
            "en",
            "The range stated for each customer is meant to hold the outcome of 80% of them; it held that of 81% (likely "
            "between 75% and 86%).",
        ),
        (
            "flat",
            "en",
            "Per customer it would have been off by £100.00 on average, about as much as carrying on each customer's past "
            "spending (£100.50).",
        ),
        (
            "flat",
            "es",
            "El intervalo indicado para cada cliente debería contener el resultado en el 80 % de los casos; solo lo contuvo "
            "en el 67 % (probablemente entre el 58 % y el 75 %): los intervalos son demasiado estrechos.",
        ),
        (
            "flat",
            "pt",
            "O intervalo indicado para cada cliente deveria conter o resultado em 80% dos casos, mas só o conteve em 67% "
            "(provavelmente entre 58% e 75%): os intervalos são estreitos demais.",
        ),
        (
            "falling",
            "en",
            "Per customer it would have been off by £40.00 on average, and carrying on each customer's past spending by "
            "£30.00: trust the order of the customers rather than the amounts.",
        ),
        (
            "falling",
            "en",
            "The range stated for each customer is meant to hold the outcome of 80% of them; it held that of 97% (likely "
            "between 94% and 99%): the ranges are wider than they need to be.",
        ),
        (
            "superseded",
            "es",
            "Se espera que los 200 clientes actuales aporten un margen de 29.900 GBP en los próximos 12 meses, una vez "
            "descontadas las devoluciones. No se incluye a los clientes que aún están por llegar.",
        ),
        (
            "tiny",
            "en",
            "The history is shorter than 12 months: a span this long has not been seen yet, and the amounts are carried on "
            "beyond it.",
        ),
        (
            "tiny",
            "pt",
            "Esta previsão ainda não foi comprovada: o histórico é curto demais, ou são poucos os clientes que voltaram, e não "
            "é possível reservar uma parte dos dados para testá-la.",
        ),
        (
            "one",
            "en",
            "Today's only customer is expected to bring £0.25 in the next 12 months, after returns. Customers still to come "
            "are not in it.",
        ),
        (
            "one",
            "es",
            "La prueba: sin conocer el último mes del historial, el mismo método se habría desviado del total de ese mes en "
            "un −12 %.",
        ),
        ("empty", "en", "There is nobody to forecast until the data holds a purchase by a known customer."),
        ("empty", "es", "No habrá previsión hasta que los datos incluyan una compra de un cliente identificado."),
        ("empty", "pt", "Não haverá previsão enquanto os dados não trouxerem uma compra de um cliente identificado."),
    ],
)
def test_what_is_said(case: str, language: str, sentence: str) -> None:
    with undrawn():
        made = told(case, language)
    # Babel sets no-break spaces between a number and its unit.
    said = [text.text.replace("\N{NO-BREAK SPACE}", " ") for text in (*made.sentences, *made.notes)]
    assert sentence in said


@pytest.mark.parametrize("case", ["rising", "flat", "falling", "tiny", "superseded", "silent", "one", "empty"])
def test_every_fact_is_what_the_rows_say(case: str) -> None:
    frames = EMPTY | (value_frames(case) if case != "empty" else {})
    expected = naive({name: frame.collect().to_dicts() for name, frame in frames.items()}, AS_OF, SHOP)
    facts = facts_of(case)
    assert set(facts.facts) == {path for path in expected if "/" not in path}
    for path, number in expected.items():
        assert facts.value(path) == (number if isinstance(number, str) else pytest.approx(number, abs=6e-5)), path


def test_the_total_without_the_race_s_error_is_told_only_of_what_can_be_corrected() -> None:
    lost = value_frames("rising")
    nothing = lost["clv_evaluation"].collect().with_columns(total_error_pct=-100.0).lazy()
    facts = value.facts(Tables(lost | {"clv_evaluation": nothing}), AS_OF, SHOP)
    assert "value.race.corrected" not in facts and facts.value("value.race.error") == -1
    with undrawn():
        said = section(report.teller(facts, SHOP, "en"))
    assert not any("Off by as much again" in note.text for note in said.notes)


def test_the_titles_tell_the_finding() -> None:
    with undrawn():
        near, far = told("rising"), told("falling")
    assert near.figures[0].title.text == "The tier High, 30% of the customers, stands for 51% of the expected value"
    assert near.figures[1].title.text == "Held against what happened, the forecast missed the total by −3.4%"
    assert far.figures[1].title.text.endswith("by +45%: read the amounts with care")


def test_without_a_high_tier_none_is_claimed() -> None:
    alike = forecast([7.0] * 5)["clv_forecast"].collect()
    medium = alike.with_columns(clv_tier=alike["clv_tier"].replace({"High": "Medium", "Low": "Medium"})).lazy()
    facts = value.facts(Tables(EMPTY | {"clv_forecast": medium}), AS_OF, SHOP)
    with undrawn():
        made = section(report.teller(facts, SHOP, "en"))
    assert [figure.title.text for figure in made.figures] == ["No customer stands out enough for the tier High"]


def test_the_order_of_the_rows_decides_nothing() -> None:
    frames = EMPTY | value_frames("rising")
    shuffled = {
        name: frame.collect().sample(fraction=1.0, shuffle=True, seed=3).lazy() for name, frame in frames.items()
    }
    assert value.facts(Tables(shuffled), AS_OF, SHOP).to_json() == facts_of("rising").to_json()


@pytest.mark.parametrize("language", ["en", "es", "pt"])
def test_the_charts_name_what_they_show(language: str) -> None:
    made = told("rising", language)
    assert all(isinstance(figure.picture, charts.Picture) for figure in made.figures)
    words = {"en": "Expected value", "es": "Valor esperado", "pt": "Valor esperado"}
    tiers = {"en": "High", "es": "Alto", "pt": "Alto"}
    for drawn in (made.figures[0].picture.wide, made.figures[0].picture.narrow):
        assert words[language] in drawn and tiers[language] in drawn and "51" in drawn
