"""The experiment report: what each experiment has shown, what of it may be believed, and when to look again.

The figures and verdicts are those of the lifecycle report's topic; beside them stands how many of those held out got a message
of the experiment's programmes all the same, by the ledger's lines since it began. One block per experiment: the interval first,
then warnings, arms, every metric.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import polars as pl

from lifecycle_assets.dispatch.assignments import Assignments
from lifecycle_assets.dispatch.ledger import Ledger
from lifecycle_assets.models.attribution import MODELS
from lifecycle_assets.models.experiment_results import ALL, HOLDOUT
from lifecycle_assets.reports import experiments as topic
from lifecycle_assets.reports import render
from lifecycle_assets.reports import report as reports
from lifecycle_assets.reports.experiments import BETTER, MISMATCH, PENDING, UNITS, WORSE
from lifecycle_assets.reports.facts import Fact, Facts, Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.sections import experiments as section
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.reports.telling import Teller
from lifecycle_assets.settings import Shop

NAME = "experiments"
READS = (*topic.READS, Assignments, Ledger)
ORDER = ("margin", "revenue", "orders", "buyers", "order_value", "unsubscribed")
TERMS = ("interval", "always", "adjusted", "relative", "q_value", "mismatch", "caused")


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:
    """The numbers of the topic, and `experiments.<name>.contaminated`."""
    told = topic.facts(tables, as_of, settings)
    started = {row["experiment"]: row["started_on"] for row in told.tables["experiments"]}
    counts = _contaminated(tables[Assignments], tables[Ledger], started, as_of, settings)
    contaminated = [Fact(f"experiments.{name}.contaminated", counts.get(name, 0), "customers") for name in started]
    return Facts([Fact("as_of", as_of, "date"), *contaminated]) | told


def report(facts: Facts, shop: str, as_of: dt.date, settings: Shop, language: str) -> reports.Report:
    """The report on the facts in a language."""
    tell = reports.teller(facts, settings, language)
    rows = facts.tables["experiments"]
    page = reports.page(
        tell,
        NAME,
        headline=section.headline(tell),
        answers=list(_answers(tell, rows)),
        tiles=_tiles(tell),
        sections=[
            *_overview(tell, rows),
            *(_experiment(tell, row) for row in rows),
            *_attribution(tell),
            _reading(tell),
        ],
    )
    return reports.Report(NAME, shop, as_of, settings.currency, page, facts)


def _contaminated(
    assignments: pl.LazyFrame, ledger: pl.LazyFrame, started: dict[str, dt.date], as_of: dt.date, settings: Shop
) -> dict[str, int]:
    """Customers of each experiment's holdout to whom a message of its programmes went out since it began."""
    programmes = settings.routing.programmes
    tested = {name: programme.experiment for name, programme in programmes.items() if programme.experiment in started}
    undone = ledger.filter(pl.col("event") == "compensated").select("idempotency_key")
    begun = pl.col("experiment").replace_strict(started, default=None, return_dtype=pl.Date)
    heard = (
        ledger.filter((pl.col("event") == "exported") & (pl.col("as_of") < as_of))
        .join(undone, on="idempotency_key", how="anti")
        .with_columns(experiment=pl.col("programme").replace_strict(tested, default=None, return_dtype=pl.String))
        # The messages of a night go out on the day after it.
        .filter(pl.col("as_of").dt.offset_by("1d") >= begun)
        .select("experiment", "customer_id")
        .unique()
    )
    kept_back = assignments.filter(pl.col("arm") == HOLDOUT).select("experiment", "customer_id")
    found = heard.join(kept_back, on=["experiment", "customer_id"], how="semi").group_by("experiment").len()
    return dict(found.collect(engine="streaming").rows())


def _answers(tell: Teller, rows: list[Row]) -> Iterator[tuple[str, list[Sentence]]]:
    if not rows:
        yield tell.word("experiments.question.start"), [*section.waiting(tell), section.how_to_start(tell)]
        return
    pays, harms, doubted, open_ = (
        [row for row in rows if row["verdict"] in verdicts] for verdicts in ((BETTER,), (WORSE,), (MISMATCH,), PENDING)
    )
    found = [section.finding(tell, row) for row in pays] or [tell.say("experiments.pays_none")]
    yield tell.word("experiments.question.pays"), [*found, *section.brought(tell)]
    if harms:
        yield tell.word("experiments.question.harms"), [section.finding(tell, row) for row in harms]
    if open_:
        yield tell.word("experiments.question.open"), [*section.pending(tell), *section.waiting(tell)]
    if doubted:
        yield tell.word("experiments.question.doubted"), [section.finding(tell, row) for row in doubted]


def _tiles(tell: Teller) -> list[render.Tile]:
    def tile(name: str, verdict: str, **paths: Any) -> render.Tile:
        label, note = (tell.say(f"experiments.tile.{name}.{part}", **paths) for part in ("label", "note"))
        return render.Tile(label, tell.number(f"experiments.{name}"), note, verdict)

    if not tell.facts.value("experiments.count"):
        return []
    tiles = [tile("count", "none", waiting="experiments.waiting")]
    if "experiments.total" in tell.facts:
        shown = section.verdict_of_total(tell)
        verdict = "flat" if shown == "unsure" else shown
        tiles.append(tile("total", verdict, lo="experiments.total/lo", hi="experiments.total/hi"))
    return [
        *tiles,
        *(tile(name, "none", count="experiments.count") for name in (BETTER, WORSE, "pending", "mismatched")),
    ]


def _overview(tell: Teller, rows: list[Row]) -> list[render.Section]:
    if not rows:
        return []
    figures = section.overview(tell)
    return [tell.section("experiments", [tell.say("experiments.sorted")], [section.verdicts(tell)], figures)]


def _experiment(tell: Teller, aim: Row) -> render.Section:
    """One experiment; of one whose arms are not as configured only the arms."""
    of = [row for row in tell.facts.tables["experiment_rows"] if row["experiment"] == aim["experiment"]]
    is_doubted = aim["verdict"] == MISMATCH
    whole = [row for row in of if (row["variant"], row["control"]) == (aim["variant"], aim["control"])]
    whole = sorted(whole, key=lambda row: ORDER.index(row["metric"]))
    tables = [_arms(tell, [row for row in of if row["metric"] == aim["metric"]])]
    if not is_doubted:
        tables += [*_metrics(tell, whole), *_variants(tell, [row for row in of if row["metric"] == aim["metric"]])]
    return render.Section(
        f"experiment-{aim['experiment']}",
        section.name(tell, aim),
        [section.finding(tell, aim)],
        [*_warnings(tell, aim), *([] if is_doubted else _details(tell, aim))],
        tables,
        [] if is_doubted else _forest(tell, aim, whole),
    )


def _warnings(tell: Teller, aim: Row) -> Iterator[Sentence]:
    """Contamination, no interval for looking every night, and what the messages did to the number of those who leave."""
    name = f"experiments.{aim['experiment']}"
    if tell.facts.value(f"{name}.contaminated"):
        yield tell.say("experiments.contaminated", count=f"{name}.contaminated")
    else:
        yield tell.say("experiments.clean")
    if aim["effect"] is not None and f"{name}.always" not in tell.facts:
        yield tell.say("experiments.no_always")
    yield from section.unsubscriptions(tell, aim)


def _details(tell: Teller, aim: Row) -> Iterator[Sentence]:
    """The relative effect, what finance counts, what it rests on."""
    name = f"experiments.{aim['experiment']}"
    words = {"aim": section.aim_word(tell, aim)}
    relative = f"{name}.relative.{aim['metric']}"
    if relative in tell.facts:
        yield tell.say("experiments.relative", effect=relative, lo=f"{relative}/lo", hi=f"{relative}/hi")
    if f"{name}.total" in tell.facts:
        arms = {arm: f"{name}.{arm}" for arm in ("treated", "held_out")}
        ends = {end: f"{name}.total/{end}" for end in ("lo", "hi")}
        yield tell.say("experiments.finance", words=words, count=f"{name}.days", total=f"{name}.total", **ends, **arms)
    if f"{name}.always" in tell.facts:
        yield tell.say("experiments.always", lo=f"{name}.always/lo", hi=f"{name}.always/hi")
    if aim["variance_saved"] and aim["variance_saved"] > 0:
        yield tell.say("experiments.saved", saved=f"{name}.variance_saved")
    if f"{name}.power" in tell.facts:
        yield tell.say("experiments.power", power=f"{name}.power", worth="experiments.worth")
    if f"{name}.caused" in tell.facts:
        key = "shown" if tell.value(f"{name}.caused/lo") > 0 else "open"
        caused = f"{name}.caused"
        yield tell.say(
            f"experiments.caused.{key}",
            ascribed=f"{name}.ascribed",
            caused=caused,
            lo=f"{caused}/lo",
            hi=f"{caused}/hi",
        )


def _arms(tell: Teller, of_aim: list[Row]) -> render.Table:
    """Each arm's size and mean: those held out, all treated, and each variant."""
    held_out = [row for row in of_aim if row["control"] == HOLDOUT]
    control = {arm: held_out[0][f"{arm}_control"] for arm in ("n", "mean")}
    arms = [(HOLDOUT, control["n"], control["mean"], None)]
    arms += [(row["variant"], row["n_treated"], row["mean_treated"], row["mismatch_p"]) for row in held_out]
    cells = [
        [
            tell.word(f"experiments.arm.{arm}", arm),
            tell.show(customers, "customers"),
            tell.show(mean, "currency"),
            tell.show(chance, "share"),
        ]
        for arm, customers, mean, chance in arms
    ]
    return tell.table("arms", ("arm", "assigned", f"mean_{of_aim[0]['metric']}", "mismatch_p"), cells)


def _metrics(tell: Teller, rows: list[Row]) -> list[render.Table]:
    """Every metric: the means and the effect, and how certain it is."""
    labels = [tell.word(f"experiments.label.{row['metric']}") for row in rows]
    effects = [
        [
            label,
            tell.word(f"experiments.change.{row['verdict']}", tell.word(f"experiments.verdict.{row['verdict']}")),
            *(tell.show(row[mean], UNITS[row["metric"]]) for mean in ("mean_treated", "mean_control")),
            *_effect(tell, row),
            tell.writer.format(row["relative_effect"], "share", "signed"),
        ]
        for label, row in zip(labels, rows, strict=True)
    ]
    certainty = [
        [
            label,
            *(tell.show(row[chance], "share") for chance in ("p_value", "q_value")),
            *(_points(tell, row, column) for column in ("sequential_lo", "sequential_hi")),
            tell.show(row["power"], "share"),
            tell.show(row["days_to_go"], "days"),
        ]
        for label, row in zip(labels, rows, strict=True)
    ]
    heads = ("metric", "verdict", "mean_treated", "mean_control", "points", "at_least", "at_most", "relative")
    doubts = ("metric", "p_value", "q_value", "always_at_least", "always_at_most", "power", "days_to_go")
    return [tell.table("metrics", heads, effects, {1}), tell.table("certainty", doubts, certainty)]


def _variants(tell: Teller, of_aim: list[Row]) -> list[render.Table]:
    """Each variant against those held out and against the first one."""
    rows = [row for row in of_aim if row["variant"] != ALL]
    cells = [
        [
            tell.word(f"experiments.arm.{row['variant']}", row["variant"]),
            tell.word(f"experiments.arm.{row['control']}", row["control"]),
            *_effect(tell, row),
            tell.show(row["q_value"], "share"),
            tell.word(f"experiments.verdict.{row['verdict']}"),
        ]
        for row in rows
    ]
    heads = ("arm", "against", "effect", "at_least", "at_most", "q_value", "verdict")
    return [tell.table("variants", heads, cells, {1, len(heads) - 1})] if cells else []


def _effect(tell: Teller, row: Row) -> list[str]:
    return [_points(tell, row, column) for column in ("effect", "lo", "hi")]


def _points(tell: Teller, row: Row, column: str) -> str:
    """A difference of means; one of shares in percentage points."""
    unit, value = UNITS[row["metric"]], row[column]
    if unit == "share" and value is not None:
        return tell.writer.format(100 * value, "ratio", "signed")
    return tell.writer.format(value, unit if unit == "currency" else "ratio", "signed")


def _forest(tell: Teller, aim: Row, whole: list[Row]) -> list[render.Figure]:
    rows = [row for row in whole if row["relative_effect"] is not None and not row["is_guardrail"]]
    if not rows:
        return []
    ident = f"forest-{aim['experiment']}"
    shown = [tell.word(f"experiments.label.{row['metric']}") for row in rows if row["verdict"] in section.SHOWN]
    title = tell.say("chart.metrics.title.none")
    if shown:
        title = tell.say("chart.metrics.title.some", words={"metrics": tell.writer.join(shown)})
    subtitle = tell.say("chart.metrics.subtitle", confidence="experiments.confidence")
    told = [
        (
            tell.word(f"experiments.label.{row['metric']}"),
            row,
            f"experiments.{row['experiment']}.relative.{row['metric']}",
        )
        for row in rows
    ]
    return [section.forest(tell, ident, title, subtitle, told, "share")]


def _attribution(tell: Teller) -> list[render.Section]:
    """What the usual ways of sharing out orders say, beside what was measured."""
    rows = tell.facts.tables["experiment_attribution"]
    if not rows:
        return []
    cells = [
        [
            tell.programme_name(row["programme"]),
            *(tell.show(row[model], "currency") for model in MODELS),
            tell.writer.format(row["incremental"], "currency", "signed"),
        ]
        for row in rows
    ]
    table = tell.table("attribution", ("programme", *MODELS, "incremental"), cells)
    return [tell.section("attribution", [tell.say("experiments.attributed")], [table])]


def _reading(tell: Teller) -> render.Section:
    paths: dict[str, dict[str, Any]] = {"interval": {"confidence": "experiments.confidence"}}
    terms = [
        (tell.word(f"experiments.term.{term}.term"), tell.say(f"experiments.term.{term}.text", **paths.get(term, {})))
        for term in TERMS
    ]
    return render.Section("reading", tell.word("section.reading"), terms=terms)
