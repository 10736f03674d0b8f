"""Which trained model makes tonight's scores, and when does a newer one take its place?

A model is trained anew once the last training is `scores.retrain_days` old, or when the settings or the list of features
have changed. The challenger takes over unless its area under the ROC curve out of time is significantly (95 %) below the
champion's. Both are measured on the challenger's test where the champion has learnt nothing from it. Between two weekly
trainings the label windows overlap, and rows that the champion has learnt from would flatter it: then each counts with the
window that it had not seen, on the scale of the log-odds. That lasts one label window at most. Where settings or features
have changed the two answer different questions, and the challenger takes over as it is.

The newest test has the last word on whether scores may be acted on: where a challenger is refused and is not usable itself,
the champion stays and still scores, but its scores are not used.
"""

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.models.classifier import Classifier, OutOfTime
from lifecycle_assets.models.classifier_auc import Z95, auc, standard_error

ALL = "all"


@dataclass(frozen=True)
class Champion:
    """The model in force and what each of its scores says about it; `model` is None where nothing could be learnt."""

    model: Classifier | None
    version: int | None
    trained_as_of: dt.date | None
    is_used: bool
    note: str


@dataclass(frozen=True)
class Takeover:
    """Whether a challenger takes over, and why not."""

    takes_over: bool
    note: str


TAKEN = Takeover(takes_over=True, note="")


def is_due(trained_as_of: dt.date, as_of: dt.date, retrain_days: int) -> bool:
    """Whether a model trained last on `trained_as_of` is to be trained on `as_of`."""
    return (as_of - trained_as_of).days >= retrain_days


def has_learnt_from(champion_as_of: dt.date, snapshots: list[dict[str, Any]]) -> bool:
    """Whether a model trained on `champion_as_of` may have learnt from the last of a challenger's audited `snapshots`: its
    rows lie after the snapshot before, so that their label windows end after that one's. With a single snapshot there is
    none before, and it may have."""
    return len(snapshots) < 2 or champion_as_of > dt.date.fromisoformat(snapshots[-2]["label_until"])


def takeover_on_same_rows(tested: OutOfTime, champion: Classifier, trained_as_of: dt.date) -> Takeover:
    """Whether the challenger, trained on `trained_as_of`, is good enough on its test, of which `champion` has seen nothing."""
    label = tested.rows["label"].to_numpy().astype(bool)
    group = tested.rows["group"].rank("dense").to_numpy().astype(np.int64) - 1
    new, old = auc(label, tested.probability, group), auc(label, champion.probability(tested.rows), group)
    if new.value - old.value >= -Z95 * standard_error(new.moved - old.moved, group):
        return TAKEN
    return _refused(
        trained_as_of, f"{new.value:.3f}, is significantly below the {old.value:.3f} of this one on the same rows"
    )


def takeover(challenger: pl.DataFrame, champion: pl.DataFrame) -> Takeover:
    """Whether the challenger is good enough, each on its own last window. Both are rows of an evaluation table."""
    new, old = headline(challenger), headline(champion)
    if any(row.get(name) is None for row in (new, old) for name in ("roc_auc", "roc_auc_lo", "roc_auc_hi")):
        return TAKEN
    spread = math.hypot(_standard_error(new), _standard_error(old))
    if _log_odds(new["roc_auc"]) - _log_odds(old["roc_auc"]) >= -Z95 * spread:
        return TAKEN
    ours, theirs = f"{new['roc_auc']:.3f} on its own last window", f"{old['roc_auc']:.3f} of this one on its own"
    return _refused(new["trained_as_of"], f"{ours}, is significantly below the {theirs}")


def headline(evaluation: pl.DataFrame) -> dict[str, Any]:
    """The row of an evaluation table that speaks for the model: the winner's, of all targets, out of time; else the first
    that has a note; empty without rows."""
    rows = evaluation.sort(
        pl.col("chosen") & (pl.col("split") == "out_of_time") & (pl.col("target") == ALL),
        pl.col("note").is_not_null(),
        descending=True,
        maintain_order=True,
    )
    return rows.row(0, named=True) if rows.height else {}


def _refused(trained_as_of: dt.date, areas: str) -> Takeover:
    note = f"The model trained on {trained_as_of} was not taken: its area under the curve out of time, {areas}."
    return Takeover(takes_over=False, note=note)


def _standard_error(row: dict[str, Any]) -> float:
    return (_log_odds(row["roc_auc_hi"]) - _log_odds(row["roc_auc_lo"])) / (2 * Z95)


def _log_odds(share: float) -> float:
    inside = min(max(share, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))
