"""On which past days does a score learn, and does nothing from afterwards slip in?

Snapshots lie one label window apart, so that no two label windows overlap; the last one ends tonight. Each has at least one
label window of history before it, where the history is long enough for two such.

A model that has seen its answer looks excellent and is worthless. So every training set is audited, and the findings stay
with the model: the newest event behind a snapshot's features, of the kinds that the score's own module tells of, is not
later than the snapshot (without any, it is not checked); every label window begins after its
snapshot, ends by tonight and touches no other; no customer is in two folds. And as an alarm for what dates cannot show: a
single feature that alone tells positives from negatives almost without error (area under the ROC curve above SUSPICIOUS,
categories scored on the folds that they were not counted on) is suspected to be made of the label.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from lifecycle_assets.hashing import content_hash, digests
from lifecycle_assets.models.classifier import Trained, TrainingSet, train
from lifecycle_assets.models.classifier_race import group_folds
from lifecycle_assets.settings import Scores

SUSPICIOUS = 0.99
KEYS = ("snapshot", "group", "label", "target")


def snapshot_days(first: dt.date | None, as_of: dt.date, label_days: int, most: int) -> list[dt.date]:
    """The days to learn on, oldest first, at most `most`; `first` is the day of the shop's first event. Of a history without
    two whole windows before a snapshot, up to two days are taken that have any; none without history."""
    if first is None:
        return []
    days = [as_of - dt.timedelta(days=label_days * back) for back in range(most, 0, -1)]
    with_a_window = [day for day in days if (day - first).days >= label_days]
    return with_a_window if len(with_a_window) > 1 else [day for day in days if day > first][-2:]


def learnt(
    data: TrainingSet,
    newest: Mapping[dt.date, dt.date | None],
    label_days: int,
    as_of: dt.date,
    settings: Scores,
    rng: np.random.Generator,
    remark: str = "",
) -> Trained:
    """`train`, with the audit of what was learnt from and its fingerprint in the card. Fewer snapshots than configured are
    said in the note, and so is the `remark`. `newest` is the date of the newest event behind each snapshot's features, None
    where none bears a date."""
    found = audit(data, newest, label_days, as_of, settings)
    made = train(data, settings, rng)
    n_snapshots = data.rows["snapshot"].n_unique()
    more = []
    if made.model is not None and n_snapshots < settings.snapshots:
        more.append(f"Learnt from {n_snapshots} of {settings.snapshots} snapshots: the history is too short for more.")
    if made.model is not None and remark:
        more.append(remark)
    told = "".join(f" {sentence}" for sentence in more)
    evaluation = (
        made.evaluation.with_columns(
            pl.when("chosen")
            .then(pl.concat_str(pl.col("note").fill_null(""), pl.lit(told)))
            .otherwise("note")
            .alias("note")
        )
        if told
        else made.evaluation
    )
    keys = sorted(name for name in KEYS if name in data.rows)
    fingerprint = content_hash(digests(data.rows, [*keys, *data.numbers, *data.categories]).sort())
    return dataclasses.replace(
        made,
        evaluation=evaluation,
        note=made.note + told,
        card={**made.card, "note": made.note + told, "audit": found, "data_fingerprint": fingerprint},
    )


def audit(
    data: TrainingSet, newest: Mapping[dt.date, dt.date | None], label_days: int, as_of: dt.date, settings: Scores
) -> dict[str, Any]:
    """`snapshots` with their dates and counts, `problems` in words (there must be none), and `suspected`: the features that
    alone tell the classes apart, with their area under the curve."""
    days = sorted(data.rows["snapshot"].unique())
    label, group = data.rows["label"].to_numpy(), data.rows["group"].rank("dense").to_numpy().astype(np.int64) - 1
    fold = group_folds(label, group, settings.folds, np.random.default_rng(0)) if days else np.zeros(0, np.int64)
    window = dt.timedelta(days=label_days)
    problems = [
        f"snapshot {day}: its features hold an event of {event}"
        for day in days
        if (event := newest[day]) and event > day
    ]
    problems += [f"snapshot {day}: its label window ends after {as_of}" for day in days if day + window > as_of]
    problems += [
        f"the label windows of {day} and {later} overlap"
        for day, later in itertools.pairwise(days)
        if day + window > later
    ]
    shared = int((pl.DataFrame({"group": group, "fold": fold}).unique().group_by("group").len()["len"] > 1).sum())
    problems += [f"{shared} customers are in two folds"] if shared else []
    counts = data.rows.group_by("snapshot").agg(pl.len().alias("rows"), pl.col("label").sum().alias("positives"))
    snapshots = [
        {
            "snapshot": row["snapshot"].isoformat(),
            "newest_event": event.isoformat() if (event := newest[row["snapshot"]]) else None,
            "label_until": (row["snapshot"] + window).isoformat(),
            "rows": row["rows"],
            "positives": row["positives"],
        }
        for row in counts.sort("snapshot").to_dicts()
    ]
    return {"snapshots": snapshots, "problems": problems, "suspected": _suspected(data, fold, settings.min_class)}


def _suspected(data: TrainingSet, fold: np.ndarray, min_class: int) -> dict[str, float]:
    positives = int(data.rows["label"].sum())
    negatives = data.rows.height - positives
    if min(positives, negatives) < min_class:
        return {}
    rows = data.rows.with_columns(pl.Series("_fold", fold), pl.col("label").cast(pl.Int64))
    lowest = [pl.col(name).cast(pl.Float64).fill_nan(None).fill_null(-np.inf).alias(name) for name in data.numbers]
    scores = rows.select("label", *lowest, *(_rate_of_other_folds(name) for name in data.categories))
    ranks = scores.select("label", pl.exclude("label").rank("average"))
    areas = ranks.filter(pl.col("label") == 1).select(
        (pl.exclude("label").sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )
    found = {name: max(area, 1 - area) for name, area in areas.row(0, named=True).items()}
    return {name: round(area, 4) for name, area in sorted(found.items()) if area > SUSPICIOUS}


def _rate_of_other_folds(category: str) -> pl.Expr:
    """The level's share of positives among the rows of all other folds."""
    positives, rows = pl.col("label").sum(), pl.len()
    others = positives.over(category) - positives.over(category, "_fold")
    return (others / (rows.over(category) - rows.over(category, "_fold"))).fill_nan(0.5).alias(category)
