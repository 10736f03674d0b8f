"""The forecast report: what it says in each case and language, that its numbers are the tables', and that it claims nothing
that the ranges do not carry."""

import datetime as dt
import re
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path

import polars as pl
import pytest
import yaml
from cases import undrawn
from forecast_frames import forecasts, steady
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import forecasts as again
from report_frames import AS_OF, SHOP

from lifecycle_assets.inputs.contracts import OrderLines
from lifecycle_assets.models.forecast_series import revenue_series
from lifecycle_assets.models.segmentation_labels import SegmentationLabels
from lifecycle_assets.reports import forecast, outlook
from lifecycle_assets.reports.facts import Facts
from lifecycle_assets.reports.narrative import Catalogue
from lifecycle_assets.reports.report import Report, sentences, teller
from lifecycle_assets.reports.sections import forecasts as of_forecasts
from lifecycle_assets.reports.tables import Tables

MID_MONTH = dt.date(2024, 6, 12)
LANGUAGES = ("en", "es", "pt")
# Name -> the case of the forecast, days of history, months ahead, whether there are costs, the day of the report.
CASES: dict[str, tuple[str, int, int, bool, dt.date]] = {
    "rising": ("rising", 800, 12, True, AS_OF),
    "falling": ("falling", 800, 12, False, AS_OF),
    "flat": ("flat", 800, 12, False, AS_OF),
    "mid-month": ("flat", 800, 12, False, MID_MONTH),
    "one month": ("rising", 800, 1, True, AS_OF),
    "one month less": ("falling", 800, 1, False, AS_OF),
    "one month alike": ("flat", 800, 1, False, AS_OF),
    "one season": ("rising", 729, 12, True, AS_OF),
    "young": ("tiny", 40, 12, False, AS_OF),
    "young, one month": ("tiny", 40, 1, False, AS_OF),
    "untested": ("superseded", 100, 12, True, AS_OF),
    "nameless": ("flat", 800, 12, False, AS_OF),
    "empty": ("empty", 0, 12, False, AS_OF),
}


@cache
def tables_of(case: str) -> dict[str, pl.DataFrame]:
    kind, days, months, with_costs, as_of = CASES[case]
    lines = steady(days, as_of)
    if case == "nameless":
        lines = lines.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in ("category", "product_id"))
    made = forecasts(lines.head(3 * days), kind, months, with_costs=with_costs, as_of=as_of)
    empty = {contract.table: contract.empty() for contract in forecast.READS}
    return empty | {name: frame.collect() for name, frame in made.items()} | {"order_lines": lines}


@cache
def facts_of(case: str) -> Facts:
    return forecast.facts(in_tables(tables_of(case)), CASES[case][-1], SHOP)


@cache
def report_of(case: str, language: str) -> Report:
    with undrawn():
        return forecast.report(facts_of(case), "corner", CASES[case][-1], SHOP, language)


def in_tables(frames: dict[str, pl.DataFrame]) -> Tables:
    return Tables({name: frame.lazy() for name, frame in frames.items()})


def said(case: str, language: str = "en") -> list[str]:
    return [sentence.text for _, sentence in sentences(report_of(case, language).page)]


SENTENCES = [
    (case, language, sentence)
    for case, languages in yaml.safe_load(
        (Path(__file__).parent / "forecast_sentences.yaml").read_text("utf-8")
    ).items()
    for language, told in languages.items()
    for sentence in told
]


@pytest.mark.parametrize(("case", "language", "sentence"), SENTENCES)
def test_each_case_is_told_in_each_language(case: str, language: str, sentence: str) -> None:
    assert sentence in [text.replace("\xa0", " ") for text in said(case, language)]


@pytest.mark.parametrize("case", CASES)
def test_every_number_said_is_what_the_rows_say(case: str) -> None:
    as_of, facts = CASES[case][-1], facts_of(case)
    rows = {name: frame.to_dicts() for name, frame in tables_of(case).items()}
    known = again.naive(rows, as_of, SHOP) | {"as_of": as_of}
    paths = {
        path for language in LANGUAGES for _, s in sentences(report_of(case, language).page) for path, _ in s.numbers
    }
    assert paths or case == "empty"
    for path in paths:
        got, expected = facts.value(path), known[path if path in known else f"{path}/value"]
        if isinstance(expected, float | Decimal):
            assert float(str(got)) == pytest.approx(float(expected), rel=1e-9), path
        else:
            assert got == expected, path


def test_every_message_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for names of methods and of parts, of which there are more than the cases have."""
    used = set()
    pick = Catalogue.pick
    monkeypatch.setattr(Catalogue, "pick", lambda self, key, form=None: (used.add(key), pick(self, key, form))[1])
    for case in CASES:
        report_of.__wrapped__(case, "en")
    file = resources.files("lifecycle_assets.reports") / "locales" / "en" / "forecasts.yaml"
    keys = {key for key in flat(yaml.safe_load(file.read_text("utf-8"))) if not key.startswith("forecast.method.")}
    # The section of the lifecycle report.
    assert {key for key in keys - used if not key.startswith(("outlook.series", "outlook.part"))} == {
        "section.forecasts"
    }


def flat(tree: dict, prefix: str = "") -> list[str]:
    found = []
    for key, node in tree.items():
        deeper = isinstance(node, dict) and "other" not in node
        found += flat(node, f"{prefix}{key}.") if deeper else [f"{prefix}{key}"]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_in_english(language: str) -> None:
    """No sentence of a Spanish or Portuguese report is the English one, nor holds words of the tables' own texts."""
    english = {text for case in CASES for text in said(case) if re.search(r"[a-z]{3}.* .*[a-z]{3}", text)}
    here = {text for case in CASES for text in said(case, language)}
    assert language == "en" or not english & here
    assert not re.search(r"not shown|no time left in|\bNone\b(?! of)|\bnan\b", " ".join(here))


@pytest.mark.parametrize("case", CASES)
def test_the_lifecycle_report_says_the_same_in_short(case: str) -> None:
    with undrawn():
        section = of_forecasts.forecasts(teller(facts_of(case), SHOP, "en"))
    assert {text.text for text in [*section.sentences, *section.notes]} <= set(said(case))
    assert len(section.figures) == (case != "empty")
    alerts = [note for note in section.notes if "came in where" in note.text]
    assert len(alerts) == len(facts_of(case).tables["forecasts.alerts"])


def test_the_past_is_that_of_the_forecast() -> None:
    lines, as_of = tables_of("mid-month")["order_lines"], MID_MONTH
    lines = lines.with_columns(
        sales_channel=pl.lit("web"), country=pl.lit("GB"), customer_id=pl.lit(None, dtype=pl.String)
    )
    series = revenue_series(lines.lazy(), SegmentationLabels.empty().lazy(), as_of, SHOP.forecasting).long()
    months = series.filter(series="shop").group_by(month=pl.col("date").dt.truncate("1mo")).agg(pl.col("value").sum())
    past = facts_of("mid-month").tables["forecasts.shop.past"]
    assert len(past) == outlook.HISTORY_MONTHS
    assert {row["month"]: float(row["value"]) for row in past}.items() <= dict(months.iter_rows()).items()
    assert past[-1]["month"] == dt.date(2024, 5, 1), "the running month is not over"


def test_order_of_rows_and_days_to_come_change_nothing() -> None:
    frames = dict(tables_of("rising"))
    tomorrow = frames["order_lines"].with_columns(order_date=pl.lit(AS_OF + dt.timedelta(days=1)))
    frames["order_lines"] = pl.concat([frames["order_lines"], tomorrow])
    shuffled = {name: frame.sample(fraction=1.0, shuffle=True, seed=5) for name, frame in frames.items()}
    assert forecast.facts(in_tables(shuffled), AS_OF, SHOP).to_json() == facts_of("rising").to_json()


amount = st.decimals(0, 1000, places=2, allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.tuples(amount, amount, amount, st.integers(0, 2000)), min_size=1, max_size=12))
def test_a_change_is_called_only_beside_the_whole_range(months: list[tuple[Decimal, Decimal, Decimal, int]]) -> None:
    starts = [(AS_OF + dt.timedelta(days=1 + 31 * n)).replace(day=1) for n in range(len(months))]
    past = {
        month.replace(year=month.year - 1): Decimal(before) for month, (*_, before) in zip(starts, months, strict=True)
    }
    ahead = [
        {"month": month, "value": value, "is_partial": False}
        | {"lo80": value, "hi80": value, "lo95": max(Decimal(0), value - below), "hi95": value + above}
        for month, (value, below, above, _) in zip(starts, months, strict=True)
    ]
    facts = outlook.outlook("x", "currency", ahead, dt.date(2020, 1, 1), past, AS_OF)
    for period, n in (("next", 1), ("quarter", 3), ("year", 12)):
        if f"x.{period}" in facts:
            before = sum(list(past.values())[:n])
            lo, hi = (sum(row[end] for row in ahead[:n]) for end in ("lo95", "hi95"))
            ends = (lo, hi) if min(n, len(ahead)) == 1 else (None, None)
            assert (facts.value(f"x.{period}/lo"), facts.value(f"x.{period}/hi")) == ends
            expected = "none" if before == 0 else "rising" if lo > before else "falling" if hi < before else "flat"
            assert facts.verdict(f"x.{period}", "year") == expected


def test_before_two_years_no_change_is_called_and_nothing_advised_on_stock() -> None:
    """The same forecasts, half again and eight times last year's: with a day more of history they are called."""
    for case, days, called in (("rising", 800, True), ("one season", 729, False)):
        facts, text = facts_of(case), " ".join(said(case))
        assert facts.value("forecasts.shop.history") == days
        assert (facts.verdict("forecast.product:p2.quarter", "year") == "rising") == called
        assert facts.value("forecast.product:p2.quarter/year/value") == 368
        assert ("Keep more stock" in text, "Make room" in text) == (called, called)
        assert ("gives no advice" in text) != called
        changes = [row["change"] for row in facts.tables["forecast.product:p2.ahead"] if row["before"]]
        assert changes and all((change is not None) == called for change in changes)
    lines, as_of = steady(730), AS_OF
    tables = {name: frame.collect() for name, frame in forecasts(lines, "rising", 12, with_costs=False).items()}
    empty = {contract.table: contract.empty() for contract in forecast.READS}
    facts = forecast.facts(in_tables(empty | tables | {"order_lines": lines}), as_of, SHOP)
    assert facts.verdict("forecast.product:p2.quarter", "year") == "rising"


@pytest.mark.parametrize("case", CASES)
def test_only_a_single_month_has_a_range(case: str) -> None:
    facts = facts_of(case)
    totals = [fact for fact in facts.facts.values() if f"{fact.id}.months" in facts]
    assert totals or case == "empty"
    for fact in totals:
        assert (fact.lo is None) == (fact.hi is None) == (facts.value(f"{fact.id}.months") > 1)


@pytest.mark.parametrize("gap", [False, True])
def test_a_month_without_a_sale_is_nothing_and_one_before_the_first_day_is_unknown(gap: bool) -> None:
    day = dt.date(2023, 7, 1) if gap else dt.date(2023, 7, 2)
    rows = pl.DataFrame({"order_date": [day, AS_OF], "amount": [Decimal(5), Decimal(7)]})
    lines = rows.with_columns(
        status=pl.lit("completed"), amount=pl.col("amount").cast(OrderLines.polars_schema["amount"])
    )
    sold = outlook.sold(Tables({"order_lines": lines.lazy()}), AS_OF)
    days = sold.select("month", "amount", date="order_date", series=pl.lit("shop"))
    begun, past = outlook.past_months(days, AS_OF)["shop"]
    assert begun == day
    assert [past[dt.date(2023, month, 1)] for month in (7, 8)] == [5, 0]
    ends = dict.fromkeys(("value", "lo80", "hi80", "lo95", "hi95"), Decimal(6))
    ahead = [{"month": dt.date(2024, 7, 1), "is_partial": False} | ends]
    facts = outlook.outlook("x", "currency", ahead, begun, past, AS_OF)
    assert facts.verdict("x.next", "year") == ("few" if gap else "none")


def test_the_pictures_are_drawn_in_the_readers_words() -> None:
    report = forecast.report(facts_of("rising"), "corner", AS_OF, SHOP, "es")
    drawn = {figure.id: figure.picture for figure in report.figures}
    assert set(drawn) == {
        "forecast-months", "forecast-days", "forecast-categories", "forecast-products", "forecast-cost"
    }  # fmt: skip
    for picture in drawn.values():
        for svg in (picture.wide, picture.narrow):
            assert {"Registrado", "Previsto", "Intervalo del 80%", "Intervalo del 95%"} <= set(texts(svg))
            assert "stroke-dasharray" in svg
    months = texts(drawn["forecast-months"].wide)
    assert "ene 2024" in months and "Jan 2024" not in months
    assert {"Green tea 250 g", "p2"} <= set(texts(drawn["forecast-products"].narrow))


def texts(svg: str) -> list[str]:
    return [text.replace("\xa0", "") for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
