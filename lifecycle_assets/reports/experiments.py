"""What did each experiment's messages change, and what of it may be believed?

The figures are those of models.experiment_results: treated less held out, per assigned customer, less what the time before
explains. An experiment is told by its aim, the margin, or the revenue where the margin is not known. Its verdict:

mismatch  the arms are not as large as configured: no verdict, whatever the figures say
few       too few customers or orders in an arm
better    above 0 in the interval that may be looked at every night, and by the q value: shown
worse     below 0 likewise
unsure    the 95 % interval of tonight leaves 0 out, the one for every night does not (or there is none)
early     the 95 % interval holds 0, and days are to go until a change worth detecting would probably show
flat      the same, and it would probably have shown by now
open      the same, and nothing is known of what would have shown

What all experiments brought together is the sum of their totals; its interval takes them to be drawn independently of each
other, as they are outside of layers. Those with a mismatch are left out. The sum is looked at every night, and counts as shown
only if its interval for every night leaves 0 out too: the half widths of the single ones, added in squares. There is none where
one of them has none.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator

import polars as pl

from lifecycle_assets.confidence import CONFIDENCE, Z
from lifecycle_assets.dispatch.experiments import Experiments
from lifecycle_assets.models.attribution import MODELS, NONE, OTHER, Attribution
from lifecycle_assets.models.caused_share import CausedShare
from lifecycle_assets.models.experiment_results import (
    ALARM,
    ALL,
    HOLDOUT,
    METRICS,
    ORDER_VALUE,
    ExperimentResults,
    is_shown,
)
from lifecycle_assets.reports.facts import Fact, Facts, Row
from lifecycle_assets.reports.tables import Tables
from lifecycle_assets.settings import Shop

READS = (Experiments, ExperimentResults, CausedShare, Attribution)
UNITS = {**METRICS, ORDER_VALUE: "currency"}
AIMS = ("margin", "revenue")
BETTER, WORSE, MISMATCH = "better", "worse", "mismatch"
PENDING = ("unsure", "early", "flat", "open", "few")


def facts(tables: Tables, as_of: dt.date, settings: Shop) -> Facts:  # noqa: ARG001
    """Facts `experiments.count`, `.better`, `.worse`, `.pending`, `.mismatched`, `.waiting`, `.worth`, `.total` and
    `.total.always` (with bounds), and of each measured experiment `experiments.<name>.<number>` (see `_numbers`); tables
    `experiments` (its aim's row, the largest effect first), `experiment_rows` (every comparison and metric),
    `experiments_waiting`, `experiment_attribution`."""
    results = tables[ExperimentResults].sort(ExperimentResults.primary_key).collect()
    rows = [_row(row) for row in results.iter_rows(named=True)]
    aims = sorted(_aims(rows), key=_rank)
    configured = tables[Experiments].select("experiment").collect()["experiment"].sort().to_list()
    waiting = [name for name in configured if name not in {row["experiment"] for row in aims}]
    verdicts = [row["verdict"] for row in aims]
    facts = [
        Fact("experiments.count", len(aims), "experiments"),
        Fact("experiments.better", verdicts.count(BETTER), "experiments"),
        Fact("experiments.worse", verdicts.count(WORSE), "experiments"),
        Fact("experiments.pending", sum(verdict in PENDING for verdict in verdicts), "experiments"),
        Fact("experiments.mismatched", verdicts.count(MISMATCH), "experiments"),
        Fact("experiments.waiting", len(waiting), "experiments"),
        Fact("experiments.worth", settings.measurement.worth_detecting, "share"),
        Fact("experiments.confidence", CONFIDENCE, "share"),
        *_total(aims),
    ]
    for aim in aims:
        of_all = [row for row in rows if row["experiment"] == aim["experiment"] and _is_whole(row)]
        facts += _numbers(aim, of_all)
    facts += _caused(tables[CausedShare].sort("experiment").collect())
    return Facts(
        facts,
        {
            "experiments": aims,
            "experiment_rows": rows,
            "experiments_waiting": [{"experiment": name} for name in waiting],
            "experiment_attribution": _attribution(tables[Attribution]),
        },
    )


def _row(row: Row) -> Row:
    """A row of models.experiment_results as it is told: the effect is the adjusted one, where there is one."""
    adjusted = row["cuped"] is not None
    effect, lo, hi = (
        row[name] for name in (("cuped", "cuped_lo", "cuped_hi") if adjusted else ("difference", "lo", "hi"))
    )
    kept = (
        *("experiment", "variant", "control", "metric", "is_guardrail", "started_on", "days", "n_treated", "n_control"),
        *("mean_treated", "mean_control", "p_value", "q_value", "variance_saved", "sequential_lo", "sequential_hi"),
        *("total", "total_lo", "total_hi", "power", "days_to_go", "mismatch_p"),
    )
    told = {name: row[name] for name in kept} | {"effect": effect, "lo": lo, "hi": hi}
    base = row["mean_control"]
    for name in ("effect", "lo", "hi"):
        told[f"relative_{name}"] = told[name] / base if base and base > 0 and told[name] is not None else None
    return told | {"verdict": _verdict(told)}


def _verdict(row: Row) -> str:
    if row["mismatch_p"] < ALARM:
        return MISMATCH
    if row["effect"] is None:
        return "few"
    if row["lo"] <= 0 <= row["hi"]:
        return {None: "open", 0: "flat"}.get(row["days_to_go"], "early")
    if not is_shown(row):
        return "unsure"
    return BETTER if row["effect"] > 0 else WORSE


def _is_whole(row: Row) -> bool:
    return row["variant"] == ALL and row["control"] == HOLDOUT


def _aims(rows: Iterable[Row]) -> Iterator[Row]:
    """Of each experiment the row of all treated against those held out, on its aim."""
    of: dict[str, dict[str, Row]] = {}
    for row in rows:
        if _is_whole(row):
            of.setdefault(row["experiment"], {})[row["metric"]] = row
    for metrics in of.values():
        yield next(metrics[aim] for aim in AIMS if aim in metrics)


def _rank(row: Row) -> tuple[bool, float, str]:
    """The largest effect first; those without one, or whose effect is not to be believed, last."""
    is_told = row["verdict"] not in (MISMATCH, "few")
    return not is_told, -row["effect"] if is_told else 0.0, row["experiment"]


def _total(aims: list[Row]) -> list[Fact]:
    """What all of them brought; nothing where some are told by margin and others by revenue."""
    sure = [row for row in aims if row["verdict"] != MISMATCH and row["total"] is not None]
    if len({row["metric"] for row in sure}) != 1:
        return []
    total = math.fsum(row["total"] for row in sure)
    widths = {"experiments.total": [row["total_hi"] - row["total_lo"] for row in sure]}
    if all(row["sequential_lo"] is not None for row in sure):
        nightly = [(row["sequential_hi"] - row["sequential_lo"]) * row["n_treated"] for row in sure]
        widths["experiments.total.always"] = nightly
    halves = {name: math.sqrt(math.fsum((width / 2) ** 2 for width in each)) for name, each in widths.items()}
    return [Fact(name, total, "currency", len(sure), lo=total - half, hi=total + half) for name, half in halves.items()]


def _numbers(aim: Row, of_all: Iterable[Row]) -> Iterator[Fact]:
    """effect, always (the effect in the interval for every night), total, each with bounds; treated, held_out, started, days,
    days_to_go, power, variance_saved; relative.<metric> with bounds (effect over the mean of those held out); unsubscribed
    (customers) with bounds."""
    name, n = f"experiments.{aim['experiment']}", aim["n_treated"] + aim["n_control"]
    yield Fact(f"{name}.treated", aim["n_treated"], "customers")
    yield Fact(f"{name}.held_out", aim["n_control"], "customers")
    yield Fact(f"{name}.started", aim["started_on"], "date")
    yield Fact(f"{name}.days", aim["days"], "days")
    optional = {"power": "share", "days_to_go": "days", "variance_saved": "share"}
    for column, unit in optional.items():
        if aim[column] is not None:
            yield Fact(f"{name}.{column}", aim[column], unit, n)
    if aim["effect"] is not None:
        yield Fact(f"{name}.effect", aim["effect"], "currency", n, lo=aim["lo"], hi=aim["hi"])
        yield Fact(f"{name}.total", aim["total"], "currency", n, lo=aim["total_lo"], hi=aim["total_hi"])
    if aim["sequential_lo"] is not None:
        low, high = aim["sequential_lo"], aim["sequential_hi"]
        yield Fact(f"{name}.always", aim["effect"], "currency", n, lo=low, hi=high)
    for row in of_all:
        if row["relative_effect"] is not None:
            low, high = row["relative_lo"], row["relative_hi"]
            yield Fact(f"{name}.relative.{row['metric']}", row["relative_effect"], "share", n, lo=low, hi=high)
        if row["is_guardrail"] and row["total"] is not None:
            low, high = row["total_lo"], row["total_hi"]
            yield Fact(f"{name}.unsubscribed", row["total"], "customers", n, lo=low, hi=high)


def _caused(shares: pl.DataFrame) -> Iterator[Fact]:
    """Orders ascribed to each experiment's messages, and the share of them that the messages caused."""
    for row in shares.filter(pl.col("measured").is_not_null()).iter_rows(named=True):
        name, half = f"experiments.{row['experiment']}", Z * row["error"]
        yield Fact(f"{name}.ascribed", row["ascribed"], "messages")
        measured = row["measured"]
        yield Fact(f"{name}.caused", measured, "share", row["ascribed"], lo=measured - half, hi=measured + half)


def _attribution(attribution: pl.LazyFrame) -> list[Row]:
    """Revenue credited to each programme by each model over its months, beside what its experiment measured."""
    shared = (
        attribution.filter(~pl.col("programme").is_in([NONE, OTHER]))
        .group_by("programme")
        .agg(
            *(pl.col("revenue").filter(pl.col("model") == model).sum().alias(model) for model in MODELS),
            pl.col("incremental").max(),
        )
        .sort("programme")
    )
    return shared.collect().to_dicts()
