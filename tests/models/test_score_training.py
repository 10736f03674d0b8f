"""Days of snapshots, what the audit of a training set finds, and when a challenger takes over."""

import dataclasses
import datetime as dt
import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_assets.models.champion import has_learnt_from, is_due, takeover, takeover_on_same_rows
from lifecycle_assets.models.classifier import TrainingSet
from lifecycle_assets.models.classifier_auc import auc
from lifecycle_assets.models.score_training import audit, learnt, snapshot_days
from lifecycle_assets.settings import Scores

TONIGHT = dt.date(2024, 6, 30)
WINDOW = 30
SETTINGS = Scores(candidates=("logistic",))


@given(history=st.integers(0, 2000), window=st.integers(1, 400), most=st.integers(2, 8))
def test_snapshots_lie_a_label_window_apart_and_within_the_history(history: int, window: int, most: int) -> None:
    first = TONIGHT - dt.timedelta(days=history)
    days = snapshot_days(first, TONIGHT, window, most)
    assert len(days) <= most
    assert all(first < day for day in days)
    assert [(later - day).days for day, later in itertools.pairwise([*days, TONIGHT])] == [window] * len(days)
    # With room for a window of history before each, none is left out.
    assert len(days) >= min(most, history // window - 1)


def test_a_shop_without_history_has_no_snapshots() -> None:
    assert snapshot_days(None, TONIGHT, WINDOW, 4) == []
    assert snapshot_days(TONIGHT, TONIGHT, WINDOW, 4) == []
    assert snapshot_days(TONIGHT - dt.timedelta(days=40), TONIGHT, WINDOW, 4) == [TONIGHT - dt.timedelta(days=30)]


def rows(n: int = 300, snapshots: int = 3, seed: int = 1) -> pl.DataFrame:
    """Labels that `signal` tells something about, and `leak` and `leaking_text` everything."""
    rng = np.random.default_rng(seed)
    days = snapshot_days(dt.date(2020, 1, 1), TONIGHT, WINDOW, snapshots)
    signal = rng.normal(size=n * len(days))
    label = rng.random(signal.size) < 1 / (1 + np.exp(1 - signal))
    return pl.DataFrame(
        {
            "snapshot": [day for day in days for _ in range(n)],
            "group": [f"C{i:04d}" for i in range(n)] * len(days),
            "label": label,
            "signal": signal,
            "noise": rng.normal(size=signal.size),
            "plan": rng.choice(["a", "b"], signal.size),
            # Taken from what happened after the snapshot: what was spent in the label window, and a closing code.
            "leak": np.where(label, 0.0, rng.gamma(2, 20, signal.size)),
            "leaking_text": np.where(label, "closed", "open"),
        }
    )


def training(frame: pl.DataFrame, numbers: tuple[str, ...], categories: tuple[str, ...] = ("plan",)) -> TrainingSet:
    return TrainingSet(frame, numbers, categories, baseline=("noise",), positive="leaves")


def by_snapshot(frame: pl.DataFrame, days_past: int = 0) -> dict[dt.date, dt.date | None]:
    return {day: day + dt.timedelta(days=days_past) for day in frame["snapshot"].unique()}


def test_an_honest_training_set_passes() -> None:
    frame = rows()
    found = audit(training(frame, ("signal", "noise")), by_snapshot(frame), WINDOW, TONIGHT, SETTINGS)
    assert (found["problems"], found["suspected"]) == ([], {})
    assert [row["label_until"] for row in found["snapshots"]] == ["2024-05-01", "2024-05-31", "2024-06-30"]
    assert sum(row["positives"] for row in found["snapshots"]) == frame["label"].sum()


def test_a_feature_made_of_the_label_window_is_caught_by_its_date() -> None:
    frame = rows()
    newest = by_snapshot(frame)
    newest[dt.date(2024, 5, 31)] = dt.date(2024, 6, 2)
    found = audit(training(frame, ("signal",)), newest, WINDOW, TONIGHT, SETTINGS)
    assert found["problems"] == ["snapshot 2024-05-31: its features hold an event of 2024-06-02"]


def test_a_feature_made_of_the_label_is_suspected() -> None:
    frame = rows()
    data = training(frame, ("signal", "noise", "leak"), ("plan", "leaking_text"))
    found = audit(data, by_snapshot(frame), WINDOW, TONIGHT, SETTINGS)
    assert set(found["suspected"]) == {"leak", "leaking_text"}
    # A value that is missing for the one class alone tells as much.
    hidden = frame.with_columns(leak=pl.when("label").then(pl.lit(1.0)))
    assert set(audit(training(hidden, ("leak",)), by_snapshot(frame), WINDOW, TONIGHT, SETTINGS)["suspected"]) == {
        "leak"
    }


def test_label_windows_that_overlap_or_have_not_ended_are_caught() -> None:
    frame = rows()
    data = training(frame, ("signal",))
    found = audit(data, by_snapshot(frame), WINDOW + 1, TONIGHT, SETTINGS)["problems"]
    assert "snapshot 2024-05-31: its label window ends after 2024-06-30" in found
    assert sum("overlap" in problem for problem in found) == 2


def test_no_rows_are_no_problem() -> None:
    data = training(rows().clear(), ("signal", "noise"))
    made = learnt(data, {}, WINDOW, TONIGHT, SETTINGS, np.random.default_rng(0))
    assert made.model is None
    assert made.card["audit"] == {"snapshots": [], "problems": [], "suspected": {}}


def test_what_was_learnt_from_is_in_the_card_whatever_the_order() -> None:
    frame = rows(snapshots=2)
    data = training(frame, ("signal", "noise"))
    made = learnt(data, by_snapshot(frame), WINDOW, TONIGHT, SETTINGS, np.random.default_rng(0))
    mixed = training(frame.sample(fraction=1, shuffle=True, seed=3), ("signal", "noise"))
    again = learnt(mixed, by_snapshot(frame), WINDOW, TONIGHT, SETTINGS, np.random.default_rng(0))
    assert again.card["data_fingerprint"] == made.card["data_fingerprint"]
    assert made.model is not None and again.model is not None
    assert again.model.files() == made.model.files()
    changed = training(frame.with_columns(signal=pl.col("signal") + 1e-9), ("signal", "noise"))
    other = learnt(changed, by_snapshot(frame), WINDOW, TONIGHT, SETTINGS, np.random.default_rng(0))
    assert other.card["data_fingerprint"] != made.card["data_fingerprint"]
    assert "2 of 4 snapshots" in made.note
    assert "2 of 4 snapshots" in made.evaluation.filter("chosen")["note"][0]


def evaluated(signal: float, n: int, seed: int) -> pl.DataFrame:
    """The evaluation of a score of which `signal` is known, on n rows."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.3
    area = auc(label, rng.normal(size=n) + signal * label, np.arange(n))
    row = {"target": "all", "candidate": "logistic", "split": "out_of_time", "chosen": True, "trained_as_of": TONIGHT}
    return pl.DataFrame(
        [{**row, "roc_auc": area.value, "roc_auc_lo": area.low, "roc_auc_hi": area.high, "note": None}],
        schema_overrides={"note": pl.String},
    )


def test_a_challenger_as_good_as_the_champion_is_refused_in_one_case_of_forty() -> None:
    refused = [not takeover(evaluated(1, 800, 2 * i), evaluated(1, 800, 2 * i + 1)).takes_over for i in range(400)]
    # One side of a 95 % interval: 2.5 %, within what 400 draws allow.
    assert 0.008 < np.mean(refused) < 0.05


def test_a_challenger_that_is_clearly_worse_is_refused_with_the_reason() -> None:
    verdict = takeover(evaluated(0.5, 3000, 1), evaluated(1.0, 3000, 2))
    assert not verdict.takes_over
    assert "2024-06-30" in verdict.note
    assert takeover(evaluated(1.0, 3000, 1), evaluated(0.5, 3000, 2)).takes_over


def test_nothing_to_compare_with_is_no_reason_to_refuse() -> None:
    untested = evaluated(1, 100, 1).with_columns(pl.lit(None, pl.Float64).alias("roc_auc"))
    assert takeover(untested, evaluated(1, 100, 1)).takes_over
    assert takeover(evaluated(1, 100, 1), untested).takes_over


@pytest.mark.parametrize(("days", "learnt_from"), [(0, False), (-1, False), (1, True)])
def test_a_model_has_not_learnt_from_what_came_after_the_windows_that_had_ended(days: int, learnt_from: bool) -> None:
    windows = [{"label_until": "2024-03-31"}, {"label_until": "2024-06-29"}]
    assert has_learnt_from(dt.date(2024, 3, 31) + dt.timedelta(days=days), windows) is learnt_from
    assert has_learnt_from(dt.date(2020, 1, 1), windows[:1])


def test_on_the_same_rows_the_difference_is_judged_by_its_own_error() -> None:
    """The challenger is worse by little, on every customer: the areas' intervals overlap widely, that of the difference is
    narrow."""
    frame = rows(2_000, 3)
    made = learnt(
        training(frame, ("signal", "noise")), by_snapshot(frame), WINDOW, TONIGHT, SETTINGS, np.random.default_rng(0)
    )
    assert made.tested is not None and made.model is not None
    same = dataclasses.replace(made.tested, probability=made.model.probability(made.tested.rows))
    assert takeover_on_same_rows(same, made.model, TONIGHT).takes_over
    rng = np.random.default_rng(0)
    blurred = dataclasses.replace(same, probability=same.probability + rng.normal(size=same.probability.size) / 10)
    assert not takeover_on_same_rows(blurred, made.model, TONIGHT).takes_over


@pytest.mark.parametrize(("days", "due"), [(0, False), (6, False), (7, True), (30, True)])
def test_training_is_due_at_the_configured_age(days: int, due: bool) -> None:
    assert is_due(TONIGHT - dt.timedelta(days=days), TONIGHT, 7) is due
