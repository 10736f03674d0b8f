"""How likely will this customer do it? One way of training for all classifiers.

Rows are point-in-time snapshots. The last snapshot is the out-of-time test; on the others the candidates are raced by
cross-validation (classifier_race.py). The winner is calibrated on its own out-of-fold predictions, tested once on the last
snapshot against a simple rule, and then learnt anew from all snapshots, as far as cross-validation said. Customers of the test
may be in earlier snapshots as well: the same customers will be scored.

With fewer than `scores.min_class` rows of either class, in what is learnt from or in the test, there is no model. With a
single snapshot a part of the groups is the test, and the note says that it is not out of time. A model that is not shown to
be better than chance and than the simple rule is made but not usable, and says so. Shown is what holds at the lower end of
an interval: of 95 % around the area under the curve, and one-sided of 95 % below its lead over the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.models.blocks import one_blas_thread
from lifecycle_assets.models.classifier_auc import Z95, Auc, auc, standard_error
from lifecycle_assets.models.classifier_baseline import rule_inputs
from lifecycle_assets.models.classifier_calibration import Calibration
from lifecycle_assets.models.classifier_candidates import Fitted, refit, side_by_side
from lifecycle_assets.models.classifier_encoding import Encoding
from lifecycle_assets.models.classifier_evaluation import evaluation, figures
from lifecycle_assets.models.classifier_model import Classifier
from lifecycle_assets.models.classifier_race import BASELINE, INNER_FOLDS, Raced, group_folds, race, winner
from lifecycle_assets.settings import Scores

ALL = "all"
NOTHING = "none"
HOLDOUT_FOLDS = 4
DRIVER_ROWS = 5_000
# The standard normal quantile at .95: one-sided.
Z_ONE_SIDED = 1.644854


@dataclass(frozen=True)
class TrainingSet:
    """Point-in-time rows. `rows`: snapshot (Date), group (String: rows of one group, normally the customer, share a fold),
    label (Boolean), target (String, optional: the product, plan or campaign that the row is about), then the features.

    `numbers` and `categories` name the features; null is missing. `baseline` are the features of the simple rule that the
    model must beat. `positive` is what a true label means, in words: "buys nothing for 90 days".
    """

    rows: pl.DataFrame
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    baseline: tuple[str, ...]
    positive: str


@dataclass(frozen=True)
class OutOfTime:
    """The rows of the test, with `group`, `label` and the features, and the `probability` that the winner gave each of them
    when it had learnt from the earlier snapshots only."""

    rows: pl.DataFrame
    probability: np.ndarray


@dataclass(frozen=True)
class Trained:
    """`evaluation` has the columns of EvaluationColumns without shop_id and as_of, trained_as_of being null: the night fills
    them in. `model` and `tested` are None where nothing may be learnt; `note` says why. `card` is ready for JSON."""

    evaluation: pl.DataFrame
    model: Classifier | None
    is_usable: bool
    note: str
    card: dict[str, Any]
    tested: OutOfTime | None = None


def train(data: TrainingSet, settings: Scores, rng: np.random.Generator) -> Trained:
    """Race, calibrate, test and fit the candidates of `settings` on `data`; the same for the same rows in any order."""
    rows = _drawn(_ordered(data), settings.training_rows, rng)
    label, group = rows["label"].to_numpy().astype(bool), _numbered(rows["group"])
    test = _test_rows(rows, label, group, rng)
    if too_little := _too_little(label, group, test, settings, data.positive):
        return _untaught(rows, too_little)
    learnt = rows.filter(~test)
    matrix = Encoding.fit(learnt, data.numbers, data.categories).matrix(rows)
    inputs: dict[str, np.ndarray] = dict.fromkeys(settings.candidates, matrix)
    inputs[BASELINE] = rule_inputs(learnt, rows, data.baseline, data.categories)
    past = {**dict.fromkeys(settings.candidates, matrix[~test]), BASELINE: inputs[BASELINE][~test]}
    raced = race(past, label[~test], _numbered(learnt["group"]), settings.folds, rng)
    best, seed = winner(raced), int(rng.integers(2**31))
    encoding = Encoding.fit(rows, data.numbers, data.categories)
    with one_blas_thread(), side_by_side() as pool:
        final = pool.submit(refit, best.name, encoding.matrix(rows), label, best.typical_far, seed)
        running = [pool.submit(_tested, r, inputs[r.name], label, group, test, seed) for r in raced if r.finished]
        tested = {done.result().name: done.result() for done in running}
    ours, rule = tested[best.name], tested[BASELINE]
    verdict = _verdict(ours, rule, label[test], group[test], rows["snapshot"].n_unique(), data)
    unseen = np.concatenate([best.log_odds, ours.log_odds])
    calibration = Calibration.fit(unseen, np.concatenate([label[~test], label[test]]))
    model = Classifier(best.name, encoding, final.result(), calibration)
    report = _report(raced, tested, best, verdict, rows, label, test)
    card = _card(model, data, rows, report, verdict)
    out_of_time = OutOfTime(rows.filter(test), ours.probability)
    return Trained(report, model, verdict.is_usable, verdict.note, card, out_of_time)


@dataclass(frozen=True)
class _Tested:
    """A candidate on the test, calibrated on its out-of-fold predictions."""

    name: str
    log_odds: np.ndarray
    probability: np.ndarray
    area: Auc
    seconds: float


@dataclass(frozen=True)
class _Verdict:
    is_usable: bool
    note: str
    gain: tuple[float, float, float]


def _ordered(data: TrainingSet) -> pl.DataFrame:
    """The rows in an order of their own, whatever order they came in."""
    rows = data.rows
    if "target" not in rows.columns:
        rows = rows.with_columns(target=pl.lit(ALL))
    named = ["snapshot", "group", "target", "label", *data.numbers, *data.categories, *data.baseline]
    columns = list(dict.fromkeys(named))
    return rows.select(columns).sort(columns)


def _drawn(rows: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    """All rows, or those of groups drawn at random until no more fit; a group that is too large for what is left is passed
    over."""
    if rows.height <= most:
        return rows
    group = _numbered(rows["group"])
    sizes = np.bincount(group)
    waiting, left = rng.permutation(sizes.size), most
    kept = np.zeros(sizes.size, bool)
    while (waiting := waiting[sizes[waiting] <= left]).size:
        fitting = int((np.cumsum(sizes[waiting]) <= left).sum())
        kept[waiting[:fitting]] = True
        left -= int(sizes[waiting[:fitting]].sum())
        waiting = waiting[fitting:]
    return rows.filter(kept[group])


def _numbered(group: pl.Series) -> np.ndarray:
    return group.rank("dense").to_numpy().astype(np.int64) - 1


def _test_rows(rows: pl.DataFrame, label: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows of the last snapshot; of a single one a quarter of the groups."""
    if rows["snapshot"].n_unique() > 1:
        return (rows["snapshot"] == rows["snapshot"].max()).to_numpy()
    if rows.is_empty():
        return np.zeros(0, bool)
    return group_folds(label, group, HOLDOUT_FOLDS, rng) == 0


def _too_little(label: np.ndarray, group: np.ndarray, test: np.ndarray, settings: Scores, positive: str) -> str | None:
    """Why nothing can be learnt; None where it can."""
    for part, name in ((~test, "to learn from"), (test, "to test on")):
        yes, no = int(label[part].sum()), int((~label[part]).sum())
        if min(yes, no) < settings.min_class:
            return (
                f"Nothing was learnt: of the rows {name} {yes} are positive ({positive}) and {no} are not; "
                f"{settings.min_class} of each are needed."
            )
    # Every fold, and what is held out of what it learns from, needs both classes.
    least = max(2 * INNER_FOLDS, settings.folds)
    spread = min(np.unique(group[~test & label]).size, np.unique(group[~test & ~label]).size)
    if spread < least:
        return f"Nothing was learnt: the rows of one class are of {spread} customers; {least} are needed."
    return None


def _untaught(rows: pl.DataFrame, note: str) -> Trained:
    row = {
        "target": ALL,
        "candidate": NOTHING,
        "split": "out_of_time",
        "train_rows": rows.height,
        "test_rows": 0,
        "chosen": False,
        "is_used": False,
        "note": note,
    }
    return Trained(evaluation([row]), None, False, note, {"candidate": None, "rows": rows.height, "note": note})


def _tested(
    raced: Raced, inputs: np.ndarray, label: np.ndarray, group: np.ndarray, test: np.ndarray, seed: int
) -> _Tested:
    started = perf_counter()
    model: Fitted = refit(raced.name, inputs[~test], label[~test], raced.typical_far, seed)
    log_odds = model.log_odds(inputs[test])
    probability = Calibration.fit(raced.log_odds, label[~test]).probability(log_odds)
    area = auc(label[test], probability, group[test])
    return _Tested(raced.name, log_odds, probability, area, perf_counter() - started)


def _verdict(
    ours: _Tested, rule: _Tested, label: np.ndarray, group: np.ndarray, snapshots: int, data: TrainingSet
) -> _Verdict:
    gain = ours.area.value - rule.area.value
    error = standard_error(ours.area.moved - rule.area.moved, group)
    low, high = gain - Z95 * error, gain + Z95 * error
    where = "on the last snapshot"
    notes = []
    if snapshots == 1:
        where = "on customers held out"
        notes.append("There is one snapshot only: the test is not out of time.")
    notes.append(f"{100 * label.mean():.1f} % of {label.size:,} rows are positive ({data.positive}).")
    measured = f"AUC {where} {ours.area.value:.3f} (95 % interval {ours.area.low:.3f} to {ours.area.high:.3f})"
    beaten = f"the simple rule ({', '.join(data.baseline)}) has {rule.area.value:.3f}"
    least = gain - Z_ONE_SIDED * error
    lead = f"{gain:+.3f} (with 95 % confidence at least {least:+.3f})"
    better, beats = ours.area.low > 0.5, least > 0
    if not better:
        notes.append(f"Worthless: {measured}, which is no better than chance. The scores are not used.")
    elif not beats:
        notes.append(
            f"{measured}, {beaten}: not shown to be better than the rule, difference {lead}. The scores are not used."
        )
    else:
        notes.append(f"{measured}, {beaten}: better, difference {lead}.")
    return _Verdict(better and beats, " ".join(notes), (gain, low, high))


def _report(
    raced: list[Raced],
    tested: Mapping[str, _Tested],
    best: Raced,
    verdict: _Verdict,
    rows: pl.DataFrame,
    label: np.ndarray,
    test: np.ndarray,
) -> pl.DataFrame:
    learnt = int((~test).sum())
    made = []
    for runner in raced:
        common = {
            "target": ALL,
            "candidate": runner.name,
            "chosen": runner is best,
            "is_used": runner is best and verdict.is_usable,
        }
        note = verdict.note if runner is best else runner.note
        folds = len(runner.folds)
        seen = np.isfinite(runner.log_odds)
        made.append({
            **common, **runner.mean, "split": "cv", "note": note, "seconds": runner.seconds,
            "train_rows": learnt - int(seen.sum()) // folds, "test_rows": int(seen.sum()),
            "positive_rate": float(label[~test][seen].mean()),
        })  # fmt: skip
        if not runner.finished:
            continue
        ours = tested[runner.name]
        made.append({
            **common, **figures(label[test], ours.probability), "split": "out_of_time", "note": note,
            "roc_auc_lo": ours.area.low, "roc_auc_hi": ours.area.high, "seconds": ours.seconds,
            "train_rows": learnt, "test_rows": int(test.sum()), "positive_rate": float(label[test].mean()),
        })  # fmt: skip
        if runner is best or runner.name == BASELINE:
            made += _by_target(common, ours, rows.filter(test), learnt)
    return evaluation(made)


def _by_target(common: dict[str, Any], ours: _Tested, ahead: pl.DataFrame, learnt: int) -> list[dict[str, Any]]:
    """The figures of each target's own rows. There is no verdict on a target alone: all have one model, used or not."""
    target, group = ahead["target"].to_numpy(), _numbered(ahead["group"])
    label = ahead["label"].to_numpy().astype(bool)
    made = []
    for name in np.unique(target):
        if name == ALL:
            continue
        own = target == name
        measured = figures(label[own], ours.probability[own])
        ends = {}
        if measured["roc_auc"] is not None:
            area = auc(label[own], ours.probability[own], group[own])
            ends = {"roc_auc_lo": area.low, "roc_auc_hi": area.high}
        made.append({
            **common, **measured, **ends, "target": str(name), "is_used": None, "split": "out_of_time", "train_rows": learnt,
            "test_rows": int(own.sum()), "positive_rate": float(label[own].mean()),
        })  # fmt: skip
    return made


def _card(
    model: Classifier, data: TrainingSet, rows: pl.DataFrame, report: pl.DataFrame, verdict: _Verdict
) -> dict[str, Any]:
    drivers = model.importance(rows.gather_every(-(-rows.height // DRIVER_ROWS)))
    overall = report.filter(pl.col("target") == ALL).drop("trained_as_of", "note", "seconds")
    return {
        "candidate": model.candidate,
        "parameters": model.model.parameters,
        "calibration": model.calibration.method,
        "positive": data.positive,
        "features": {"numbers": list(data.numbers), "categories": list(data.categories)},
        "baseline": list(data.baseline),
        "snapshots": [day.isoformat() for day in rows["snapshot"].unique().sort()],
        "rows": rows.height,
        "positive_rate": float(rows["label"].to_numpy().mean()),
        "metrics": overall.to_dicts(),
        "gain_over_baseline": dict(zip(("value", "low", "high"), verdict.gain, strict=True)),
        "drivers": drivers.to_dicts(),
        "note": verdict.note,
    }
