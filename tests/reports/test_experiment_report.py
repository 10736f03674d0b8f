"""The experiment report and the section of the lifecycle report: the interval first, no verdict where the arms are wrong, no
difference where the interval holds zero, natural in three languages."""

import json
import re
from functools import cache

import polars as pl
import pytest
from experiment_frames import AS_OF, CASES, VERDICTS, frames, ledger
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle_assets.reports import charts, experiment
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.report import Report, sentences, teller
from lifecycle_assets.reports.sections.experiments import experiments as section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

CORNER = {"name": "The <Corner>", "timezone": "Europe/London", "currency": "GBP", "country": "GB", "input": "none"}
SHOP = Shop.model_validate(CORNER)
BLANK = charts.Picture("<svg ></svg>", "<svg ></svg>")
COUNTRIES = {"en": ("GB", "GBP"), "es": ("MX", "MXN"), "pt": ("BR", "BRL")}


@cache
def facts_of(case: str) -> Facts:
    return experiment.facts(Tables({**frames(case), "ledger": ledger(case)}), AS_OF, SHOP)


def shop_of(language: str) -> Shop:
    country, currency = COUNTRIES[language]
    return SHOP.model_copy(update={"country": country, "currency": currency})


def told(facts: Facts, language: str = "en") -> Report:
    """The report without pictures: drawing is the slow part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "forest", lambda *_: BLANK)
        return experiment.report(facts, "corner", AS_OF, shop_of(language), language)


@cache
def report_of(case: str, language: str = "en") -> Report:
    return told(facts_of(case), language)


def said(case: str, language: str = "en") -> str:
    # Word joiners keep signs and currencies together on the page.
    return "\n".join(text.text for _, text in sentences(report_of(case, language).page)).replace("\u2060", "")


def of_section(case: str, language: str = "en") -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "forest", lambda *_: BLANK)
        made = section(teller(facts_of(case), shop_of(language), language))
    return "\n".join(text.text for text in (*made.sentences, *made.notes)).replace("\u2060", "")


TOLD = [
    ("rising", "en", "Experiments shown to pay: 1 of 1"),
    ("rising", "es", "Experimentos con rentabilidad demostrada: 1 de 1"),
    ("rising", "pt", "Experimentos com ganho demonstrado: 1 de 1"),
    (
        "rising",
        "en",
        "Winback: between +£0.20 and +£1.40 of margin per customer since 2 May 2024, most likely +£0.80. It pays, and the "
        "finding holds however often one looks.",
    ),
    (
        "rising",
        "es",
        "entre +$0.20 y +$1.40 de margen por cliente desde el 2 de mayo de 2024; lo más probable es +$0.80.",
    ),
    (
        "rising",
        "pt",
        "de margem por cliente desde 2 de maio de 2024; o mais provável é +R$\xa00,80. Compensa, e o resultado",
    ),
    ("rising", "en", "Compared with those held out, that is +10% (between +6.2% and +14%)."),
    ("rising", "en", "For the books: +£6,800 of margin in 60 days (between +£4,250 and +£9,350), with 8,500 customers"),
    ("rising", "en", "The interval that may be looked at every night runs from +£0.20 to +£1.40."),
    ("rising", "en", "Share of these orders that the messages caused: 30% (between +20% and +40%)."),
    ("rising", "en", "Together the experiments brought between +£4,250 and +£9,350 of margin"),
    ("falling", "en", "Triggers: between −£2.25 and −£0.25 of margin per customer since 2 May 2024"),
    (
        "unsure",
        "en",
        "For all experiments together the change is between +£1,700 and +£8,500 of margin, most likely +£5,100. In a",
    ),
    ("unsure", "es", "todavía no es seguro."),
    ("unsure", "pt", "ainda não é certo."),
    ("falling", "en", "It does harm, and the finding holds however often one looks."),
    ("falling", "es", "Perjudica, y el resultado se sostiene por muchas veces que se consulte."),
    ("falling", "pt", "Prejudica, e o resultado se mantém por mais vezes que seja consultado."),
    (
        "falling",
        "en",
        "Warning, Triggers: between 17 and 51 more customers unsubscribed than would have without its messages.",
    ),
    ("falling", "es", "Atención, Mensajes por eventos: hubo entre 17 y 51 bajas más de las que habría habido"),
    ("falling", "pt", "Atenção, Mensagens por eventos: houve entre 17 e 51 descadastramentos a mais do que haveria"),
    ("falling", "en", "Welcome: no verdict. The arms are not as large as configured"),
    ("falling", "es", "sin veredicto. Los grupos no tienen el tamaño configurado"),
    ("falling", "pt", "sem veredito. Os grupos não têm o tamanho configurado"),
    ("falling", "en", "Contamination: 2 of the customers held out got a message of the programme all the same."),
    (
        "falling",
        "es",
        "Contaminación: 2 clientes del grupo de control recibieron, pese a todo, un mensaje del programa.",
    ),
    (
        "falling",
        "pt",
        "Contaminação: 2 clientes do grupo de controle receberam, apesar de tudo, uma mensagem do programa.",
    ),
    ("flat", "en", "No experiment has shown an effect yet (4 measured)"),
    ("flat", "en", "In a single look this would count; as results are looked at every night, it is not certain yet."),
    (
        "flat",
        "es",
        "En una sola consulta esto bastaría; como los resultados se consultan cada noche, todavía no es seguro.",
    ),
    ("flat", "en", "so no effect is shown. A change of 5.0% would probably show after 41 more days."),
    ("flat", "es", "Un cambio del 5.0% probablemente se vería tras 41 días más."),
    ("flat", "pt", "Uma mudança de 5,0% provavelmente apareceria depois de mais 41 dias."),
    ("flat", "en", "so no effect is shown. A change of 5.0% would probably have shown by now."),
    ("flat", "en", "decide on the last planned day, not on a night that happens to look good"),
    (
        "flat",
        "en",
        "That the messages caused any of these orders is not shown: the estimate lies between −48% and +108%.",
    ),
    (
        "flat",
        "en",
        "fewer customers unsubscribed than without its messages; the change is between −51 and −17 customers.",
    ),
    ("flat", "es", "se dieron de baja menos clientes que sin sus mensajes; el cambio está entre −51 y −17 clientes."),
    (
        "flat",
        "pt",
        "menos clientes se descadastraram do que sem as suas mensagens; a mudança está entre −51 e −17 clientes.",
    ),
    ("tiny", "en", "too few customers to say anything (assigned to the messages: 7; held out: 1)"),
    ("tiny", "es", "hay muy pocos clientes para afirmar algo (asignados a los mensajes: 7; en el grupo de control: 1)"),
    ("tiny", "pt", "há poucos clientes para afirmar algo (designados às mensagens: 7; no grupo de controle: 1)"),
    ("silent", "en", "No experiment has started yet"),
    ("silent", "es", "Ningún experimento ha comenzado todavía"),
    ("silent", "pt", "Nenhum experimento começou até agora"),
    ("silent", "en", "Set up, with no message sent so far: Winback after a year."),
    ("empty", "en", "No experiment is set up"),
    ("empty", "en", "An experiment is named in the settings under measurement.experiments, with its holdout_share"),
    ("empty", "es", "No hay ningún experimento configurado"),
    ("empty", "pt", "Nenhum experimento está configurado"),
    ("superseded", "en", "Experiments shown to pay: 1 of 8; shown to do harm: 1"),
    ("superseded", "en", "For all experiments together no effect on margin is shown: the change is between"),
]


@pytest.mark.parametrize(("case", "language", "sentence"), TOLD)
def test_each_case_is_told_in_each_language(case: str, language: str, sentence: str) -> None:
    assert sentence in said(case, language)


def test_each_experiment_gets_its_verdict() -> None:
    assert {row["experiment"]: row["verdict"] for row in facts_of("superseded").tables["experiments"]} == VERDICTS


def test_the_largest_effect_is_on_top_and_what_cannot_be_believed_below() -> None:
    order = [row["experiment"] for row in facts_of("superseded").tables["experiments"]]
    assert order == [
        *("winback", "vip_care", "cross_sell", "churn_save", "upgrade", "triggers", "second_purchase", "welcome")
    ]


def test_a_sample_ratio_mismatch_forbids_every_figure() -> None:
    report = report_of("superseded")
    (made,) = (block for block in report.page.sections if block.id == "experiment-welcome")
    assert "Do not believe" in report.html
    assert [table.caption for table in made.tables] == ["Arms"] and not made.figures
    assert "+\u2060£3.00" not in report.html and "25,500" not in report.html
    assert "no verdict" in of_section("superseded")
    (row,) = (cells for cells in report.page.sections[0].tables[0].rows if cells[0] == "Welcome")
    assert list(row[2:7]) == ["–"] * 5


@pytest.mark.parametrize("case", CASES)
def test_no_difference_is_claimed_where_the_interval_holds_zero(case: str) -> None:
    for row in facts_of(case).tables["experiment_rows"]:
        if row["verdict"] in ("better", "worse"):
            assert row["lo"] > 0 or row["hi"] < 0
            assert row["sequential_lo"] > 0 or row["sequential_hi"] < 0
    for line in said(case).splitlines():
        if "no effect is shown" in line:
            assert "It pays" not in line and "It does harm" not in line


@settings(deadline=None)
@given(
    effect=st.floats(-5, 5),
    half=st.floats(0.01, 5),
    wider=st.floats(1, 4),
    q=st.floats(0, 1),
    to_go=st.one_of(st.none(), st.integers(0, 50)),
    mismatch=st.floats(0, 1),
)
def test_a_verdict_needs_all_that_it_rests_on(
    effect: float, half: float, wider: float, q: float, to_go: int | None, mismatch: float
) -> None:
    rows = frames("rising")["experiment_results"].collect().filter(variant="all", metric="margin")
    always = half * wider
    made = rows.with_columns(
        cuped=pl.lit(effect),
        cuped_lo=pl.lit(effect - half),
        cuped_hi=pl.lit(effect + half),
        sequential_lo=pl.lit(effect - always),
        sequential_hi=pl.lit(effect + always),
        q_value=pl.lit(q),
        days_to_go=pl.lit(to_go, pl.Int64),
        mismatch_p=pl.lit(mismatch),
    )
    tables = {**frames("rising"), "experiment_results": made.lazy(), "ledger": ledger("rising")}
    facts = experiment.facts(Tables(tables), AS_OF, SHOP)
    (verdict,) = (row["verdict"] for row in facts.tables["experiments"])
    sure = q <= 0.05 and mismatch >= 0.001
    assert (verdict == "better") == (sure and effect - always > 0)
    assert (verdict == "worse") == (sure and effect + always < 0)
    assert (verdict == "mismatch") == (mismatch < 0.001)
    if verdict in ("early", "flat", "open"):
        assert effect - half <= 0 <= effect + half


def test_only_messages_of_the_experiment_since_it_began_contaminate() -> None:
    facts = facts_of("superseded")
    counts = {name: facts.value(f"experiments.{name}.contaminated") for name in VERDICTS}
    assert counts == {name: 2 if name == "triggers" else 0 for name in VERDICTS}


def test_without_margins_experiments_are_told_by_revenue() -> None:
    rows = frames("rising")["experiment_results"].filter(pl.col("metric") != "margin")
    facts = experiment.facts(
        Tables({**frames("rising"), "experiment_results": rows, "ledger": ledger("rising")}), AS_OF, SHOP
    )
    (row,) = facts.tables["experiments"]
    assert (row["metric"], facts.value("experiments.winback.effect")) == ("revenue", row["effect"])
    report = told(facts)
    assert "of revenue per customer since" in report.html and "of margin" not in report.html


def test_variants_stand_against_the_holdout_and_against_each_other() -> None:
    (made,) = (block for block in report_of("rising").page.sections if block.id == "experiment-winback")
    (variants,) = (table for table in made.tables if table.caption == "Variants")
    assert [(row[0], row[1], row[2].replace("\u2060", "")) for row in variants.rows] == [
        ("large", "Held out", "+£1.10"),
        ("large", "small", "+£0.60"),
        ("small", "Held out", "+£0.50"),
    ]


def test_differences_of_shares_are_points() -> None:
    (made,) = (block for block in report_of("rising").page.sections if block.id == "experiment-winback")
    (metrics,) = (table for table in made.tables if table.caption.startswith("Metrics"))
    (buyers,) = (row for row in metrics.rows if row[0] == "Customers who bought")
    assert [row[1] for row in metrics.rows[:2]] == ["More", "Not certain yet"]
    # 0.016 more of each customer, on 0.4.
    assert list(buyers[3:]) == ["40%", "+1.60", "+0.60", "+2.60", "+4.0%"]
    assert float(buyers[4].value) == pytest.approx(1.6)  # type: ignore[attr-defined] - cells know their value


def test_the_lifecycle_report_tells_in_short_what_the_experiment_report_tells_at_length() -> None:
    short = of_section("superseded")
    assert "Winback: between +£0.20 and +£1.40 of margin" in short and "Triggers: between −£2.25 and −£0.25" in short
    assert "Not decided yet: VIP care, Cross-sell, Churn save, Upgrade and Second purchase." in short
    assert "Cross-sell: between" not in short
    assert "measurement.experiments" in of_section("empty")


@pytest.mark.parametrize("language", COUNTRIES)
def test_reports_hold_no_word_of_another_language(language: str) -> None:
    text = said("superseded", language)
    foreign = {
        "en": "entre|desde|cliente",
        "es": "between|customer|receita|e o resultado",
        "pt": "between|customer|entre .* y ",
    }
    assert not re.search(rf"\b({foreign[language]})\b", text)


def test_the_order_of_rows_decides_nothing() -> None:
    made = {**frames("superseded"), "ledger": ledger("superseded")}
    shuffled = {name: frame.collect().reverse().lazy() for name, frame in made.items()}
    again = experiment.facts(Tables(shuffled), AS_OF, SHOP)
    assert json.dumps(report_of("superseded").json["facts"]) == json.dumps(again.to_json()["facts"])


def test_the_page_escapes_names_and_is_plain_json() -> None:
    report = report_of("superseded")
    assert "The &lt;Corner&gt;" in report.html and "<Corner>" not in report.html
    assert json.loads(json.dumps(report.json, allow_nan=False))["report"] == "experiments"


def test_the_forest_plot_names_every_effect_about_the_line_of_none() -> None:
    drawn = experiment.report(facts_of("flat"), "corner", AS_OF, shop_of("es"), "es")
    (figure,) = drawn.page.sections[0].figures
    for picture in (figure.picture.wide, figure.picture.narrow):
        texts = re.findall(r">([^<]+)</text>", picture)
        assert "Efecto por cliente" in texts
        assert sum("…" in text for text in texts) >= 4  # the interval of each
        assert "stroke-dasharray" in picture
    assert "Venta cruzada" in figure.picture.wide
