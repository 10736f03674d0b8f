"""The page of the backtest: its verdicts, its sentences, and that every number in it is one of the table's."""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import pytest

from lifecycle_assets.models.backtest import METRICS, Backtest
from lifecycle_assets.models.backtest_figures import Figure, of_amounts, of_probabilities
from lifecycle_assets.reports import backtest, charts
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import catalogue
from lifecycle_assets.reports.report import Report
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

AS_OF = dt.date(2024, 12, 31)
CORNER = {"name": "The <Corner>", "timezone": "Europe/London", "currency": "GBP", "country": "GB", "input": "none"}
SHOP = Shop.model_validate(CORNER)
ORIGINS = [dt.date(2024, month, 28) for month in (1, 2, 3)]


def row(
    model: str, metric: str, origin: dt.date, value: float | None, simple: float | None = None, **other: object
) -> dict:
    return {
        "shop_id": "corner",
        "as_of": AS_OF,
        "origin": origin,
        "model": model,
        "target": other.get("target", "all"),
        "metric": metric,
        "value": value,
        "lo": other.get("lo"),
        "hi": other.get("hi"),
        "simple": simple,
        "n": 100,
        "outcome_until": AS_OF,
        "predictions_hash": "0" * 64,
        "note": other.get("note"),
    }


def table(*rows: dict) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=dict(Backtest.polars_schema)).sort(Backtest.primary_key)
    Backtest.require(frame)
    return frame


def areas(model: str, value: float, simple: float, half: float) -> list[dict]:
    return [row(model, "auc", day, value, simple, lo=value - half, hi=value + half) for day in ORIGINS]


ROWS = table(
    *areas("churn_risk", 0.85, 0.80, half=0.04),
    *[row("churn_risk", "calibration", day, 1.25, 1.1, lo=1.1, hi=1.4) for day in ORIGINS],
    *areas("propensity_buy", 0.71, 0.70, half=0.06),
    *areas("propensity_respond", 0.55, 0.65, half=0.06),
    *[
        row("forecast_revenue", "mape", day, value, 10.0, target="shop")
        for day, value in zip(ORIGINS, (4.0, 5.0, 6.0), strict=True)
    ],
    *[row("forecast_revenue", "total_error_pct", day, -2.0, 5.0, target="shop") for day in ORIGINS],
    row("recommendations", "ndcg_at_10", ORIGINS[0], 0.30, 0.10, lo=0.25, hi=0.35),
    row("clv", "mae", ORIGINS[0], None, target="6 months", note="not settled: the outcome is complete on 2025-01-01"),
)


def facts_of(rows: pl.DataFrame) -> Facts:
    return backtest.facts(Tables({"backtest": rows.lazy()}), AS_OF, SHOP)


def report_of(rows: pl.DataFrame, shop: Shop = SHOP, language: str = "en") -> Report:
    """The report without pictures: drawing is the slow part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "against", lambda *_: charts.Picture("<svg ></svg>", "<svg ></svg>"))
        return backtest.report(facts_of(rows), "corner", AS_OF, shop, language)


def verdicts(rows: pl.DataFrame) -> dict[str, str]:
    return {told["model"]: told["verdict"] for told in facts_of(rows).tables["told"]}


def monthly(leads: Iterable[float], target: str = "shop") -> list[dict]:
    """A forecast that is nearer than its rule by these percents, month by month."""
    first = dt.date(2020, 1, 31)
    days = pl.Series([first]).dt.offset_by
    return [
        row("forecast_revenue", "mape", days(f"{month}mo")[0], 10 - lead, 10.0, target=target)
        for month, lead in enumerate(leads)
    ]


def test_a_lead_within_chance_is_no_lead() -> None:
    # Three months of the same customers tell no more than one: a lead of 0.05 is more than 0.04 and less than 0.06.
    assert verdicts(ROWS) == {
        "churn_risk": "rising",
        "propensity_buy": "flat",
        "propensity_respond": "falling",
        "forecast_revenue": "flat",
        "recommendations": "rising",
    }
    assert verdicts(table(*areas("churn_risk", 0.85, 0.80, half=0.06))) == {"churn_risk": "flat"}


def test_months_without_intervals_are_told_by_those_that_do_not_overlap() -> None:
    # Forecasts of three months overlap: of seven month ends three tell something, of three one.
    assert verdicts(table(*monthly([4, 5, 6, 5, 4, 5, 6]))) == {"forecast_revenue": "rising"}
    assert verdicts(table(*monthly([-4, 5, 6, -5, 4, 5, -6]))) == {"forecast_revenue": "falling"}
    assert verdicts(table(*monthly([5, 5, 5]))) == {"forecast_revenue": "flat"}


def equal_forecasts(rng: np.random.Generator, target: str, months: int = 12) -> list[dict]:
    return monthly(np.convolve(rng.normal(size=months + 2), np.ones(3) / 3, "valid"), target)


def equal_values(rng: np.random.Generator, target: str, months: int = 12, horizon: int = 6) -> list[dict]:
    """Spend of the same customers in overlapping half years, and two scores that are off alike."""
    rate = rng.gamma(1, 20, 250)
    spend = rng.poisson(1, (250, months + horizon)) * rate[:, None]
    score, rule = (rate * horizon * np.exp(rng.normal(0, 0.5, 250)) for _ in range(2))
    came = [spend[:, month : month + horizon].sum(1) for month in range(months)]
    return said("clv", target, [next(of_amounts(each, score, score, score, rule)) for each in came])


def equal_orders(rng: np.random.Generator, target: str, months: int = 12, window: int = 3) -> list[dict]:
    """The same customers leaving in overlapping windows, and two orders of them that are off alike."""
    leaning = rng.normal(size=250)
    buys = rng.random((250, months + window)) < 0.6 / (1 + np.exp(0.5 - leaning[:, None]))
    score, rule = (-leaning + rng.normal(size=250) for _ in range(2))
    left = [np.logical_not(buys[:, month : month + window].any(1)) for month in range(months)]
    each = np.arange(250)
    return said(
        "churn_risk", target, [next(of_probabilities(y, 1 / (1 + np.exp(-score)), each, rule, None)) for y in left]
    )


def said(model: str, target: str, figures: list[Figure]) -> list[dict]:
    ends = pl.date_range(dt.date(2020, 1, 1), interval="1mo", eager=True, end=dt.date(2020, len(figures), 1))
    return [
        row(model, told.metric, day, told.value, told.simple, lo=told.lo, hi=told.hi, target=target)
        for day, told in zip(ends, figures, strict=True)
    ]


@pytest.mark.parametrize("equal", [equal_forecasts, equal_values, equal_orders])
def test_of_two_equal_scores_neither_is_better(equal: Callable[[np.random.Generator, str], list[dict]]) -> None:
    rng, runs = np.random.default_rng(12), 250
    rows = [month for run in range(runs) for month in equal(rng, f"{run}")]
    told = facts_of(table(*rows)).tables["told"]
    assert len(told) == runs
    assert sum(row["verdict"] != "flat" for row in told) <= 0.08 * runs


def test_a_probability_of_the_wrong_size_is_not_to_be_relied_on() -> None:
    off = [row("churn_risk", "brier", day, 0.05, 0.04, lo=0.045, hi=0.055) for day in ORIGINS]
    assert verdicts(table(*areas("churn_risk", 0.85, 0.80, half=0.06), *off)) == {"churn_risk": "flat"}


def test_the_first_screen_says_which_scores_to_rely_on() -> None:
    report = report_of(ROWS)
    assert report.headline == "2 of 5 scores were clearly better than their simple rules"
    relied, doubted, *how = report.summary
    assert relied.startswith("Churn risk and Recommendations")
    assert doubted.startswith("Likely purchases, Answers to messages and Revenue forecast")
    assert how[-2].startswith("1 outcome is not complete")
    assert how[-1] == "Not judged in any month: Customer value."


def test_every_score_is_all_scores() -> None:
    good = [
        *(
            line
            for model in ("churn_risk", "propensity_buy", "propensity_respond")
            for line in areas(model, 0.9, 0.7, 0.1)
        ),
        *monthly([4, 5, 6, 5, 4, 5, 6]),
        row("recommendations", "ndcg_at_10", ORIGINS[0], 0.30, 0.10, lo=0.25, hi=0.35),
    ]
    value = row("clv", "mae", ORIGINS[0], 9.0, 12.0, lo=8.0, hi=10.0, target="6 months")
    mute = row("clv", "mae", ORIGINS[0], None, note="no score: too little to learn from by then")
    told = [report_of(table(*good, last)) for last in (value, mute)]
    assert [report.headline for report in told] == [
        "Every score was clearly better than its simple rule",
        "Every score that could be judged (5) was clearly better than its simple rule; not judged: Customer value",
    ]
    assert "1 outcome could not be judged" in told[1].html
    assert "could not be judged" not in told[0].html


def test_where_no_rule_orders_the_customers_the_page_says_so() -> None:
    shop = Shop.model_validate(CORNER | {"customer": {"churn": {"business_type": "saas"}}})
    html = report_of(ROWS, shop).html
    assert "The simple rule (drawing lots) did" in html
    assert "days since the last purchase" not in html


TOLD = [
    ("en", "named the right one in 85% of cases. The simple rule (days since the last purchase) did in 80%."),
    ("en", "The score was ahead of its simple rule in 3 of 3 months"),
    ("en", "For each one that it expected, 1.25 came."),
    ("en", "The forecast of a month was off by 5.0% on average."),
    ("en", "The total was missed by −2.0% on average."),
    ("en", "The lists were worth 30% of perfect ones."),
    ("en", "Right order; simple rule: 80%"),
    ("es", "Puntuaciones claramente mejores que su regla sencilla: 2 de 5"),
    (
        "es",
        "señaló al correcto en el 85\xa0% de los casos. La regla sencilla (los días desde la última compra), en el 80\xa0%.",
    ),
    ("es", "La puntuación superó a su regla sencilla en 3 de 3 meses"),
    ("es", "Por cada caso esperado, ocurrieron 1,25."),
    ("es", "La previsión de un mes se desvió un 5,0\xa0% de media."),
    ("es", "1 resultado no está completo al final de los datos y se deja fuera."),
    (
        "es",
        "Riesgo de abandono y Recomendaciones: en los cierres de mes entre el 28 de enero de 2024 y el 28 de marzo de 2024",
    ),
    ("pt", "Pontuações claramente melhores do que a sua regra simples: 2 de 5"),
    ("pt", "apontou o correto em 85% dos casos. A regra simples (os dias desde a última compra), em 80%."),
    ("pt", "A pontuação superou a sua regra simples em 3 de 3 meses"),
    ("pt", "Para cada caso esperado, aconteceram 1,25."),
    ("pt", "A previsão de um mês errou em 5,0%, em média."),
    ("pt", "1 resultado não está completo no fim dos dados e fica de fora."),
    ("pt", "Risco de abandono e Recomendações: nos fechamentos de mês de 28 de janeiro de 2024 a 28 de março de 2024"),
]


@pytest.mark.parametrize(("language", "sentence"), TOLD)
def test_each_score_is_told_in_plain_words(language: str, sentence: str) -> None:
    assert sentence in report_of(ROWS, language=language).html


def test_the_page_needs_nothing_from_outside_and_escapes_names() -> None:
    html = report_of(ROWS).html
    assert "The &lt;Corner&gt;" in html
    assert "<Corner>" not in html
    # Only what lies beside it is linked.
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*:', html) and '="//' not in html
    assert "<script" not in html


def test_the_same_table_makes_the_same_page_whatever_the_order_of_its_rows() -> None:
    first = report_of(ROWS)
    again = report_of(ROWS.reverse())
    assert first.html == again.html
    assert json.dumps(first.json, allow_nan=False) == json.dumps(again.json, allow_nan=False)


def test_without_outcomes_the_page_says_so() -> None:
    for rows in (Backtest.empty(), ROWS.filter(pl.col("model") == "clv")):
        report = report_of(rows)
        assert report.headline == "No score could be judged yet"


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["Customer value (6 months)", "Answers to messages (purchases)"]),
        ("es", ["Valor del cliente (a 6 meses)", "Respuestas a los mensajes (compras)"]),
        ("pt", ["Valor do cliente (em 6 meses)", "Respostas às mensagens (compras)"]),
    ],
)
def test_what_a_score_foretells_is_named_in_the_readers_language(language: str, names: list[str]) -> None:
    rows = table(
        row("clv", "mae", ORIGINS[0], 9.0, 12.0, lo=8.0, hi=10.0, target="6 months"),
        row("propensity_respond", "auc", ORIGINS[0], 0.7, 0.6, lo=0.65, hi=0.75, target="buy"),
    )
    assert [str(tile.label) for tile in report_of(rows, language=language).page.tiles] == names


def test_each_score_is_drawn_beside_its_rule() -> None:
    drawn = backtest.report(facts_of(ROWS), "corner", AS_OF, SHOP, "es").figures
    assert len(drawn) == 5
    assert all("Regla sencilla" in figure.picture.wide for figure in drawn)


@pytest.mark.parametrize("language", ["en", "es", "pt"])
def test_every_metric_has_its_word(language: str) -> None:
    words = {key for key in catalogue(language).messages if key.startswith("backtest.metric.")}
    assert words == {f"backtest.metric.{metric}" for metric in METRICS}
