"""What the running experiments have shown so far: in short for the lifecycle report, and the words that the experiment report
has in common with it."""

from typing import Any

from lifecycle_assets.reports import charts, render
from lifecycle_assets.reports.experiments import BETTER, MISMATCH, PENDING, WORSE
from lifecycle_assets.reports.facts import Row
from lifecycle_assets.reports.narrative import Sentence
from lifecycle_assets.reports.telling import Teller

SHOWN = (BETTER, WORSE)


def experiments(tell: Teller) -> render.Section:
    """Those that show something or cannot be trusted one by one, the others together; the forest plot of all."""
    rows = tell.facts.tables["experiments"]
    if not rows:
        return tell.section(
            "experiments", [*(waiting(tell) or [tell.say("experiments.none_set_up")]), how_to_start(tell)]
        )
    worth_telling = [row for row in rows if row["verdict"] in (*SHOWN, MISMATCH, "unsure")]
    nothing = [] if tell.facts.value("experiments.better") else [tell.say("experiments.pays_none")]
    sentences = [*nothing, *brought(tell), *pending(tell), *waiting(tell)]
    notes = [
        said for row in worth_telling for said in (finding(tell, row), *unsubscriptions(tell, row, warn_only=True))
    ]
    return render.Section(
        "experiments",
        tell.word("section.experiments"),
        sentences,
        notes,
        tables=[verdicts(tell)],
        figures=overview(tell),
    )


def how_to_start(tell: Teller) -> Sentence:
    return tell.say("experiments.how_to_start")


def headline(tell: Teller) -> Sentence:
    """How many are shown to do good or harm, or that none has started."""
    if not tell.facts.value("experiments.count"):
        return tell.say(f"experiments.headline.{'waiting' if tell.facts.value('experiments.waiting') else 'empty'}")
    shown = [verdict for verdict in SHOWN if tell.facts.value(f"experiments.{verdict}")]
    paths: dict[str, Any] = {name: f"experiments.{name}" for name in (*shown, "count")}
    return tell.say(f"experiments.headline.{'_'.join(shown) or 'none'}", **paths)


def brought(tell: Teller) -> list[Sentence]:
    """What all experiments brought together."""
    if "experiments.total" not in tell.facts:
        return []
    aim = next(
        row for row in tell.facts.tables["experiments"] if row["total"] is not None and row["verdict"] != MISMATCH
    )
    return [
        tell.say(
            f"experiments.total.{verdict_of_total(tell)}",
            words={"aim": aim_word(tell, aim)},
            total="experiments.total",
            lo="experiments.total/lo",
            hi="experiments.total/hi",
        )
    ]


def verdict_of_total(tell: Teller) -> str:
    """`unsure` where tonight's interval leaves no effect out and the one for every night does not."""
    tonight = _side(tell, "experiments.total")
    always = _side(tell, "experiments.total.always") if "experiments.total.always" in tell.facts else "flat"
    return tonight if tonight in ("flat", always) else "unsure"


def _side(tell: Teller, path: str) -> str:
    low, high = (tell.value(f"{path}/{end}") for end in ("lo", "hi"))
    return "rising" if low > 0 else "falling" if high < 0 else "flat"


def pending(tell: Teller) -> list[Sentence]:
    rows = [row for row in tell.facts.tables["experiments"] if row["verdict"] in PENDING]
    return [tell.say("experiments.pending", words={"names": names(tell, rows)})] if rows else []


def waiting(tell: Teller) -> list[Sentence]:
    rows = tell.facts.tables["experiments_waiting"]
    return [tell.say("experiments.waiting", words={"names": names(tell, rows)})] if rows else []


def finding(tell: Teller, row: Row) -> Sentence:
    """The interval first, then what it means."""
    ident = f"experiments.{row['experiment']}"
    words = {"name": name(tell, row), "aim": aim_word(tell, row)}
    paths: dict[str, Any] = {"started": f"{ident}.started"}
    if row["verdict"] in ("few", MISMATCH):
        paths = {arm: f"{ident}.{arm}" for arm in ("treated", "held_out")}
    else:
        # What is shown at every look is told with the interval that holds at every look.
        interval = f"{ident}.{'always' if row['verdict'] in SHOWN else 'effect'}"
        paths |= {"effect": f"{ident}.effect", "lo": f"{interval}/lo", "hi": f"{interval}/hi"}
    if row["verdict"] in ("early", "flat"):
        paths["worth"] = "experiments.worth"
    count = f"{ident}.days_to_go" if row["verdict"] == "early" else None
    return tell.say(f"experiments.told.{row['verdict']}", count=count, words=words, **paths)


def unsubscriptions(tell: Teller, row: Row, *, warn_only: bool = False) -> list[Sentence]:
    """What the messages did to the number of those who leave the list; nothing where the arms are not as configured."""
    path = f"experiments.{row['experiment']}.unsubscribed"
    if path not in tell.facts or row["verdict"] == MISMATCH:
        return []
    low, high = (tell.value(f"{path}/{end}") for end in ("lo", "hi"))
    verdict = "more" if low > 0 else "fewer" if high < 0 else "flat"
    if warn_only and verdict != "more":
        return []
    return [
        tell.say(
            f"experiments.unsubscribed.{verdict}", words={"name": name(tell, row)}, lo=f"{path}/lo", hi=f"{path}/hi"
        )
    ]


def verdicts(tell: Teller) -> render.Table:
    cells = []
    for row in tell.facts.tables["experiments"]:
        is_told = row["verdict"] != MISMATCH
        figures = [row[column] if is_told else None for column in ("effect", "lo", "hi")]
        cells.append(
            [
                name(tell, row),
                tell.word(f"experiments.verdict.{row['verdict']}"),
                *(tell.writer.format(figure, "currency", "signed") for figure in figures),
                tell.writer.format(row["relative_effect"] if is_told else None, "share", "signed"),
                tell.show(row["q_value"] if is_told else None, "share"),
                *(tell.show(row[count], "customers") for count in ("n_treated", "n_control")),
            ]
        )
    heads = ("experiment", "verdict", "effect", "at_least", "at_most", "relative", "q_value", "treated", "held_out")
    return tell.table("experiments", heads, cells, {1})


def overview(tell: Teller) -> list[render.Figure]:
    """The effects per customer of all experiments that have one to be told."""
    rows = [row for row in tell.facts.tables["experiments"] if row["effect"] is not None and row["verdict"] != MISMATCH]
    if not rows:
        return []
    found = [row for row in rows if row["verdict"] in SHOWN]
    # The best that is shown, or else the worst.
    lead = (found[0] if found[0]["verdict"] == BETTER else found[-1]) if found else None
    title = tell.say("chart.experiments.title.none")
    if lead:
        words = {"name": name(tell, lead), "aim": aim_word(tell, lead)}
        title = tell.say(
            f"chart.experiments.title.{lead['verdict']}", words=words, effect=f"experiments.{lead['experiment']}.effect"
        )
    subtitle = tell.say("chart.experiments.subtitle", confidence="experiments.confidence")
    told = [(name(tell, row), row, f"experiments.{row['experiment']}.effect") for row in rows]
    return [forest(tell, "experiments-forest", title, subtitle, told, "currency")]


def forest(
    tell: Teller, ident: str, title: Sentence, subtitle: Sentence, told: list[tuple[str, Row, str]], unit: str
) -> render.Figure:
    """Effects about the line of no effect: (text, row, path of the effect) each; of the unit `share` relative to the mean of
    those held out, else as they are."""
    axes = charts.Axes(tell.word(f"chart.experiments.x.{unit}"), "", tell.locale)
    items = [
        tell.say("chart.experiments.item", words={"name": text}, effect=path, lo=f"{path}/lo", hi=f"{path}/hi")
        for text, _, path in told
    ]
    cells = [
        [text, *(tell.writer.number(end, "signed") for end in (path, f"{path}/lo", f"{path}/hi"))]
        for text, _, path in told
    ]
    return render.Figure(
        ident,
        title,
        subtitle,
        tell.say("chart.experiments.alt", words={"items": tell.writer.enumerate(items)}),
        charts.forest(
            [
                {
                    "text": text,
                    **{part: float(str(tell.facts.value(end))) for part, end in _ends(path).items()},
                    "label": f"{cell[1]} ({cell[2]} … {cell[3]})",
                    "shown": row["verdict"] in SHOWN,
                }
                for (text, row, path), cell in zip(told, cells, strict=True)
            ],
            axes,
            ident,
            "~%" if unit == "share" else "~s",
        ),
        [tell.table("effects", ("experiment_item", "effect", "at_least", "at_most"), cells)],
    )


def _ends(path: str) -> dict[str, str]:
    return {"value": path, "lo": f"{path}/lo", "hi": f"{path}/hi"}


def name(tell: Teller, row: Row) -> str:
    """Experiments bear the names of the programmes that they test, as a rule."""
    return tell.word(f"experiments.name.{row['experiment']}", tell.programme_name(row["experiment"]))


def names(tell: Teller, rows: list[Row]) -> Sentence:
    return tell.writer.join([name(tell, row) for row in rows])


def aim_word(tell: Teller, row: Row) -> str:
    return tell.word(f"experiments.metric.{row['metric']}")
