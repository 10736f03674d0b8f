"""How good was each score, month by month: one page for a marketing lead, out of models.backtest.

Each score gets its finding in words, a chart of the metric it is told by beside its simple rule's, and its numbers. A score
counts as better where its mean over the months is ahead of the rule's by more than chance would give. Months share customers
and outcomes, so that many are taken to tell no more than one: the lead has to exceed half of a usual month's own 95 % interval.
Where the metric has none, months whose outcomes do not overlap are compared by Student's t. A probability that orders well and
is wrong in size is no better: its Brier score must not be behind the rule's either.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from lifecycle_assets.confidence import CONFIDENCE
from lifecycle_assets.models.backtest import METRICS, SCORES, Backtest
from lifecycle_assets.models.backtest_months import MONTHS
from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.facts import Fact, Facts, Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

NAME = "backtest"
READS = (Backtest,)
UNITS = {
    "auc": "share",
    "interval_coverage": "share",
    "recall_at_10": "share",
    "ndcg_at_10": "share",
    "mape": "share",
    "total_error_pct": "share",
    "mae": "currency",
}
PERCENT = ("mape", "total_error_pct")
LESS_IS_BETTER = ("mae", "mape")
WHOLE = ("all", "shop")
# Verdicts, by the marks of the page.
BETTER, WORSE, ALIKE = "rising", "falling", "flat"


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    """The numbers of the page; tables `told` (the scores that something is known of), `unjudged` (the others) and, of each
    score by its id, its months."""
    known = tables[Backtest].filter(pl.col("as_of") <= as_of).collect()
    rows = known.with_columns(
        pl.when(pl.col("metric").is_in(PERCENT)).then(pl.col(name) / 100).otherwise(name).alias(name)
        for name in ("value", "lo", "hi", "simple")
    )
    settled = rows.drop_nulls("value")
    told = list(_told(settled))
    judged = {row["model"] for row in told}
    is_waiting = pl.col("note").str.starts_with("not settled")
    won = [row for row in told if row["verdict"] == BETTER]
    facts = [
        Fact("as_of", as_of, "date"),
        Fact("backtest.scores", len(told), "scores"),
        Fact("backtest.won", len(won), "scores"),
        Fact("backtest.unsettled", rows.filter(is_waiting).height, "outcomes"),
        Fact("backtest.mute", rows.filter(~is_waiting).height, "outcomes"),
        Fact("backtest.confidence", CONFIDENCE, "share"),
    ]
    if told:
        facts += [
            Fact("backtest.first", min(settled["origin"]), "date"),
            Fact("backtest.last", max(settled["origin"]), "date"),
        ]
    facts += [
        Fact(f"{row['id']}.{name}", value, unit) for row in told for name, (value, unit) in row["numbers"].items()
    ]
    names = ("id", "model", "target", "metric", "verdict")
    lists = {
        "told": [{name: row[name] for name in names} for row in told],
        "unjudged": [{"model": model} for model in SCORES if model not in judged],
    }
    return Facts(facts, lists | {row["id"]: row["months"] for row in told})


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> reports.Report:
    """The page on the facts, in a language."""
    tell = reports.teller(facts, settings, language)
    rows = facts.tables["told"]
    unjudged = [tell.word(f"backtest.score.{row['model']}") for row in facts.tables["unjudged"]]
    headline = f"backtest.headline.{_verdict(rows, is_whole=not unjudged)}"
    page = reports.page(
        tell,
        "backtest",
        headline=tell.say(
            headline, words={"names": tell.writer.join(unjudged)}, won="backtest.won", scores="backtest.scores"
        ),
        answers=_answers(tell, rows, unjudged),
        tiles=[_tile(tell, row) for row in rows],
        sections=list(_sections(tell, rows)),
    )
    return reports.Report(NAME, shop, as_of, settings.currency, page, facts)


def _told(settled: pl.DataFrame) -> Iterator[Row]:
    """Each score and target that something is known of: its months, and their means."""
    for model, (_, _, metric) in SCORES.items():
        own = settled.filter(pl.col("model") == model)
        for target in own.filter(pl.col("metric") == metric)["target"].unique().sort():
            rows = own.filter(pl.col("target") == target).sort("origin", "metric")
            main = rows.filter(pl.col("metric") == metric)
            lead = (main["value"] - main["simple"]).to_numpy() * (-1 if metric in LESS_IS_BETTER else 1)
            verdict = _lead(lead, main)
            numbers = {
                "value": (main["value"].mean(), UNITS.get(metric, "ratio")),
                "simple": (main["simple"].mean(), UNITS.get(metric, "ratio")),
                "months": (main.height, "months"),
                "won": (int((lead > 0).sum()), "months"),
                "calibration": (rows.filter(pl.col("metric") == "calibration")["value"].mean(), "ratio"),
                "horizon": (_months(target), "months"),
                "error": (rows.filter(pl.col("metric") == "total_error_pct")["value"].mean(), "share"),
            }
            yield {
                "id": f"backtest.{model}.{target}",
                "model": model,
                "target": target,
                "metric": metric,
                "verdict": ALIKE if verdict == BETTER and _is_wrong_in_size(rows) else verdict,
                "numbers": {name: number for name, number in numbers.items() if number[0] is not None},
                "months": rows.select("origin", "metric", "value", "lo", "hi", "simple", "n").to_dicts(),
            }


def _months(target: str) -> int | None:
    """How far a value is foretold: `6 months`."""
    number, _, unit = target.partition(" ")
    return int(number) if unit == "months" else None


def _lead(lead: np.ndarray, main: pl.DataFrame) -> str:
    """Whether the score leads its rule by more than chance would give; `main` are its months."""
    half = ((main["hi"] - main["lo"]) / 2).drop_nulls().to_numpy()
    if half.size == lead.size:
        span = float(half.mean())
    else:
        lead = lead[::MONTHS]
        span = _half_width(lead)
    return BETTER if lead.mean() > span else WORSE if lead.mean() < -span else ALIKE


def _half_width(lead: np.ndarray) -> float:
    """Half the 95 % interval of the mean; of one value nothing is known."""
    from scipy.stats import t

    if lead.size < 2:
        return math.inf
    return float(t.isf((1 - CONFIDENCE) / 2, lead.size - 1) * lead.std(ddof=1)) / lead.size**0.5


def _is_wrong_in_size(rows: pl.DataFrame) -> bool:
    off = rows.filter(pl.col("metric") == "brier").drop_nulls("simple")
    return off.height > 0 and off["value"].sum() > off["simple"].sum()


def _verdict(rows: Iterable[Row], *, is_whole: bool) -> str:
    better = [row["verdict"] == BETTER for row in rows]
    if not better:
        return "empty"
    if all(better):
        return "all" if is_whole else "all_judged"
    return "some" if any(better) else "none"


def _answers(tell: Teller, rows: list[Row], unjudged: list[str]) -> list[tuple[str, list[Sentence]]]:
    waiting = int(tell.value("backtest.unsettled"))
    left_out = [tell.say("backtest.unsettled", count="backtest.unsettled") if waiting else tell.say("backtest.settled")]
    if tell.value("backtest.mute"):
        left_out.append(tell.say("backtest.mute", count="backtest.mute"))
    if unjudged:
        left_out.append(tell.say("backtest.unjudged", words={"names": tell.writer.join(unjudged)}))
    how = (tell.word("backtest.question.how"), [tell.say("backtest.how"), *left_out])
    if not rows:
        return [how]
    good, poor = (
        [_name(tell, row) for row in rows if (row["verdict"] == BETTER) is better] for better in (True, False)
    )
    relied = tell.say("backtest.good.none")
    if good:
        relied = tell.say(
            "backtest.good.some", words={"names": tell.writer.join(good)}, first="backtest.first", last="backtest.last"
        )
    doubted = tell.say("backtest.poor.none")
    if poor:
        doubted = tell.say("backtest.poor.some", words={"names": tell.writer.join(poor)})
    return [(tell.word("backtest.question.good"), [relied]), (tell.word("backtest.question.poor"), [doubted]), how]


def _tile(tell: Teller, row: Row) -> render.Tile:
    label = _name(tell, row)
    words = {"metric": tell.word(f"backtest.metric.{row['metric']}")}
    note = tell.say("backtest.tile", words=words, simple=f"{row['id']}.simple")
    return render.Tile(label, tell.number(f"{row['id']}.value"), note, row["verdict"])


def _sections(tell: Teller, rows: list[Row]) -> Iterator[render.Section]:
    for model in SCORES:
        for row in (row for row in rows if row["model"] == model):
            yield render.Section(
                _ident(row), str(_name(tell, row)), _sentences(tell, row), figures=[_figure(tell, row)]
            )


def _sentences(tell: Teller, row: Row) -> list[Sentence]:
    name = row["id"]
    said = [_finding(tell, row)]
    if f"{name}.calibration" in tell.facts:
        said.append(tell.say("backtest.expected", calibration=f"{name}.calibration"))
    if f"{name}.error" in tell.facts:
        said.append(tell.say("backtest.missed", error=f"{name}.error"))
    return said


def _finding(tell: Teller, row: Row) -> Sentence:
    orders_nobody = row["model"] == "churn_risk" and tell.settings.customer.churn.business_type != "ecommerce"
    rule = tell.word("backtest.rule.lots" if orders_nobody else f"backtest.rule.{row['model']}")
    paths = {name: f"{row['id']}.{name}" for name in ("value", "simple")}
    return tell.say(f"backtest.told.{row['metric']}", words={"rule": rule}, **paths)


def _figure(tell: Teller, row: Row) -> render.Figure:
    months, metric = tell.facts.tables[row["id"]], row["metric"]
    word = tell.word(f"backtest.metric.{metric}")
    series = (tell.word("backtest.of_score"), tell.word("backtest.simple"))
    data = [
        {"x": tell.show(month["origin"], "month"), "series": label, "value": month[column], **_range(month, column)}
        for month in months
        if month["metric"] == metric
        for label, column in zip(series, ("value", "simple"), strict=True)
    ]
    ident = _ident(row)
    axes = charts.Axes(tell.word("backtest.month"), word, tell.locale)
    return render.Figure(
        ident,
        tell.say("backtest.months", won=f"{row['id']}.won", count=f"{row['id']}.months"),
        tell.say("backtest.subtitle", words={"metric": word}, confidence="backtest.confidence"),
        _finding(tell, row),
        charts.against(data, series, axes, ident, "%" if UNITS.get(metric) == "share" else "~s"),
        [_table(tell, row, months)],
    )


def _ident(row: Row) -> str:
    return row["id"].replace(".", "-").replace(" ", "-")


def _range(month: Row, column: str) -> Row:
    return {"lo": month["lo"], "hi": month["hi"]} if column == "value" and month["lo"] is not None else {}


def _table(tell: Teller, row: Row, months: list[Row]) -> render.Table:
    metrics = [metric for metric in METRICS if any(month["metric"] == metric for month in months)]
    heads = [
        str(tell.say("backtest.both", words={"metric": tell.word(f"backtest.metric.{metric}")})) for metric in metrics
    ]
    cells = []
    for origin in sorted({month["origin"] for month in months}):
        of_day = {month["metric"]: month for month in months if month["origin"] == origin}
        shown = [_cell(tell, metric, of_day.get(metric)) for metric in metrics]
        cells.append([tell.show(origin, "date"), *shown, tell.show(max(m["n"] for m in of_day.values()), "rows")])
    columns = [tell.word("backtest.month"), *heads, tell.word("backtest.rows")]
    return render.Table(str(_name(tell, row)), columns, cells)


def _cell(tell: Teller, metric: str, month: Row | None) -> str:
    if month is None:
        return "–"
    unit = UNITS.get(metric, "ratio")
    simple = "" if month["simple"] is None else f" ({tell.show(month['simple'], unit)})"
    return tell.show(month["value"], unit) + simple


def _name(tell: Teller, row: Row) -> Sentence:
    """The score, and which of the things that it foretells is meant."""
    score = tell.word(f"backtest.score.{row['model']}")
    if row["target"] in WHOLE:
        return Sentence(score)
    if f"{row['id']}.horizon" in tell.facts:
        return tell.say("backtest.named_months", words={"score": score}, count=f"{row['id']}.horizon")
    target = tell.word(f"backtest.target.{row['target']}", row["target"])
    return tell.say("backtest.named", words={"score": score, "target": target})
