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
from lifecycle_assets.reports.backtest import backtest_facts, backtest_report
from lifecycle_assets.reports.narrative import catalogue
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


def verdicts(rows: pl.DataFrame) -> dict[str, str]:
    return {told["model"]: told["verdict"] for told in backtest_facts(rows, AS_OF).tables["told"]}


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
    told = backtest_facts(table(*rows), AS_OF).tables["told"]
    assert len(told) == runs
    assert sum(row["verdict"] != "flat" for row in told) <= 0.08 * runs


def test_a_probability_of_the_wrong_size_is_not_to_be_relied_on() -> None:
    off = [row("churn_risk", "brier", day, 0.05, 0.04, lo=0.045, hi=0.055) for day in ORIGINS]
    assert verdicts(table(*areas("churn_risk", 0.85, 0.80, half=0.06), *off)) == {"churn_risk": "flat"}


def test_the_first_screen_says_which_scores_to_rely_on() -> None:
    report = backtest_report(backtest_facts(ROWS, AS_OF), "corner", AS_OF, SHOP)
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
    told = [backtest_report(backtest_facts(table(*good, last), AS_OF), "corner", AS_OF, SHOP) for last in (value, mute)]
    assert [report.headline for report in told] == [
        "Every score was clearly better than its simple rule",
        "Every score that could be judged (5) was clearly better than its simple rule; not judged: Customer value",
    ]
    assert "1 outcome could not be judged" in told[1].html
    assert "could not be judged" not in told[0].html


def test_where_no_rule_orders_the_customers_the_page_says_so() -> None:
    shop = Shop.model_validate(CORNER | {"customer": {"churn": {"business_type": "saas"}}})
    html = backtest_report(backtest_facts(ROWS, AS_OF), "corner", AS_OF, shop).html
    assert "The simple rule (drawing lots) did" in html
    assert "days since the last purchase" not in html


@pytest.mark.parametrize(
    "sentence",
    [
        "named the right one in 85% of cases. The simple rule (days since the last purchase) did in 80%.",
        "Months in which it was ahead: 3 of 3. For each one that it expected, 1.25 came.",
        "The forecast of a month was off by 5.0% on average.",
        "The total was missed by −2.0% on average.",
        "The lists were worth 30% of perfect ones.",
        "Right order; simple rule: 80%",
    ],
)
def test_each_score_is_told_in_plain_words(sentence: str) -> None:
    html = backtest_report(backtest_facts(ROWS, AS_OF), "corner", AS_OF, SHOP).html
    assert sentence in html


def test_the_page_needs_nothing_from_outside_and_escapes_names() -> None:
    html = backtest_report(backtest_facts(ROWS, AS_OF), "corner", AS_OF, SHOP).html
    assert "The &lt;Corner&gt;" in html
    assert "<Corner>" not in html
    assert not re.findall(r'(?:src|href)="(?!#|data:)', html)
    assert "<script" not in html


def test_the_same_table_makes_the_same_page_whatever_the_order_of_its_rows() -> None:
    first = backtest_report(backtest_facts(ROWS, AS_OF), "corner", AS_OF, SHOP)
    again = backtest_report(backtest_facts(ROWS.reverse(), AS_OF), "corner", AS_OF, SHOP)
    assert first.html == again.html
    assert json.dumps(first.json, allow_nan=False) == json.dumps(again.json, allow_nan=False)


def test_without_outcomes_the_page_says_so() -> None:
    for rows in (Backtest.empty(), ROWS.filter(pl.col("model") == "clv")):
        report = backtest_report(backtest_facts(rows, AS_OF), "corner", AS_OF, SHOP)
        assert report.headline == "No score could be judged yet"


def test_every_metric_has_its_word() -> None:
    words = {key for key in catalogue("en").messages if key.startswith("backtest.metric.")}
    assert words == {f"backtest.metric.{metric}" for metric in METRICS}
